"""Who decided what, after how long, and how well: looked at, thought about, and allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flows.gameday.assessment import Decision
from flows.gameday.drills import CHECKED
from flows.gameday.scenario import Condition
from flows.gameday.score.gates import Asked, asked
from flows.gameday.score.reading import Played, Told, source, sources, words
from flows.journal.record import Record

HASTY = 3.0
"""Seconds: who approves faster than that has not read what they approve."""
_TOGETHER = 5.0
_DOES = {"approve": "approved", "deny": "denied"}
# Of a finding that is to be left alone, nobody misses that no incident was opened.
_LEFT_ALONE: set[Condition] = {"not_opened", "refused", "untouched"}
_OWN = ("started this incident", "wrote this playbook")


def decisions(played: Played) -> tuple[Decision, ...]:
    """Every decision, those that did not count too, and whoever was asked and did not answer."""
    found = [decision for told in played.incidents for decision in _of_incident(played, told)]
    silent = [
        Decision(
            record.body["person"],
            record.body.get("incident") or "",
            record.body.get("gate") or "",
            "nothing",
            None,
            False,
            record.body.get("refused") or "did not answer",
            record.body.get("details_opened"),
            source(record),
        )
        for record in played.people()
        if record.body["does"] == "silent"
    ]
    return (*found, *silent)


def quality(played: Played, decided: tuple[Decision, ...]) -> dict[str, Any]:
    """How good decisions were: each entry says what, and from which records."""
    approvals = [item for item in decided if item.counted and item.answer == "approve"]
    return {
        "approvals": len(approvals),
        "approvals_without_details": [
            _entry(item, "approved without opening the details")
            for item in approvals
            if item.details_opened is False
        ],
        "approvals_under_3_s": [
            _entry(item, f"approved after {words(item.after)}")
            for item in approvals
            if item.after is not None and item.after < HASTY
        ],
        "denials": len([item for item in decided if item.counted and item.answer == "deny"]),
        "self_approvals_refused": [
            _entry(item, item.why_not)
            for item in decided
            if not item.counted and any(own in item.why_not for own in _OWN)
        ],
        "other_decisions_refused": [
            _entry(item, item.why_not)
            for item in decided
            if not item.counted
            and item.answer != "nothing"
            and not any(own in item.why_not for own in _OWN)
        ],
        "no_answer": [_entry(item, item.why_not) for item in decided if item.answer == "nothing"],
        "decoys_touched": list(_decoys_touched(played)),
        "missed_injects": list(_missed(played)),
    }


def _of_incident(played: Played, told: Told) -> Iterator[Decision]:
    said = [record for record in played.people(told.id) if record.body["does"] in _DOES.values()]
    waits = list(asked(played, told))
    for record in told.of("gate.decided", "gate.refused"):
        counted = record.kind == "gate.decided"
        seen = _matching(record, counted, said)
        if seen is not None:
            said.remove(seen)
        yield Decision(
            seen.body["person"] if seen else record.actor.id.removeprefix("local:"),
            told.id,
            record.body["gate"],
            record.body["answer"],
            _after(record, seen, waits),
            counted,
            "" if counted else record.body["why"],
            seen.body.get("details_opened") if seen else None,
            source(record),
        )


def _matching(record: Record, counted: bool, said: list[Record]) -> Record | None:
    """What the drill's own chain says of a decision: it is written right after it."""
    candidates = [
        other
        for other in said
        if other.body.get("gate") in ("", record.body["gate"])
        and other.body["does"] == _DOES.get(record.body["answer"])
        and bool(other.body.get("refused")) is not counted
        and abs((other.at - record.at).total_seconds()) <= _TOGETHER
    ]
    return min(
        candidates,
        key=lambda other: (other.actor.id != record.actor.id, abs(other.at - record.at)),
        default=None,
    )


def _after(record: Record, seen: Record | None, waits: list[Asked]) -> float | None:
    """Seconds since they were asked."""
    if seen is not None and seen.body.get("after") is not None:
        return float(seen.body["after"])
    before = [
        wait.requested
        for wait in waits
        if wait.gate == record.body["gate"] and wait.requested.seq < record.seq
    ]
    return (record.at - before[-1].at).total_seconds() if before else None


def _entry(decision: Decision, text: str) -> dict[str, Any]:
    return {
        "person": decision.person,
        "incident": decision.incident,
        "gate": decision.gate,
        "text": text,
        "sources": (decision.source,),
    }


def _decoys_touched(played: Played) -> Iterator[dict[str, Any]]:
    """What was to be left alone and was not: by what was found at the end, and by every change."""
    alone = [item for item in played.scenario.objectives if item.holds in _LEFT_ALONE]
    for objective in alone:
        broken = [
            record
            for record in played.drill.of(CHECKED)
            if record.body["objective"] == objective.id and record.body["holds"] is False
        ]
        named = {played.id_of(name): name for name in objective.of}
        changes = [
            intent
            for told in played.incidents
            for intent in told.of("change.intent")
            if objective.holds == "untouched"
            and intent.body["undoes"] is None
            and any(_names(intent, identity) for identity in named)
        ]
        if broken or changes:
            found = "; ".join(str(record.body["found"]) for record in broken)
            yield {
                "what": ", ".join(objective.of) or objective.title,
                "text": found or f"{len(changes)} of its changes were made",
                "sources": sources(*broken, *changes),
            }


def _names(intent: Record, identity: str) -> bool:
    """Whether a change is one of a resource, or one that an incident made on account of it."""
    on = str(intent.body["change"]["on"])
    return intent.body["target"]["id"] == identity or on.endswith((f"/{identity}", f":{identity}"))


def _missed(played: Played) -> Iterator[dict[str, Any]]:
    """Findings that are real and current, and for which no incident was opened."""
    alone = {
        name
        for objective in played.scenario.objectives
        if objective.holds in _LEFT_ALONE
        for name in objective.of
    }
    for finding, arrival in played.arrivals.items():
        inject = arrival.inject
        real = inject.confirmed and not (inject.archived or inject.sample)
        expected = finding not in alone and inject.on not in alone
        if real and expected and not played.incidents_of(finding):
            yield {
                "what": finding,
                "text": f"no incident was opened for {inject.type}",
                "sources": sources(arrival.first),
            }
