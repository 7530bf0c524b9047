"""A drill in a terminal: what came of it on one screen."""

from __future__ import annotations

from rich.console import Console

from flows.console.terminal import counted, shown, table
from flows.gameday.assessment import Assessment, Level
from flows.gameday.report import words

_STYLES: dict[Level, str] = {
    "met": "green",
    "partly": "yellow",
    "missed": "red",
    "not tested": "dim",
}
_MOST_LESSONS = 5
_SEVERITIES = ("high", "medium", "low")


def summary(assessment: Assessment, console: Console) -> None:
    """Print the verdict, every objective, how long milestones took, and the gravest lessons."""
    mode = words.mode_of(assessment)
    style = "bold red" if mode.style == "live" else "bold cyan"
    console.print(shown(f"{assessment.mode.upper()}: {mode.means}", style))
    verdict = ("PASSED", "bold green") if assessment.passed else ("NOT PASSED", "bold red")
    line = shown(verdict[0], verdict[1])
    met = sum(item.level == "met" for item in assessment.verdicts)
    line.append_text(
        shown(
            f"  {assessment.title}: {met} of {counted(len(assessment.verdicts), 'objective')} met, "
            f"score {words.number(assessment.score)} of 100"
        )
    )
    console.print(line)
    console.print(shown(f"{assessment.formula}\n", "dim"))
    _objectives(assessment, console)
    _timings(assessment, console)
    if assessment.people_share is not None:
        share = words.percent(assessment.people_share)
        console.print(shown(f"Waiting for people: {share} of the time until containment."))
    _lessons(assessment, console)
    console.print(shown(f"Drill {assessment.drill}, seed {assessment.seed}.", "dim"))


def _objectives(assessment: Assessment, console: Console) -> None:
    rows = table("OBJECTIVE", "", "TOOK", "WITHIN", "")
    for item in assessment.verdicts:
        rows.add_row(
            shown(item.title),
            shown(item.level, _STYLES[item.level]),
            words.duration(item.took) if item.took is not None else "",
            words.duration(item.limit) if item.limit is not None else "",
            shown(words.margin(item) or item.reason),
        )
    console.print(rows)
    console.print()


def _timings(assessment: Assessment, console: Console) -> None:
    if not assessment.timings:
        return
    rows = table("MILESTONE", "TOOK", "TARGET", "LAST", "MEDIAN", "WORST")
    for timing in assessment.timings:
        figures = (timing.took, timing.target, timing.last, timing.median, timing.worst)
        rows.add_row(shown(timing.milestone), *(words.duration(figure) for figure in figures))
    console.print(rows)
    console.print()


def _lessons(assessment: Assessment, console: Console) -> None:
    ordered = sorted(assessment.lessons, key=lambda lesson: _SEVERITIES.index(lesson.severity))
    for lesson in ordered[:_MOST_LESSONS]:
        console.print(shown(f"{lesson.severity}: {lesson.text}"))
    if (left := len(ordered) - _MOST_LESSONS) > 0:
        console.print(shown(f"{counted(left, 'more lesson')} in the report.", "dim"))
