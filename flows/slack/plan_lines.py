"""A plan in plain words: a line for each step and target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.console.terminal import counted
from flows.slack.effects import readable
from flows.slack.text import code, safe, some_of
from flows.slack.told import short
from runbooks.calls import Plan, PlannedStep

_WHYS = 3
_STEPS = 10


def plan_lines(plan: Plan) -> list[str]:
    """What each step would do, with the gates in their places."""
    many = len(plan.targets) > 1
    lines: list[str] = []
    gate = ""
    for step in plan.steps:
        if step.gate != gate:
            gate = step.gate
            lines.append(f"🔒 *only if approved at {code(gate, 80)}:*")
        lines.append(step_line(step, many=many))
    return lines


def step_line(step: PlannedStep, *, many: bool) -> str:
    """What one step would do; ``many`` is whether its target has to be named."""
    name = code(step.id, 80) + (f" on {code(short(step.target), 60)}" if many else "")
    if step.skipped:
        return f"• {name}: left out, {safe(step.skipped, 200)}"
    if not step.changes:
        later = " unless it turns out to be needed" if step.contingent else ""
        return f"• {name}: nothing to change{later}"
    whys = list(dict.fromkeys(readable(change.why) for change in step.changes))
    said = some_of([safe(why, 120) for why in whys[:_WHYS]], _WHYS)
    rest = f", and {len(whys) - _WHYS} more" if len(whys) > _WHYS else ""
    return f"• {name}, {counted(len(step.changes), 'change')}: {said}{rest}"


def amounts(plan: Plan) -> str:
    """How many changes each step makes, in one line."""
    counts: dict[str, int] = {}
    for step, _ in plan.all_changes():
        counts[step.id] = counts.get(step.id, 0) + 1
    steps = [f"{code(step, 80)} {number}" for step, number in counts.items()]
    return f"{counted(len(plan.changes), 'change')} ({some_of(steps, _STEPS)})" if steps else "none"


def warning_lines(steps: Iterable[PlannedStep]) -> list[str]:
    """What to know before, each once; what puts evidence at risk first."""
    warnings = list(dict.fromkeys(warning for step in steps for warning in step.warnings))
    warnings.sort(key=lambda warning: not warning.startswith("Evidence at risk"))
    return [f"• {safe(readable(warning), 400)}" for warning in warnings]


def difference_lines(gone: Sequence[str], added: Sequence[str]) -> list[str]:
    """What a plan no longer does, and what it does now instead."""
    return [
        *(f"➖ no longer: {safe(readable(line), 300)}" for line in gone),
        *(f"➕ new: {safe(readable(line), 300)}" for line in added),
    ]
