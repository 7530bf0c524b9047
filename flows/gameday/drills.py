"""Drills as the journal has them: what was played, what happened, and where it is kept.

A drill in the simulation has a home of its own under ``CLAMPDOWN_HOME/drills`` with a journal of its
own. In it, beside the chains of the incidents, is the drill's chain: what the scenario did, what
people did, and what was found at the end. Scores and reports are made from these records alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from flows.finding_log import is_finding
from flows.incident import is_incident
from flows.journal.journal import Journal
from flows.journal.record import Record

PREFIX = "drill-"
"""How the ids of drills, and so their chains in the journal, begin."""

Mode = Literal["sandbox", "twin", "shadow", "live drill", "replay"]
LIVE: Mode = "live drill"

BEGAN = "drill.began"
"""``{scenario, title, definition, digest, playbooks_digest, mode, seed, tool, people, region,
account, names, played_at}``: ``definition`` is the scenario as JSON, ``people`` says who plays
("stand-ins" or "slack"), ``names`` maps what the world calls things to their ids; ``played_at`` is
by the machine's clock, and nothing else is."""
INJECTED = "drill.injected"
"""``{event, at, thing, text, detail}``: ``event`` is its number in the timeline, from 0, ``at`` the
seconds at which it was due; ``detail`` has the finding's ``id`` and ``finding_id`` and so forth."""
PERSON = "drill.person"
"""``{person, does, incident, gate, after, refused, details_opened}``: ``does`` is noticed,
acknowledged, approved, denied, started, aborted, undid or silent; ``after`` is the seconds since
they were asked, ``refused`` why it did not count (empty where it did)."""
DIED = "drill.died"
"""``{event, change, back_after}``: the orchestrator was killed right before a change was sent."""
BACK = "drill.back"
"""``{away}``: the orchestrator was back after so many seconds."""
CHECKED = "drill.checked"
"""``{objective, holds, found, of}``: a condition as it was found at the end; ``found`` in words."""
CALLS = "drill.calls"
"""``{calls: [{service, operation, changes, count, errors: {code: count}}], faults: [{fault, hits}]}``:
what AWS was asked between the start and the end, by the orchestrator."""
DIFFERENCE = "drill.difference"
"""``{when, changes: [{path, before, after}]}``: what differs in the world from the start, ``when``
contained or undone."""
SAMPLE_ASKED = "drill.sample_asked"
"""``{type, account}``: GuardDuty is about to be asked for one of its sample findings."""
ENDED = "drill.ended"
"""``{why}``: how the drill came to its end: ``over``, ``stopped``, or an error in words."""


@dataclass(frozen=True)
class Drill:
    """One drill: the records of its own chain, and those of each incident in it.

    ``home`` is the folder it is kept in.
    """

    id: str
    home: Path
    records: tuple[Record, ...]
    incidents: dict[str, tuple[Record, ...]]
    findings: dict[str, tuple[Record, ...]]

    @property
    def began(self) -> Record:
        return self.records[0]

    @property
    def ended(self) -> Record | None:
        return next((record for record in reversed(self.records) if record.kind == ENDED), None)

    @property
    def about(self) -> dict[str, Any]:
        """What the first record says: the scenario, its seed, its mode."""
        return dict(self.began.body)

    @property
    def at(self) -> datetime:
        """When the scenario began, by its own clock."""
        return self.began.at

    def of(self, *kinds: str) -> list[Record]:
        """The records of the drill's own chain of these kinds."""
        return [record for record in self.records if record.kind in kinds]


def read_drill(home: Path, journal: Journal, drill_id: str) -> Drill:
    """A drill out of its journal; of a live one, which has none of its own, what belongs to it."""
    chains = [head.incident for head in journal.incidents() if head.incident != drill_id]
    records = tuple(journal.records(drill_id))
    incidents = {chain: tuple(journal.records(chain)) for chain in chains if is_incident(chain)}
    if records and records[0].body["mode"] == LIVE:
        incidents = {
            chain: told
            for chain, told in incidents.items()
            if told[0].body.get("drill") == drill_id
        }
        return Drill(drill_id, home, records, incidents, {})
    return Drill(
        drill_id,
        home,
        records,
        incidents,
        {chain: tuple(journal.records(chain)) for chain in chains if is_finding(chain)},
    )


def live_drills(home: Path, journal: Journal) -> Iterator[Drill]:
    """The live drills in the journal of real incidents, the oldest first. ``home`` is where that is
    kept."""
    for head in journal.incidents(PREFIX):
        if journal.records(head.incident)[0].body["mode"] == LIVE:
            yield read_drill(home, journal, head.incident)


def drill_homes(home: Path) -> Iterator[Path]:
    """The folders of all drills under CLAMPDOWN_HOME, the oldest first."""
    yield from sorted(path.parent for path in (home / "drills").glob("*/journal.db"))
