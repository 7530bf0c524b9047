"""What a drill came to: the plain data between scoring and reporting.

Every figure carries the records of the journal that it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

Level = Literal["met", "partly", "missed", "not tested"]
Waits = Literal["people", "AWS", "Clampdown", "nobody"]


@dataclass(frozen=True)
class Source:
    """A record of the journal, by its chain and number: what a figure is made from."""

    chain: str
    seq: int


@dataclass(frozen=True)
class Verdict:
    """What came of an objective.

    ``limit`` and ``took`` are given where it is one of time; ``by`` is how much was left (positive)
    or was missing (negative). ``reason`` is one sentence.
    """

    objective: str
    title: str
    level: Level
    reason: str
    weight: int = 1
    limit: timedelta | None = None
    took: timedelta | None = None
    controls: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def by(self) -> timedelta | None:
        if self.limit is None or self.took is None:
            return None
        return self.limit - self.took


@dataclass(frozen=True)
class Phase:
    """A bar of the Gantt chart: part of an incident, and what it waited for.

    ``begins`` and ``ends`` are seconds after the scenario's start. ``row`` groups bars: an
    incident's id, or ``people``.
    """

    row: str
    name: str
    begins: float
    ends: float
    waits: Waits
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Moment:
    """A point in the timeline: what was injected, what a person did, what Clampdown did or refused.

    ``at`` is seconds after the scenario's start.
    """

    at: float
    who: str
    kind: Literal["inject", "person", "machine", "refused", "fault"]
    text: str
    source: Source


@dataclass(frozen=True)
class Timing:
    """A milestone of an incident in seconds after the finding, and that of earlier drills.

    ``target`` is the objective's limit where there is one.
    """

    milestone: str
    took: float | None
    target: float | None
    last: float | None
    median: float | None
    worst: float | None
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """Something to do about what the drill has shown. ``rule`` is the rule's name, stable."""

    rule: str
    text: str
    severity: Literal["high", "medium", "low"]
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What somebody decided, or was asked and did not. ``after`` is seconds since they were asked."""

    person: str
    incident: str
    gate: str
    answer: str
    after: float | None
    counted: bool
    why_not: str
    details_opened: bool | None
    source: Source


@dataclass(frozen=True)
class Past:
    """What an earlier drill came to.

    ``at`` is when it was really played. ``milestones`` are those that its main finding reached, in
    seconds after it arrived.
    """

    drill: str
    at: datetime
    mode: str
    seed: int
    score: float
    passed: bool
    milestones: dict[str, float]
    scenario: str = ""
    playbook: str = ""


@dataclass(frozen=True)
class Coverage:
    """When a playbook was last drilled (None: never), how it went, and how long ago that is.

    ``overdue`` is whether that is 90 days or more."""

    playbook: str
    last: datetime | None
    passed: bool | None
    overdue: bool


@dataclass(frozen=True)
class Assessment:
    """Everything that a report shows.

    ``score`` is between 0 and 100 and ``formula`` says, in one line with its numbers, how it was
    made. ``people_share`` is the share of the time until containment spent waiting for people
    (None where nothing was contained). ``in_words`` tells the differences in sentences, by when they
    were looked at. Whatever is no class of its own names its records under ``sources``.
    """

    drill: str
    scenario: str
    title: str
    purpose: str
    mode: str
    seed: int
    people: str
    began: datetime
    lasted: timedelta
    header: dict[str, str]
    techniques: tuple[str, ...]
    score: float
    formula: str
    passed: bool
    verdicts: tuple[Verdict, ...]
    phases: tuple[Phase, ...]
    moments: tuple[Moment, ...]
    timings: tuple[Timing, ...]
    people_share: float | None
    fidelity: dict[str, Any]
    decisions: tuple[Decision, ...]
    quality: dict[str, Any]
    safety: dict[str, Any]
    evidence: tuple[dict[str, Any], ...]
    journal: dict[str, Any]
    faults: tuple[dict[str, Any], ...]
    calls: tuple[dict[str, Any], ...]
    differences: tuple[dict[str, Any], ...]
    not_tested: tuple[str, ...]
    lessons: tuple[Lesson, ...]
    past: tuple[Past, ...]
    coverage: tuple[Coverage, ...]
    in_words: dict[str, tuple[str, ...]] = field(default_factory=dict)
