"""How far each finding of a drill got, and how long after it had arrived.

A finding with several incidents, or an incident with several targets, has reached a milestone when
all of them have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from flows.gameday.assessment import Source
from flows.gameday.scenario import Milestone
from flows.gameday.score.reading import Played, Told, short, sources, waits_for_aws
from flows.journal.record import Record
from runbooks.playbook import RunStep
from runbooks.registry import STEPS

MILESTONES: tuple[Milestone, ...] = get_args(Milestone)
ISOLATE = "ec2.isolate"
SNAPSHOT = "ec2.snapshot"
EVIDENCE = "evidence.wait"
_BY_HAND = (
    "incident.opened",
    "incident.started",
    "incident.asked",
    "incident.aborted",
    "gate.decided",
    "gate.reviewed",
    "manual.decided",
    "undo.started",
)
_ACKNOWLEDGES = {"acknowledged", "approved", "denied", "started", "aborted", "undid"}
_NOTICES = {"noticed", *_ACKNOWLEDGES}


@dataclass(frozen=True)
class Part:
    """One of the things that a milestone needs, and the record by which it was there."""

    what: str
    by: Record | None
    also: tuple[Record, ...] = ()


@dataclass(frozen=True)
class Reached:
    """How far a finding got towards a milestone.

    ``after`` is the seconds since its arrival; None where not all of its ``parts`` have it.
    ``untested`` says why it could not be reached at all, where what it needs never happened.
    """

    milestone: Milestone
    finding: str
    after: float | None
    parts: tuple[Part, ...]
    untested: str
    sources: tuple[Source, ...]

    @property
    def reached(self) -> int:
        """How many of the parts have it."""
        return sum(part.by is not None for part in self.parts)


def reached(played: Played, milestone: Milestone, finding: str) -> Reached:
    """How far a finding, by its id in the scenario, got towards a milestone."""
    nothing = Reached(milestone, finding, None, (), "", ())
    arrival = played.arrivals.get(finding)
    if arrival is None:
        return replace(nothing, untested=f"the finding {finding} never arrived")
    incidents = played.incidents_of(finding)
    if not incidents:
        return replace(nothing, sources=sources(arrival.first))
    untested = [_untested(played, milestone, told) for told in incidents]
    needed = [told for told, why in zip(incidents, untested, strict=True) if not why]
    if not needed:
        return replace(nothing, untested=untested[0], sources=sources(arrival.first))
    parts = tuple(part for told in needed for part in _PARTS[milestone](played, told))
    times = [part.by.at for part in parts if part.by]
    whole = bool(parts) and len(times) == len(parts)
    after = max((max(times) - arrival.first.at).total_seconds(), 0.0) if whole else None
    used = [record for part in parts for record in (part.by, *part.also)]
    return Reached(milestone, finding, after, parts, "", sources(arrival.first, *used))


def contained_by(told: Told) -> Record | None:
    """The record by which an incident was contained."""
    parts = _contained(told)
    times = [part.by for part in parts if part.by]
    return max(times, key=lambda record: record.at) if parts and len(times) == len(parts) else None


def _untested(played: Played, milestone: Milestone, told: Told) -> str:
    """Why an incident can't reach a milestone, because what it needs never happened."""
    if milestone in {"noticed", "acknowledged"}:
        asked = told.of("gate.requested", "manual.requested") or told.incident.opened["proposed"]
        return "" if asked or played.people(told.id) else "nobody was asked for anything"
    if milestone == "decided":
        return "" if told.of("gate.requested") else "no gate was asked for"
    if milestone == "undone":
        return "" if told.of("undo.started") else "nobody began to take it back"
    if milestone in {"isolated", "evidence"}:
        name = ISOLATE if milestone == "isolated" else EVIDENCE
        entries = [entry for entry in told.playbook.run_steps() if entry.step == name]
        if not entries:
            return f"the playbook {told.incident.playbook} has no {name}"
        if all(_skipped(told, entry, arn) for entry in entries for arn in told.targets):
            return f"{name} was left out by its own condition"
    return ""


def _noticed(played: Played, told: Told) -> list[Part]:
    return [Part(told.id, _first([*_counting(played, told, _NOTICES), *_by_hand(told)]))]


def _acknowledged(played: Played, told: Told) -> list[Part]:
    return [Part(told.id, _first([*_counting(played, told, _ACKNOWLEDGES), *_by_hand(told)]))]


def _decided(played: Played, told: Told) -> list[Part]:
    answers = [
        record for record in told.of("gate.decided") if record.body["answer"] in {"approve", "deny"}
    ]
    return [Part(told.id, _first(answers))]


def _isolated(told: Told) -> list[Part]:
    """The last change of each isolation before it was found to hold."""
    parts = []
    for entry in _of_step(told, ISOLATE):
        for arn in told.targets:
            if _skipped(told, entry, arn):
                continue
            held = _held(told, entry, arn)
            done = _changes(told, entry, arn, before=held) if held else []
            also = (held,) if held else ()
            parts.append(Part(f"{entry.id} on {short(arn)}", done[-1] if done else held, also))
    return parts


def _contained(told: Told) -> list[Part]:
    """Verified is every step that the playbook relies on (``on_failure: stop``) and that does not
    wait for AWS. Where it relies on none, every step that does not wait."""
    entries = [entry for entry in told.playbook.run_steps() if not waits_for_aws(entry.step)]
    relied_on = [entry for entry in entries if _relied_on(entry)]
    return _all_on_each_target(told, relied_on or entries, verified=True)


def _evidence(told: Told) -> list[Part]:
    """Verified is the wait for the snapshots of each target, and none that was to be taken is
    missing: the wait looks at those alone that there are."""
    waits = _all_on_each_target(told, _of_step(told, EVIDENCE), verified=True)
    taken = _all_on_each_target(told, _of_step(told, SNAPSHOT))
    missing = {part.what for part in taken if part.by is None}
    return [Part(part.what, None if part.what in missing else part.by) for part in waits]


def _undone(told: Told) -> list[Part]:
    closed = [record for record in told.of("incident.closed") if record.body["status"] == "undone"]
    return [Part(told.id, _first(closed))]


_PARTS: dict[Milestone, Callable[[Played, Told], list[Part]]] = {
    "noticed": _noticed,
    "acknowledged": _acknowledged,
    "decided": _decided,
    "isolated": lambda played, told: _isolated(told),
    "contained": lambda played, told: _contained(told),
    "evidence": lambda played, told: _evidence(told),
    "undone": lambda played, told: _undone(told),
}


def _of_step(told: Told, step: str) -> list[RunStep]:
    return [entry for entry in told.playbook.run_steps() if entry.step == step]


def _all_on_each_target(
    told: Told, entries: Sequence[RunStep], *, verified: bool = False
) -> list[Part]:
    """Of each target the last record by which all of the steps held; those left out aside."""
    parts = []
    for arn in told.targets:
        needed = [entry for entry in entries if not _skipped(told, entry, arn)]
        held = [_held(told, entry, arn, verified=verified) for entry in needed]
        known = [record for record in held if record is not None]
        if needed:
            by = max(known, key=lambda record: record.at) if len(known) == len(needed) else None
            parts.append(Part(short(arn), by))
    return parts


def _held(told: Told, entry: RunStep, arn: str, *, verified: bool = False) -> Record | None:
    """The record by which a step held on a target.

    That is where it was verified, the first time after it last was not. A step that was not looked
    at holds when it has ended well, unless ``verified`` is asked for.
    """
    failed = told.of_step(entry.id, arn, "verify.failed")
    after = failed[-1].seq if failed else 0
    later = [
        record
        for record in told.of_step(entry.id, arn, "verify.passed", "step.finished")
        if record.seq > after
    ]
    passed = [record for record in later if record.kind == "verify.passed"]
    ended = [record for record in later if record.body.get("status") in {"done", "unchanged"}]
    return next(iter(passed if passed or verified else ended), None)


def _changes(told: Told, entry: RunStep, arn: str, before: Record) -> list[Record]:
    """The outcomes of a step's changes on a target that were made up to a record."""
    intents = {
        record.seq
        for record in told.of("change.intent")
        if record.body["undoes"] is None
        and (record.body["step"], told.arn_of(record)) == (entry.id, arn)
    }
    return [
        record
        for record in told.of("change.outcome")
        if record.body["intent"] in intents
        and record.seq <= before.seq
        and record.body["status"] in {"done", "accepted"}
    ]


def _skipped(told: Told, entry: RunStep, arn: str) -> bool:
    ends = told.of_step(entry.id, arn, "step.finished")
    return bool(ends) and all(record.body["status"] == "skipped" for record in ends)


def _relied_on(entry: RunStep) -> bool:
    if entry.step in STEPS:
        return entry.on_failure_or_default(STEPS[entry.step]) == "stop"
    return entry.on_failure == "stop"


def _counting(played: Played, told: Told, does: set[str]) -> list[Record]:
    """What people did that counts: who may not decide is not who was called."""
    return [
        record
        for record in played.people(told.id)
        if record.body["does"] in does and not record.body.get("refused")
    ]


def _by_hand(told: Told) -> list[Record]:
    return [record for record in told.of(*_BY_HAND) if record.actor.kind == "person"]


def _first(records: Iterable[Record]) -> Record | None:
    return min(records, key=lambda record: record.at, default=None)
