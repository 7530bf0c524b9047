"""Verdicts on objectives, and the score that they make."""

from __future__ import annotations

import ast
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.assessment import Level, Verdict
from flows.gameday.score.passing import passed
from flows.gameday.score.verdicts import score, verdicts
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import OTHER, VICTIM, holds, whole, within

LEVELS = get_args(Level)


def _verdict(level: Level, weight: int = 1) -> Verdict:
    return Verdict("o", "o", level, "because.", weight)


@pytest.mark.parametrize(
    ("limit", "level", "reason"),
    [
        ("4m", "met", "Contained after 3m20s, 40s before the limit of 4m."),
        ("200s", "met", "Contained after 3m20s, 0.0s before the limit of 3m20s."),
        ("195s", "partly", "Contained after 3m20s, 5.0s later than the limit of 3m15s."),
        ("134s", "partly", "Contained after 3m20s, 1m6s later than the limit of 2m14s."),
        ("133s", "missed", "Contained after 3m20s, 1m7s later than the limit of 2m13s."),
    ],
)
def test_an_objective_in_time_says_by_how_much(
    rehearse: Make, limit: str, level: str, reason: str
) -> None:
    (verdict,) = verdicts(whole(rehearse(within("contained", limit))).played())
    assert (verdict.level, verdict.reason) == (level, reason)
    assert verdict.took == timedelta(seconds=200)
    assert verdict.by == verdict.limit - verdict.took


def test_some_of_several_is_met_in_part(rehearse: Make) -> None:
    drill = rehearse(within("isolated", "10m"))
    drill.at(30).finding()
    drill.opened(targets=(VICTIM, OTHER))
    drill.at(50).does("ec2.isolate", VICTIM)
    (verdict,) = verdicts(drill.played())
    assert verdict.level == "partly"
    assert verdict.reason.startswith(f"Isolated for 1 of 2 only; missing: ec2.isolate on {OTHER}")
    assert verdict.took is None


def test_what_was_never_reached_says_how_its_incident_ended(rehearse: Make) -> None:
    drill = rehearse(within("isolated", "10m"))
    drill.at(30).finding()
    drill.opened()
    drill.asks()
    drill.closes("denied", error="The gate contain was denied.")
    (verdict,) = verdicts(drill.played())
    assert verdict.level == "missed"
    assert verdict.reason == (
        "Never isolated: inc-20260302-abcdef is denied (The gate contain was denied.)."
    )


def test_a_finding_without_an_incident_misses_its_objective(rehearse: Make) -> None:
    drill = rehearse(within("isolated", "10m"))
    drill.at(30).finding()
    (verdict,) = verdicts(drill.played())
    assert verdict.level == "missed"
    assert verdict.reason == "Never: no incident was opened for the finding finding."
    assert verdict.sources


def test_what_it_needs_never_happened(rehearse: Make) -> None:
    (verdict,) = verdicts(rehearse(within("isolated", "10m")).played())
    assert verdict.level == "not tested"
    assert verdict.reason == "Not tested: the finding finding never arrived."


@pytest.mark.parametrize(
    ("looks", "level", "reason"),
    [
        ([True], "met", "it was looked at."),
        ([False], "missed", "it was looked at."),
        ([True, False], "partly", "it was looked at."),
        ([None], "not tested", "Not tested: it was looked at."),
        ([], "not tested", "Not tested: the drill ended before it was looked at."),
    ],
)
def test_a_condition_is_what_was_found_at_the_end(
    rehearse: Make, looks: list[bool | None], level: str, reason: str
) -> None:
    drill = rehearse(holds("untouched", "decoy", controls=["NIST CSF RS.MI-01"], weight=3))
    for look in looks:
        drill.checked("untouched", look)
    (verdict,) = verdicts(drill.played())
    assert (verdict.level, verdict.reason) == (level, reason)
    assert len(verdict.sources) == len(looks)
    assert (verdict.weight, verdict.controls) == (3, ("NIST CSF RS.MI-01",))


def test_the_formula_says_how_the_score_was_made() -> None:
    judged = [
        _verdict("met", 3),
        _verdict("partly", 2),
        _verdict("missed"),
        _verdict("not tested", 9),
    ]
    assert score(judged) == (
        66.7,
        "100 × (3×1 + 2×0.5 + 1×0) / (3 + 2 + 1) = 66.7; 1 not tested, which does not count",
    )
    assert score([_verdict("not tested")]) == (
        0,
        "0: nothing was tested; 1 not tested, which does not count",
    )


@given(st.lists(st.builds(_verdict, st.sampled_from(LEVELS), st.integers(1, 100)), max_size=30))
def test_the_score_is_a_percentage_and_its_formula_comes_to_it(judged: list[Verdict]) -> None:
    number, formula = score(judged)
    assert 0 <= number <= 100
    if "=" in formula:
        sum_ = formula.split("=")[0].replace("×", "*")
        assert round(_value(ast.parse(sum_.strip(), mode="eval").body), 1) == number
    assert (number == 100) is ({verdict.level for verdict in judged} - {"not tested"} == {"met"})


def _value(node: ast.expr) -> float:
    """The value of a formula of sums, products and one division."""
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
    assert isinstance(node, ast.Constant)
    return float(node.value)


@given(st.lists(st.builds(_verdict, st.sampled_from(LEVELS), st.integers(1, 100)), min_size=1))
def test_meeting_more_never_lowers_the_score(judged: list[Verdict]) -> None:
    better = [_verdict("met", judged[0].weight), *judged[1:]]
    assert score(better)[0] >= score(judged)[0]


@pytest.mark.parametrize(
    ("why", "levels", "ok", "good"),
    [
        ("over", ["met", "not tested"], True, True),
        ("over", ["met"], None, True),
        ("over", ["met", "partly"], True, False),
        ("over", ["met", "missed"], True, False),
        ("over", ["not tested"], True, False),
        ("over", ["met"], False, False),
        ("the stage is gone", ["met"], True, False),
        (None, ["met"], True, False),
    ],
)
def test_when_a_drill_is_passed(
    rehearse: Make, why: str | None, levels: list[Level], ok: bool | None, good: bool
) -> None:
    drill = rehearse()
    if why:
        drill.ended(why)
    judged = [_verdict(level) for level in levels]
    assert passed(drill.drill(), judged, {"ok": ok}) is good
