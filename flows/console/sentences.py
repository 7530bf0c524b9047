"""What each record of the journal says, in words: for timelines, reports, and a run as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.console.terminal import counted
from flows.journal.record import Record
from flows.shadow.records import Judgement


def finding_words(finding: Mapping[str, Any]) -> str:
    """A finding in a few words: its type, its severity on GuardDuty's scale, and its id."""
    severity = finding.get("severity", "?")
    number = f"{severity:g}" if isinstance(severity, int | float) else severity
    return f"{finding.get('type', '?')} (severity {number}) {finding.get('id', '')}".rstrip()


def sentence(record: Record) -> str:
    """What a record says, in words."""
    body = record.body
    match record.kind:
        case "incident.opened":
            mode = f"simulated at {body['simulate']}" if body["simulate"] else "LIVE"
            targets = ", ".join(item["id"] for item in body["targets"])
            verb = "proposed" if body["proposed"] else "opened"
            verb = f"DRILL: {verb}" if body.get("drill") else verb
            what = f"{verb} {record.incident}: {body['playbook']} on {targets} ({mode})"
            return f"{what} {body['reason']}".strip()
        case "incident.started":
            return f"started: {body['reason']}"
        case "incident.asked":
            verb = "starts by itself now" if body["automatic"] else "to go on"
            return f"{verb}: {body['reason']}" if body["reason"] else verb
        case "incident.waiting":
            return f"waiting at the gate {body['gate']}"
        case "incident.paused":
            return f"paused: {body['why']}"
        case "incident.closed":
            return f"{body['status']}{': ' + body['error'] if body['error'] else ''}"
        case "incident.aborted":
            return f"aborted: {body['why']}"
        case "finding.joined":
            return f"another finding joins: {finding_words(body['finding'])}"
        case "finding.resolved":
            return f"archived or resolved where it came from: {finding_words(body['finding'])}"
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
        case "slack.channel":
            return f"has a channel of its own in Slack: {body['channel']}"
        case "manual.decided":
            return f"task {body['id']}: {'done' if body['done'] else 'not possible'} {body['note']}"
        case _:
            return _of_no_incident(record)


def _of_no_incident(record: Record) -> str:
    """What a record of another chain says: of findings, of what is frozen, of Slack."""
    body = record.body
    match record.kind:
        case "automatic.frozen":
            return f"everything automatic is frozen{_side(body)}: {body['why']}"
        case "automatic.resumed":
            return f"incidents start automatically again{_side(body)}: {body['why']}"
        case "finding.decided":
            where = f" ({body['incident']})" if body["incident"] else ""
            why = f": {'; '.join(body['why'])}" if body["why"] else ""
            return f"{finding_words(body)} by {body['via']}: {body['outcome']}{where}{why}"
        case "finding.rejected":
            place = f"{body['path']}: " if body["path"] else ""
            return f"not understood, by {body['via']}: {place}{body['reason']}"
        case "dead-letter.sent":
            return f"sent to {body['queue']}: {body['sha256'][:12]}"
        case "sweep.done":
            found = counted(body["found"], "new finding")
            return f"swept {body['account']} {body['region']}{_side(body)}: {found}"
        case "slack.refused":
            return f"could not {body['what']}: {body['why']}"
        case "shadow.judged":
            return f"SHADOW: {Judgement(record).sentence}"
        case "shadow.marked":
            at = f" at {body['contained_at']}" if body["contained_at"] else ""
            return f"it was {body['truth']}{at}{': ' + body['why'] if body['why'] else ''}"
        case "person.away":
            until = f"away until {body['until']}" if body["until"] else "back"
            return f"{body['user']} is {until}"
        case _:
            return record.kind


def _side(body: Mapping[str, Any]) -> str:
    return f" (simulated at {body['simulate']})" if body["simulate"] else ""
