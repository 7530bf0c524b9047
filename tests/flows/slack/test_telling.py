"""What is told of an incident in the workspace, from its opening to its report."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.slack.records import Message
from flows.identity import SERVICE
from flows.incident import Incident
from flows.slack.actions import APPROVE, SHOW_TIMELINE, START
from runbooks.errors import ClampdownError
from tests.flows.slack.incidents import shown
from tests.flows.slack.office import ONE, TASK, TWO, Office, gate
from tests.flows.test_responder import finding

C2 = "Backdoor:EC2/C&CActivity.B"
HOSTILE = (
    "<!channel> <!here|x> <@{mallory}> <!subteam^S0123456789> <https://evil.example|AWS> "
    "*Approved by the CISO*\n`\u202eevil\u202c` \u200b&lt;!everyone&gt; https://evil.example/a"
)


def read(post: Message) -> str:
    return shown({"blocks": post.blocks})


def contain(office: Office, text: str = "") -> None:
    """Rita has the victim contained by a playbook that asks nobody."""
    victim = office.scene.world.victim
    assert office.rita.command(f"/clampdown contain {victim} {text}".rstrip(), office.room).ok


def respond(office: Office, **about: Any) -> Incident:
    """GuardDuty finds something about the victim, and a route proposes what to do."""
    responder = office.scene.responder()
    found = finding(office.scene, **{"type": C2, "severity": 8.0, **about})
    return responder.respond(found, SERVICE, prefect=False).incident


def routes(channel: str = "") -> str:
    where = f", channel: {channel}" if channel else ""
    return (
        f'routes: [{{match: {{type: "Backdoor:EC2/*"}}, playbook: tag-it, mode: propose{where}}}]\n'
    )


def all_text(office: Office) -> str:
    """Everything in the workspace, also what one person alone sees."""
    workspace = office.slack.workspace
    with workspace.changed:
        posts = [
            post
            for channel in workspace.channels.values()
            for post in (*channel.messages.values(), *channel.ephemerals)
        ]
        files = [str(file.content) for file in workspace.files.values()]
    return "\n".join([*(f"{post.text} {post.blocks}" for post in posts), *files])


def test_the_opening_says_what_happened_to_what_and_what_is_done(office: Office) -> None:
    office.write(ONE, gate(), TWO, more=routes())
    office.open()
    incident = respond(office, title="It talks to a C2 server")
    proposed = office.post("Proposed", START)
    assert "nothing is done until somebody starts it" in read(proposed)
    assert office.bob.click(office.room, proposed.ts, START).ok
    said = read(office.shows(proposed, "Waiting for approval"))
    world = office.scene.world
    assert f"[SIMULATED] a test: {world.victim}" in said
    assert "*Severity*: 8 high" in said
    assert f"*Target*: `{world.victim}` (payments-web)" in said
    assert f"*Account*: sandbox `{world.account}` (production) {world.region}" in said
    assert "*Owner*: payments" in said
    assert "`Backdoor:EC2/C&amp;CActivity.B` It talks to a C2 server" in said
    assert "Plan: 2 changes, approval at contain" in said
    assert f"• `one`, 1 change: tag {world.victim}" in said
    assert "🔒 *only if approved at `contain`:*" in said
    assert f"`{incident.id}` · playbook `tag-it`" in said
    assert "[Every call][Timeline][Stop]" in said


def test_progress_is_one_message_that_is_updated_with_the_times(office: Office) -> None:
    office.open()
    question = office.contain()
    before = office.post("*Progress*", "⏳ gate `contain`", "1 of 2 steps")
    said = read(before)
    assert re.search(r"✅ `one` · \d\.\d s", said)
    assert "⚪ `two`" in said
    assert "1 of 2 steps, 1 change; the last one" in said

    assert office.click(office.alice, question, APPROVE).ok
    office.status("contained")
    after = read(office.shows(before, "2 of 2 steps"))
    assert re.search(r"✅ `one` · \d\.\d s · verified", after)
    assert re.search(r"✅ `two` · \d\.\d s · verified", after)
    assert "✅ gate `contain`: approved" in after
    assert len([post for post in office.posts() if "*Progress*" in read(post)]) == 1


def test_the_end_has_a_summary_evidence_and_the_report(office: Office) -> None:
    office.write("- step: ec2.snapshot", "- step: evidence.wait")
    office.open()
    contain(office)
    incident = office.status("contained")
    summary = office.post("All of the playbook was done")
    said = read(summary)
    assert "🟢 Contained and verified" in said
    assert re.search(r"Verified after \*\d\.\d s\*", said)
    snapshots = next(step for step in incident.steps if step.step == "ec2.snapshot").outputs
    for snapshot in snapshots["snapshots"].values():
        assert str(snapshot) in said or "more" in said
    assert "*Evidence*" in said
    assert f"`clampdown undo {incident.id}` takes back" in said

    report = office.until(lambda: next((post for post in office.posts() if post.files), None))
    assert report.thread_ts == summary.thread_ts
    (file,) = report.files
    assert file["name"] == f"{incident.id}-report.md"
    content = office.slack.workspace.files[file["id"]].content
    assert content is not None
    assert incident.id in content.decode()
    assert office.scene.world.victim in content.decode()


def test_all_of_an_incident_is_one_thread_in_order(office: Office) -> None:
    office.write(ONE, TASK, gate(), TWO)
    office.open()
    question = office.contain()
    assert office.click(office.alice, question, APPROVE).ok
    office.until(lambda: any(post.files for post in office.posts()))
    first, *replies = office.posts()
    assert not first.is_reply
    assert {post.thread_ts for post in replies} == {first.ts}
    order = ("“contain”", "*Progress*", "*To do*", "All of the playbook was done")
    places = {
        words: next(n for n, post in enumerate(replies) if words in read(post)) for words in order
    }
    assert places["All of the playbook was done"] == max(places.values())
    assert replies[-1].files


def test_several_targets_are_told_in_one_thread(office: Office) -> None:
    office.write(ONE, gate(), TWO)
    office.open()
    world = office.scene.world
    others = [world.ids["member_1"], world.ids["member_2"]]
    office.scene.responder().run(
        "tag-it", [world.victim, *others], _local_rita(), prefect=False, wait=False
    )
    question = office.post("“contain”", APPROVE)
    assert "3 instances" in read(question)
    opening = read(office.post("Waiting for approval", "*Target*"))
    for instance in (world.victim, *others):
        assert f"`{instance}`" in opening
    assert office.click(office.alice, question, APPROVE).ok
    office.status("contained")
    progress = read(office.post("*Progress*", "6 of 6 steps"))
    for instance in (world.victim, *others):
        assert f"✅ `two` on `{instance}`" in progress


def _local_rita() -> Any:
    from tests.flows.people import REQUESTER

    return REQUESTER


def test_the_channel_is_that_of_the_route(office: Office) -> None:
    other = office.slack.channel("payments-alerts", office.bob)
    office.write(ONE, gate(), TWO, more=routes(other.id))
    office.open()
    respond(office)
    proposed = office.post("Proposed", channel=other)
    assert office.posts() == []
    assert office.bob.click(other, proposed.ts, START).ok
    office.post("“contain”", APPROVE, channel=other)


@pytest.mark.parametrize(("severity", "there"), [(8.0, True), (5.0, False)])
def test_the_channel_is_that_of_the_severity(office: Office, severity: float, there: bool) -> None:
    high = office.slack.channel("severe", office.bob)
    by_severity = f'by_severity: [{{severity: ">= 7", channel: {high.id}}}]'
    office.write(ONE, slack=by_severity, more=routes())
    office.open()
    respond(office, severity=severity)
    post = office.post("Proposed", channel=high if there else office.room)
    assert f"{severity:g} {'high' if there else 'medium'}" in read(post)
    assert office.posts(office.room if there else high) == []


def test_a_failure_says_what_was_and_was_not_done(office: Office) -> None:
    office.scene.aws.fault(Fault(service="ec2", operation="CreateTags", effect="deny", nth=2))
    office.write(ONE, TWO)
    office.open()
    contain(office)
    office.status("incomplete")
    said = read(office.post("Go on", "Undo…"))
    assert "🟠 Contained, but not all of it was done" in said
    assert "❌ `two` on" in said
    assert "UnauthorizedOperation" in said
    assert "`clampdown resume" in said


def test_the_timeline_has_everything_that_happened_and_nothing_of_slacks_own(
    office: Office,
) -> None:
    office.open()
    question = office.contain()
    assert office.click(office.alice, question, APPROVE).ok
    office.status("contained")
    opening = office.post("*Target*", "Contained and verified")
    assert office.mallory.click(office.room, opening.ts, SHOW_TIMELINE).ok
    said = shown({"blocks": office.modal(office.mallory, "Timeline").blocks})
    lines = said.splitlines()
    assert lines[0].startswith("`0.0` ")
    for words in ("contain", "approve", "tag"):
        assert words in said
    assert "slack." not in said
    assert len(lines) >= 10


def test_the_status_is_told_to_whoever_asks_alone(office: Office) -> None:
    office.open()
    office.contain()
    incident = office.incident().id
    office.post("*Progress*", "⏳ gate `contain`")
    number = len(office.posts())
    assert office.mallory.command("/clampdown status", office.room).ok
    said = office.said_to(office.mallory, incident, "Progress", "Waiting for approval")
    assert office.scene.world.victim in said
    assert len(office.posts()) == number


def test_an_approval_at_a_terminal_is_shown_as_well(office: Office) -> None:
    office.open()
    question = office.contain()
    from tests.flows.people import ALICE

    office.scene.responder().decide(office.incident().id, "contain", ALICE, "approve")
    assert "✅ approved: alice, " in read(office.shows(question, "✅ Approved"))
    office.status("contained")


def test_nothing_that_an_intruder_writes_pings_links_or_formats(office: Office) -> None:
    text = HOSTILE.format(mallory=office.mallory.id)
    name = f"<!channel> <@{office.mallory.id}> *x* \u202e"
    office.scene.tag("Name", name)
    office.scene.tag("team", "<!here> <https://evil.example|payments>")
    office.write(ONE, TASK, gate(), TWO, more=routes())
    office.open()
    respond(office, title=text, description=text, type=C2)
    proposed = office.post("Proposed")
    assert office.carol.click(office.room, proposed.ts, START).ok
    question = office.post("“contain”", APPROVE)
    assert office.click(office.alice, question, "gate_deny").ok
    why = office.modal(office.alice, "Why not?")
    assert office.alice.submit(why, {"why": text}).ok
    office.status("denied")
    office.until(lambda: any(post.files for post in office.posts()))
    assert office.bob.open_home().ok
    office.until(lambda: office.bob.home)
    assert office.mallory.click(office.room, proposed.ts, "show_calls").ok
    office.modal(office.mallory, "Every call")
    assert office.mallory.command("/clampdown status", office.room).ok
    office.said_to(office.mallory, "*Target*")

    assert office.mallory.pings() == []
    for post in office.posts():
        visible = f"{post.text} {post.blocks}"
        assert "<!" not in re.sub(r"<!date\^", "", visible)
        assert "<http" not in visible
        assert "*Approved by" not in visible
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", visible)
    views = str([office.bob.home, office.mallory.modal])
    assert f"<@{office.mallory.id}>" not in views
    assert "<!channel" not in views
    # Only the address that Slack is told not to make a link of.
    assert all(
        item["verbatim"]
        for post in office.posts()
        for block in post.blocks
        for item in [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
        if item and item.get("type") == "mrkdwn"
    )


@pytest.mark.parametrize("http", [True, False])
def test_no_secret_is_shown_logged_or_recorded(
    office: Office, http: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = office.open(http=http)
    question = office.contain()
    assert office.click(office.alice, question, APPROVE).ok
    office.status("contained")
    office.post("All of the playbook was done")
    assert office.alice.open_home().ok
    home = office.until(lambda: office.alice.home)
    office.slack.fault(_refusing())
    assert office.alice.command("/clampdown incidents", office.room).ok
    app.stop()
    installation = office.slack.installation
    journal = str(list(office.scene.responder().journal.rows()))
    assert "slack_bolt" in caplog.text
    places = {
        "workspace": all_text(office) + str(home.given),
        "log": caplog.text,
        "journal": journal,
    }
    for secret in (
        installation.bot_token,
        installation.app_token,
        installation.signing_secret,
        installation.verification_token,
    ):
        for place, text in places.items():
            assert secret not in text, place


def _refusing() -> Any:
    from flows.gameday.slack.faults import Fault as SlackFault

    return SlackFault(method="chat.postEphemeral", code="internal_error")


def test_an_unknown_finding_opens_nothing_in_slack(office: Office) -> None:
    office.write(ONE, more=routes())
    office.open()
    with pytest.raises(ClampdownError):
        respond(office, type="Recon:EC2/Portscan")
    assert office.posts() == []
