"""How closely the playbook was followed: steps as written, left out, failed, repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from flows.gameday.score.gates import asked
from flows.gameday.score.reading import Played, Told, short, sources
from flows.journal.record import Record
from runbooks.playbook import RunStep

_AS_WRITTEN = {"done", "unchanged"}


def fidelity(played: Played) -> dict[str, Any]:
    """Every step of every incident that was started, on each target, by how it went.

    ``as_written_share`` is of the steps that were to be done: what a condition of the playbook left
    out is none of them. None where there were no such steps.
    """
    groups: dict[str, list[dict[str, Any]]] = {
        "skipped": [],
        "failed": [],
        "not_reached": [],
    }
    as_written = 0
    for told in played.incidents:
        if told.incident.status == "proposed":
            continue
        for entry in told.playbook.run_steps():
            for arn in told.targets:
                group, item = _how(told, entry, arn)
                if group == "as_written":
                    as_written += 1
                else:
                    groups[group].append(item)
    to_do = as_written + len(groups["failed"]) + len(groups["not_reached"])
    return {
        "as_written": as_written,
        "as_written_share": as_written / to_do if to_do else None,
        **groups,
        "repeated": [item for told in played.incidents for item in _repeated(played, told)],
    }


def _how(told: Told, entry: RunStep, arn: str) -> tuple[str, dict[str, Any]]:
    own = told.of_step(entry.id, arn, "step.started", "step.finished")
    ends = [record for record in own if record.kind == "step.finished"]
    checks = told.of_step(entry.id, arn, "verify.passed", "verify.failed")
    if not own:
        return "not_reached", _item(told, entry.id, arn, "never begun", told.records[-1])
    if not ends:
        return "failed", _item(told, entry.id, arn, "begun, and not ended", *own)
    last = ends[-1]
    status = last.body["status"]
    if status == "skipped":
        return "skipped", _item(told, entry.id, arn, last.body["error"], last)
    if status not in _AS_WRITTEN:
        return "failed", _item(told, entry.id, arn, last.body["error"] or status, last)
    if checks and checks[-1].kind == "verify.failed":
        return "failed", _item(told, entry.id, arn, checks[-1].body["error"], last, checks[-1])
    return "as_written", {}


def _repeated(played: Played, told: Told) -> Iterator[dict[str, Any]]:
    begun = [(record.body["step"], record.body["target"]) for record in told.of("step.started")]
    for (step, arn), times in Counter(begun).items():
        if times > 1:
            text = f"begun {times} times"
            yield _item(told, step, arn, text, *told.of_step(step, arn, "step.started"))
    waits = list(asked(played, told))
    for gate, times in Counter(wait.gate for wait in waits).items():
        if times > 1:
            records = [wait.requested for wait in waits if wait.gate == gate]
            yield _item(told, f"gate {gate}", "", f"asked for {times} times", *records)


def _item(told: Told, step: str, arn: str, text: str, *records: Record) -> dict[str, Any]:
    return {
        "incident": told.id,
        "step": step,
        "target": short(arn),
        "text": text,
        "sources": sources(*records),
    }
