"""What each gate of an incident went through, each time that people were asked.

The journal's own records decide here what counted when; who is on a list today does not change how
long people took then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flows.gameday.score.reading import Played, Told
from flows.journal.record import Record

Ending = Literal["approved", "denied", "expired", "asked again", "broken off", "open"]


@dataclass(frozen=True)
class Asked:
    """People were asked once for a gate.

    ``noticed`` is the first sign that anybody who may decide has seen it, ``ended`` the record that
    ended the wait; None where there is none.
    """

    gate: str
    incident: str
    requested: Record
    noticed: Record | None
    ended: Record | None
    ending: Ending
    decisions: tuple[Record, ...]
    escalated: Record | None

    def end(self, otherwise: datetime) -> datetime:
        return self.ended.at if self.ended else otherwise


def asked(played: Played, told: Told) -> Iterator[Asked]:
    """Each time that people were asked for a decision on the incident, in order."""
    for number, record in enumerate(told.records):
        if record.kind == "gate.requested":
            yield _asked(played, told, record, told.records[number + 1 :])


def _asked(played: Played, told: Told, request: Record, after: Sequence[Record]) -> Asked:
    gate = request.body["gate"]
    ended, ending = _ended(request, after)
    until = [record for record in after if ended is None or record.seq <= ended.seq]
    own = [record for record in until if record.body.get("gate") == gate]
    decisions = tuple(record for record in own if record.kind == "gate.decided")
    seen = [
        record
        for record in played.people(told.id)
        if record.body["does"] != "silent"
        and not record.body.get("refused")
        and record.body.get("gate") in ("", gate)
        and request.at <= record.at
        and (ended is None or record.at <= ended.at)
    ]
    return Asked(
        gate,
        told.id,
        request,
        min([*seen, *decisions], key=lambda record: record.at, default=None),
        ended,
        ending,
        decisions,
        next((record for record in own if record.kind == "gate.escalated"), None),
    )


def _ended(request: Record, after: Sequence[Record]) -> tuple[Record | None, Ending]:
    gate = request.body["gate"]
    needed = {item["group"]: item["count"] for item in request.body["any_of"]}
    approvals: dict[str, set[str]] = {}
    denials: set[str] = set()
    for record in after:
        if record.kind in {"incident.closed", "incident.aborted"}:
            return record, "broken off"
        if record.body.get("gate") != gate:
            continue
        match record.kind:
            case "gate.requested":
                return record, "asked again"
            case "gate.expired":
                return record, "expired"
            case "gate.escalated":
                needed[record.body["to"]] = 1
            case "gate.decided" if record.body["answer"] == "approve":
                for group in record.body["groups"]:
                    approvals.setdefault(group, set()).add(record.body["principal"])
                enough = any(
                    len(approvals.get(group, ())) >= count for group, count in needed.items()
                )
                if enough or record.body["break_glass"]:
                    return record, "approved"
            case "gate.decided" if record.body["answer"] == "deny":
                denials.add(record.body["principal"])
                if len(denials) >= request.body["deny_at"]:
                    return record, "denied"
            case _:
                continue
    return None, "open"
