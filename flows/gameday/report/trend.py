"""The trend over past drills: a line of figures, the oldest first, that the template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flows.gameday.assessment import Assessment
from flows.gameday.report.words import day, duration, number

MOST = 12
"""How many drills a trend shows: the newest."""

_WIDTH = 400.0
_HEIGHT = 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 14.0, 14.0, 30.0, 26.0


@dataclass(frozen=True)
class Point:
    """A drill: where it is drawn, what it came to, and whether it passed."""

    x: float
    y: float
    passed: bool
    label: str
    day: str
    told: str


@dataclass(frozen=True)
class Trend:
    """A line through points. ``target`` is where the objective's limit is drawn, if there is one."""

    title: str
    width: float
    height: float
    points: tuple[Point, ...]
    target: float | None
    target_label: str
    told: str

    @property
    def line(self) -> str:
        """The points as an SVG polyline has them."""
        return " ".join(f"{point.x},{point.y}" for point in self.points)


def trends(assessment: Assessment) -> tuple[Trend, ...]:
    """The score, and the time to containment, over this drill and those before it.

    Each only where there are at least two drills to compare.
    """
    past = sorted(assessment.past, key=lambda drill: drill.at)
    scores = [(drill.at, drill.score, drill.passed) for drill in past]
    scores.append((assessment.began, assessment.score, assessment.passed))
    contained = [
        (drill.at, drill.milestones["contained"], drill.passed)
        for drill in past
        if "contained" in drill.milestones
    ]
    # Several incidents of one drill: the slowest is what counts.
    here = [item for item in assessment.timings if item.milestone.startswith("contained")]
    took = [item.took for item in here if item.took is not None]
    target = next((item.target for item in here if item.target is not None), None)
    if took:
        contained.append((assessment.began, max(took), assessment.passed))
    drawn = [
        _trend("Score of 100", scores, [number(value) for _, value, _ in scores], 100, None),
        _trend(
            "Time to containment",
            contained,
            [duration(value) for _, value, _ in contained],
            None,
            target,
        ),
    ]
    return tuple(trend for trend in drawn if len(trend.points) > 1)


def _trend(
    title: str,
    drills: Sequence[tuple[datetime, float, bool]],
    labels: Sequence[str],
    top: float | None,
    target: float | None,
) -> Trend:
    newest, labels = drills[-MOST:], labels[-MOST:]
    values = [value for _, value, _ in newest]
    highest = top or max([*values, target or 0, 1e-9])
    across = (_WIDTH - _LEFT - _RIGHT) / max(len(newest) - 1, 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - value / highest * (_HEIGHT - _TOP - _BOTTOM), 2)

    points = []
    for place, ((at, value, passed), label) in enumerate(zip(newest, labels, strict=True)):
        outcome = "passed" if passed else "not passed"
        # The clock of this drill is its scenario's, and says nothing about the day of playing.
        when = day(at) if place < len(newest) - 1 else "this drill"
        points.append(
            Point(
                round(_LEFT + place * across, 2),
                y(value),
                passed,
                label,
                when,
                f"{when}: {label}, {outcome}",
            )
        )
    return Trend(
        title,
        _WIDTH,
        _HEIGHT,
        tuple(points),
        None if target is None else y(target),
        "" if target is None else f"the dashed line is the target, {duration(target)}",
        "; ".join(point.told for point in points),
    )
