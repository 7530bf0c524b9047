"""How far a finding got, and how long after its arrival."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.gameday.score.milestones import MILESTONES, reached
from flows.gameday.score.reading import read
from flows.incident import fold
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import DRILL, INCIDENT, OTHER, VICTIM, whole


def test_every_milestone_of_a_whole_containment(rehearse: Make) -> None:
    played = whole(rehearse()).played()
    assert {name: reached(played, name, "finding").after for name in MILESTONES} == {
        "noticed": 125,
        "acknowledged": 125,
        "decided": 185,
        "isolated": 195,
        "contained": 200,
        "evidence": 1100,
        "undone": 1180,
    }


def test_each_milestone_names_the_records_that_it_was_made_from(rehearse: Make) -> None:
    drill = whole(rehearse())
    found = reached(drill.played(), "isolated", "finding")
    kinds = [drill.journal.records(item.chain)[item.seq - 1].kind for item in found.sources]
    assert kinds == ["drill.injected", "change.outcome", "verify.passed"]


def test_a_finding_that_never_arrived_tests_nothing(rehearse: Make) -> None:
    found = reached(rehearse().played(), "contained", "finding")
    assert (found.after, found.untested) == (None, "the finding finding never arrived")


def test_a_finding_that_no_incident_was_opened_for_reaches_nothing(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    found = reached(drill.played(), "contained", "finding")
    assert (found.after, found.untested, found.parts) == (None, "", ())


def test_what_the_playbook_lacks_is_not_tested(rehearse: Make) -> None:
    drill = rehearse(steps=[{"step": "ec2.tag"}])
    drill.at(30).finding()
    drill.opened()
    played = drill.played()
    untested = {name: reached(played, name, "finding").untested for name in MILESTONES}
    assert untested == {
        "noticed": "nobody was asked for anything",
        "acknowledged": "nobody was asked for anything",
        "decided": "no gate was asked for",
        "isolated": "the playbook contain-it has no ec2.isolate",
        "contained": "",
        "evidence": "the playbook contain-it has no evidence.wait",
        "undone": "nobody began to take it back",
    }


def test_a_step_that_its_own_condition_leaves_out_is_not_tested(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.finishes("ec2.isolate", status="skipped", error="not production")
    assert reached(drill.played(), "isolated", "finding").untested == (
        "ec2.isolate was left out by its own condition"
    )


def test_several_targets_are_isolated_when_the_last_of_them_is(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened(targets=(VICTIM, OTHER))
    drill.at(50).does("ec2.isolate", VICTIM)
    drill.at(60).verifies("ec2.isolate", VICTIM)
    half = reached(drill.played(), "isolated", "finding")
    assert (half.after, half.reached, len(half.parts)) == (None, 1, 2)
    drill.at(70).does("ec2.isolate", OTHER)
    drill.at(80).verifies("ec2.isolate", OTHER)
    assert reached(drill.played(), "isolated", "finding").after == 40


def test_isolation_that_was_reverted_counts_from_its_repair(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(50).does("ec2.isolate")
    # Found to be reverted when it is verified: done again, then it holds.
    drill.at(90).changes("ec2.isolate")
    drill.at(95).verifies("ec2.isolate")
    assert reached(drill.played(), "isolated", "finding").after == 60


def test_isolation_that_fails_verification_was_never_reached(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(50).does("ec2.isolate")
    drill.at(60).verifies("ec2.isolate", error="still in sg-1")
    assert reached(drill.played(), "isolated", "finding").after is None


def test_what_was_looked_at_twice_counts_the_first_time(rehearse: Make) -> None:
    drill = whole(rehearse())
    drill.at(1700).verifies("ec2.isolate")
    assert reached(drill.played(), "contained", "finding").after == 200


def test_a_step_that_may_fail_keeps_nobody_from_being_contained(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.begins("ec2.snapshot")
    drill.finishes("ec2.snapshot", status="failed", error="AccessDenied")
    drill.at(50).does("ec2.isolate")
    assert reached(drill.played(), "contained", "finding").after is None
    drill.at(60).verifies("ec2.isolate")
    assert reached(drill.played(), "contained", "finding").after == 30


def test_evidence_is_not_complete_while_a_snapshot_is_missing(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.finishes("ec2.snapshot", status="failed", error="1 of 2 snapshots were taken")
    drill.finishes("evidence.wait")
    drill.verifies("evidence.wait")
    found = reached(drill.played(), "evidence", "finding")
    assert (found.after, found.reached, len(found.parts)) == (None, 0, 1)


def test_a_target_is_contained_when_all_that_it_relies_on_is_verified(rehearse: Make) -> None:
    drill = rehearse(steps=[{"step": "ec2.isolate"}, {"step": "ec2.contain_credentials"}])
    drill.at(30).finding()
    drill.opened(targets=(VICTIM, OTHER))
    for target in (VICTIM, OTHER):
        drill.at(40).verifies("ec2.isolate", target)
    drill.at(50).verifies("ec2.contain_credentials", VICTIM)
    half = reached(drill.played(), "contained", "finding")
    assert [(part.what, bool(part.by)) for part in half.parts] == [(VICTIM, True), (OTHER, False)]
    drill.at(60).verifies("ec2.contain_credentials", OTHER)
    assert reached(drill.played(), "contained", "finding").after == 30


def test_who_may_not_decide_has_neither_noticed_nor_acknowledged(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(31).asks()
    drill.at(40).refuses("mallory", "mallory is not on the list")
    assert reached(drill.played(), "noticed", "finding").after is None
    drill.at(90).decides()
    assert reached(drill.played(), "noticed", "finding").after == 60


def test_people_in_slack_who_leave_no_word_in_the_drills_chain_count(rehearse: Make) -> None:
    drill = whole(rehearse()).drill()
    without = tuple(record for record in drill.records if record.kind != "drill.person")
    played = read(replace(drill, records=without))
    assert reached(played, "acknowledged", "finding").after == 185


def test_an_incident_that_somebody_opened_by_hand_on_the_same_instance_counts(
    rehearse: Make,
) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.at(50).opened(identity=None)
    drill.at(60).does("ec2.isolate")
    assert reached(drill.played(), "isolated", "finding").after == 30


def test_a_finding_that_joins_an_incident_is_that_incidents(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(20).opened(identity="another")
    drill.at(30).finding()
    joined = {"id": "e99f40edbdb686ef8d98e23ae97a7458", "source": "guardduty"}
    drill.at(31).tell("finding.joined", finding=joined)
    drill.at(40).does("ec2.isolate")
    assert reached(drill.played(), "isolated", "finding").after == 10


@pytest.mark.parametrize("answer", ["approve", "deny"])
def test_a_denial_is_a_decision_too(rehearse: Make, answer: str) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.asks()
    drill.at(70).decides(answer="more_info")
    drill.at(80).decides(answer=answer)
    assert reached(drill.played(), "decided", "finding").after == 50


def test_the_rehearsal_is_an_incident_as_the_product_folds_it(rehearse: Make) -> None:
    incident = fold(whole(rehearse()).journal.records(INCIDENT))
    assert incident.status == "undone"
    assert {step.id: step.status for step in incident.steps} == {
        "ec2.protect": "done",
        "ec2.snapshot": "done",
        "ec2.isolate": "done",
        "ec2.tag": "done",
        "evidence.wait": "done",
    }
    assert not incident.to_undo()


def test_a_record_of_an_event_that_the_scenario_has_not_is_no_arrival(rehearse: Make) -> None:
    drill = rehearse()
    body = {"event": 9, "at": 0, "thing": "finding", "text": "t", "detail": {"finding_id": "x"}}
    drill.write(drill.id, "drill.injected", body, DRILL)
    drill.write(drill.id, "drill.injected", {**body, "thing": "fault"}, DRILL)
    assert drill.played().arrivals == {}
    assert drill.assessed().faults == ()
