"""How long the changes of a plan would take, by how long such changes have taken before."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

from flows.journal.journal import Journal
from runbooks.calls import Plan, PlannedStep
from runbooks.playbook import Approve, Parallel, Playbook, RunStep
from runbooks.registry import STEPS

NOT_KNOWN = 0.5
"""Seconds that a change is taken to take of which the journal knows none."""
_SINCE = timedelta(days=30)
_REFRESH = timedelta(minutes=10)


@dataclass(frozen=True)
class Estimate:
    """In seconds: all changes, those before the first gate that would be asked, and all up to where
    AWS is waited for, which is when it would have been contained. ``how`` says how it was made."""

    calls: float
    until_gate: float
    contained: float
    how: str


class Durations:
    """The median time from a change's intent to its outcome within 30 days, by operation and for
    one side of live and simulated (``mode``)."""

    def __init__(self, journal: Journal, mode: str) -> None:
        with _LOCK:
            cache = _KNOWN.setdefault(journal, {})
            read_at, medians = cache.get(mode, (0.0, {}))
            now = time.monotonic()
            if not read_at or now - read_at > _REFRESH.total_seconds():
                medians = _medians(journal, mode)
                cache[mode] = (now, medians)
        self._medians = medians

    def of(self, operation: str) -> float | None:
        """The seconds of an operation; None where it was never made."""
        return self._medians.get(operation)


def estimate(
    plan: Plan, playbook: Playbook, gates: Sequence[str], durations: Durations
) -> Estimate:
    """How long a plan would take. ``gates`` are those that would be asked.

    The changes of a step come one after the other, which is the most that they can take; steps side
    by side, and the targets of a step, at the same time. Reads between them are not counted.
    """
    unknown: set[str] = set()

    def seconds_of(step: PlannedStep) -> float:
        total = 0.0
        for change in step.changes:
            known = durations.of(change.call.operation)
            if known is None:
                unknown.add(change.call.operation)
            total += NOT_KNOWN if known is None else known
        return total

    def longest(entries: Sequence[RunStep]) -> float:
        ids = {entry.id for entry in entries}
        return max((seconds_of(step) for step in plan.steps if step.id in ids), default=0.0)

    calls = until_gate = contained = 0.0
    gated = waits = False
    for entry in playbook.steps:
        if isinstance(entry, Approve):
            gated = gated or entry.approve.id in gates
            continue
        steps = entry.parallel if isinstance(entry, Parallel) else (entry,)
        own = [step for step in steps if isinstance(step, RunStep)]
        waits = waits or any(STEPS[step.step].waits for step in own)
        seconds = longest(own)
        calls += seconds
        until_gate += 0.0 if gated else seconds
        contained += 0.0 if waits else seconds
    return Estimate(round(calls, 3), round(until_gate, 3), round(contained, 3), _how(unknown))


def _how(unknown: set[str]) -> str:
    how = (
        "reads as they took; each change as the median of its kind in this journal within 30 days, "
        "the changes of a step one after the other, steps side by side together"
    )
    if unknown:
        how += f"; {NOT_KNOWN:g} s for what was never made: {', '.join(sorted(unknown))}"
    return how


def _medians(journal: Journal, mode: str) -> Mapping[str, float]:
    since = datetime.now(UTC) - _SINCE
    begun = {
        (record.incident, record.seq): (record.body["change"]["call"]["operation"], record.at)
        for record in journal.find(kind="change.intent", since=since)
        if record.body["mode"] == mode
    }
    took: defaultdict[str, list[float]] = defaultdict(list)
    for record in journal.find(kind="change.outcome", since=since):
        known = begun.get((record.incident, record.body["intent"]))
        if known is not None and record.body["status"] == "done":
            took[known[0]].append((record.at - known[1]).total_seconds())
    return {operation: statistics.median(seconds) for operation, seconds in took.items()}


_LOCK = threading.Lock()
# When it was read, on the monotonic clock, and what was found, by journal and mode.
_KNOWN: WeakKeyDictionary[Journal, dict[str, tuple[float, Mapping[str, float]]]] = (
    WeakKeyDictionary()
)
