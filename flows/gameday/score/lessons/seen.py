"""What rules look at, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flows.gameday.assessment import Decision, Lesson, Phase, Source, Timing, Verdict
from flows.gameday.score.reading import Played

Severity = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class Seen:
    """The figures that rules look at."""

    played: Played
    verdicts: Sequence[Verdict]
    phases: Sequence[Phase]
    people_share: float | None
    decisions: Sequence[Decision]
    quality: dict[str, Any]
    safety: dict[str, Any]
    fidelity: dict[str, Any]
    faults: Sequence[dict[str, Any]]
    timings: Sequence[Timing]
    journal: dict[str, Any]


Rule = Callable[[Seen], Iterator[Lesson]]


def once(made_from: Sequence[Source]) -> tuple[Source, ...]:
    """Each source once, in the order given."""
    return tuple(dict.fromkeys(made_from))
