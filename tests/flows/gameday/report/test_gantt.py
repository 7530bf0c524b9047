"""The chart: round ticks, bars in their places, labels that don't overlap, panels that fit a page."""

from __future__ import annotations

import itertools

import pytest

from flows.gameday.assessment import Moment, Phase, Source
from flows.gameday.report.axis import axis
from flows.gameday.report.gantt import Bar, Panel, gantt
from tests.flows.gameday.report.assessments import assessment

WIDE, NARROW = (940.0, 150.0), (350.0, 0.0)


@pytest.mark.parametrize(
    ("last", "labels"),
    [
        (0.7, ["0", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s", "0.6 s", "0.7 s"]),
        (45, ["0", "10 s", "20 s", "30 s", "40 s"]),
        (600, ["0", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        (7200, ["0", "15 min", "30 min", "45 min", "1 h", "1 h 15 min", "1 h 30 min"]),
        (5 * 86400, ["0", "1 d", "2 d", "3 d", "4 d", "5 d"]),
    ],
)
def test_ticks_are_at_round_times(last: float, labels: list[str]) -> None:
    ticks = axis([last], 0, 800).ticks(apart=90)
    assert [tick.label for tick in ticks][: len(labels)] == labels
    assert len(ticks) <= 9
    apart = [b.x - a.x for a, b in itertools.pairwise(ticks)]
    assert min(apart) >= 89
    assert max(apart) - min(apart) < 0.05


def test_what_came_before_the_start_is_on_the_axis_too() -> None:
    times = axis([-30, 60], 100, 190)
    assert (times.x(-30), times.x(0), times.x(60)) == (100, 130, 190)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_every_phase_has_a_bar_where_its_time_is(size: tuple[float, float]) -> None:
    drill = assessment()
    bars = [bar for panel in gantt(drill, *size) for bar in panel.bars]
    assert len(bars) == len(drill.phases)
    scale = max(phase.ends for phase in drill.phases)
    left, right = size[1] + 8, size[0] - 24
    for phase in drill.phases:
        bar = next(
            bar
            for bar in bars
            if bar.told.startswith(f"{phase.name}: ") and _at(bar, phase, scale, left, right)
        )
        assert bar.waits == phase.waits


def _at(bar: Bar, phase: Phase, scale: float, left: float, right: float) -> bool:
    return abs(bar.x - (left + phase.begins / scale * (right - left))) < 0.02


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_neither_bars_nor_labels_overlap_in_a_lane(size: tuple[float, float]) -> None:
    for panel in gantt(_crowded(), *size):
        lanes: dict[float, list[tuple[float, float]]] = {}
        for bar in panel.bars:
            lanes.setdefault(bar.y, []).append(_extent(bar))
        for extents in lanes.values():
            extents.sort()
            for (_, end), (begins, _) in itertools.pairwise(extents):
                assert begins > end


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_labels_stay_inside_the_drawing(size: tuple[float, float]) -> None:
    for panel in gantt(_crowded(), *size):
        for bar in panel.bars:
            begins, ends = _extent(bar)
            assert begins >= 0
            assert ends <= panel.width


def test_a_long_chart_is_cut_between_bars_into_panels_that_fit_a_page() -> None:
    panels = gantt(_crowded(), *WIDE)
    assert len(panels) > 1
    assert sum(len(panel.bars) for panel in panels) == len(_crowded().phases)
    for panel in panels:
        assert panel.height < 800
        assert all(bar.y + bar.height < panel.height for bar in panel.bars)
        assert panel.ticks
        assert panel.headings


def test_events_are_marks_in_tracks_of_their_kinds() -> None:
    (panel,) = gantt(assessment(), *WIDE)
    kinds = {"inject": 4, "fault": 1, "refused": 2, "person": 5}
    assert _counts(panel) == kinds
    assert [heading.text for heading in panel.headings[:4]] == [
        "Injects",
        "Faults",
        "Refused",
        "People",
    ]


def test_events_that_are_too_close_are_one_mark_that_tells_them_all() -> None:
    moments = tuple(
        Moment(
            10 + number / 100, "scenario", "inject", f"inject {number}", Source("drill-1", number)
        )
        for number in range(5)
    )
    phases = (Phase("inc-1", "all", 0, 100, "people"),)
    (panel,) = gantt(assessment(moments=moments, phases=phases), *WIDE)
    (mark,) = panel.marks
    assert mark.count == 5
    assert mark.label == "×5"
    assert mark.told.count("inject ") == 5


def test_nothing_is_drawn_of_nothing() -> None:
    assert gantt(assessment(moments=(), phases=()), *WIDE) == ()


def test_a_drill_that_took_no_time_is_drawn() -> None:
    phases = (Phase("inc-1", "at once", 0, 0, "Clampdown"),)
    (panel,) = gantt(assessment(moments=(), phases=phases), *WIDE)
    assert panel.bars[0].width > 0


def _counts(panel: Panel) -> dict[str, int]:
    counts: dict[str, int] = {}
    for mark in panel.marks:
        counts[mark.kind] = counts.get(mark.kind, 0) + mark.count
    return counts


def _extent(bar: Bar) -> tuple[float, float]:
    """By five and a half pixels a letter, what the browser's test measures in truth."""
    long = len(f"{bar.label} · {bar.took}") * 5.5
    begins = bar.label_x - long if bar.anchor == "end" else bar.label_x
    return min(bar.x, begins), max(bar.x + bar.width, begins + long)


def _crowded():
    """Forty incidents of four phases, some much longer than others."""
    phases = []
    for number in range(40):
        at = number * 11.0
        row = f"inc-20261125-{number:06}"
        phases += [
            Phase(row, "Finding to incident", at, at + 0.3, "Clampdown"),
            Phase(row, "Gate contain: unseen by anybody on call", at + 1, at + 90, "people"),
            Phase(row, "Isolate", at + 90, at + 91, "Clampdown"),
            Phase(row, "Snapshots", at + 91, 600, "AWS"),
        ]
    return assessment(phases=tuple(phases), moments=())
