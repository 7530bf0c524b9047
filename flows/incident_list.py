"""All incidents, as far as a list of them shows: without reading all that was done in each."""

from __future__ import annotations

from flows.incident import TURNING_POINTS, Incident, fold
from flows.journal.journal import Journal
from flows.journal.record import Record


def list_incidents(journal: Journal) -> list[Incident]:
    """All incidents, the newest first; without their plans, steps, changes, gates, tasks, and the
    findings that joined."""
    found: dict[str, list[Record]] = {}
    for record in journal.find(kind="incident.opened"):
        found[record.incident] = [record]
    for kind in TURNING_POINTS - {"incident.opened"}:
        for record in journal.find(kind=kind):
            # Of what was opened a moment ago, the beginning may not have been there yet.
            if record.incident in found:
                found[record.incident].append(record)
    incidents = [fold(sorted(records, key=lambda record: record.seq)) for records in found.values()]
    return sorted(incidents, key=lambda incident: incident.opened_at, reverse=True)
