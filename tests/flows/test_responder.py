"""What a face can ask for: targets, routes, proposals, resumes, aborts, and one incident a target."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows.intake.finding import Finding
from flows.intake.parse import parse
from flows.intake.sample import write_sample
from flows.journal.errors import IncidentHeld
from flows.journal.record import Record
from flows.responder import Responder, Started
from runbooks.errors import (
    ApprovalRefused,
    BudgetExceeded,
    Denied,
    InvalidInput,
    NoCredentials,
    Refused,
    SampleFinding,
    Unrouted,
    WrongAccount,
)
from tests.flows.people import ALICE, BOB, MALLORY, REQUESTER
from tests.flows.scene import Scene

SAMPLES = Path(__file__).parents[2] / "samples" / "findings"
ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {finding: "${finding.id}"}}}'
GATED = f"{ONE}\n- approve: {{id: contain, by: oncall}}\n{TWO}"
AUTOMATIC = """\
routes:
  - match: {source: guardduty, type: "CryptoCurrency:EC2/*", severity: ">= 7", resource_role: ACTOR}
    playbook: tag-it
    mode: automatic
"""
PROPOSE = AUTOMATIC.replace("automatic", "propose")


@pytest.fixture
def scene(scene: Scene) -> Scene:
    scene.write(ONE)
    return scene


def finding(scene: Scene, instance: str = "", **changes: Any) -> Finding:
    """A finding about an instance of the world."""
    world = scene.world
    document = write_sample(
        SAMPLES / "eventbridge-cryptocurrency-ec2-bitcointool.json",
        instance_id=instance or world.victim,
        account=world.account,
        region=world.region,
        private_ip=world.ids["victim_ip"],
        network_interface_id=world.ids["victim_eni"],
    )
    (read,) = parse(json.dumps(document).encode())
    return read.model_copy(update={"sample": False, **changes})


def respond(scene: Scene, about: Finding, **more: Any) -> Started:
    return scene.responder().respond(about, REQUESTER, prefect=False, **more)


# Targets


def test_a_target_is_an_id_or_an_arn_and_is_meant_once(scene: Scene) -> None:
    responder = scene.responder()
    arn = f"arn:aws:ec2:eu-west-1:123456789012:instance/{scene.world.victim}"
    connections = responder.connections("test")
    by_arn, by_id = (
        responder.references([text], connections) for text in (arn, scene.world.victim)
    )
    assert by_arn == by_id
    twice = responder.references([scene.world.victim, f" {scene.world.victim} "], connections)
    assert twice == by_id
    connections.close()


@pytest.mark.parametrize("target", ["", "i-", "vol-0123456789abcdef0", "i-0; rm -rf /", "*", "i-*"])
def test_what_names_no_instance_is_refused_without_a_call(scene: Scene, target: str) -> None:
    with pytest.raises(InvalidInput):
        scene.run(target)
    assert len(scene.aws.calls) == 0
    assert scene.responder().incidents() == []


def test_without_a_target_or_a_region_nothing_is_done(scene: Scene) -> None:
    with pytest.raises(InvalidInput, match="There is no target"):
        scene.responder().run("tag-it", [], REQUESTER, prefect=False)
    with pytest.raises(InvalidInput, match=r"(?i)region"):
        scene.responder(region="").run("tag-it", [scene.world.victim], REQUESTER, prefect=False)
    assert scene.responder().incidents() == []


def test_an_instance_that_does_not_exist_ends_the_incident_with_that(scene: Scene) -> None:
    started = scene.run("i-00000000000000000")
    assert started.result is not None
    assert isinstance(started.result.error, InvalidInput)
    assert started.incident.status == "failed"
    assert scene.changes() == []


def test_an_account_that_is_not_listed_is_refused(scene: Scene) -> None:
    arn = "arn:aws:ec2:eu-west-1:999999999999:instance/i-0123456789abcdef0"
    with pytest.raises(WrongAccount, match="999999999999"):
        scene.run(arn)
    assert scene.responder().incidents() == []
    assert len(scene.aws.calls) == 0


def test_more_targets_than_allowed_are_refused_before_any_call(scene: Scene) -> None:
    scene.write(ONE, more="guardrails: {budgets: {targets_per_incident: 1}}\n")
    with pytest.raises(BudgetExceeded, match="2 targets were given") as refused:
        scene.run(scene.world.victim, scene.world.ids["bystander"])
    assert refused.value.exit_code == 3
    assert len(scene.aws.calls) == 0


def test_a_playbook_that_does_not_exist_is_named_with_those_that_do(scene: Scene) -> None:
    with pytest.raises(InvalidInput, match=r"no playbook 'contain'\. There are: tag-it"):
        scene.run(playbook="contain")
    with pytest.raises(InvalidInput, match="no playbook 'contain'"):
        scene.responder().plan("contain", [scene.world.victim])


def test_a_plan_sends_only_reads_and_is_recorded_nowhere(scene: Scene) -> None:
    scene.write(GATED)
    plan, targets = scene.responder().plan("tag-it", [scene.world.victim])
    assert [step.gate for step in plan.steps] == ["", "contain"]
    assert [target.id for target in targets] == [scene.world.victim]
    assert len(plan.changes) == 2
    assert scene.changes() == []
    assert scene.responder().incidents() == []
    again, _ = scene.responder().plan("tag-it", [scene.world.victim])
    assert again.digest == plan.digest


# Routes


def test_a_route_that_is_automatic_starts_the_playbook(scene: Scene) -> None:
    scene.write(f"{ONE}\n{TWO}", more=AUTOMATIC)
    about = finding(scene)
    started = respond(scene, about)
    assert started.incident.status == "contained"
    assert scene.tags()["finding"] == about.id
    assert started.incident.opened["automatic"]
    assert about.id in started.incident.opened["reason"]
    assert started.why


def test_a_route_that_proposes_waits_for_a_person_who_then_is_the_requester(scene: Scene) -> None:
    scene.write(GATED, more=PROPOSE)
    proposed = respond(scene, finding(scene))
    assert proposed.incident.status == "proposed"
    assert proposed.result is None
    assert scene.changes() == []

    waiting = scene.resume(proposed.incident.id, by=BOB, wait=False).incident
    assert waiting.status == "waiting"
    with pytest.raises(ApprovalRefused, match="bob started this incident"):
        scene.responder().decide(waiting.id, "contain", BOB, "approve")
    assert scene.responder().decide(waiting.id, "contain", ALICE, "approve").status == "approved"


def test_the_same_finding_is_proposed_once_and_started_by_whoever_runs_it(scene: Scene) -> None:
    scene.write(GATED, more=PROPOSE)
    first = respond(scene, finding(scene))
    second = respond(scene, finding(scene))
    assert (second.incident.id, second.joined) == (first.incident.id, True)
    assert second.incident.status == "proposed"

    run = scene.run(by=BOB, wait=False)
    assert (run.incident.id, run.incident.status) == (first.incident.id, "waiting")
    with pytest.raises(ApprovalRefused, match="bob started this incident"):
        scene.responder().decide(first.incident.id, "contain", BOB, "approve")


def test_a_finding_that_no_route_takes_is_refused_with_the_reasons(scene: Scene) -> None:
    scene.write(ONE, more=AUTOMATIC)
    with pytest.raises(Unrouted, match="severity") as refused:
        respond(scene, finding(scene, severity=5.0))
    assert refused.value.exit_code == 3
    assert scene.responder().incidents() == []


def test_the_target_of_an_attack_starts_nothing_by_itself(scene: Scene) -> None:
    scene.write(ONE, more=AUTOMATIC.replace(", resource_role: ACTOR", ""))
    started = respond(scene, finding(scene, resource_role="TARGET"))
    assert started.incident.status == "proposed"
    assert scene.changes() == []


def test_a_route_looks_at_the_tags_that_aws_has_now(scene: Scene) -> None:
    scene.write(
        ONE,
        more=AUTOMATIC.replace("resource_role: ACTOR", "tags: {environment: development}"),
    )
    about = finding(scene)
    resource = about.resources[0].model_copy(update={"tags": {"environment": "development"}})
    with pytest.raises(Unrouted):
        respond(scene, about.model_copy(update={"resources": (resource,)}))
    assert scene.responder().incidents() == []


def test_a_sample_finding_never_acts_where_aws_is_live(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.write(ONE, more=AUTOMATIC)
    about = finding(scene, sample=True)
    live = scene.responder(simulate="")
    with pytest.raises(SampleFinding) as refused:
        live.respond(about, REQUESTER, prefect=False)
    assert refused.value.exit_code == 3
    with pytest.raises(SampleFinding):
        live.run("tag-it", [scene.world.victim], REQUESTER, finding=about, prefect=False)
    assert live.incidents() == []
    # In a simulation it is what drills are made of.
    assert respond(scene, about).incident.status == "contained"


def test_over_the_hourly_budget_a_person_starts_what_would_start_by_itself(scene: Scene) -> None:
    scene.write(
        ONE, more=f"guardrails: {{budgets: {{automatic_isolations_per_hour: 1}}}}\n{AUTOMATIC}"
    )
    assert respond(scene, finding(scene)).incident.status == "contained"

    second = respond(scene, finding(scene, scene.world.ids["bystander"], id="another"))

    assert second.incident.status == "proposed"
    assert "the limit is 1" in second.why[-1]
    assert "one" not in scene.tags(scene.world.ids["bystander"])
    assert scene.resume(second.incident.id).incident.status == "contained"


# People have the last word


def test_an_update_of_a_finding_goes_on_with_its_incident(scene: Scene) -> None:
    scene.write(ONE, more=AUTOMATIC)
    first = respond(scene, finding(scene))
    second = respond(scene, finding(scene, count=17))
    assert second.joined
    assert second.incident.id == first.incident.id
    assert second.result is not None
    assert second.result.unchanged


def undone(scene: Scene, incident: str) -> None:
    scene.responder().undo(incident, ALICE)


def aborted(scene: Scene, incident: str) -> None:
    scene.responder().abort(incident, ALICE, "false alarm")


def half_undone(scene: Scene, incident: str) -> None:
    scene.fault("DeleteTags", code="InternalFailure")
    assert scene.responder().undo(incident, ALICE).failures


@pytest.mark.parametrize("stop", [undone, aborted, half_undone])
def test_an_update_of_a_finding_does_not_overrule_who_has_stopped_it(
    scene: Scene, stop: Any
) -> None:
    scene.write(ONE, more=AUTOMATIC)
    first = respond(scene, finding(scene))
    stop(scene, first.incident.id)
    known = len(scene.changes())

    with pytest.raises(Refused, match=f"People have stopped {first.incident.id}"):
        respond(scene, finding(scene, count=17))

    assert len(scene.changes()) == known
    assert len(scene.responder().incidents()) == 1
    # Another finding is another matter, and so is a person.
    assert respond(scene, finding(scene, id="another")).incident.id != first.incident.id


def test_an_update_of_a_denied_finding_does_not_ask_again(scene: Scene) -> None:
    scene.write(GATED, more=AUTOMATIC)
    scene.decides(ALICE, "deny", why="it is a load test")
    denied = respond(scene, finding(scene))
    assert denied.incident.status == "denied"
    with pytest.raises(Refused, match="People have stopped"):
        respond(scene, finding(scene, count=17))
    with pytest.raises(Denied, match="was denied") as refused:
        scene.resume(denied.incident.id)
    assert refused.value.exit_code == 3
    assert scene.run(by=BOB, wait=False).incident.id != denied.incident.id


def test_what_nobody_answered_is_asked_again_in_the_same_incident(scene: Scene) -> None:
    gate = "- approve: {id: contain, by: oncall, within: 1s}"
    scene.write(f"{ONE}\n{gate}\n{TWO}", more=AUTOMATIC)
    expired = respond(scene, finding(scene))
    assert expired.incident.status == "denied"
    again = respond(scene, finding(scene, count=17), wait=False)
    assert again.incident.id == expired.incident.id
    assert again.incident.status == "waiting"


# Resuming, aborting, sides


def test_an_incident_that_does_not_exist_is_invalid_input(scene: Scene) -> None:
    responder = scene.responder()
    for ask in (
        lambda: responder.incident("inc-none"),
        lambda: responder.resume("inc-none", ALICE, prefect=False),
        lambda: responder.undo("inc-none", ALICE),
        lambda: responder.abort("inc-none", ALICE, "why"),
        lambda: responder.decide("inc-none", "contain", ALICE, "approve"),
        lambda: responder.report_task("inc-none", "legal", ALICE, done=True, note=""),
    ):
        with pytest.raises(InvalidInput, match="There is no such incident"):
            ask()


def test_an_aborted_incident_is_over(scene: Scene) -> None:
    scene.write(GATED)
    waiting = scene.run(wait=False).incident
    with pytest.raises(InvalidInput, match="An abort needs a reason"):
        scene.responder().abort(waiting.id, ALICE, "  ")
    assert scene.responder().abort(waiting.id, ALICE, "false alarm").status == "aborted"

    with pytest.raises(Refused, match="is aborted already"):
        scene.responder().abort(waiting.id, ALICE, "again")
    with pytest.raises(Refused, match="is aborted; it can't be resumed"):
        scene.resume(waiting.id)
    with pytest.raises(ApprovalRefused, match="is aborted"):
        scene.responder().decide(waiting.id, "contain", ALICE, "approve")
    assert scene.run(wait=False).incident.id != waiting.id


@pytest.mark.parametrize("other", ["", "http://127.0.0.1:9"])
def test_an_incident_never_changes_sides(scene: Scene, other: str) -> None:
    incident = scene.run().incident
    known = len(scene.aws.calls)
    elsewhere = scene.responder(simulate=other)
    with pytest.raises(Refused, match="An incident never changes sides"):
        elsewhere.resume(incident.id, REQUESTER, prefect=False)
    with pytest.raises(Refused, match="An incident never changes sides"):
        elsewhere.undo(incident.id, REQUESTER)
    assert len(scene.aws.calls) == known


def test_a_live_run_does_not_join_a_simulated_incident(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = scene.run().incident
    live = scene.responder(simulate="")
    refs = [*simulated.targets]
    assert live._known("tag-it", refs, None) == (None, refs, ())
    known, _, _ = scene.responder()._known("tag-it", refs, None)
    assert known is not None
    assert known.id == simulated.id


def test_without_credentials_a_live_run_opens_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(NoCredentials):
        scene.responder(simulate="").run("tag-it", [scene.world.victim], REQUESTER, prefect=False)
    assert scene.responder().incidents() == []


# One incident a target


def test_of_many_at_once_one_opens_the_incident(scene: Scene) -> None:
    scene.write(ONE, more=PROPOSE)
    about = finding(scene)
    responders = [scene.responder() for _ in range(6)]
    together = threading.Barrier(len(responders))

    def ask(responder: Responder) -> str:
        together.wait()
        return responder.respond(about, REQUESTER, prefect=False).incident.id

    with ThreadPoolExecutor(len(responders)) as pool:
        ids = set(pool.map(ask, responders))
    assert len(ids) == 1
    assert len(scene.responder().incidents()) == 1


def test_what_another_process_carries_out_is_not_joined_meanwhile(scene: Scene) -> None:
    scene.write(GATED)
    refusals: list[IncidentHeld] = []

    def meanwhile(record: Record) -> None:
        try:
            scene.run(by=BOB)
        except IncidentHeld as error:
            refusals.append(error)
        scene.responder().decide(record.incident, "contain", ALICE, "approve")

    scene.when("step.finished", meanwhile)
    started = scene.run()
    assert started.incident.status == "contained"
    (refusal,) = refusals
    assert refusal.exit_code == 1
    assert started.incident.id in str(refusal)


def test_some_of_an_incidents_targets_join_it(scene: Scene) -> None:
    bystander = scene.world.ids["bystander"]
    both = scene.run(scene.world.victim, bystander)
    one = scene.run(bystander)
    assert (one.incident.id, one.joined) == (both.incident.id, True)


def test_only_targets_that_have_no_incident_yet_are_opened_one_for(scene: Scene) -> None:
    bystander, standalone = scene.world.ids["bystander"], scene.world.ids["standalone"]
    first = scene.run()
    second = scene.run(scene.world.victim, bystander)
    assert not second.joined
    assert [ref.id for ref in second.incident.targets] == [bystander]
    assert second.why == (
        f"{scene.world.victim} is left to {first.incident.id}, which it has already.",
    )
    with pytest.raises(Refused, match=r"is left to .*is left to .*Nothing was done"):
        scene.run(scene.world.victim, bystander)
    assert [ref.id for ref in scene.run(standalone).incident.targets] == [standalone]


# Looking, and tasks


def test_incidents_are_listed_the_newest_first(scene: Scene) -> None:
    first = scene.run().incident.id
    second = scene.run(scene.world.ids["bystander"]).incident.id
    assert [incident.id for incident in scene.responder().incidents()] == [second, first]


def test_a_task_is_reported_by_those_who_are_asked(scene: Scene) -> None:
    scene.write('- manual: {id: legal, text: "Open a case", by: oncall}')
    incident = scene.run().incident
    responder = scene.responder()
    with pytest.raises(Refused, match="mallory is not in oncall"):
        responder.report_task(incident.id, "legal", MALLORY, done=True, note="")
    with pytest.raises(InvalidInput, match="no manual task 'other'"):
        responder.report_task(incident.id, "other", ALICE, done=True, note="")
    told = responder.report_task(incident.id, "legal", ALICE, done=False, note="not ours")
    (task,) = told.manual
    assert (task.done, task.note) == (False, "not ours")


def test_gates_stand_as_the_journal_says(scene: Scene) -> None:
    scene.write(GATED)
    waiting = scene.run(wait=False).incident
    (gate,) = scene.responder().gates(waiting)
    assert (gate.id, gate.status, gate.needed) == ("contain", "pending", "0/1 of oncall")


@pytest.mark.parametrize(
    ("severity", "route", "channel"),
    [(9.0, "", "C0CRITICAL"), (7.5, "", "C0INCIDENT"), (9.0, "C0BYROUTE", "C0BYROUTE")],
)
def test_an_incident_is_told_in_the_channel_of_its_route_or_its_severity(
    scene: Scene, severity: float, route: str, channel: str
) -> None:
    slack = 'slack: {channel: C0INCIDENT, by_severity: [{severity: ">= 8", channel: C0CRITICAL}]}\n'
    routes = PROPOSE + (f"    channel: {route}\n" if route else "")
    scene.write(ONE, more=slack + routes)
    started = respond(scene, finding(scene, severity=severity))
    assert started.incident.opened["channel"] == channel


def test_what_is_no_incident_is_not_listed_as_one(scene: Scene) -> None:
    responder = scene.responder()
    responder.journal.append("slack", "slack.refused", {"what": "contain"}, MALLORY.actor)
    assert responder.incidents() == []
