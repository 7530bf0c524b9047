"""The evidence that was secured, and whether the journal of the drill holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flows.gameday.drills import LIVE
from flows.gameday.score.milestones import EVIDENCE
from flows.gameday.score.reading import Played, Told, sources
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.journal.verify import verify

_CLEAN_ROOM = "clean_room.create"


def evidence(played: Played) -> tuple[dict[str, Any], ...]:
    """Every snapshot that was taken, with whether it is locked and complete, and clean rooms."""
    return tuple(item for told in played.incidents for item in _of_incident(told))


def journal_of(played: Played) -> dict[str, Any]:
    """What verifying the journal that the drill is kept in has found.

    ``ok`` is None where the drill has no journal of its own: that of the installation is verified
    by ``clampdown journal verify``. ``records`` is how many of them figures were made from.
    """
    file = played.drill.home / "journal.db"
    counted = sum(1 for _ in played.records())
    if played.drill.about["mode"] == LIVE or not file.exists():
        return {"ok": None, "records": counted, "chains": _chains(played), "problems": []}
    journal = Journal.open(f"sqlite:///{file}")
    try:
        found = verify(journal)
    finally:
        journal.close()
    return {
        "ok": found.ok,
        "records": found.records,
        "chains": found.incidents,
        "problems": [
            f"{problem.incident}, record {problem.seq}: {problem.message}"
            for problem in found.problems
        ],
        "last_hash": played.drill.records[-1].hash,
    }


def _chains(played: Played) -> int:
    return 1 + len(played.drill.incidents) + len(played.drill.findings)


def _of_incident(told: Told) -> Iterator[dict[str, Any]]:
    intents = {record.seq: record for record in told.of("change.intent")}
    done = [
        (intents[record.body["intent"]], record)
        for record in told.of("change.outcome")
        if record.body["intent"] in intents and record.body["status"] in {"done", "accepted"}
    ]
    locks = {
        intent.body["change"]["call"]["params"].get("SnapshotId"): outcome
        for intent, outcome in done
        if intent.body["change"]["call"]["operation"] == "lock_snapshot"
    }
    for intent, outcome in done:
        if intent.body["change"]["call"]["operation"] not in {
            "create_snapshot",
            "create_snapshots",
        }:
            continue
        arn = told.arn_of(intent)
        complete = _verified(told, arn)
        for volume, snapshot in _snapshots(intent, outcome):
            lock = locks.get(snapshot)
            yield {
                "incident": told.id,
                "kind": "snapshot",
                "id": snapshot,
                "of": volume,
                "complete": complete is not None,
                "locked": lock is not None,
                "sources": sources(outcome, lock, complete),
            }
    for record in told.of("step.finished"):
        body = record.body
        if body["name"] == _CLEAN_ROOM and body["outputs"].get("stack"):
            yield {
                "incident": told.id,
                "kind": "clean room",
                "id": body["outputs"]["stack"],
                "of": ", ".join(body["outputs"].get("volumes", {}).values()),
                "complete": True,
                "locked": False,
                "sources": sources(record),
            }


def _snapshots(intent: Record, outcome: Record) -> Iterator[tuple[str, str]]:
    """The volumes and their snapshots, by AWS's answer; one that names none leaves both empty."""
    params = intent.body["change"]["call"]["params"]
    answer = outcome.body["identifiers"]
    for item in answer.get("Snapshots", [answer]):
        if item.get("SnapshotId"):
            yield str(item.get("VolumeId") or params.get("VolumeId", "")), str(item["SnapshotId"])


def _verified(told: Told, arn: str) -> Record | None:
    """The record by which the snapshots of a target were found to be complete."""
    waits = {entry.id for entry in told.playbook.run_steps() if entry.step == EVIDENCE}
    checks = [
        record
        for record in told.of("verify.passed", "verify.failed")
        if record.body["step"] in waits and record.body["target"] == arn
    ]
    return checks[-1] if checks and checks[-1].kind == "verify.passed" else None
