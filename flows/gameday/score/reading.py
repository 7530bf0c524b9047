"""A drill read for scoring: its scenario, its incidents, its findings, and when each was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import Any

from pydantic import ValidationError

from flows.gameday.assessment import Source
from flows.gameday.drills import INJECTED, PERSON, Drill
from flows.gameday.scenario import Event, FindingInject, Scenario
from flows.incident import Incident, fold
from flows.journal.record import Record
from runbooks.errors import InvalidInput
from runbooks.playbook import Playbook
from runbooks.registry import STEPS
from runbooks.step import write_duration
from runbooks.targets.reference import TargetRef


@dataclass(frozen=True)
class Told:
    """One incident: its records, and what they fold to."""

    records: tuple[Record, ...]
    incident: Incident

    @property
    def id(self) -> str:
        return self.incident.id

    @cached_property
    def playbook(self) -> Playbook:
        """The playbook as it was when the incident was opened."""
        return Playbook.model_validate(self.incident.opened["definition"])

    def of(self, *kinds: str) -> list[Record]:
        return [record for record in self.records if record.kind in kinds]

    def of_step(self, step: str, target: str, *kinds: str) -> list[Record]:
        """The records of a step on a target (its id in the playbook, and an ARN)."""
        return [
            record
            for record in self.of(*kinds)
            if (record.body["step"], record.body["target"]) == (step, target)
        ]

    def arn_of(self, intent: Record) -> str:
        """The ARN of the target of a change."""
        return TargetRef(**intent.body["target"]).arn

    @property
    def targets(self) -> list[str]:
        return [ref.arn for ref in self.incident.targets]


@dataclass(frozen=True)
class Arrival:
    """A finding of the scenario, as it first arrived. ``ids`` are GuardDuty's: copies have more."""

    inject: FindingInject
    ids: frozenset[str]
    first: Record


@dataclass(frozen=True)
class Played:
    """A drill with everything that figures are made from. Times are seconds after its start."""

    drill: Drill
    scenario: Scenario
    incidents: tuple[Told, ...]

    @cached_property
    def lasted(self) -> timedelta:
        """From the start until the last of all records: of the drill, of incidents, of findings."""
        last = max(record.at for record in self.records())
        return max(last - self.drill.at, timedelta())

    @property
    def length(self) -> float:
        return self.lasted.total_seconds()

    def records(self) -> Iterator[Record]:
        """All records of all chains."""
        drill = self.drill
        return chain(drill.records, *drill.incidents.values(), *drill.findings.values())

    def since(self, at: datetime) -> float:
        """Seconds after the start, within the drill."""
        return min(max((at - self.drill.at).total_seconds(), 0.0), self.length)

    def injected(self, *things: str) -> list[Record]:
        return [record for record in self.drill.of(INJECTED) if record.body["thing"] in things]

    def event_of(self, injected: Record) -> Event | None:
        """The event of the scenario that a record tells of."""
        number = injected.body["event"]
        known = isinstance(number, int) and 0 <= number < len(self.scenario.timeline)
        return self.scenario.timeline[number] if known else None

    def people(self, incident: str | None = None) -> list[Record]:
        """What people did, in one incident or in all."""
        return [
            record
            for record in self.drill.of(PERSON)
            if incident in (None, record.body.get("incident"))
        ]

    @cached_property
    def arrivals(self) -> dict[str, Arrival]:
        """The findings that arrived, by their ids in the scenario."""
        found: dict[str, Arrival] = {}
        for record in self.injected("finding"):
            event = self.event_of(record)
            if event is None or event.finding is None:
                continue
            inject = event.finding
            known = found.get(inject.id)
            ids = _finding_ids(record.body["detail"])
            found[inject.id] = Arrival(
                known.inject if known else inject,
                (known.ids if known else frozenset()) | ids,
                known.first if known else record,
            )
        return found

    def incidents_of(self, finding: str) -> list[Told]:
        """The incidents that are about a finding of the scenario: those that name it, and those
        that somebody opened, after it had come, on what it is about."""
        arrival = self.arrivals.get(finding)
        if arrival is None:
            return []
        return [told for told in self.incidents if self._is_about(told, arrival)]

    def arrival_of(self, told: Told) -> Record:
        """The record from which an incident's time is counted: its finding's arrival, or, where it
        has none, its first."""
        firsts = [item.first for item in self.arrivals.values() if self._is_about(told, item)]
        return min(firsts, key=lambda record: record.at, default=told.records[0])

    @property
    def main_finding(self) -> str:
        """The finding that the figures over time are about: that of the first objective in time."""
        timed = (objective.finding for objective in self.scenario.objectives if objective.until)
        events = (event.finding.id for event in self.scenario.timeline if event.finding)
        return next(chain(timed, events), "finding")

    def id_of(self, name: str) -> str:
        """The id in AWS of what the world calls so; the name itself where it names nothing."""
        return str(self.drill.about.get("names", {}).get(name, name))

    def _is_about(self, told: Told, arrival: Arrival) -> bool:
        named = told.incident.findings
        if named:
            return any(
                {str(known.finding.get("id")), str(known.finding.get("arn"))} & arrival.ids
                for known in named
            )
        on = self.id_of(arrival.inject.on)
        later = told.incident.opened_at >= arrival.first.at
        return later and any(ref.id == on for ref in told.incident.targets)


def read(drill: Drill) -> Played:
    """The drill, read. Raises InvalidInput where it never began, or is not understood."""
    if not drill.records:
        raise InvalidInput(
            f"There is nothing of {drill.id}: it never began.",
            advice="`clampdown gameday run` plays the scenario again.",
        )
    try:
        scenario = Scenario.model_validate(drill.about["definition"])
    except (KeyError, ValidationError) as error:
        raise InvalidInput(
            f"The scenario of {drill.id} is not understood: it was played by another version.",
            advice="Play it again with `clampdown gameday run`.",
        ) from error
    incidents = (Told(records, fold(records)) for records in drill.incidents.values())
    return Played(
        drill, scenario, tuple(sorted(incidents, key=lambda told: told.incident.opened_at))
    )


def source(record: Record) -> Source:
    return Source(record.incident, record.seq)


def sources(*records: Record | None) -> tuple[Source, ...]:
    """Where a figure comes from: each record once, in the order given."""
    return tuple(dict.fromkeys(source(record) for record in records if record is not None))


def words(seconds: float) -> str:
    """A duration to be read: ``4.2s`` up to ten seconds, whole seconds (``4m10s``) beyond."""
    if abs(seconds) < 10:
        return f"{seconds:.1f}s"
    return write_duration(timedelta(seconds=round(seconds)))


def waits_for_aws(step_name: str) -> bool:
    """Whether a step, by its name in the registry, waits for AWS."""
    return step_name in STEPS and STEPS[step_name].waits


def short(target: str) -> str:
    """The last part of an ARN."""
    return target.rsplit("/", 1)[-1]


def _finding_ids(detail: Any) -> frozenset[str]:
    named = (detail.get(key) for key in ("finding_id", "finding_ids", "arn"))
    return frozenset(
        str(item)
        for value in named
        if value
        for item in (value if isinstance(value, list | tuple) else [value])
    )
