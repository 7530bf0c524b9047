"""Asking for things in Slack: commands, forms, shortcuts, and who may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from flows.slack.actions import ABORT, NEW, RESUME, START
from flows.slack.modals import PLAYBOOK, REASON, TARGET, WHY
from tests.flows.slack.office import ONE, TASK, TWO, Office, gate

SAMPLES = Path(__file__).parents[3] / "samples" / "findings"


def test_a_command_contains_and_whoever_asked_is_the_requester(office: Office) -> None:
    office.open()
    victim = office.scene.world.victim
    ack = office.rita.command(f"/clampdown contain {victim} because it talks to a C2", office.room)
    assert ack.ok
    said = office.said_to(office.rita, "tag-it", victim)
    incident = office.incident()
    assert incident.id in said
    assert incident.requester.id == f"slack:{office.slack.workspace.team.id}/{office.rita.id}"
    assert incident.opened["reason"] == "it talks to a C2"
    assert "it talks to a C2" in str(office.post("[SIMULATED]").blocks)


def test_the_form_asks_for_everything_and_says_what_is_wrong_with_it(office: Office) -> None:
    office.open()
    assert office.rita.command("/clampdown", office.room).ok
    form = office.modal(office.rita, TARGET)
    wrong = office.rita.submit(form, {TARGET: "web-1", PLAYBOOK: "tag-it"})
    assert "web-1" in str(wrong.error or form.errors) or office.rita.modal is not None
    assert office.incidents() == []

    victim = office.scene.world.victim
    form = office.modal(office.rita, TARGET)
    assert office.rita.submit(form, {TARGET: victim, PLAYBOOK: "tag-it", REASON: "a drill"}).ok
    assert office.incident().opened["reason"] == "a drill"
    assert office.rita.modal is None


def test_an_instance_in_an_alert_is_picked_out_of_it(office: Office) -> None:
    office.open()
    victim = office.scene.world.victim
    alert = office.mallory.say(office.room, f"CPU of `{victim}` is at 100 % again")
    assert office.rita.message_shortcut(office.room, alert.ts, "contain_from_message").ok
    form = office.modal(office.rita, victim)
    assert office.rita.submit(form, {}).ok
    assert [ref.id for ref in office.incident().targets] == [victim]


def test_a_finding_in_an_alert_is_asked_of_guardduty_itself(office: Office) -> None:
    office.open()
    world = office.scene.world
    found = _found(office)
    alert = office.mallory.say(office.room, f"GuardDuty: {found['Arn']} on {world.victim}")
    assert office.rita.message_shortcut(office.room, alert.ts, "contain_from_message").ok
    assert office.rita.submit(office.modal(office.rita, world.victim), {}).ok
    finding = office.incident().opened["finding"]
    assert (finding["id"], finding["type"]) == (found["Id"], found["Type"])


def _found(office: Office) -> dict[str, Any]:
    """A finding about the victim, as GuardDuty has it."""
    world, aws = office.scene.world, office.scene.aws
    from flows.gameday.worlds import client

    guardduty = client(aws.url, world.region, "guardduty")
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    about = {
        "AccountId": world.account,
        "Region": world.region,
        "Type": "Backdoor:EC2/C&CActivity.B",
        "Severity": 8.0,
        "Resource": {
            "ResourceType": "Instance",
            "InstanceDetails": {"InstanceId": world.victim},
        },
    }
    request = Request(f"{aws.url}/_clampdown/findings", json.dumps([about]).encode(), method="POST")
    with urlopen(request):
        pass
    (identity,) = guardduty.list_findings(DetectorId=detector)["FindingIds"]
    found: dict[str, Any] = guardduty.get_findings(DetectorId=detector, FindingIds=[identity])[
        "Findings"
    ][0]
    return found


def test_looking_is_for_members_and_answers_to_them_alone(office: Office) -> None:
    running = office.open()
    office.contain()
    incident = office.incident().id
    office.until(lambda: running.service.face.poster.behind == 0)
    before = len(office.posts())
    assert office.mallory.command("/clampdown incidents", office.room).ok
    office.said_to(office.mallory, incident, "tag-it")
    assert office.mallory.command(f"/clampdown status {incident}", office.room).ok
    office.said_to(office.mallory, incident, "Progress")
    assert office.mallory.command("/clampdown help", office.room).ok
    office.said_to(office.mallory, "/clampdown contain i-0123456789abcdef0")
    assert len(office.posts()) == before

    office.mallory.become(is_restricted=True)
    assert office.mallory.command("/clampdown incidents", office.room).ok
    office.said_to(office.mallory, "may not look at incidents", "guest")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contain", "Contain which instance?"),
        ("contain web-1", "neither an instance id nor"),
        ("contian i-0123456789abcdef0", "There is no command"),
        ("status inc-1", "is no incident"),
        ("status inc-20260101-abcdef", "There is no incident"),
        ("undo", "Of which incident?"),
        ("contain i-0123456789abcdef0 nope", "There is no playbook"),
    ],
)
def test_what_can_not_be_done_is_said_and_not_done(office: Office, text: str, said: str) -> None:
    office.open()
    assert office.rita.command(f"/clampdown {text}", office.room).ok
    office.said_to(office.rita, said)
    assert office.incidents() == []


def test_who_is_in_no_group_starts_nothing_and_that_is_recorded(office: Office) -> None:
    office.open()
    victim = office.scene.world.victim
    assert office.mallory.command(f"/clampdown contain {victim}", office.room).ok
    office.said_to(office.mallory, "Nothing was done", "not in oncall, leads")
    assert office.incidents() == []
    (refused,) = office.records("slack.refused")
    assert refused.actor.id.endswith(office.mallory.id)
    assert victim in refused.body["what"]


def test_starting_things_can_be_left_to_some_groups(office: Office) -> None:
    office.write(ONE, slack="triggers: [leads]")
    office.open()
    victim = office.scene.world.victim
    assert office.rita.command(f"/clampdown contain {victim}", office.room).ok
    office.said_to(office.rita, "not in leads")
    assert office.carol.command(f"/clampdown contain {victim}", office.room).ok
    assert office.status("contained").requester.id.endswith(office.carol.id)


def test_what_was_proposed_is_started_by_whoever_then_is_the_requester(office: Office) -> None:
    routes = 'routes: [{match: {type: "Backdoor:EC2/*"}, playbook: tag-it, mode: propose}]\n'
    office.write(ONE, gate(), TWO, more=routes)
    office.open()
    responder = office.scene.responder()
    from tests.flows.test_responder import finding

    responder.respond(
        finding(office.scene, type="Backdoor:EC2/C&CActivity.B"), _service(), prefect=False
    )
    proposal = office.post("Proposed")
    assert office.bob.click(office.room, proposal.ts, START).ok
    approval = office.post("“contain”", "Approve")
    assert office.click(office.bob, approval, "gate_approve").ok
    office.said_to(office.bob, "started this incident")
    assert office.click(office.alice, approval, "gate_approve").ok
    office.status("contained")


def _service() -> Any:
    from flows.identity import SERVICE

    return SERVICE


def test_an_incident_is_stopped_with_a_reason(office: Office) -> None:
    office.open()
    office.contain()
    opening = office.post("Being contained")
    assert office.alice.click(office.room, opening.ts, ABORT).ok
    form = office.modal(office.alice, WHY)
    assert office.alice.submit(form, {WHY: "the wrong one"}).ok
    stopped = office.status("aborted")
    assert stopped.error == "the wrong one"
    office.post("Aborted")


def test_everything_is_taken_back_after_a_second_look(office: Office) -> None:
    office.write(ONE)
    office.open()
    victim = office.scene.world.victim
    assert office.rita.command(f"/clampdown contain {victim}", office.room).ok
    incident = office.status("contained").id
    assert office.alice.command(f"/clampdown undo {incident}", office.room).ok
    form = office.modal(office.alice, "Undo")
    assert office.status("contained")
    assert office.alice.submit(form, {}).ok
    office.status("undone")
    office.said_to(office.alice, "taken back")
    office.post("Taken back")


def test_what_has_failed_is_gone_on_with(office: Office) -> None:
    from flows.gameday.aws.faults import Fault

    office.write(ONE)
    office.scene.aws.fault(Fault(service="ec2", operation="CreateTags", effect="deny"))
    office.open()
    victim = office.scene.world.victim
    assert office.rita.command(f"/clampdown contain {victim}", office.room).ok
    summary = office.post("Go on")
    office.scene.aws.clear_faults()
    assert office.alice.click(office.room, summary.ts, RESUME).ok
    office.status("contained")


def test_a_rehearsal_is_one_in_every_word(office: Office) -> None:
    office.write(ONE)
    office.open(simulate="", beside=office.scene.aws.url)
    assert office.rita.command("/clampdown drill", office.room).ok
    form = office.modal(office.rita, "DRILL")
    assert office.rita.submit(form, {TARGET: office.scene.world.victim}).ok
    incident = office.status("contained")
    assert incident.simulate == office.scene.aws.url
    posts = [post for post in office.posts() if not post.is_reply]
    assert posts
    assert all("[SIMULATED]" in f"{post.text} {post.blocks}" for post in posts)


def test_without_a_simulation_there_is_no_rehearsal(office: Office) -> None:
    office.open(simulate="")
    assert office.rita.command("/clampdown drill", office.room).ok
    office.said_to(office.rita, "There is no simulated AWS here")


def test_the_home_tab_leads_to_the_form(office: Office) -> None:
    office.open()
    assert office.rita.open_home().ok
    home = office.until(lambda: office.rita.home)
    assert office.rita.use(home, NEW).ok
    office.modal(office.rita, TARGET)


def test_a_task_is_reported_done_or_impossible(office: Office) -> None:
    office.write(ONE, TASK)
    office.open()
    victim = office.scene.world.victim
    assert office.rita.command(f"/clampdown contain {victim}", office.room).ok
    task = office.post("Tell Legal", "Not possible")
    assert office.mallory.click(office.room, task.ts, "task_done").ok
    office.said_to(office.mallory, "is not in oncall")
    assert office.alice.click(office.room, task.ts, "task_impossible").ok
    form = office.modal(office.alice, WHY)
    assert office.alice.submit(form, {WHY: "nobody is there"}).ok
    office.until(lambda: office.incident().manual[0].done is False)
    assert office.incident().manual[0].note == "nobody is there"
    assert "task_done" not in str(office.post("nobody is there").blocks)
