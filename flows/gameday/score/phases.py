"""Where the time went: the bars of the Gantt chart, and the share of it spent on people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from flows.gameday.assessment import Phase, Waits
from flows.gameday.drills import BACK, DIED
from flows.gameday.score.gates import asked
from flows.gameday.score.milestones import contained_by
from flows.gameday.score.reading import Played, Told, short, sources, waits_for_aws
from flows.journal.record import Record

PEOPLE = "people"
"""The row in which what people do stands."""
_DECISIONS = {"approved", "denied"}


def phases(played: Played) -> tuple[Phase, ...]:
    """All bars: incident by incident in the order in which they were opened, each by its bars'
    beginnings; then people's."""
    return tuple(_Bars(played).all())


def people_share(played: Played, bars: Iterable[Phase]) -> float | None:
    """The share of the time from findings' arrivals until containment in which people were waited
    for, over all incidents that were contained; None where none was."""
    known = list(bars)
    waited = total = 0.0
    for told in played.incidents:
        by = contained_by(told)
        if by is None:
            continue
        begins, ends = played.since(played.arrival_of(told).at), played.since(by.at)
        spans = sorted(
            (max(bar.begins, begins), min(bar.ends, ends))
            for bar in known
            if bar.row == told.id and bar.waits == "people"
        )
        total += max(ends - begins, 0.0)
        waited += _covered(spans)
    return min(waited / total, 1.0) if total else None


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """How much of the time the spans, in the order of their beginnings, cover together."""
    covered, until = 0.0, float("-inf")
    for begins, ends in spans:
        covered += max(ends - max(begins, until), 0.0)
        until = max(until, ends)
    return covered


class _Bars:
    def __init__(self, played: Played) -> None:
        self._played = played
        self._end = played.drill.at + played.lasted

    def all(self) -> Iterator[Phase]:
        for told in self._played.incidents:
            yield from sorted(self._of(told), key=lambda bar: bar.begins)
        yield from self._people()

    def _of(self, told: Told) -> Iterator[Phase]:
        yield from self._before_the_plan(told)
        yield from self._gates(told)
        yield from self._steps(told)
        yield from self._verification(told)
        yield from self._away(told)
        yield from self._undo(told)

    def _bar(
        self,
        row: str,
        name: str,
        begins: Record,
        ends: Record | datetime,
        waits: Waits,
        *more: Record,
    ) -> Phase:
        last = ends if isinstance(ends, Record) else None
        until = ends.at if isinstance(ends, Record) else ends
        first = self._played.since(begins.at)
        return Phase(
            row,
            name,
            first,
            max(self._played.since(until), first),
            waits,
            sources(begins, *more, last),
        )

    def _before_the_plan(self, told: Told) -> Iterator[Phase]:
        """From the finding until there is a plan; where somebody has to start it, until they do."""
        arrival = self._played.arrival_of(told)
        plans = told.of("plan.made")
        ended: Record | datetime = plans[0] if plans else self._ended(told)
        begins = arrival
        if told.incident.opened["proposed"]:
            opened = told.records[0]
            started = next(iter(told.of("incident.started", "incident.asked")), None)
            yield self._bar(told.id, "reading the finding", arrival, opened, "Clampdown")
            until = started or self._ended(told)
            yield self._bar(told.id, "until somebody starts it", opened, until, "people")
            if started is None:
                return
            begins = started
        yield self._bar(told.id, "until the plan", begins, ended, "Clampdown")

    def _gates(self, told: Told) -> Iterator[Phase]:
        for wait in asked(self._played, told):
            ends: Record | datetime = wait.ended or self._ended(told)
            unseen = f"gate {wait.gate}: unnoticed"
            if wait.noticed is None:
                yield self._bar(told.id, unseen, wait.requested, ends, "people")
                continue
            yield self._bar(told.id, unseen, wait.requested, wait.noticed, "people")
            name = f"gate {wait.gate}: thinking"
            yield self._bar(told.id, name, wait.noticed, ends, "people", *wait.decisions)

    def _steps(self, told: Told) -> Iterator[Phase]:
        for started in told.of("step.started"):
            step, target = started.body["step"], started.body["target"]
            later = [
                record
                for record in told.of_step(step, target, "step.started", "step.finished")
                if record.seq > started.seq
            ]
            died = [record for record in self._played.drill.of(DIED) if record.at >= started.at]
            ends: Record | datetime = self._ended(told)
            if later and later[0].kind == "step.finished":
                ends = later[0]
            elif died:
                ends = died[0]
            elif later:
                ends = later[0]
            name = step if len(told.targets) == 1 else f"{step} on {short(target)}"
            waits: Waits = "AWS" if waits_for_aws(started.body["name"]) else "Clampdown"
            yield self._bar(told.id, name, started, ends, waits)

    def _verification(self, told: Told) -> Iterator[Phase]:
        """Records of verification come together; reading for them began after the one before."""
        group: list[Record] = []
        before = told.records[0]
        for record in (*told.records, None):
            if record is not None and record.kind in {"verify.passed", "verify.failed"}:
                group.append(record)
                continue
            if group:
                yield self._bar(
                    told.id, "verification", before, group[-1], "Clampdown", *group[:-1]
                )
                group = []
            if record is not None:
                before = record

    def _away(self, told: Told) -> Iterator[Phase]:
        """The orchestrator was dead while the incident was going on."""
        ended = self._ended(told)
        for died in self._played.drill.of(DIED):
            if not told.incident.opened_at <= died.at <= ended:
                continue
            back = [record for record in self._played.drill.of(BACK) if record.at >= died.at]
            until: Record | datetime = back[0] if back else self._end
            yield self._bar(told.id, "away", died, until, "Clampdown")

    def _undo(self, told: Told) -> Iterator[Phase]:
        for begun in told.of("undo.started"):
            closed = [record for record in told.of("incident.closed") if record.seq > begun.seq]
            ends: Record | datetime = closed[0] if closed else self._end
            yield self._bar(told.id, "taking it back", begun, ends, "Clampdown")

    def _people(self) -> Iterator[Phase]:
        """What each person thought about, from looking at it until deciding."""
        looked: dict[tuple[str, str, str], Record] = {}
        for record in self._played.people():
            body = record.body
            key = (body["person"], body.get("incident") or "", body.get("gate") or "")
            if body["does"] == "noticed":
                looked.setdefault(key, record)
            elif body["does"] in _DECISIONS and key in looked:
                name = f"{body['person']} on {body['gate']}" if body["gate"] else body["person"]
                yield self._bar(PEOPLE, name, looked.pop(key), record, "people")

    def _ended(self, told: Told) -> datetime:
        """When the incident, its undo left aside, had come to its end; the drill's end if never."""
        ends = [
            record
            for record in told.of("incident.closed", "incident.aborted")
            if not record.body.get("undo")
        ]
        return ends[-1].at if ends else self._end
