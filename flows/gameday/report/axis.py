"""A time axis: where its ticks are and what they are called, from tenths of a second to days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flows.gameday.report.words import duration

# Steps that people count in; beyond them, whole days.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_LONG_STEPS = (3600, 7200, 10800, 21600, 43200, 86400)
_DAY = 86400


@dataclass(frozen=True)
class Tick:
    """A line across the chart, and its label."""

    x: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Seconds from ``first`` to ``last``, drawn from ``left`` to ``right``."""

    first: float
    last: float
    left: float
    right: float

    def x(self, seconds: float) -> float:
        """Where a moment is drawn."""
        share = (seconds - self.first) / (self.last - self.first)
        return round(self.left + share * (self.right - self.left), 2)

    def ticks(self, apart: float) -> tuple[Tick, ...]:
        """Ticks at round times, at least ``apart`` from each other."""
        most = max(int((self.right - self.left) / apart), 1)
        step = _step((self.last - self.first) / most)
        return tuple(Tick(self.x(at), _label(at)) for at in _multiples(step, self.first, self.last))


def axis(moments: list[float], left: float, right: float) -> Axis:
    """The axis that shows all of these moments; from 0, unless some came before the start."""
    first = min([0.0, *moments])
    last = max([0.0, *moments])
    return Axis(first, last if last > first else first + 1, left, right)


def _step(least: float) -> float:
    for step in (*_STEPS, *_LONG_STEPS):
        if step >= least:
            return step
    return -(-least // _DAY) * _DAY


def _multiples(step: float, first: float, last: float) -> Iterator[float]:
    count = -(-first // step)
    while count * step <= last + step * 1e-9:
        yield count * step
        count += 1


def _label(seconds: float) -> str:
    return "0" if abs(seconds) < 1e-9 else duration(seconds)
