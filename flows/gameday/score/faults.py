"""What was done to the drill — faults, an intruder, the orchestrator's death — and who noticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from flows.gameday.drills import BACK, CALLS, DIED
from flows.gameday.scenario import AttackerInject, FaultInject
from flows.gameday.score.reading import Played, source, sources, words
from flows.journal.record import Record

_DENIED = ("accessdenied", "unauthorizedoperation")
_THROTTLED = ("throttl", "limitexceeded", "slowdown", "toomanyrequests", "priorrequest")
# What a fault sounds like in the journal, where it has no code of its own.
_SOUNDS: Mapping[str, tuple[str, ...]] = {
    "throttle": _THROTTLED,
    "deny": _DENIED,
    "expired_token": ("expired",),
    "server_error": ("may or may not have been done", "unavailable", "internal"),
    "drop": ("no answer came",),
    "lost_answer": ("no answer came", "may or may not have been done"),
}
_TROUBLE = ("change.outcome", "step.finished", "verify.failed", "warning", "incident.paused")
_ENDED_WELL = {"done", "accepted", "unchanged", "skipped"}


def faults(played: Played) -> tuple[dict[str, Any], ...]:
    """Everything that was done to the drill, when, how many calls it hit, and what noticed it.

    ``hits`` is None where nothing is counted. A fault that was overcome by trying again, without a
    word in the journal, was noticed by nobody.
    """
    hits = _hits(played)
    found: list[dict[str, Any]] = []
    for record in played.injected("fault", "attacker"):
        event = played.event_of(record)
        if event is None:
            continue
        if event.fault is not None:
            count, counted_by = hits.pop(0) if hits else (None, None)
            noticed = _trouble(played, record, event.fault) if count != 0 else None
            found.append(_entry(played, record, count, noticed, counted_by))
        elif event.attacker is not None:
            found.append(_entry(played, record, None, _answer(played, record, event.attacker)))
    found.extend(_deaths(played))
    return tuple(sorted(found, key=lambda item: float(item["at_seconds"])))


def calls(played: Played) -> tuple[dict[str, Any], ...]:
    """What AWS was asked, as it was recorded there."""
    return tuple(
        {**call, "sources": (source(record),)}
        for record in played.drill.of(CALLS)[-1:]
        for call in record.body["calls"]
    )


def is_denied(code: str) -> bool:
    """Whether an error code, or a text with one, says that a permission is missing."""
    return any(word in code.lower() for word in _DENIED)


def is_throttled(code: str) -> bool:
    """Whether an error code, or a text with one, says that there were too many calls."""
    return any(word in code.lower() for word in _THROTTLED)


def _hits(played: Played) -> list[tuple[int | None, Record | None]]:
    """How many calls each fault has hit, in the order in which they were set."""
    counted = played.drill.of(CALLS)
    if not counted:
        return []
    return [(int(item["hits"]), counted[-1]) for item in counted[-1].body["faults"]]


def _entry(
    played: Played, inject: Record, hits: int | None, noticed: Record | None, *more: Record | None
) -> dict[str, Any]:
    return {
        "what": inject.body["text"],
        "thing": inject.body["thing"],
        "at_seconds": played.since(inject.at),
        "hits": hits,
        "noticed": noticed is not None,
        "noticed_after_seconds": (
            max((noticed.at - inject.at).total_seconds(), 0.0) if noticed else None
        ),
        "by": _by(noticed) if noticed else "nobody",
        "sources": sources(inject, *more, noticed),
    }


def _by(record: Record) -> str:
    return record.actor.id if record.actor.kind == "person" else "Clampdown"


def _trouble(played: Played, inject: Record, fault: FaultInject) -> Record | None:
    """The first record of an incident that tells of a fault's doing."""
    wanted = _SOUNDS.get(fault.fault.effect, ())
    if fault.fault.code:
        wanted = (fault.fault.code.lower(),)
    if not wanted:
        return None
    until = _lasts(inject.at, fault)
    for record in _later(played, inject.at):
        if record.at > until:
            return None
        if record.kind in _TROUBLE and record.body.get("status") not in _ENDED_WELL:
            text = " ".join(str(record.body.get(key, "")) for key in ("code", "error", "text"))
            if any(word in text.lower() for word in wanted):
                return record
    return None


def _lasts(at: datetime, fault: FaultInject) -> datetime:
    """Until when a fault can show: what fails last is told a little later."""
    longest = timedelta(days=365) if fault.lasts is None else fault.lasts + timedelta(minutes=1)
    return at + longest


def _answer(played: Played, inject: Record, attacker: AttackerInject) -> Record | None:
    """The first record after an intruder's doing that finds it, or mends it."""
    instance = played.id_of(attacker.to)
    for record in _later(played, inject.at):
        body = record.body
        failed = record.kind == "verify.failed" or body.get("status") == "failed"
        if failed and str(body.get("target", "")).endswith(f"/{instance}"):
            return record
        if record.kind == "change.intent" and body["target"]["id"] == instance:
            # What was finished before, and is changed again, was found to be reverted.
            step = body["step"]
            if body["undoes"] is None and _was_finished(played, inject, record.incident, step):
                return record
    return None


def _was_finished(played: Played, inject: Record, incident: str, step: str) -> bool:
    return any(
        record.kind == "step.finished" and record.body["step"] == step and record.at <= inject.at
        for record in played.drill.incidents[incident]
    )


def _later(played: Played, at: datetime) -> list[Record]:
    """The incidents' records from a moment on, in the order of their times."""
    later = (
        record
        for records in played.drill.incidents.values()
        for record in records
        if record.at >= at
    )
    return sorted(later, key=lambda record: (record.at, record.incident, record.seq))


def _deaths(played: Played) -> Iterator[dict[str, Any]]:
    """The orchestrator's deaths; it has noticed one when it goes on."""
    for died in played.drill.of(DIED):
        back = next((record for record in played.drill.of(BACK) if record.at >= died.at), None)
        yield {
            "what": "the orchestrator was killed"
            + (f" and was back after {words(float(back.body['away']))}" if back else ""),
            "thing": "dies",
            "at_seconds": played.since(died.at),
            "hits": None,
            "noticed": back is not None,
            "noticed_after_seconds": (back.at - died.at).total_seconds() if back else None,
            "by": "Clampdown" if back else "nobody",
            "sources": sources(died, back),
        }
