"""Who decided what, and how well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flows.gameday.assessment import Decision
from flows.gameday.score.decisions import decisions, quality
from flows.gameday.score.reading import read
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import (
    DECOY,
    INCIDENT,
    OTHER,
    Rehearsal,
    arn,
    holds,
    whole,
)

TWO = [
    {"at": "30s", "finding": {"type": "X:EC2/Y", "on": "victim"}},
    {"at": "60s", "finding": {"id": "second", "type": "X:EC2/Z", "on": "decoy"}},
]


def _begun(drill: Rehearsal) -> Rehearsal:
    drill.at(30).finding()
    drill.opened()
    drill.at(40).asks()
    return drill


def _decided(drill: Rehearsal) -> list[tuple[str, str, float | None, bool, bool | None]]:
    return [
        (item.person, item.answer, item.after, item.counted, item.details_opened)
        for item in decisions(drill.played())
    ]


def _quality(drill: Rehearsal) -> dict[str, Any]:
    played = drill.played()
    return quality(played, decisions(played))


def test_each_decision_with_what_is_known_of_the_person(rehearse: Make) -> None:
    drill = _begun(rehearse())
    drill.at(50).refuses("rita", "local:rita started this incident and can't decide on it as well.")
    drill.at(60).person("bob", "silent", after=20.0)
    drill.at(70).decides("alice", after=30.0, details_opened=False)
    assert _decided(drill) == [
        ("rita", "approve", 10, False, None),
        ("alice", "approve", 30, True, False),
        ("bob", "nothing", None, False, None),
    ]
    first = decisions(drill.played())[0]
    assert first.why_not.startswith("local:rita started this incident")
    assert (first.incident, first.gate) == (INCIDENT, "contain")
    assert drill.journal.records(INCIDENT)[first.source.seq - 1].kind == "gate.refused"


def test_a_decision_without_a_word_in_the_drills_chain_is_known_from_the_incident(
    rehearse: Make,
) -> None:
    drill = _begun(rehearse())
    drill.at(100).refuses("mallory", "not on the list")
    told = drill.drill()
    without = tuple(record for record in told.records if record.kind != "drill.person")
    found = decisions(read(replace(told, records=without)))
    assert found == (
        Decision(
            "mallory",
            INCIDENT,
            "contain",
            "approve",
            60.0,
            False,
            "not on the list",
            None,
            found[0].source,
        ),
    )


def test_two_people_who_decide_in_the_same_second_are_told_apart(rehearse: Make) -> None:
    drill = _begun(rehearse())
    drill.at(70).decides("alice", after=30.0, details_opened=False)
    drill.at(70).decides("bob", after=31.0)
    assert _decided(drill) == [
        ("alice", "approve", 30, True, False),
        ("bob", "approve", 31, True, True),
    ]


def test_approvals_are_held_against_how_they_were_made(rehearse: Make) -> None:
    drill = _begun(rehearse())
    drill.at(41).refuses("rita", "local:rita started this incident and can't decide on it as well.")
    drill.refuses("mallory", "local:mallory is not on the list of approvers.")
    drill.at(42.5).decides("alice", after=2.5, details_opened=False)
    found = _quality(drill)
    assert found["approvals"] == 1
    assert [item["person"] for item in found["approvals_without_details"]] == ["alice"]
    assert [item["text"] for item in found["approvals_under_3_s"]] == ["approved after 2.5s"]
    assert [item["person"] for item in found["self_approvals_refused"]] == ["rita"]
    assert [item["person"] for item in found["other_decisions_refused"]] == ["mallory"]
    assert found["no_answer"] == []


def test_three_seconds_are_not_under_three_seconds(rehearse: Make) -> None:
    drill = _begun(rehearse())
    drill.at(43).decides("alice", after=3.0)
    assert _quality(drill)["approvals_under_3_s"] == []


def test_a_denial_is_no_approval(rehearse: Make) -> None:
    drill = _begun(rehearse())
    drill.at(41).decides("alice", "deny", after=1.0, details_opened=False)
    found = _quality(drill)
    assert (found["approvals"], found["denials"]) == (0, 1)
    assert not found["approvals_without_details"]
    assert not found["approvals_under_3_s"]


def test_a_decoy_that_was_changed_was_touched_though_it_is_as_before(rehearse: Make) -> None:
    drill = whole(rehearse(holds("untouched", "decoy", "other"), timeline=TWO))
    assert _quality(drill)["decoys_touched"] == []
    drill.checked("untouched", True)
    drill.changes("ec2.tag", DECOY)
    drill.changes("ec2.isolate", on=f"arn:aws:ec2:eu-west-1:123456789012:instance/{OTHER}")
    (item,) = _quality(drill)["decoys_touched"]
    assert (item["what"], item["text"]) == ("decoy, other", "2 of its changes were made")
    assert len(item["sources"]) == 2


def test_taking_back_touches_no_decoy(rehearse: Make) -> None:
    drill = whole(rehearse(holds("untouched", "decoy")))
    drill.changes("ec2.tag", DECOY, undoes=1)
    assert _quality(drill)["decoys_touched"] == []


def test_a_decoy_that_is_not_as_it_was_was_touched(rehearse: Make) -> None:
    drill = rehearse(holds("untouched", "decoy"))
    drill.checked("untouched", False, "its groups differ")
    (item,) = _quality(drill)["decoys_touched"]
    assert item["text"] == "its groups differ"


def test_a_real_finding_that_leads_to_nothing_is_missed(rehearse: Make) -> None:
    drill = rehearse(timeline=TWO)
    drill.at(30).finding()
    drill.opened()
    drill.at(60).inject(1, id="second", finding_id="other-id")
    (item,) = _quality(drill)["missed_injects"]
    assert (item["what"], item["text"]) == ("second", "no incident was opened for X:EC2/Z")


def test_what_is_to_be_left_alone_is_not_missed(rehearse: Make) -> None:
    forged = {"id": "forged", "type": "X:EC2/Y", "on": "victim", "confirmed": False}
    drill = rehearse(
        holds("not_opened", "second"),
        timeline=[*TWO, {"at": "70s", "finding": forged}],
    )
    drill.at(60).inject(1, id="second", finding_id="other-id")
    drill.at(70).inject(2, id="forged", finding_id="forged-id")
    assert _quality(drill)["missed_injects"] == []


def test_arns_of_a_target_are_those_of_the_product(rehearse: Make) -> None:
    drill = rehearse()
    drill.opened()
    (told,) = drill.played().incidents
    assert told.targets == [arn("i-0123456789abcdef0")]
