"""Which incidents there are about a target or a finding, without reading all of the journal again."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

from flows.journal.journal import Journal
from flows.journal.record import Record


@dataclass(frozen=True)
class OpenedIncident:
    """What an incident was opened about."""

    id: str
    playbook: str
    simulate: str
    targets: frozenset[str]
    finding: str


class IncidentIndex:
    """What all incidents were opened about, in the order in which they were opened.

    It is folded from their first records, and only what is new is read: which there are is asked
    each time, so that what other processes open is never missed.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._known: dict[str, OpenedIncident] = {}

    def about(
        self, simulate: str, targets: Collection[str], finding: str | None
    ) -> list[OpenedIncident]:
        """The incidents on one side that name one of the targets' ids, or are about the finding."""
        wanted = set(targets)
        with self._lock:
            self._read_new()
            return [
                opened
                for opened in self._known.values()
                if opened.simulate == simulate
                and (opened.targets & wanted or (finding is not None and opened.finding == finding))
            ]

    def _read_new(self) -> None:
        if not self._known:
            for record in self._journal.find(kind="incident.opened"):
                self._add(record)
        for chain in self._journal.chains_with("incident.opened"):
            if chain not in self._known:
                self._add(self._journal.records(chain)[0])

    def _add(self, record: Record) -> None:
        body = record.body
        self._known[record.incident] = OpenedIncident(
            record.incident,
            body["playbook"],
            body["simulate"],
            frozenset(target["id"] for target in body["targets"]),
            str((body["finding"] or {}).get("id", "")),
        )
