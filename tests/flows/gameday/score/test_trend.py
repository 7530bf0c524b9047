"""Earlier drills, how milestones compare, and what was not drilled for long."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.gameday.assessment import Past
from flows.gameday.score import coverage, pasts
from flows.gameday.score.trend import earlier, past_of, played_at, timings
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import Rehearsal, playbooks, whole, within

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def _past(
    drill: str, days_ago: float = 1, *, mode: str = "sandbox", passed: bool = True, **took: float
) -> Past:
    at = NOW - timedelta(days=days_ago)
    return Past(drill, at, mode, 7, 100.0, passed, took, "mining", "contain-it")


def test_what_a_drill_came_to_is_kept_for_the_next(rehearse: Make) -> None:
    drill = whole(rehearse(within("contained", "10m")))
    assert pasts(drill.clampdown_home) == [
        Past(
            drill=drill.id,
            at=datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
            mode="sandbox",
            seed=7,
            score=100.0,
            passed=True,
            milestones={
                "noticed": 125.0,
                "acknowledged": 125.0,
                "decided": 185.0,
                "isolated": 195.0,
                "contained": 200.0,
                "evidence": 1100.0,
                "undone": 1180.0,
            },
            scenario="mining",
            playbook="contain-it",
        )
    ]
    assert pasts(drill.clampdown_home) == [past_of(drill.played())]


def test_the_oldest_comes_first_and_other_folders_are_no_drills(rehearse: Make) -> None:
    late = whole(rehearse(drill="drill-20261102-120000-aaaaaa"))
    early = whole(rehearse(drill="drill-20261101-120000-ffffff"))
    # `clampdown drill` keeps its rehearsals beside them.
    shutil.copytree(early.home, early.home.parent / "20261101-120000-ffffff")
    assert [past.drill for past in pasts(early.clampdown_home)] == [early.id, late.id]


def test_a_drill_that_has_not_ended_is_not_past(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(30).finding()
    assert pasts(drill.clampdown_home) == []
    drill.ended()
    assert [past.drill for past in pasts(drill.clampdown_home)] == [drill.id]


def test_a_journal_that_goes_on_is_looked_at_again(rehearse: Make) -> None:
    drill = whole(rehearse(within("contained", "10m"), within("undone", "1h")))
    assert pasts(drill.clampdown_home)[0].passed is True
    # Its chains are as they were, but one.
    drill.at(1900).ended("stopped")
    assert pasts(drill.clampdown_home)[0].passed is False


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"version": 1}', "\x00"])
def test_a_summary_that_is_broken_is_made_again(rehearse: Make, kept: str) -> None:
    drill = whole(rehearse())
    (before,) = pasts(drill.clampdown_home)
    file = drill.home / "summary.json"
    file.write_text(kept)
    assert pasts(drill.clampdown_home) == [before]
    assert json.loads(file.read_text())["past"]["score"] == before.score


def test_a_summary_is_read_and_not_made_each_time(rehearse: Make) -> None:
    drill = whole(rehearse())
    pasts(drill.clampdown_home)
    file = drill.home / "summary.json"
    kept = json.loads(file.read_text())
    kept["past"]["score"] = 12.5
    file.write_text(json.dumps(kept))
    assert pasts(drill.clampdown_home)[0].score == 12.5
    kept["version"] = 0
    file.write_text(json.dumps(kept))
    assert pasts(drill.clampdown_home)[0].score == 100


def test_a_drill_of_another_version_or_without_a_journal_is_left_out(
    rehearse: Make, tmp_path: Path
) -> None:
    drill = rehearse()
    drill.write(drill.id, "drill.ended", {"why": "over"}, drill.drill().began.actor)
    broken = drill.home.parent / "drill-20261103-120000-bbbbbb"
    broken.mkdir()
    (broken / "journal.db").write_text("no database")
    other = rehearse(drill="drill-20261104-120000-cccccc")
    other.ended()
    pasts(tmp_path)
    assert [past.drill for past in pasts(tmp_path)] == [drill.id, other.id]


def test_two_hundred_drills_are_read_in_two_seconds(rehearse: Make) -> None:
    drill = whole(rehearse())
    pasts(drill.clampdown_home)
    drill.journal.close()
    for number in range(200):
        copy = drill.home.parent / f"drill-20261102-{number:06}-abcdef"
        copy.mkdir()
        for name in ("journal.db", "summary.json"):
            shutil.copy(drill.home / name, copy / name)
    began = time.monotonic()
    assert len(pasts(drill.clampdown_home)) == 201
    assert time.monotonic() - began < 2


def test_when_a_drill_was_played_is_not_when_its_scenario_is_set(rehearse: Make) -> None:
    assert played_at(rehearse().drill()) == datetime(2026, 11, 1, 12, tzinfo=UTC)
    odd = rehearse(drill="drill-of-ours").drill()
    assert played_at(odd) == odd.at


def test_only_earlier_drills_of_the_same_scenario_are_compared(rehearse: Make) -> None:
    played = whole(rehearse()).played()
    other = Past("drill-3", NOW - timedelta(days=60), "sandbox", 1, 1, True, {}, "another", "p")
    before, long_before = _past("drill-1", 40), _past("drill-2", 50)
    after, itself = _past("drill-4", 1), _past(played.drill.id, 90)
    assert earlier(played, [before, other, after, itself, long_before]) == (long_before, before)


def test_milestones_are_held_against_their_targets_and_those_before(rehearse: Make) -> None:
    drill = whole(rehearse(within("contained", "10m"), within("contained", "20m", finding="x")))
    before = [
        _past("drill-1", 50, contained=100, undone=9),
        _past("drill-2", 40, contained=400),
        _past("drill-3", 30, mode="live drill", contained=9000),
        _past("drill-4", 20, contained=200),
        _past("drill-5", 10),
    ]
    found = {timing.milestone: timing for timing in timings(drill.played(), before)}
    contained = found["contained"]
    assert (contained.took, contained.target) == (200, 600)
    # Of people, whom a live drill waits for, a simulation says nothing.
    assert (contained.last, contained.median, contained.worst) == (200, 200, 400)
    assert (found["undone"].last, found["undone"].target) == (9, None)
    assert (found["isolated"].last, found["isolated"].took) == (None, 195)


def test_a_milestone_that_never_was_and_is_not_asked_for_is_left_out(rehearse: Make) -> None:
    drill: Rehearsal = rehearse(within("contained", "10m"))
    found = timings(drill.played(), [_past("drill-1", evidence=3)])
    assert [(timing.milestone, timing.took) for timing in found] == [
        ("contained", None),
        ("evidence", None),
    ]


@pytest.mark.parametrize(("days", "overdue"), [(89.9, False), (90, True), (400, True)])
def test_a_playbook_is_overdue_after_ninety_days(days: float, overdue: bool) -> None:
    known = [_past("drill-1", 500), _past("drill-2", days, passed=False)]
    (found,) = coverage(known, playbooks(), NOW)
    assert (found.playbook, found.passed, found.overdue) == ("contain-it", False, overdue)
    assert found.last == NOW - timedelta(days=days)


def test_a_playbook_that_was_never_drilled_is_overdue() -> None:
    (found,) = coverage([], playbooks(), NOW)
    assert (found.last, found.passed, found.overdue) == (None, None, True)
