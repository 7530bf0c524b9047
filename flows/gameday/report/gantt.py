"""The Gantt chart: where its bars, labels and marks are. The template draws it.

It is laid out for a width in pixels, so that its letters are as large on a narrow screen as on a
wide one, and comes in panels, so that none is higher than a printed page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from flows.gameday.assessment import Assessment, Moment, Phase, Waits
from flows.gameday.report.axis import Axis, Tick, axis
from flows.gameday.report.words import clock, duration
from flows.intake.finding import for_display

PEOPLE = "people"
WAITS: tuple[Waits, ...] = ("people", "AWS", "Clampdown", "nobody")
TRACKS = {"inject": "Injects", "fault": "Faults", "refused": "Refused", "person": "People"}
"""The kinds of moments that are marks, each in a row of its own; what the machine did is in bars."""

_LANE = 24.0
_BAR = 16.0
# Without a gutter there is no room beside bars: labels stand above them.
_NARROW_LANE = 32.0
_NARROW_BAR = 10.0
_TRACK = 20.0
_HEADING = 22.0
_AXIS = 24.0
_LETTER = 6.4
_LEAST_BAR = 3.0
_APART = 9.0
_COUNT = 34.0
_HIGHEST = 760.0
_MOST_LETTERS = 42


@dataclass(frozen=True)
class Bar:
    """A phase: its rectangle, and its label in, after, before or above it."""

    x: float
    y: float
    width: float
    height: float
    waits: Waits
    label: str
    took: str
    label_x: float
    label_y: float
    anchor: str
    told: str


@dataclass(frozen=True)
class Mark:
    """A moment in its track, or ``count`` that are too close to tell apart: ``label`` says so where
    there is room."""

    x: float
    y: float
    kind: str
    count: int
    label: str
    told: str


@dataclass(frozen=True)
class Heading:
    """What a row of the chart is called. ``line`` is whether a line across parts it from above."""

    y: float
    text: str
    line: bool


@dataclass(frozen=True)
class Panel:
    """A part of the chart with an axis of its own."""

    width: float
    height: float
    left: float
    right: float
    ticks: tuple[Tick, ...]
    headings: tuple[Heading, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    told: str


def gantt(assessment: Assessment, width: float, gutter: float) -> tuple[Panel, ...]:
    """The chart in panels of this width, with a column of ``gutter`` for the names of rows; without
    one, names stand above their rows. Nothing where nothing happened."""
    marked = [moment for moment in assessment.moments if moment.kind in TRACKS]
    ends = [edge for phase in assessment.phases for edge in (phase.begins, phase.ends)]
    if not ends and not marked:
        return ()
    times = axis([*ends, *(moment.at for moment in marked)], gutter + 8, width - 24)
    return tuple(_panels(assessment, marked, times, width, gutter))


@dataclass
class _Drawing:
    """A panel in the making. ``y`` is where the next thing goes."""

    y: float
    headings: list[Heading]
    bars: list[Bar]
    marks: list[Mark]


def _panels(
    assessment: Assessment, marked: Sequence[Moment], times: Axis, width: float, gutter: float
) -> Iterator[Panel]:
    drawing = _Drawing(_AXIS + 6, [], [], [])
    above = 0.0 if gutter else _HEADING

    def finished() -> Panel:
        return Panel(
            width,
            drawing.y + 4,
            gutter,
            width,
            times.ticks(apart=84),
            tuple(drawing.headings),
            tuple(drawing.bars),
            tuple(drawing.marks),
            f"From {clock(times.first)} to {clock(times.last)}: {len(drawing.bars)} phases and "
            f"{sum(mark.count for mark in drawing.marks)} events.",
        )

    for kind, title in TRACKS.items():
        if here := [moment for moment in marked if moment.kind == kind]:
            drawing.headings.append(Heading(drawing.y + 14, title, line=False))
            drawing.marks += _marks(here, times, drawing.y + above + _TRACK / 2)
            drawing.y += above + _TRACK
    lane_height = _LANE if gutter else _NARROW_LANE
    for row, lanes in _rows(assessment.phases, times, narrow=not gutter):
        title = "People" if row == PEOPLE else for_display(row)
        for number, lane in enumerate(lanes):
            starts = number == 0
            # Only the wide chart is printed.
            if gutter and drawing.y + lane_height > _HIGHEST:
                yield finished()
                drawing = _Drawing(_AXIS + 6, [], [], [])
                starts = True
            if starts:
                continued = " (continued)" if number else ""
                parted = drawing.y > _AXIS + 6
                drawing.y += 6
                drawing.headings.append(Heading(drawing.y + 16, title + continued, parted))
                drawing.y += above
            drawing.bars += [_bar(phase, times, drawing.y, narrow=not gutter) for phase in lane]
            drawing.y += lane_height
    yield finished()


def _rows(
    phases: Sequence[Phase], times: Axis, narrow: bool
) -> Iterator[tuple[str, list[list[Phase]]]]:
    """Each row with its phases in lanes, in which neither bars nor their labels overlap."""
    first = {row: min(p.begins for p in phases if p.row == row) for row in {p.row for p in phases}}
    order = sorted(phases, key=lambda p: (p.row == PEOPLE, first[p.row], p.row, p.begins, p.ends))
    for row, of_row in groupby(order, lambda phase: phase.row):
        lanes: list[list[Phase]] = []
        ends: list[float] = []
        for phase in of_row:
            begins, end = _extent(_bar(phase, times, 0, narrow))
            free = next((n for n, until in enumerate(ends) if until + _APART <= begins), None)
            if free is None:
                lanes.append([phase])
                ends.append(end)
            else:
                lanes[free].append(phase)
                ends[free] = end
        yield row, lanes


def _bar(phase: Phase, times: Axis, y: float, narrow: bool) -> Bar:
    x = times.x(phase.begins)
    width = max(round(times.x(phase.ends) - x, 2), _LEAST_BAR)
    took = duration(phase.ends - phase.begins)
    name = for_display(phase.name)
    label = _cut(name, _MOST_LETTERS)
    long = _length(label, took)
    anchor = "start"
    if narrow:
        label_x = max(min(x, times.right + 20 - long), times.left)
    elif long + 12 <= width:
        label_x = x + 6
    elif x + width + 5 + long <= times.right + 22:
        label_x = x + width + 5
    elif x - 5 - long >= times.left:
        label_x, anchor = x - 5, "end"
    else:
        label_x = max(min(x + 6, times.right + 20 - long), times.left)
    told = (
        f"{name}: {clock(phase.begins)} to {clock(phase.ends)}, {took}; waiting for {phase.waits}"
    )
    height = _NARROW_BAR if narrow else _BAR
    label_y = y + 13 if narrow else y + (_LANE - _BAR) / 2 + 12
    y += 18 if narrow else (_LANE - _BAR) / 2
    return Bar(
        x, y, width, height, phase.waits, label, took, round(label_x, 2), label_y, anchor, told
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _length(label: str, took: str) -> float:
    """How long a label with its duration is at most, about: the font is the reader's own."""
    return len(f"{label} · {took}") * _LETTER


def _extent(bar: Bar) -> tuple[float, float]:
    long = _length(bar.label, bar.took)
    begins = bar.label_x - long if bar.anchor == "end" else bar.label_x
    return min(bar.x, begins), max(bar.x + bar.width, begins + long)


def _marks(moments: Sequence[Moment], times: Axis, y: float) -> Iterator[Mark]:
    groups: list[list[Moment]] = []
    for moment in sorted(moments, key=lambda moment: moment.at):
        if groups and times.x(moment.at) - times.x(groups[-1][0].at) <= _APART:
            groups[-1].append(moment)
        else:
            groups.append([moment])
    places = [times.x(group[0].at) for group in groups]
    for group, x, after in zip(groups, places, [*places[1:], float("inf")], strict=True):
        told = "\n".join(
            f"{clock(m.at)} {for_display(m.who)}: {for_display(m.text)}" for m in group
        )
        said = f"×{len(group)}" if len(group) > 1 and after - x > _COUNT else ""
        yield Mark(x, y, group[0].kind, len(group), said, told)
