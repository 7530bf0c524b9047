"""An incident's thread follows from its journal: on real incidents in the simulated AWS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from flows.incident import Incident
from flows.journal.record import Record
from flows.slack import progress
from flows.slack.actions import (
    ABORT,
    APPROVE,
    BREAK_GLASS,
    DENY,
    RESUME,
    REVIEW,
    SHOW_CALLS,
    START,
    TASK_DONE,
    TASK_IMPOSSIBLE,
    UNDO,
    GateValue,
)
from flows.slack.message import Message
from flows.slack.opening import severity_words
from flows.slack.thread import messages
from tests.flows.people import ALICE
from tests.flows.scene import Scene
from tests.flows.slack.incidents import (
    ANA,
    BEFORE,
    BEHIND,
    BEN,
    LEA,
    NAME,
    RIA,
    TAG_ONE,
    TAG_TWO,
    TASK,
    buttons,
    finding,
    gate,
    playbooks,
    records,
    shown,
    thread,
    told,
    write,
)
from tests.flows.slack.limits import check_message
from tests.flows.slack.made_up import BEGAN, some_playbooks, some_records

Act = Callable[[str], None]
ROUTES = [
    {
        "match": {"source": "guardduty", "type": "CryptoCurrency:EC2/*"},
        "playbook": NAME,
        "mode": "propose",
    }
]


class Watched:
    """A scene in which somebody looks at the thread at the moment that a gate is asked for."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.seen: list[dict[str, Message]] = []

    def at_the_gate(self, *acts: Act) -> None:
        """Look at the thread each time that a gate is asked for, then act."""
        left = list(acts)

        def asked(record: Record) -> None:
            self.seen.append(thread(self.scene, record.incident))
            if left:
                left.pop(0)(record.incident)

        self.scene.at_once("gate.requested", asked, times=9)

    def decide(self, who: object, answer: str = "approve", **more: object) -> Act:
        def act(incident: str) -> None:
            self.scene.responder().decide(incident, "contain", who, answer, **more)  # type: ignore[arg-type]

        return act

    def run(self, **more: object) -> Incident:
        return self.scene.run(by=RIA, playbook=NAME, reason="it mines coins", **more).incident

    def thread(self, incident: Incident, now: datetime | None = None) -> dict[str, Message]:
        found = thread(self.scene, incident, now)
        for message in found.values():
            check_message(message)
        return found


@pytest.fixture
def watched(scene: Scene) -> Watched:
    return Watched(scene)


def test_the_thread_of_a_whole_containment(watched: Watched) -> None:
    scene = watched.scene
    write(scene, *BEFORE, gate(), *BEHIND, TASK)
    watched.at_the_gate(watched.decide(ANA))
    incident = watched.run(finding=finding(scene))
    victim = scene.world.victim

    (before,) = watched.seen
    assert list(before) == ["opening", "gate:contain:1"]
    told_at_once = shown(before["opening"])
    assert f"🧪 [SIMULATED] Compromised instance: {victim}" in told_at_once
    assert "*🟡 Waiting for approval: contain (0/1 of oncall)*" in told_at_once
    assert "*Account*: sandbox `123456789012` (production) eu-west-1" in told_at_once
    assert "*Severity*: 8 high" in told_at_once
    assert "*Owner*: payments" in told_at_once
    assert "*Asked for by*: <@U0RIA>" in told_at_once
    assert "`CryptoCurrency:EC2/BitcoinTool.B` The EC2 instance" in told_at_once
    assert "Talks to `198.51.100.23`" in told_at_once
    assert "it mines coins" in told_at_once
    assert "🔒 *only if approved at `contain`:*" in told_at_once
    assert "[Every call][Timeline][Stop]" in told_at_once
    assert buttons(before["opening"])[SHOW_CALLS]["value"] == incident.id
    assert not before["opening"].thread

    asked = shown(before["gate:contain:1"])
    assert f"⏳ [SIMULATED] Approve “contain” for {victim}?" in asked
    assert "• Leaves the Auto Scaling group `payments-web`, which launches a replacement" in asked
    assert "• Gets no more traffic from 3 target groups: " in asked
    assert "• Cut off: the security groups of 2 network interfaces are replaced: " in asked
    assert "• Credentials of the role `payments-app` are denied, for this instance only" in asked
    assert "*every host* in them: `acl-" in asked
    assert "*14 min left*, until <!date^" in asked
    assert "No answer means *no*" in asked
    assert "0/1 of `oncall` must approve. One denial is enough to stop it." in asked
    assert "Not <@U0RIA>, who asked for this." in asked
    # Who asked for it can't decide on it, and sleeps on.
    assert "Asked: <@U0ANA> <@U0BEN>" in asked
    assert "<@U0RIA>" not in asked.split("Asked: ")[1]

    after = watched.thread(incident)
    assert list(after) == [
        "opening",
        "gate:contain:1",
        "progress",
        "task:manual",
        "summary",
        "report",
    ]
    assert "*🟢 Contained and verified*" in shown(after["opening"])
    assert ABORT not in buttons(after["opening"])
    decided = shown(after["gate:contain:1"])
    assert f"✅ Approved: “contain” for {victim}" in decided
    assert "✅ approved: <@U0ANA>, <!date^" in decided
    assert not buttons(after["gate:contain:1"])
    steps = shown(after["progress"]).splitlines()
    assert [line.split(" · ")[0] for line in steps[1:-1]] == [
        "✅ `ec2.protect`",
        "✅ `ec2.snapshot`",
        "✅ gate `contain`: approved",
        "✅ `autoscaling.detach`",
        "✅ `elb.deregister`",
        "✅ `ec2.isolate`",
        "✅ `ec2.contain_credentials`",
        "✅ `ec2.tag`",
        "✅ `evidence.wait`",
    ]
    assert all(line.endswith(" · verified") for line in steps[1:-1] if "gate" not in line)
    assert "8 of 8 steps" in steps[-1]
    summary = shown(after["summary"])
    assert "Isolated after *" in summary
    assert "Verified after *" in summary
    (snapshots,) = [line for line in summary.splitlines() if line.startswith("Snapshots of")][:1]
    assert snapshots.count("`snap-") == snapshots.count("`vol-") == 3
    assert f"Snapshots of `{victim}` are complete" in summary
    assert "☐ open, for `oncall`: Open a case with Legal" in summary
    assert f"`clampdown undo {incident.id}` takes back {len(incident.to_undo())} changes" in summary
    assert set(buttons(after["summary"])) == {UNDO, "show_timeline"}
    file = after["report"].file
    assert file is not None
    assert file.name == f"{incident.id}-report.md"
    assert "- Status: **contained**" in file.content


def test_messages_keep_their_keys_and_their_order_whatever_comes_later(watched: Watched) -> None:
    write(watched.scene, TAG_ONE, gate(), TAG_TWO, TASK)
    watched.at_the_gate(watched.decide(ANA))
    incident = watched.run()
    watched.scene.responder().undo(incident.id, RIA)
    written = records(watched.scene, incident)
    before: list[str] = []
    for number in range(1, len(written) + 1):
        now = written[number - 1].at
        keys = [m.key for m in messages(written[:number], playbooks(watched.scene), now)]
        assert keys[: len(before)] == before
        before = keys
    assert len(before) == len(set(before))


def test_the_same_records_say_the_same_within_a_minute(watched: Watched) -> None:
    write(watched.scene, gate(within="15m"), TAG_TWO)
    watched.at_the_gate(watched.decide(ANA))
    incident = watched.run()
    asked = next(r for r in records(watched.scene, incident) if r.kind == "gate.requested")
    upto = [r for r in records(watched.scene, incident) if r.seq <= asked.seq]

    def digest(seconds: int) -> str:
        now = asked.at + timedelta(seconds=seconds)
        return messages(upto, playbooks(watched.scene), now)[-1].digest

    assert digest(1) == digest(59)
    assert digest(1) != digest(61)


def test_what_slack_itself_recorded_changes_nothing(watched: Watched) -> None:
    write(watched.scene, TAG_ONE)
    incident = watched.run()
    before = [message.digest for message in watched.thread(incident).values()]
    journal = watched.scene.responders[0].journal
    body = {"key": "opening", "channel": "C0", "ts": "1.2", "digest": "x"}
    journal.append(incident.id, "slack.posted", body, RIA.actor)
    assert [message.digest for message in watched.thread(incident).values()] == before


def test_a_quorum_counts_up_and_names_who_has_approved(watched: Watched) -> None:
    def second_look(record: Record) -> None:
        watched.seen.append(thread(watched.scene, record.incident))
        watched.decide(BEN)(record.incident)

    rule = {"any_of": [{"group": "oncall", "count": 2}, {"group": "leads", "count": 1}]}
    write(watched.scene, gate(by=None, **rule), TAG_TWO)
    watched.at_the_gate(watched.decide(ANA))
    watched.scene.at_once("gate.decided", second_look)
    incident = watched.run()
    first, second = (shown(seen["gate:contain:1"]) for seen in watched.seen)
    assert "0/2 of `oncall` *or* 0/1 of `leads` must approve." in first
    assert "1/2 of `oncall` *or* 0/1 of `leads` must approve." in second
    assert "✅ approved: <@U0ANA>" in second
    assert "Asked: <@U0ANA> <@U0BEN> <!subteam^S0LEADS>" in first
    decided = shown(watched.thread(incident)["gate:contain:1"])
    assert "✅ approved: <@U0ANA>" in decided
    assert "✅ approved: <@U0BEN>" in decided


def test_buttons_carry_ids_only(watched: Watched) -> None:
    write(watched.scene, gate(break_glass="leads"), TAG_TWO)
    watched.at_the_gate(watched.decide(ANA))
    incident = watched.run()
    found = buttons(watched.seen[0]["gate:contain:1"])
    assert set(found) == {APPROVE, DENY, BREAK_GLASS, SHOW_CALLS}
    asked = next(r for r in records(watched.scene, incident) if r.kind == "gate.requested")
    value = GateValue(incident.id, "contain", asked.body["nonce"])
    assert {found[name]["value"] for name in (APPROVE, DENY, BREAK_GLASS)} == {str(value)}
    assert GateValue.read(found[APPROVE]["value"]) == value
    assert found[SHOW_CALLS]["value"] == f"{incident.id} 0 contain"


def test_a_denial_says_who_and_why_and_leaves_no_buttons(watched: Watched) -> None:
    write(watched.scene, TAG_ONE, gate(), TAG_TWO)
    watched.at_the_gate(watched.decide(BEN, "deny", why="it is <!here> the build server"))
    found = watched.thread(watched.run())
    said = shown(found["gate:contain:1"])
    assert "⛔ Denied: “contain”" in said
    assert "⛔ denied: <@U0BEN>, <!date^" in said
    assert ": it is &lt;!here&gt; the build server" in said
    assert not buttons(found["gate:contain:1"])
    assert "🔴 Stopped at a gate" in shown(found["summary"])
    assert RESUME not in buttons(found["summary"])


def test_nobody_deciding_means_no_and_can_be_asked_again(watched: Watched) -> None:
    write(watched.scene, gate(within="1s"), TAG_TWO)
    found = watched.thread(watched.run())
    assert "⌛ Nobody decided in time, which means no" in shown(found["gate:contain:1"])
    assert set(buttons(found["gate:contain:1"])) == {RESUME}


def test_a_gate_that_was_asked_for_again_points_to_the_new_message(watched: Watched) -> None:
    write(watched.scene, gate(within="1s"), TAG_TWO)
    incident = watched.run()
    watched.at_the_gate(watched.decide(ANA))
    watched.scene.resume(incident.id, by=RIA)
    found = watched.thread(incident)
    assert "It was asked for again since: see below." in shown(found["gate:contain:1"])
    assert not buttons(found["gate:contain:1"])
    assert "Asked again: it was not decided before." in shown(watched.seen[0]["gate:contain:2"])
    assert "✅ Approved" in shown(found["gate:contain:2"])


def test_escalation_pings_the_next_group_and_can_be_decided_from_there(watched: Watched) -> None:
    write(watched.scene, gate(within="1s", otherwise="escalate", escalate_to="leads"), TAG_TWO)

    def escalated(record: Record) -> None:
        watched.seen.append(thread(watched.scene, record.incident))
        watched.decide(LEA)(record.incident)

    watched.scene.at_once("gate.escalated", escalated)
    incident = watched.run()
    asked = watched.seen[0]["escalated:contain:1"]
    assert "📣 <!subteam^S0LEADS>: nobody decided `contain` in time." in shown(asked)
    assert "No answer means *no*" in shown(asked)
    first = watched.seen[0]["gate:contain:1"]
    assert buttons(asked)[APPROVE]["value"] == buttons(first)[APPROVE]["value"]
    assert "0/1 of `oncall` *or* 0/1 of `leads` must approve." in shown(first)
    found = watched.thread(incident)
    assert "✅ Approved: `contain`, which had been handed on to `leads`." in shown(
        found["escalated:contain:1"]
    )
    assert not buttons(found["escalated:contain:1"])


def test_a_reminder_pings_again_until_it_is_answered(watched: Watched) -> None:
    write(watched.scene, gate(remind_every="1s"), TAG_TWO)

    def reminded(record: Record) -> None:
        watched.seen.append(thread(watched.scene, record.incident))
        watched.decide(ANA)(record.incident)

    watched.scene.at_once("gate.reminded", reminded)
    found = watched.thread(watched.run())
    (key,) = [key for key in found if key.startswith("reminded:")]
    asked = watched.seen[0][key]
    assert "⏰ `contain` still needs 0/1 of oncall. *14 min left*" in shown(asked)
    assert "<@U0ANA> <@U0BEN>" in shown(asked)
    assert "answered since: ✅ Approved." in shown(found[key])
    assert not buttons(found[key])


def test_a_plan_that_changed_says_what_changed(watched: Watched) -> None:
    write(watched.scene, gate(), TAG_ONE, TAG_TWO)

    def somebody_else_tags(incident: str) -> None:
        watched.decide(ANA)(incident)
        watched.scene.tag("one", "1")

    watched.at_the_gate(somebody_else_tags, watched.decide(BEN))
    incident = watched.run()
    asked = shown(watched.seen[1]["gate:contain:2"])
    assert "*The plan changed after it was approved: that approval is void*" in asked
    assert "➖ no longer: one: tag " in asked
    found = watched.thread(incident)
    assert "✅ approved: <@U0ANA>" in shown(found["gate:contain:1"])
    assert "It was asked for again since" in shown(found["gate:contain:1"])
    assert "✅ approved: <@U0BEN>" in shown(found["gate:contain:2"])


def test_broken_glass_pages_the_others_and_waits_for_a_review(watched: Watched) -> None:
    write(watched.scene, gate(break_glass="leads"), TAG_TWO)
    watched.at_the_gate(watched.decide(LEA, why="it spreads", break_glass=True))
    incident = watched.run()
    found = watched.thread(incident)
    said = shown(found["gate:contain:1"])
    assert "🔨 Approved by breaking the glass" in said
    assert "🔨 broke the glass: <@U0LEA>, " in said
    assert "Somebody else must review the broken glass until <!date^" in said
    assert REVIEW in buttons(found["gate:contain:1"])
    (paged,) = [message for key, message in found.items() if key.startswith("paged:")]
    assert "<@U0ANA> <@U0BEN> <@U0RIA> `contain`: glass broken: it spreads" in shown(paged)
    assert "the glass of `contain` was broken: review until" in shown(found["summary"])

    watched.decide(ANA, why="it did spread")(incident.id)
    reviewed = watched.thread(incident)["gate:contain:1"]
    assert "Broken glass reviewed by <@U0ANA>" in shown(reviewed)
    assert not buttons(reviewed)


def test_there_is_nothing_to_review_once_all_of_it_is_taken_back(watched: Watched) -> None:
    write(watched.scene, gate(break_glass="leads"), TAG_TWO)
    watched.at_the_gate(watched.decide(LEA, why="it spreads", break_glass=True))
    incident = watched.run()
    watched.scene.responder().undo(incident.id, ANA)
    found = watched.thread(incident)
    assert not buttons(found["gate:contain:1"])
    assert "review" not in shown(found["summary:2"])


def test_a_gate_that_is_not_needed_is_a_line_of_the_progress(watched: Watched) -> None:
    entry = {**gate(), "when": "target.tags.environment == 'test'"}
    write(watched.scene, entry, TAG_TWO)
    found = watched.thread(watched.run())
    assert not [key for key in found if key.startswith("gate:")]
    assert "➖ gate `contain` is not needed: " in shown(found["progress"])


def test_a_failed_step_is_shown_with_its_error_and_what_to_do(watched: Watched) -> None:
    write(watched.scene, {**TAG_ONE, "on_failure": "continue"}, TAG_TWO)
    watched.scene.fault("CreateTags", code="UnauthorizedOperation", status=403, times=1)
    incident = watched.run()
    assert incident.status == "incomplete"
    found = watched.thread(incident)
    assert "🟠 Contained, but not all of it was done" in shown(found["opening"])
    assert "❌ `one` · failed · " in shown(found["progress"])
    assert f"❌ `one` on `{watched.scene.world.victim}`: failed, " in shown(found["summary"])
    assert f"`clampdown resume {incident.id}`" in shown(found["summary"])
    assert set(buttons(found["summary"])) == {RESUME, UNDO, "show_timeline"}


def test_an_undo_has_a_summary_and_a_report_of_its_own(watched: Watched) -> None:
    write(watched.scene, TAG_ONE)
    incident = watched.run()
    first = watched.thread(incident)
    watched.scene.responder().undo(incident.id, ANA)
    found = watched.thread(incident)
    assert list(found)[-2:] == ["summary:2", "report:2"]
    assert "*⚪ Taken back*" in shown(found["opening"])
    assert "↩️ undo by <@U0ANA>, <!date^" in shown(found["progress"])
    assert "Everything is as it was." in shown(found["summary:2"])
    # What was said at the first end stands, but for its buttons.
    assert shown(first["summary"]).startswith(shown(found["summary"]))
    assert not buttons(found["summary"])
    assert UNDO not in buttons(found["summary:2"])
    file = found["report:2"].file
    assert file is not None
    assert file.name == f"{incident.id}-report-2.md"


def test_an_abort_closes_its_gate_and_has_one_summary(watched: Watched) -> None:
    write(watched.scene, TAG_ONE, gate(), TAG_TWO)
    watched.at_the_gate(
        lambda incident: watched.scene.responder().abort(incident, BEN, "wrong machine") and None
    )
    incident = watched.run()
    found = watched.thread(incident)
    assert "⚪ Not decided, the incident is aborted" in shown(found["gate:contain:1"])
    assert not buttons(found["gate:contain:1"])
    assert [key for key in found if key.startswith("summary")] == ["summary"]
    assert "Stopped by <@U0BEN>: wrong machine" in shown(found["summary"])
    assert "🛑 aborted by <@U0BEN>: wrong machine" in shown(found["progress"])


def test_a_proposal_is_started_or_dismissed_by_a_button(watched: Watched) -> None:
    write(watched.scene, TAG_ONE, routes=ROUTES)
    started = watched.scene.responder().respond(finding(watched.scene), RIA, prefect=False)
    found = watched.thread(started.incident)
    assert list(found) == ["opening"]
    assert "🟡 Proposed: nothing is done until somebody starts it" in shown(found["opening"])
    start = buttons(found["opening"])[START]
    assert start["value"] == started.incident.id
    assert "what stands behind one waits" in start["confirm"]["text"]["text"]
    assert "[Start][Timeline][Dismiss]" in shown(found["opening"])
    # A route's reason is the finding once more.
    assert "*Why*" not in shown(found["opening"])


def test_a_task_is_reported_once(watched: Watched) -> None:
    write(watched.scene, TASK)
    incident = watched.run()
    asked = watched.thread(incident)["task:manual"]
    assert "☐ *To do* for `oncall`\nOpen a case with Legal\n<@U0ANA> <@U0BEN>" in shown(asked)
    assert {b["value"] for b in buttons(asked).values()} == {f"{incident.id} manual"}
    assert set(buttons(asked)) == {TASK_DONE, TASK_IMPOSSIBLE}
    watched.scene.responder().report_task(incident.id, "manual", BEN, done=False, note="no <data>")
    reported = watched.thread(incident)["task:manual"]
    assert "*Not possible*, says <@U0BEN>, <!date^" in shown(reported)
    assert "no &lt;data&gt;" in shown(reported)
    assert not buttons(reported)


def test_a_decision_at_a_terminal_shows_in_the_thread(watched: Watched) -> None:
    write(watched.scene, gate(), TAG_TWO)
    watched.at_the_gate(watched.decide(ALICE))
    found = watched.thread(watched.run())
    assert "✅ approved: alice, <!date^" in shown(found["gate:contain:1"])


def test_a_group_that_is_not_in_slack_is_told_where_to_decide(watched: Watched) -> None:
    watched.at_the_gate()
    write(watched.scene, gate(by="terminal", within="1s"), TAG_TWO)
    incident = watched.run()
    asked = shown(watched.seen[0]["gate:contain:1"])
    assert "0/1 of `terminal` (not in Slack: at a terminal) must approve." in asked
    assert f"Asked: nobody in Slack: `clampdown approve {incident.id}`" in asked


def test_who_is_away_is_not_pinged_but_their_deputy(watched: Watched) -> None:
    write(watched.scene, gate(within="1s"), TAG_TWO)
    seen: list[str] = []

    def asked(record: Record) -> None:
        away = {ANA.id: datetime.now(UTC) + timedelta(hours=1)}
        found = thread(watched.scene, record.incident, away=away)
        seen.append(shown(found["gate:contain:1"]))

    watched.scene.at_once("gate.requested", asked)
    watched.run()
    assert seen[0].endswith("Asked: <@U0BEN>")


def test_many_targets_are_told_together(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_TARGETS_APART", 4)
    world = watched.scene.world
    write(watched.scene, TAG_ONE, guardrails={"budgets": {"targets_per_incident": 9}})
    targets = [instance["InstanceId"] for instance in _instances(watched.scene)][:5]
    assert world.victim in targets
    incident = watched.scene.run(*targets, by=RIA, playbook=NAME).incident
    found = watched.thread(incident)
    assert "5 instances" in found["opening"].text
    assert "✅ `one`: 5 done, 5 verified" in shown(found["progress"])


def test_every_moment_of_an_incident_can_be_told(watched: Watched) -> None:
    """A restarted bot may find the journal at any point."""
    write(watched.scene, *BEFORE, gate(), *BEHIND, TASK)
    watched.at_the_gate(watched.decide(ANA))
    incident = watched.run(finding=finding(watched.scene))
    watched.scene.responder().undo(incident.id, RIA)
    written = records(watched.scene, incident)
    for number in range(1, len(written) + 1, 7):
        for message in messages(written[:number], playbooks(watched.scene), written[-1].at):
            check_message(message)


def test_the_team_is_that_of_the_first_tag_that_says_so(watched: Watched) -> None:
    watched.scene.tag("Owner", "<@U1> payments-sre")
    write(watched.scene, TAG_ONE, slack={"channel": "C0INCIDENT", "owner_tags": ["owner", "team"]})
    incident = watched.run()
    assert told(watched.scene, incident).owners() == ["<@U1> payments-sre"]
    assert "&lt;@U1&gt; payments-sre" in shown(watched.thread(incident)["opening"])


def _instances(scene: Scene) -> list[dict[str, str]]:
    known = len(scene.aws.calls)
    found = scene.ec2().describe_instances()
    scene.aws.calls.forget_after(known)
    there = [i for r in found["Reservations"] for i in r["Instances"]]
    return sorted(there, key=lambda i: i["InstanceId"] != scene.world.victim)


# What happens seldom, on an incident that is made up


def told_upto(kind: str, number: int = -1) -> dict[str, Message]:
    """The thread of the made-up incident up to a record of this kind."""
    made = some_playbooks(lambda: "words")
    story = some_records(lambda: "words", made)
    seq = [record.seq for record in story if record.kind == kind][number]
    found = messages(story[:seq], made, BEGAN + timedelta(minutes=5))
    for message in found:
        check_message(message)
    return {message.key: message for message in found}


def test_the_summary_names_everything_that_is_left_to_do() -> None:
    said = shown(told_upto("incident.closed", 0)["summary"])
    assert "Snapshots of `i-0123456789abcdef0`: `words` of `words`" in said
    assert "Clean room: `words`\nIt is deleted after `words` by `clampdown reap`" in said
    assert "❌ `ec2.isolate` on `i-0123456789abcdef0` is *not verified*: words" in said
    assert "❓ words: nobody knows whether AWS has done it" in said
    assert "🚫 not possible: words words" in said
    assert "☐ open, for `leads`: words" in said
    assert "🔨 the glass of `contain` was broken: review until <!date^" in said
    assert "🛑 1 decision refused: see the timeline" in said


def test_an_undo_that_fails_says_what_still_stands() -> None:
    found = told_upto("incident.closed")
    assert "🟠 Not taken back yet: 2 changes" in shown(found["opening"])
    said = shown(found["summary:2"])
    assert "The undo has ended: not taken back: 2 changes.\nwords" in said
    assert "Mend what kept it from that first." in said
    assert "0 taken back; *not all*: words" in shown(found["progress"])


def test_what_was_kept_from_passing_a_gate_and_what_nobody_knows_is_in_the_progress() -> None:
    said = shown(told_upto("incident.closed", 0)["progress"])
    assert "🛑 `ec2.tag` was kept from passing `contain`, words" in said
    assert "❓ words: nobody knows yet whether AWS has done it" in said
    assert "*NOT verified*: words" in said
    assert "⚪ `ec2.protect`" in said


def test_a_second_proof_is_announced_where_it_is_asked_for() -> None:
    assert "Asks for the code of your authenticator" in shown(
        told_upto("gate.requested", 0)["gate:contain:1"]
    )


def test_a_review_that_is_overdue_says_so() -> None:
    made = some_playbooks(lambda: "words")
    story = some_records(lambda: "words", made)
    upto = next(record.seq for record in story if record.kind == "gate.decided")
    for hours, late in ((1, False), (2, True)):
        found = messages(story[:upto], made, BEGAN + timedelta(hours=hours))
        (said,) = [shown(message) for message in found if message.key == "gate:contain:2"]
        assert ("*Overdue.*" in said) is late


@pytest.mark.parametrize(
    ("severity", "words"),
    [
        (0, "0 low"),
        (3.9, "3.9 low"),
        (4, "4 medium"),
        (7, "7 high"),
        (8.5, "8.5 high"),
        (9, "9 critical"),
    ],
)
def test_severities_are_guardduty_numbers_with_the_word_for_them(
    severity: float, words: str
) -> None:
    assert severity_words(severity) == words
