"""The incidents that are open, read from the journal no more often than they change."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

from flows.incident import is_incident
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.slack.away import Away
from flows.slack.told import Told
from runbooks.playbook import Playbooks

_CLOSED = ("undone", "aborted", "contained", "denied")


class Inbox:
    """What may wait for people. Threads may share it."""

    def __init__(self, journal: Journal, playbooks: Playbooks) -> None:
        self._journal = journal
        self._playbooks = playbooks
        self._lock = threading.Lock()
        self._over: dict[str, int] = {}
        self._open: dict[str, Sequence[Record]] = {}

    def incidents(self, now: datetime, away: Away) -> list[Told]:
        """Those of which something is left to do, the newest first. Raises JournalUnavailable."""
        with self._lock:
            found = [
                told
                for head in self._journal.incidents()
                if is_incident(head.incident) and self._over.get(head.incident) != head.seq
                if (told := self._read(head.incident, head.seq, now, away)) is not None
            ]
        return sorted(found, key=lambda told: told.incident.opened_at, reverse=True)

    def _read(self, incident: str, seq: int, now: datetime, away: Away) -> Told | None:
        records = self._open.get(incident)
        if records is None or records[-1].seq != seq:
            records = self._open[incident] = self._journal.records(incident)
        told = Told(records, self._playbooks, now, away)
        if _is_open(told):
            return told
        del self._open[incident]
        self._over[incident] = records[-1].seq
        return None


def _is_open(told: Told) -> bool:
    return (
        told.incident.status not in _CLOSED
        or any(gate.review_due is not None for gate in told.gates)
        or (not told.is_over and any(task.done is None for task in told.incident.manual))
    )
