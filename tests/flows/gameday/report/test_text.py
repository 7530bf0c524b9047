"""A drill in a terminal, and in a pipe."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from flows.console.terminal import console
from flows.gameday.report import summary
from tests.flows.gameday.report.assessments import assessment, hostile


def piped(drill) -> str:
    out = StringIO()
    summary(drill, console(out))
    return out.getvalue()


def test_the_mode_and_the_verdict_come_first() -> None:
    lines = piped(assessment()).splitlines()
    assert lines[0] == "SANDBOX: Nothing real was touched: AWS was simulated from start to end."
    assert lines[1] == (
        "NOT PASSED  Crypto mining on an instance behind a load balancer: 6 of 9 objectives met, "
        "score 83.3 of 100"
    )
    assert lines[2].startswith("(3×1 + 2×1")


def test_objectives_say_by_how_much_and_timings_compare() -> None:
    rows = [" ".join(line.split()) for line in piped(assessment()).splitlines()]
    assert "The mining instance is isolated missed 17 min 41 s 15 min 2 min 41 s too late" in rows
    assert "contained 17 min 41 s 15 min 11 min 54 s 11 min 42 s 17 min 41 s" in rows
    assert "Waiting for people: 96 % of the time until containment." in rows
    assert "Drill drill-20261125-4f0c2a, seed 20261125." in rows


def test_the_gravest_lessons_come_first_and_the_rest_is_counted() -> None:
    many = assessment().lessons * 4
    lines = piped(assessment(lessons=many)).splitlines()
    said = [line.split(":")[0] for line in lines if line.startswith(("high:", "medium:", "low:"))]
    assert said == ["high"] * 4 + ["medium"]
    assert "7 more lessons in the report." in lines


def test_a_pipe_gets_plain_text_and_nothing_is_markup() -> None:
    text = piped(hostile())
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "<script>alert(1)</script>" in text
    bracketed = piped(assessment(title="[bold red]not markup[/]"))
    assert "[bold red]not markup[/]" in bracketed


def test_a_terminal_gets_colours() -> None:
    out = StringIO()
    summary(assessment(), Console(file=out, force_terminal=True, width=100))
    assert "\x1b[" in out.getvalue()
    assert "NOT PASSED" in out.getvalue()


def test_a_drill_without_anything_is_still_told() -> None:
    text = piped(assessment(verdicts=(), timings=(), lessons=(), people_share=None, passed=True))
    assert "PASSED" in text
    assert "0 of 0 objectives met" in text
