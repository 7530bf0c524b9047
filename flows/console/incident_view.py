"""Where an incident stands, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from flows.approvals import GateState
from flows.console.terminal import shown, table
from flows.incident import Incident
from flows.journal.record import Record

STYLES = {
    "contained": "green",
    "done": "green",
    "undone": "green",
    "unchanged": "green",
    "running": "cyan",
    "waiting": "yellow",
    "proposed": "yellow",
    "pending": "yellow",
    "skipped": "dim",
    "approved": "green",
}


def show_incidents(out: Console, incidents: Sequence[Incident]) -> None:
    if not incidents:
        out.print(shown("No incidents."))
        return
    rows = table("INCIDENT", "STATUS", "MODE", "OPENED (UTC)", "PLAYBOOK", "TARGETS")
    for incident in incidents:
        rows.add_row(
            incident.id,
            shown(incident.status, STYLES.get(incident.status, "red")),
            incident.mode,
            f"{incident.opened_at:%Y-%m-%d %H:%M:%S}",
            incident.playbook,
            ", ".join(ref.id for ref in incident.targets),
        )
    out.print(rows)


def show_status(out: Console, incident: Incident, gates: Sequence[GateState]) -> None:
    out.print(
        shown(f"{incident.id}  ", "bold")
        + shown(incident.status, STYLES.get(incident.status, "red"))
        + shown(f"  {incident.mode}", "" if incident.simulate else "bold red")
    )
    out.print(shown(f"  {incident.playbook} on {', '.join(ref.arn for ref in incident.targets)}"))
    out.print(
        shown(f"  opened {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC by {incident.requester.id}")
    )
    if incident.opened["reason"]:
        out.print(shown(f"  reason: {incident.opened['reason']}"))
    if incident.error:
        out.print(shown(f"  {incident.error}", "red"))
    _show_steps(out, incident)
    for gate in gates:
        _show_gate(out, incident, gate)
    _show_people(out, incident)
    for change in incident.unknown():
        out.print(
            shown(f"\n  outcome unknown: {change.change.call}\n", "yellow")
            + shown(f"    `clampdown resume {incident.id}` reads back what AWS did.")
        )
    left = len(incident.to_undo())
    out.print(shown(f"\n  {len(incident.changes)} changes, {left} of them not taken back", "dim"))


def show_timeline(out: Console, records: Sequence[Record]) -> None:
    """Every record with the seconds since the first."""
    rows = table("SECONDS", "TIME (UTC)", "WHO", "WHAT")
    for record in records:
        rows.add_row(
            f"{(record.at - records[0].at).total_seconds():9.3f}",
            f"{record.at:%H:%M:%S.%f}"[:-3],
            record.actor.id,
            shown(sentence(record)),
        )
    out.print(rows)


def sentence(record: Record) -> str:
    """What a record says, in words."""
    body = record.body
    match record.kind:
        case "incident.opened":
            mode = f"simulated at {body['simulate']}" if body["simulate"] else "LIVE"
            targets = ", ".join(item["id"] for item in body["targets"])
            verb = "proposed" if body["proposed"] else "opened"
            what = f"{verb} {record.incident}: {body['playbook']} on {targets} ({mode})"
            return f"{what} {body['reason']}".strip()
        case "incident.started":
            return f"started: {body['reason']}"
        case "incident.waiting":
            return f"waiting at the gate {body['gate']}"
        case "incident.closed":
            return f"{body['status']}{': ' + body['error'] if body['error'] else ''}"
        case "incident.aborted":
            return f"aborted: {body['why']}"
        case "plan.made":
            plan = body["plan"]
            changes = sum(len(step["changes"]) for step in plan["steps"])
            return f"plan {plan['digest'][:12]}: {changes} changes ({body['why']})"
        case "gate.requested":
            groups = " or ".join(f"{item['count']} of {item['group']}" for item in body["any_of"])
            again = " AGAIN, the plan changed" if body["gone"] or body["added"] else ""
            return f"gate {body['gate']} asks {groups}{again}, until {body['expires_at'][11:19]}"
        case "gate.decided" | "gate.reviewed":
            verb = "reviewed" if record.kind == "gate.reviewed" else body["answer"]
            glass = " (broke the glass)" if body["break_glass"] else ""
            why = f": {body['why']}" if body["why"] else ""
            return f"gate {body['gate']}: {verb}{glass}{why} [plan {body['digest'][:12]}]"
        case "gate.refused":
            return f"gate {body['gate']}: refused to count this decision: {body['why']}"
        case "gate.skipped":
            return f"gate {body['gate']} is not needed: {body['why']}"
        case "gate.escalated":
            return f"gate {body['gate']}: nobody decided; now asking {body['to']}"
        case "gate.reminded":
            return f"gate {body['gate']}: still needs {body['needed']}"
        case "gate.expired":
            return f"gate {body['gate']}: nobody decided in time, which means no"
        case "gate.bypass_attempt":
            return f"gate {body['gate']}: {body['step']} was kept from passing, {body['why']}"
        case "page.requested":
            return f"gate {body['gate']}: paging {', '.join(body['groups'])}: {body['why']}"
        case "warning":
            return f"{body['step']}: {body['text']}"
        case "step.started":
            return f"{body['step']}: started"
        case "step.finished":
            detail = f": {body['error']}" if body["error"] else ""
            return f"{body['step']}: {body['status']}{detail}"
        case "change.intent":
            change = body["change"]
            call = change["call"]
            return f"{body['step']}: {call['service']}.{call['operation']}: {change['why']}"
        case "change.outcome":
            detail = body["error"] or body["code"] or body["request_id"]
            return f"  └ intent {body['intent']}: {body['status']} {detail}".rstrip()
        case "change.undone":
            return f"intent {body['intent']} is taken back"
        case "verify.passed":
            return f"{body['step']}: verified"
        case "verify.failed":
            return f"{body['step']}: NOT verified: {body['error']}"
        case "undo.started":
            return f"undo{' of ' + body['step'] if body['step'] else ''}"
        case "room.expired":
            return f"the time of {body['stack']} was over at {body['expires']}: it is deleted"
        case "manual.requested":
            return f"task {body['id']} for {body['by']}: {body['text']}"
        case "slack.posted":
            return f"told in Slack: {body['key']}"
        case "slack.told":
            return "all of it is told in Slack"
        case "manual.decided":
            return f"task {body['id']}: {'done' if body['done'] else 'not possible'} {body['note']}"
        case _:
            return record.kind


def _show_steps(out: Console, incident: Incident) -> None:
    if not incident.steps:
        return
    rows = table("  STEP", "TARGET", "STATUS", "TOOK", "VERIFIED", "")
    for step in incident.steps:
        took = f"{(step.finished - step.started).total_seconds():.2f} s" if step.finished else ""
        verified = {True: "yes", False: "NO", None: ""}[step.verified]
        rows.add_row(
            f"  {step.id}",
            step.target.rsplit("/", 1)[-1],
            shown(step.status, STYLES.get(step.status, "red")),
            took,
            verified,
            shown(step.error, "red"),
        )
    out.print()
    out.print(rows)


def _show_gate(out: Console, incident: Incident, gate: GateState) -> None:
    out.print()
    out.print(shown(f"  gate {gate.id}: ") + shown(gate.status, STYLES.get(gate.status, "red")))
    for vote in gate.votes:
        out.print(shown(f"    {vote.answer} by {vote.principal} at {vote.at:%H:%M:%S} {vote.why}"))
    if gate.status == "pending" and gate.expires_at:
        left = gate.expires_at - datetime.now(UTC)
        out.print(shown(f"    needs {gate.needed}; {int(left.total_seconds())} s are left"))
        out.print(shown(f"    clampdown approve {incident.id} {gate.id}", "cyan"))
        out.print(shown(f"    clampdown deny {incident.id} {gate.id} --why …", "cyan"))
    if gate.review_due:
        late = " OVERDUE" if gate.review_due < datetime.now(UTC) else ""
        out.print(
            shown(f"    review after broken glass due {gate.review_due:%H:%M:%S}{late}", "red")
        )


def _show_people(out: Console, incident: Incident) -> None:
    for task in incident.manual:
        state = {None: "open", True: "done", False: "not possible"}[task.done]
        out.print(shown(f"\n  task {task.id} for {task.by}: {state}"))
        out.print(shown(f"    {task.text}"))
        if task.done is None:
            out.print(
                shown(f"    clampdown approve {incident.id} {task.id}   (when it is done)", "cyan")
            )
