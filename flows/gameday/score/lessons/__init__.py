"""What a drill teaches, by rules: each has a name that stays, and looks at figures alone."""

from __future__ import annotations

from flows.gameday.assessment import Lesson
from flows.gameday.score.lessons import machine, outcome, people
from flows.gameday.score.lessons.seen import Rule, Seen, Severity

__all__ = ["RULES", "Seen", "lessons"]

RULES: tuple[Rule, ...] = (
    outcome.broke_off,
    outcome.journal,
    outcome.objectives,
    outcome.decoys,
    outcome.findings,
    machine.permissions,
    outcome.undo,
    people.bypassed,
    machine.verification,
    people.no_answer,
    people.slowest_phase,
    people.people,
    people.asked_again,
    machine.throttling,
    machine.steps,
    people.approvals,
    machine.away,
    outcome.slower,
    machine.unnoticed,
)


def lessons(seen: Seen) -> tuple[Lesson, ...]:
    """What is to be learnt, the gravest first."""
    found = [lesson for rule in RULES for lesson in rule(seen)]
    order: dict[Severity, int] = {"high": 0, "medium": 1, "low": 2}
    return tuple(sorted(found, key=lambda lesson: order[lesson.severity]))
