"""What waits for people, read from the journal no more often than it changes."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from datetime import datetime

from flows.incident import PREFIX, ManualTask
from flows.journal.journal import IncidentHead, Journal
from flows.journal.record import Record
from flows.slack.away import Away
from flows.slack.told import Told
from runbooks.playbook import Playbooks

_CLOSED = ("undone", "aborted", "contained", "denied")
_MOVES = {
    "incident.opened",
    "incident.asked",
    "incident.started",
    "incident.waiting",
    "incident.paused",
    "incident.closed",
    "incident.aborted",
    "undo.started",
}


class Inbox:
    """What may wait for people. Threads may share it.

    Incidents that are over are not read: there may be years of them.
    """

    def __init__(self, journal: Journal, playbooks: Playbooks) -> None:
        self._journal = journal
        self._playbooks = playbooks
        self._lock = threading.Lock()
        self._over: dict[str, int] | None = None
        self._open: dict[str, Sequence[Record]] = {}

    def incidents(self, now: datetime, away: Away) -> list[Told]:
        """Those that are not over, or whose broken glass is to be reviewed, the newest first.

        Raises JournalUnavailable.
        """
        with self._lock:
            heads = self._journal.incidents(PREFIX)
            if self._over is None:
                self._over = self._known_to_be_over(heads)
            found = [
                told
                for head in heads
                if self._over.get(head.incident) != head.seq
                if (told := self._read(head, self._over, now, away)) is not None
            ]
        return sorted(found, key=lambda told: told.incident.opened_at, reverse=True)

    def tasks(self, groups: Collection[str]) -> list[tuple[str, ManualTask]]:
        """The tasks of these groups that are open, each with its incident, the newest first.

        Raises JournalUnavailable.
        """
        reported = {
            _task(record): record.seq for record in self._journal.find(kind="manual.decided")
        }
        over = set(self._journal.chains_with("incident.aborted"))
        for end in self._journal.last_of({"incident.closed"}, PREFIX):
            if end.body["status"] == "undone":
                over.add(end.incident)
        found: dict[tuple[str, str], ManualTask] = {}
        for record in self._journal.find(kind="manual.requested"):
            key, body = _task(record), record.body
            is_open = record.incident not in over and reported.get(key, 0) < record.seq
            if is_open and body["by"] in groups:
                found[key] = ManualTask(body["id"], body["text"], body["by"], None, "")
        return [(incident, task) for (incident, _), task in reversed(found.items())]

    def _known_to_be_over(self, heads: Sequence[IncidentHead]) -> dict[str, int]:
        """By their last moves alone, with the numbers of their last records."""
        ended = {
            last.incident
            for last in self._journal.last_of(_MOVES, PREFIX)
            if last.kind == "incident.aborted"
            or (last.kind == "incident.closed" and last.body["status"] in _CLOSED)
        }
        for vote in self._journal.find(kind="gate.decided"):
            if vote.body["break_glass"]:
                ended.discard(vote.incident)
        return {head.incident: head.seq for head in heads if head.incident in ended}

    def _read(
        self, head: IncidentHead, over: dict[str, int], now: datetime, away: Away
    ) -> Told | None:
        records = self._open.get(head.incident)
        if records is None or records[-1].seq != head.seq:
            records = self._open[head.incident] = self._journal.records(head.incident)
        told = Told(records, self._playbooks, now, away)
        if told.incident.status not in _CLOSED or any(gate.review_due for gate in told.gates):
            return told
        del self._open[head.incident]
        over[head.incident] = records[-1].seq
        return None


def _task(record: Record) -> tuple[str, str]:
    return record.incident, record.body["id"]
