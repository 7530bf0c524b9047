"""The bars of the Gantt chart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.gameday.assessment import Phase
from flows.gameday.drills import Drill
from flows.gameday.score import assess
from flows.gameday.score.phases import people_share, phases
from flows.gameday.score.reading import read
from flows.journal.record import Record
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import BEGAN_AT, INCIDENT, OTHER, VICTIM, Rehearsal, whole


def _bars(drill: Rehearsal, row: str = INCIDENT) -> list[tuple[str, float, float, str]]:
    return [
        (bar.name, bar.begins, bar.ends, bar.waits)
        for bar in phases(drill.played())
        if bar.row == row
    ]


def test_the_phases_of_a_whole_containment(rehearse: Make) -> None:
    drill = whole(rehearse())
    assert _bars(drill) == [
        ("until the plan", 30, 34, "Clampdown"),
        ("gate contain: unnoticed", 35, 155, "people"),
        ("ec2.protect", 35, 37, "Clampdown"),
        ("ec2.snapshot", 35, 37, "Clampdown"),
        ("gate contain: thinking", 155, 215, "people"),
        ("ec2.isolate", 216, 226, "Clampdown"),
        ("ec2.tag", 226, 226, "Clampdown"),
        ("verification", 226, 230, "Clampdown"),
        ("evidence.wait", 230, 1129, "AWS"),
        ("verification", 1129, 1130, "Clampdown"),
        ("taking it back", 1200, 1210, "Clampdown"),
    ]
    assert _bars(drill, "people") == [("alice on contain", 155, 215, "people")]


def test_people_were_waited_for_nine_tenths_of_it(rehearse: Make) -> None:
    played = whole(rehearse()).played()
    # 180 s at the gate, of the 200 s until containment.
    assert people_share(played, phases(played)) == pytest.approx(0.9)


def test_of_what_was_never_contained_there_is_no_share(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.asks()
    played = drill.played()
    assert people_share(played, phases(played)) is None


def test_two_waits_at_once_count_once(rehearse: Make) -> None:
    drill = whole(rehearse())
    played = drill.played()
    twice = [
        Phase(INCIDENT, "a", 35, 135, "people"),
        Phase(INCIDENT, "b", 85, 185, "people"),
        Phase("people", "c", 30, 230, "people"),
        Phase("inc-other", "d", 30, 230, "people"),
    ]
    assert people_share(played, twice) == pytest.approx(150 / 200)


def test_a_gate_that_nobody_looks_at_stays_unnoticed_until_it_expires(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(40).asks()
    drill.at(940).tell("gate.expired", gate="contain")
    assert _bars(drill)[1:] == [("gate contain: unnoticed", 40, 940, "people")]


def test_a_gate_that_takes_two_waits_for_the_second(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(40).asks(count=2)
    drill.at(100).decides("alice")
    drill.at(160).decides("bob")
    assert _bars(drill)[1:] == [
        ("gate contain: unnoticed", 40, 100, "people"),
        ("gate contain: thinking", 100, 160, "people"),
    ]


def test_after_an_escalation_one_of_the_next_group_is_enough(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(40).asks(count=2)
    drill.at(940).tell("gate.escalated", gate="contain", to="leads", expires_at="")
    drill.at(1000).decides("carol", groups=["leads"])
    drill.at(1100).ended()
    assert _bars(drill)[1:][0] == ("gate contain: unnoticed", 40, 1000, "people")


def test_a_gate_that_is_asked_for_again_is_two_waits(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(40).asks()
    drill.at(100).decides()
    drill.at(101).asks(round_=2, added=["one more"])
    drill.at(200).closes("aborted")
    assert _bars(drill)[1:] == [
        ("gate contain: unnoticed", 40, 100, "people"),
        ("gate contain: thinking", 100, 100, "people"),
        ("gate contain: unnoticed", 101, 200, "people"),
    ]


def test_what_is_proposed_waits_for_somebody_to_start_it(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.at(32).opened(proposed=True)
    drill.at(100).tell("incident.started", reason="go")
    drill.at(104).planned(ec2_isolate=1)
    assert _bars(drill) == [
        ("reading the finding", 30, 32, "Clampdown"),
        ("until somebody starts it", 32, 100, "people"),
        ("until the plan", 100, 104, "Clampdown"),
    ]


def test_while_the_orchestrator_is_dead_it_is_away(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened()
    drill.at(40).begins("ec2.isolate")
    drill.at(50).died()
    drill.at(80).back()
    drill.at(82).begins("ec2.isolate")
    drill.at(90).finishes("ec2.isolate", status="unchanged")
    drill.at(95).closes()
    drill.at(200).died()
    assert _bars(drill)[1:] == [
        ("ec2.isolate", 40, 50, "Clampdown"),
        # Its second death was after the incident had ended.
        ("away", 50, 80, "Clampdown"),
        ("ec2.isolate", 82, 90, "Clampdown"),
    ]


def test_of_several_targets_each_step_names_its_own(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    drill.opened(targets=(VICTIM, OTHER))
    drill.does("ec2.isolate", VICTIM)
    assert f"ec2.isolate on {VICTIM}" in {name for name, *_ in _bars(drill)}


# Half a story: a drill may break off at any moment.


def cut(drill: Drill, seconds: float) -> Drill:
    """The drill as its journal had it at that second."""
    until = BEGAN_AT + timedelta(seconds=seconds)

    def before(records: tuple[Record, ...]) -> tuple[Record, ...]:
        return tuple(record for record in records if record.at <= until)

    incidents = {name: before(records) for name, records in drill.incidents.items()}
    return replace(
        drill,
        records=before(drill.records),
        incidents={name: records for name, records in incidents.items() if records},
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seconds=st.floats(0, 1900))
def test_a_drill_that_breaks_off_at_any_moment_can_be_assessed(
    broken_story: Rehearsal, seconds: float
) -> None:
    drill = cut(broken_story.drill(), seconds)
    assessed = assess(drill, broken_story.playbooks)
    assert 0 <= assessed.score <= 100
    assert assessed.people_share is None or 0 <= assessed.people_share <= 1
    length = assessed.lasted.total_seconds()
    assert length <= seconds
    for bar in assessed.phases:
        assert 0 <= bar.begins <= bar.ends <= length
        assert bar.sources
    assert [moment.at for moment in assessed.moments] == sorted(m.at for m in assessed.moments)
    known = {(record.incident, record.seq) for record in read(drill).records()}
    cited = {
        (source.chain, source.seq)
        for item in (*assessed.verdicts, *assessed.phases, *assessed.timings, *assessed.lessons)
        for source in item.sources
    }
    assert cited <= known


@pytest.fixture
def broken_story(rehearse: Make) -> Rehearsal:
    return whole(rehearse())
