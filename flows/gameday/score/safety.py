"""What was planned and what was changed, what the tool refused, and what was left behind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from flows.gameday import difference_text
from flows.gameday.drills import DIFFERENCE
from flows.gameday.score.reading import Played, Told, source, sources
from flows.incident import Outcome
from flows.journal.record import Record

# How the guards that write no record of their own say no (runbooks/guardrails.py, runbooks/aws.py).
_GUARDS = {
    "protected resources": "is protected (guardrails.protected",
    "budget": "the budget is",
    "approved plan": "a call that was not planned",
    "account": "The credentials belong to account",
}
# What stays in the world on purpose when everything is taken back: evidence.
_KEPT = ("snapshots", "tags.snap-")
_UNREAL = {"unconfirmed", "sample", "refused"}


def safety(played: Played) -> dict[str, Any]:
    """Changes by step, as planned and as made, and everything that was refused.

    ``if_needed`` are changes that a plan foresaw without being sure of them, ``not_done`` those
    that AWS refused, and ``outcome_unknown`` those of which no answer came: a death, for one.
    ``taken_back`` is whether the world was as before, but for evidence, after everything was
    undone; None where nothing was.
    """
    planned: Counter[str] = Counter()
    if_needed: Counter[str] = Counter()
    outcomes: dict[Outcome, Counter[str]] = defaultdict(Counter)
    for told in played.incidents:
        planned += _planned(told, "changes")
        if_needed += _planned(told, "contingent")
        for change in told.incident.changes:
            outcomes[change.outcome][change.step] += 1
    actual = outcomes["done"] + outcomes["accepted"]
    undone = [record for record in played.drill.of(DIFFERENCE) if record.body["when"] == "undone"]
    return {
        "planned": dict(planned),
        "if_needed": dict(if_needed),
        "actual": dict(actual),
        "not_done": dict(outcomes["failed"]),
        "outcome_unknown": dict(outcomes["unknown"]),
        "planned_in_all": planned.total(),
        "made_in_all": actual.total(),
        "refusals": list(_refusals(played)),
        "taken_back": not left_behind(undone[-1]) if undone else None,
        "sources": sources(
            *(
                record
                for told in played.incidents
                for record in told.of("plan.made", "change.outcome")
            ),
            *undone,
        ),
    }


def differences(played: Played) -> tuple[dict[str, Any], ...]:
    """What differed in the world from the start, once contained and once undone."""
    return tuple(
        {"when": record.body["when"], **change, "sources": (source(record),)}
        for record in played.drill.of(DIFFERENCE)
        for change in record.body["changes"]
    )


def in_words(played: Played) -> dict[str, tuple[str, ...]]:
    """The same in sentences, by when it was looked at."""
    names = played.drill.about["names"]
    return {
        record.body["when"]: tuple(difference_text.in_words(record.body["changes"], names))
        for record in played.drill.of(DIFFERENCE)
    }


def left_behind(difference: Record) -> list[str]:
    """The paths of what is not as it was before, evidence left aside."""
    paths = (str(change["path"]) for change in difference.body["changes"])
    return [path for path in paths if not path.startswith(_KEPT)]


def _planned(told: Told, kind: str) -> Counter[str]:
    """The most that any of the incident's plans had for each step: later ones have what is left."""
    most: Counter[str] = Counter()
    for record in told.of("plan.made"):
        now: Counter[str] = Counter()
        for step in record.body["plan"]["steps"]:
            now[step["id"]] += len(step[kind])
        most |= now
    return most


def _refusals(played: Played) -> Iterator[dict[str, Any]]:
    for told in played.incidents:
        for record in told.records:
            yield from _of_record(record)
    for records in played.drill.findings.values():
        for record in records:
            if record.kind == "finding.decided" and record.body["outcome"] in _UNREAL:
                why = "; ".join(record.body["why"]) or record.body["outcome"]
                yield _refusal("intake", why, record)
    for record in played.people():
        # What was refused in an incident stands in its own chain.
        if record.body.get("refused") and record.body["does"] not in {
            "approved",
            "denied",
            "silent",
        }:
            yield _refusal("people", record.body["refused"], record)


def _of_record(record: Record) -> Iterator[dict[str, Any]]:
    body = record.body
    match record.kind:
        case "gate.refused":
            yield _refusal("approvals", body["why"], record)
        case "gate.bypass_attempt":
            why = f"{body['step']} was kept from passing the gate {body['gate']}, {body['why']}"
            yield _refusal("gate", why, record)
        case "step.finished" | "incident.closed":
            for guard, words in _GUARDS.items():
                if words in str(body["error"]):
                    yield _refusal(guard, body["error"], record)


def _refusal(guard: str, text: str, record: Record) -> dict[str, Any]:
    return {"guard": guard, "text": text, "sources": (source(record),)}
