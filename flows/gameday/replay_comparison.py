"""An incident as it was and as it is replayed: what would have been sooner, and what else differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flows.gameday.drills import BEGAN, INJECTED, Drill
from flows.gameday.scenario import Event, FindingInject, Milestone, Objective, Scenario
from flows.gameday.score.milestones import reached
from flows.gameday.score.reading import Played, Told, words
from flows.incident import fold
from flows.journal.record import GENESIS, Actor, Record

MEASURED: tuple[Milestone, ...] = ("acknowledged", "decided", "isolated", "contained", "evidence")
"""The milestones that are compared, counted from when the incident was opened."""

_PAST = {
    "acknowledged": "acknowledged",
    "decided": "decided",
    "isolated": "isolated",
    "contained": "contained",
    "evidence": "evidence secured",
}
NOTICEABLE = 5.0
"""So many seconds are no difference: people are recalled in whole seconds, and machines vary."""
_FINDING = "finding"
_ON = "target"


@dataclass(frozen=True)
class Compared:
    """A milestone in seconds after the incident was opened; None where it was not reached."""

    milestone: Milestone
    then: float | None
    now: float | None

    @property
    def sooner(self) -> float | None:
        """By how many seconds it is sooner now; negative where it is later."""
        return None if self.then is None or self.now is None else self.then - self.now


@dataclass(frozen=True)
class Comparison:
    """What differs, as figures and in sentences.

    ``better`` is whether it would have been contained sooner, or at all; None where there is no
    difference worth speaking of, or neither was contained.
    """

    milestones: tuple[Compared, ...]
    better: bool | None
    sentences: tuple[str, ...]


def compare(then: Sequence[Record], now: Sequence[Record]) -> Comparison:
    """An incident's records, and those of the same incident in its replay.

    Raises InvalidInput where either are no incident's.
    """
    before, after = seconds_to(then), seconds_to(now)
    milestones = tuple(
        Compared(milestone, before.get(milestone), after.get(milestone))
        for milestone in MEASURED
        if before.get(milestone) is not None or after.get(milestone) is not None
    )
    sentences = [*map(_sentence, milestones), *_gates(then, now), *_steps(then, now)]
    ended = fold(then).status, fold(now).status
    if ended[0] != ended[1]:
        sentences.append(f"it ended as {ended[0]} then, and as {ended[1]} now")
    contained = [item for item in milestones if item.milestone == "contained"]
    return Comparison(milestones, _better(contained[0]) if contained else None, tuple(sentences))


def seconds_to(records: Sequence[Record]) -> dict[Milestone, float]:
    """How many seconds after an incident was opened each milestone was reached, by the same rules
    as in a drill's score; those that were not are left out."""
    played = _as_played(records)
    found = {milestone: reached(played, milestone, _FINDING).after for milestone in MEASURED}
    return {milestone: after for milestone, after in found.items() if after is not None}


def _better(contained: Compared) -> bool | None:
    if contained.sooner is None:
        return contained.now is not None
    return None if abs(contained.sooner) < NOTICEABLE else contained.sooner > 0


def _sentence(item: Compared) -> str:
    what = _PAST[item.milestone]
    if item.now is None:
        return f"not {what} now; then it was after {words(item.then or 0)}"
    if item.then is None:
        return f"{what} after {words(item.now)} now; then it never was"
    sooner = item.then - item.now
    if abs(sooner) < NOTICEABLE:
        return f"{what} as soon as then, after {words(item.now)}"
    word = "sooner" if sooner > 0 else "later"
    return (
        f"{what} {words(abs(sooner))} {word}: after {words(item.now)} instead of {words(item.then)}"
    )


def _gates(then: Sequence[Record], now: Sequence[Record]) -> Iterator[str]:
    before, after = _asked(then), _asked(now)
    for gate in dict.fromkeys([*before, *after]):
        if gate in before and gate in after:
            yield f"would have waited for the same approval: {gate}"
        elif gate in after:
            yield f"would have waited for an approval that nobody was asked for then: {gate}"
        else:
            yield f"would not have waited for the approval {gate}"


def _asked(records: Sequence[Record]) -> list[str]:
    return [record.body["gate"] for record in records if record.kind == "gate.requested"]


def _steps(then: Sequence[Record], now: Sequence[Record]) -> Iterator[str]:
    before, after = _told(then), _told(now)
    steps = [
        {entry.id: entry.step for entry in told.playbook.run_steps()} for told in (before, after)
    ]
    for word, these, those in (("new", steps[1], steps[0]), ("gone", steps[0], steps[1])):
        for identity, step in these.items():
            if identity not in those:
                called = identity if identity == step else f"{identity} ({step})"
                yield f"the step {called} is {word}"
    ends = [{step.id: step for step in told.incident.steps} for told in (before, after)]
    for identity in [step for step in steps[0] if step in steps[1]]:
        was, now_is = ends[0].get(identity), ends[1].get(identity)
        if was is None or now_is is None or was.status == now_is.status:
            continue
        if "failed" in (was.status, now_is.status):
            yield f"the step {identity} was {was.status} then, and is {now_is.status} now"


def _told(records: Sequence[Record]) -> Told:
    return Told(tuple(records), fold(records))


def _as_played(records: Sequence[Record]) -> Played:
    """The incident as a drill whose finding arrives when it is opened: so it is measured like one."""
    told = _told(records)
    inject = FindingInject(id=_FINDING, type="any", on=_ON)
    scenario = Scenario(
        version=1,
        title="measured",
        purpose="measured",
        lasts=timedelta(days=1),
        timeline=(Event(at=timedelta(), finding=inject),),
        objectives=(Objective(id="any", title="any", holds="contained"),),
    )
    named = [str(known.finding.get("id")) for known in told.incident.findings]
    target = told.incident.targets[0].id
    first = told.records[0]
    began = _beside(first, BEGAN, {"names": {_ON: target}})
    detail = {"id": _FINDING, "finding_ids": named}
    arrived = _beside(first, INJECTED, {"event": 0, "thing": _FINDING, "detail": detail})
    drill = Drill("", Path(), (began, arrived), {told.id: told.records}, {})
    return Played(drill, scenario, (told,))


def _beside(record: Record, kind: str, body: dict[str, object]) -> Record:
    """A record at the same time; it is in no journal."""
    system = Actor("system", "clampdown", "replay")
    return Record("", 1, record.at, kind, system, body, GENESIS, GENESIS)
