"""The gate linter: no step that takes something down is reached without a gate before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from runbooks.playbook import Approve, Parallel, Playbook, Playbooks, RunStep
from runbooks.step import AnyStep


@dataclass(frozen=True)
class Ungated:
    """A disruptive step with no gate before it. ``path`` leads to it within the playbook."""

    step: RunStep
    path: tuple[str | int, ...]


def ungated(playbook: Playbook, steps: Mapping[str, type[AnyStep]]) -> Iterator[Ungated]:
    """The disruptive steps that run whatever anybody decides.

    A playbook is a list, so a gate stands before everything after it; within a parallel block
    there can be none. A gate with a condition counts (the loader sees to it that the condition
    looks at something, and where that is not there the gate stands): :func:`notes` says when it is
    not asked.
    """
    gated = False
    for index, entry in enumerate(playbook.steps):
        if isinstance(entry, Approve):
            gated = True
        elif isinstance(entry, Parallel):
            for inner, step in enumerate(entry.parallel):
                if not gated and _disruptive(step, steps):
                    yield Ungated(step, ("steps", index, "parallel", inner, "step"))
        elif isinstance(entry, RunStep) and not gated and _disruptive(entry, steps):
            yield Ungated(entry, ("steps", index, "step"))


def notes(playbooks: Playbooks, steps: Mapping[str, type[AnyStep]]) -> list[str]:
    """Where a gate's condition lets disruptive steps run without approval, as sentences."""
    said: list[str] = []
    for name, playbook in playbooks.playbooks.items():
        conditions: list[str] | None = None
        for entry in playbook.steps:
            if isinstance(entry, Approve):
                # An unconditional gate holds for everything after it; conditions add up.
                conditions = [] if entry.when is None else _more(conditions, entry.when)
            elif conditions:
                block = entry.parallel if isinstance(entry, Parallel) else (entry,)
                for step in block:
                    if isinstance(step, RunStep) and _disruptive(step, steps):
                        unless = " and ".join(f"not ({item})" for item in conditions)
                        said.append(f"{name}: {step.id} runs without approval when {unless}")
    return said


def _more(conditions: list[str] | None, condition: str) -> list[str]:
    if conditions == []:
        return []
    return [*(conditions or []), condition]


def _disruptive(step: RunStep, steps: Mapping[str, type[AnyStep]]) -> bool:
    return step.step in steps and steps[step.step].disruptive
