"""Durations, moments and figures are said as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.gameday.assessment import Source, Verdict
from flows.gameday.report import words
from tests.flows.gameday.report.assessments import assessment


@pytest.mark.parametrize(
    ("seconds", "words_of_it"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3599.6, "1 h"),
        (3840, "1 h 4 min"),
        (86399, "1 d"),
        (183600, "2 d 3 h"),
        (-75, "-1 min 15 s"),
        (timedelta(minutes=15), "15 min"),
        (None, "–"),
    ],
)
def test_a_duration_is_said_with_two_units_at_most(
    seconds: float | timedelta | None, words_of_it: str
) -> None:
    assert words.duration(seconds) == words_of_it


def test_a_moment_is_to_the_tenth_of_a_second() -> None:
    assert words.clock(0) == "0:00:00.0"
    assert words.clock(133.44) == "0:02:13.4"
    assert words.clock(7199.96) == "2:00:00.0"
    assert words.clock(-1.5) == "-0:00:01.5"
    assert words.clock(-0.01) == "0:00:00.0"


def test_an_objective_of_time_says_by_how_much() -> None:
    def verdict(took: float | None) -> Verdict:
        return Verdict(
            "a",
            "A",
            "met",
            "",
            limit=timedelta(minutes=5),
            took=None if took is None else timedelta(seconds=took),
        )

    assert words.margin(verdict(260)) == "40 s to spare"
    assert words.margin(verdict(400)) == "1 min 40 s too late"
    assert words.margin(verdict(300)) == "0 s to spare"
    assert words.margin(verdict(None)) == ""


def test_any_value_is_said_on_one_line() -> None:
    assert words.said(None) == "–"
    assert words.said(True) == "yes"
    assert words.said(0.96, "as_written_share") == "96 %"
    assert words.said(90, "at_seconds") == "1 min 30 s"
    assert words.said(1234567.25) == "1,234,567.2"
    assert words.said(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2026-01-02 03:04 UTC"
    assert words.said([Source("inc-1", 4), "x"]) == "inc-1#4, x"
    assert words.said({"a_b": {"c": 1}}) == "A b: C: 1"
    assert words.said([]) == "none"
    assert words.said({}) == "none"


@pytest.mark.parametrize(
    ("mode", "real"),
    [
        ("sandbox", False),
        ("twin", False),
        ("shadow", False),
        ("replay", False),
        ("live drill", True),
        ("something new", True),
    ],
)
def test_only_what_is_known_to_be_harmless_is_said_to_be(mode: str, real: bool) -> None:
    known = words.mode_of(assessment(mode=mode))
    assert (known.style == "live") is real
    assert known.means.startswith("Nothing real") is not real
