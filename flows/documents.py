"""What ``--json`` prints: stable documents of incidents, gates and records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flows.approvals import GateState
from flows.incident import Incident, ref_to_json
from flows.journal.record import Record
from runbooks.calls import sha256

if TYPE_CHECKING:
    from flows.responder import Started


def incident_document(incident: Incident, gates: Sequence[GateState]) -> dict[str, Any]:
    """An incident: how it stands, its findings, steps, gates, tasks, changes, unknown outcomes."""
    return {
        "incident": incident.id,
        "status": incident.status,
        "mode": incident.mode,
        "simulate": incident.simulate or None,
        "drill": incident.drill or None,
        "playbook": incident.playbook,
        "targets": [{**ref_to_json(ref), "arn": ref.arn} for ref in incident.targets],
        "opened_at": incident.opened_at.isoformat(),
        "closed_at": incident.closed_at.isoformat() if incident.closed_at else None,
        "requester": incident.requester.id,
        "reason": incident.opened["reason"],
        "finding": (incident.opened["finding"] or {}).get("id"),
        "findings": [
            {
                "id": known.finding.get("id"),
                "source": known.finding.get("source"),
                "type": known.finding.get("type"),
                "severity": known.finding.get("severity"),
                "title": known.finding.get("title"),
                "resolved": known.resolved,
            }
            for known in incident.findings
        ],
        "error": incident.error or None,
        "paused": incident.paused or None,
        "plan_digest": incident.plan.digest if incident.plan else None,
        "steps": [
            {
                "id": step.id,
                "step": step.step,
                "target": step.target,
                "status": step.status,
                "started": step.started.isoformat(),
                "finished": step.finished.isoformat() if step.finished else None,
                "verified": step.verified,
                "error": step.error or None,
                "outputs": dict(step.outputs),
            }
            for step in incident.steps
        ],
        "gates": [gate_document(gate) for gate in gates],
        "manual": [
            {"id": task.id, "text": task.text, "by": task.by, "done": task.done, "note": task.note}
            for task in incident.manual
        ],
        "changes": len(incident.changes),
        "unknown": [
            {"intent": change.seq, "call": change.change.call.to_json()}
            for change in incident.unknown()
        ],
        "to_undo": len(incident.to_undo()),
        "warnings": list(incident.warnings),
    }


def started_document(started: Started, gates: Sequence[GateState]) -> dict[str, Any]:
    """What ``run``, ``respond`` and ``resume`` led to."""
    document = incident_document(started.incident, gates)
    result = started.result
    document["joined"] = started.joined
    document["why"] = list(started.why)
    document["unchanged"] = result.unchanged if result else None
    view = result.view if result else None
    document["prefect"] = (
        {"home": str(view.home), "problem": view.problem or None} if view else None
    )
    return document


def gate_document(gate: GateState) -> dict[str, Any]:
    return {
        "gate": gate.id,
        "status": gate.status,
        "round": gate.round,
        "digest": gate.digest,
        "needed": gate.needed or None,
        "expires_at": gate.expires_at.isoformat() if gate.expires_at else None,
        "escalated": gate.escalated,
        "review_due": gate.review_due.isoformat() if gate.review_due else None,
        "votes": [
            {
                "principal": vote.principal,
                "answer": vote.answer,
                "at": vote.at.isoformat(),
                "why": vote.why,
                "break_glass": vote.break_glass,
            }
            for vote in gate.votes
        ],
    }


def record_document(record: Record) -> dict[str, Any]:
    return {
        "incident": record.incident,
        "seq": record.seq,
        "at": record.at.isoformat(),
        "kind": record.kind,
        "actor": {"kind": record.actor.kind, "id": record.actor.id, "via": record.actor.via},
        "body": dict(record.body),
        "prev_hash": record.prev_hash,
        "hash": record.hash,
    }


def view_digest(gate: GateState) -> str:
    """SHA-256 of what somebody is shown of a gate: recorded with their decision."""
    return sha256(dict(gate.request))
