"""What a live drill may change, by the facts that were read last and by what it has made itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from flows.journal.journal import Journal
from flows.journal.record import Record
from runbooks.guardrails import CREATES, DrillsOnly
from runbooks.targets.instance import Ec2Instance


def drills_only(
    journal: Journal, incident: str, targets: Callable[[], Iterable[Ec2Instance]]
) -> DrillsOnly:
    """The guardrail of an incident that is a live drill. ``targets`` are the facts of the moment."""
    return DrillsOnly(incident, targets, lambda: made_by(journal.records(incident)))


def made_by(records: Sequence[Record]) -> set[str]:
    """The ids and ARNs of what an incident has made: what AWS answered to its creating calls, and
    what had been named in the call itself left out.

    What was made by a call whose answer was lost is not known, and stays as it is.
    """
    creating = {
        record.seq: record.body["change"]["call"]
        for record in records
        if record.kind == "change.intent"
        and record.body["change"]["call"]["operation"] in CREATES
        and record.body["undoes"] is None
    }
    found: set[str] = set()
    for record in records:
        call = creating.get(record.body["intent"]) if record.kind == "change.outcome" else None
        if call is not None and record.body["status"] == "done":
            found.update(set(_texts(record.body["identifiers"])) - set(_texts(call["params"])))
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not str(key).endswith("State"):
                yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
