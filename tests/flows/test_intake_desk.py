"""What becomes of a document: confirmed, routed, opened, joined, proposed, or left with a reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.finding_log import is_finding
from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from flows.identity import SERVICE
from flows.intake.finding import FindingRejected
from flows.intake_desk import Intake, Taken
from flows.journal.record import Record
from flows.responder import Responder
from runbooks.errors import ClampdownError, Throttled
from tests.flows.guardduty import GuardDuty, changed
from tests.flows.people import ALICE
from tests.flows.scene import Scene

ROUTES = """\
routes:
  - match: {type: ["Backdoor:EC2/*"], severity: ">= 7", resource_role: ACTOR}
    playbook: tag-it
    mode: automatic
  - match: {type: ["*:EC2/*", "CloudWatch/*"], severity: ">= 4"}
    playbook: tag-it
    mode: propose
"""
STEPS = '- {step: ec2.tag, with: {tags: {contained: "yes"}}}'
SAMPLES = Path(__file__).parents[2] / "samples" / "findings"


class Desk:
    """The intake desk of a service, with what it hands on and what it rejects written down."""

    def __init__(self, scene: Scene, more: str = ROUTES) -> None:
        scene.write(STEPS, more=more)
        self.responder: Responder = scene.responder()
        self.handed: list[tuple[str, float]] = []
        self.rejected: list[str] = []
        self.heard: list[str] = []
        self.intake = Intake(
            self.responder,
            self.responder.connections("clampdown-intake"),
            self,
            lambda incident, urgency: self.handed.append((incident, urgency)),
            lambda finding, outcome: self.heard.append(outcome),
        )

    def put(self, document: bytes, rejected: Sequence[FindingRejected], via: str) -> None:
        self.rejected.extend(map(str, rejected))

    def take(self, document: bytes, **more: Any) -> Taken:
        return self.intake.take(document, "sqs", **more)

    @property
    def decided(self) -> list[Record]:
        journal = self.responder.journal
        chains = [head.incident for head in journal.incidents() if is_finding(head.incident)]
        return [record for chain in chains for record in journal.records(chain)]

    @property
    def outcomes(self) -> list[str]:
        return [record.body["outcome"] for record in self.decided]


@pytest.fixture
def desk(scene: Scene) -> Desk:
    return Desk(scene)


@pytest.fixture
def guardduty(simulated_aws: SimulatedAws, world: WorldIds) -> GuardDuty:
    return GuardDuty(simulated_aws, world)


def test_a_confirmed_finding_opens_an_incident_that_is_handed_on_with_its_severity(
    desk: Desk, guardduty: GuardDuty
) -> None:
    taken = desk.take(guardduty.event(severity=8.5))
    [incident] = taken.incidents
    assert desk.handed == [(incident, 8.5)]
    opened = desk.responder.incident(incident)
    assert (opened.status, opened.opened["automatic"]) == ("running", True)
    assert opened.requester == SERVICE.actor
    [decided] = desk.decided
    assert (decided.body["outcome"], decided.body["incident"]) == ("contained", incident)
    assert decided.body["sure"] is True
    # What it acted on is GuardDuty's copy, not the event's.
    assert opened.opened["finding"]["shape"] == "guardduty-api"


def test_delivered_twice_it_is_one_incident_and_one_decision(
    desk: Desk, guardduty: GuardDuty
) -> None:
    event = guardduty.event()
    desk.take(event)
    assert desk.take(event) == Taken(findings=1, duplicates=1)
    assert len(desk.handed) == 1
    assert desk.outcomes == ["contained"]
    assert desk.heard == ["contained", "duplicate"]


def test_an_update_goes_on_with_the_incident_that_is_there(
    desk: Desk, guardduty: GuardDuty
) -> None:
    identity = guardduty.find()
    [first] = guardduty.events()
    [incident] = desk.take(first).incidents
    guardduty.find(Id=identity)
    [second] = guardduty.events()
    assert desk.take(second).incidents == (incident,)
    assert desk.outcomes == ["contained", "contained"]


def test_what_is_older_than_what_is_known_is_recorded_and_ignored(
    desk: Desk, guardduty: GuardDuty
) -> None:
    identity = guardduty.find()
    [first] = guardduty.events()
    guardduty.find(Id=identity)
    [second] = guardduty.events()
    desk.take(second)
    assert desk.take(first).duplicates == 1
    assert desk.outcomes == ["contained", "older"]
    assert len(desk.handed) == 1


def test_what_guardduty_does_not_have_starts_nothing_and_is_a_dead_letter(
    desk: Desk, guardduty: GuardDuty
) -> None:
    taken = desk.take(_renamed(guardduty.event()))
    assert (taken.incidents, taken.rejected) == ((), 1)
    assert desk.outcomes == ["unconfirmed"]
    assert "may be forged" in desk.rejected[0]
    assert desk.responder.incidents() == []


def test_only_guardduty_s_copy_counts(desk: Desk, guardduty: GuardDuty) -> None:
    """An event that makes a mild finding of another instance a severe one of this."""
    mild = guardduty.event(severity=2.0)
    taken = desk.take(changed(mild, severity=9.0))
    assert taken.incidents == ()
    assert desk.outcomes == ["unrouted"]


def test_a_forged_version_from_next_year_keeps_no_real_one_from_being_looked_at(
    desk: Desk, guardduty: GuardDuty
) -> None:
    real = guardduty.event()
    forged = changed(
        real, updatedAt="2099-01-01T00:00:00.000Z", type="Recon:EC2/Portscan", severity=1
    )
    assert desk.take(forged).incidents == ()
    assert len(desk.take(real).incidents) == 1


def test_what_comes_too_early_to_be_confirmed_is_caught_by_the_sweep(
    desk: Desk, guardduty: GuardDuty
) -> None:
    """GetFindings may not have it yet when its event comes; later it is GuardDuty's own answer."""
    early = _renamed(guardduty.event())
    assert desk.take(early).incidents == ()
    assert len(desk.take(early, confirmed=True).incidents) == 1
    assert desk.outcomes == ["unconfirmed", "contained"]


def test_where_guardduty_may_not_be_asked_a_person_starts_it(
    desk: Desk, guardduty: GuardDuty
) -> None:
    event = guardduty.event()
    guardduty.aws.fault(Fault(service="guardduty", operation="GetFindings", effect="deny"))
    [incident] = desk.take(event).incidents
    assert desk.responder.incident(incident).status == "proposed"
    assert any("could not be asked" in why for why in desk.decided[0].body["why"])


def test_where_aws_does_not_answer_the_document_is_kept_for_later(
    desk: Desk, guardduty: GuardDuty
) -> None:
    event = guardduty.event()
    guardduty.aws.fault(Fault(service="guardduty", operation="GetFindings", effect="throttle"))
    with pytest.raises(Throttled):
        desk.take(event)
    assert desk.decided == []
    guardduty.aws.clear_faults()
    assert len(desk.take(event).incidents) == 1


def test_a_target_of_an_attack_is_only_proposed(desk: Desk, guardduty: GuardDuty) -> None:
    [incident] = desk.take(guardduty.event(role="TARGET")).incidents
    assert desk.handed == []
    assert desk.responder.incident(incident).status == "proposed"


def test_a_finding_that_gets_worse_starts_what_was_proposed(
    desk: Desk, guardduty: GuardDuty
) -> None:
    identity = guardduty.find(severity=5.0)
    [first] = guardduty.events()
    [incident] = desk.take(first).incidents
    assert desk.handed == []
    guardduty.find(severity=8.0, Id=identity)
    [second] = guardduty.events()
    assert desk.take(second).incidents == (incident,)
    assert desk.handed == [(incident, 8.0)]
    assert desk.responder.incident(incident).unfinished


def test_a_second_finding_on_the_same_target_joins_its_incident(
    desk: Desk, guardduty: GuardDuty
) -> None:
    [incident] = desk.take(guardduty.event()).incidents
    other = guardduty.event(kind="Backdoor:EC2/DenialOfService.Tcp")
    assert desk.take(other).incidents == (incident,)
    joined = [r for r in desk.responder.journal.records(incident) if r.kind == "finding.joined"]
    assert joined[0].body["finding"]["type"] == "Backdoor:EC2/DenialOfService.Tcp"


def test_what_people_have_stopped_stays_stopped(desk: Desk, guardduty: GuardDuty) -> None:
    identity = guardduty.find()
    [first] = guardduty.events()
    [incident] = desk.take(first).incidents
    desk.responder.abort(incident, ALICE, "a false alarm")
    guardduty.find(Id=identity)
    [second] = guardduty.events()
    assert desk.take(second).incidents == ()
    assert desk.outcomes == ["contained", "refused"]


def test_an_archived_finding_starts_nothing_and_is_told_in_its_incident(
    desk: Desk, guardduty: GuardDuty
) -> None:
    identity = guardduty.find()
    [first] = guardduty.events()
    [incident] = desk.take(first).incidents
    guardduty.find(Id=identity, archived=True)
    [second] = guardduty.events()
    desk.take(second)
    assert desk.outcomes == ["contained", "resolved"]
    kinds = [record.kind for record in desk.responder.journal.records(incident)]
    assert "finding.resolved" in kinds
    assert desk.take(guardduty.event(archived=True)).incidents == ()


def test_a_source_that_can_t_be_asked_is_only_proposed(scene: Scene, world: WorldIds) -> None:
    desk = Desk(scene, ROUTES.replace("propose", "automatic"))
    alarm = json.loads((SAMPLES / "cloudwatch-alarm-event.json").read_text())
    text = json.dumps(alarm).replace("i-0123456789abcdef0", world.victim)
    taken = desk.take(text.encode())
    assert taken.findings == 1
    for incident in taken.incidents:
        assert desk.responder.incident(incident).status == "proposed"
    assert desk.handed == []


@pytest.mark.parametrize("document", [b"", b"{}", b"not json", b"[]", b'{"detail-type": 1}'])
def test_what_is_no_finding_is_rejected_with_a_reason(desk: Desk, document: bytes) -> None:
    taken = desk.take(document)
    assert (taken.findings, taken.rejected) == (0, 1)
    assert len(desk.rejected) == 1
    assert desk.decided == []


def test_over_the_budget_everything_automatic_is_frozen_until_people_lift_it(
    scene: Scene, guardduty: GuardDuty
) -> None:
    limit = "guardrails: {budgets: {automatic_isolations_per_hour: 1}}\n"
    desk = Desk(scene, limit + ROUTES)
    desk.take(guardduty.event())
    others = scene.world.ids
    second, third = [others[name] for name in others if others[name].startswith("i-")][1:3]
    [proposed] = desk.take(guardduty.event(second)).incidents
    assert desk.responder.incident(proposed).status == "proposed"
    frozen = desk.responder.automatic.frozen()
    assert frozen is not None
    assert "the limit is 1" in frozen.why

    desk.responder.automatic.lift(ALICE, "looked at", desk.responder.playbooks)
    assert desk.responder.automatic.frozen() is None
    [started] = desk.take(guardduty.event(third)).incidents
    assert desk.responder.incident(started).status == "running"


def test_only_approvers_lift_a_freeze(scene: Scene, guardduty: GuardDuty) -> None:
    desk = Desk(scene, "guardrails: {budgets: {automatic_isolations_per_hour: 1}}\n" + ROUTES)
    automatic = desk.responder.automatic
    for who, why in ((SERVICE, "because"), (ALICE, " "), (ALICE, "nothing is frozen")):
        with pytest.raises(ClampdownError):
            automatic.lift(who, why, desk.responder.playbooks)


def _renamed(event: bytes) -> bytes:
    """The event of a finding that GuardDuty doesn't have."""
    arn = json.loads(event)["detail"]["arn"]
    return changed(event, id="f" * 32, arn=arn.rsplit("/", 1)[0] + "/" + "f" * 32)


def test_in_shadow_it_is_judged_once_and_archived_later_with_guardduty_s_own_word(
    scene: Scene, guardduty: GuardDuty
) -> None:
    desk = Desk(scene, ROUTES.replace("mode: automatic", "mode: shadow"))
    identity = guardduty.find()
    [event] = guardduty.events()
    assert desk.take(event).incidents == ()
    assert desk.take(event).duplicates == 1
    guardduty.find(Id=identity, archived=True)
    [later] = guardduty.events()
    desk.take(later)
    assert desk.outcomes == ["shadowed", "resolved"]
    assert desk.decided[-1].body["sure"] is True
    assert "Would have carried out" in desk.decided[0].body["why"][-1]
    assert desk.handed == []
    assert desk.responder.incidents() == []
    assert "CreateTags" not in scene.changes()


def test_in_shadow_a_forged_finding_is_not_even_judged(scene: Scene, guardduty: GuardDuty) -> None:
    desk = Desk(scene, ROUTES.replace("mode: automatic", "mode: shadow"))
    event = guardduty.event()
    other = json.loads(event)["detail"]["id"]
    desk.take(event.replace(other.encode(), b"0" * len(other)))
    assert desk.outcomes == ["unconfirmed"]
    chains = [head.incident for head in desk.responder.journal.incidents("shd-")]
    assert chains == []
