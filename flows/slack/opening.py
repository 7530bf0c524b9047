"""The message that begins an incident's thread: what happened to what, and what is done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.console.terminal import counted
from flows.incident import KnownFinding
from flows.slack.actions import ABORT, SHOW_CALLS, SHOW_TIMELINE, START
from flows.slack.blocks import (
    actions,
    button,
    confirmation,
    context,
    fields,
    header,
    section,
    sections,
)
from flows.slack.message import OPENING_URGENCY, Block, Message
from flows.slack.plan_lines import plan_lines, warning_lines
from flows.slack.text import codes, plain, safe, some_of, when, who
from flows.slack.told import Told
from runbooks.calls import Plan

_PLAN_ROOM = 3_200
_WARNING_ROOM = 1_000
_MOST_TARGETS, _MOST_FINDINGS = 6, 4
# Of GuardDuty's scale (GuardDuty User Guide, "Severity levels for GuardDuty findings").
_SEVERITIES = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.0, "low"))
_STATUS = {
    "proposed": "🟡 Proposed: nothing is done until somebody starts it",
    "running": "🔵 Being contained",
    "waiting": "🟡 Waiting for a decision; nobody carries it out meanwhile",
    "contained": "🟢 Contained and verified",
    "incomplete": "🟠 Contained, but not all of it was done",
    "failed": "🔴 Failed: not contained",
    "denied": "🔴 Stopped at a gate: what stood before it is done",
    "interrupted": "🟠 Interrupted: what was done stays done",
    "aborted": "🔴 Aborted: what was done stays done",
    "undone": "⚪ Taken back",
}


def opening(told: Told) -> Message:
    """The opening message as it is now."""
    incident = told.incident
    title = f"{told.mark} {told.title}: {told.short_targets()}"
    blocks: list[Block] = [
        header(f"{'🧪' if incident.simulate or incident.drill else '🚨'} {title}"),
        section(f"*{status(told)}*"),
        fields(
            [
                ("Target", _targets(told)),
                ("Account", "\n".join(dict.fromkeys(map(told.place, incident.targets[:4])))),
                ("Severity", _worst(told)),
                ("Owner", safe(", ".join(told.owners()), 200)),
                ("Asked for by", _requester(told)),
                ("Opened", when(incident.opened_at)),
            ]
        ),
        *_findings(told),
        *_reason(told),
        *_plan(told),
        actions(*_buttons(told)),
        context(f"{codes([told.id])} · playbook {codes([incident.playbook])}"),
    ]
    text = f"{title}. {status(told)}."
    return Message("opening", plain(text, 300), tuple(blocks), OPENING_URGENCY, thread=False)


def status(told: Told) -> str:
    """How the incident stands, in a few words."""
    incident = told.incident
    if incident.paused:
        return _paused(told)
    if incident.undoing and not told.is_over:
        return "🔵 Being taken back" if incident.status == "running" else _undo_stopped(told)
    if told.pending and incident.status in ("running", "waiting"):
        return f"🟡 Waiting for approval: {_asked(told)}"
    return _STATUS[incident.status]


def _paused(told: Told) -> str:
    """It waits for nobody but the service; what people were asked before is asked still."""
    what = "The undo is paused" if told.incident.undo_begun else "Paused"
    asked = f". Still to approve: {_asked(told)}" if told.pending else ""
    return f"⏸️ {what}: the service is restarting, and goes on by itself{asked}"


def _asked(told: Told) -> str:
    return safe(", ".join(f"{gate.id} ({gate.needed})" for gate in told.pending), 200)


def _undo_stopped(told: Told) -> str:
    left = counted(len(told.incident.to_undo()), "change")
    return f"🟠 Not taken back yet: {left}"


def severity_words(severity: float) -> str:
    """``8 high``: GuardDuty's number and the word for it."""
    word = next(word for least, word in _SEVERITIES if severity >= least)
    return f"{severity:g} {word}"


def severity(told: Told) -> str:
    """The finding's severity, as a number and a word; empty where there is none."""
    return severity_of(told.finding)


def severity_of(finding: Mapping[str, Any]) -> str:
    """A finding's severity, as a number and a word; empty where there is none."""
    found = finding.get("severity")
    return severity_words(float(found)) if isinstance(found, int | float) else ""


def _worst(told: Told) -> str:
    """The severity of the worst of its findings."""
    found = [known.finding.get("severity") for known in told.incident.findings]
    numbers = [float(severity) for severity in found if isinstance(severity, int | float)]
    return severity_words(max(numbers)) if numbers else ""


def _targets(told: Told) -> str:
    return some_of([told.named(ref) for ref in told.incident.targets], _MOST_TARGETS)


def _requester(told: Told) -> str:
    incident = told.incident
    if incident.opened["automatic"]:
        return f"{who(incident.requester.id)}, automatically by a route of playbooks.yaml"
    return who(incident.requester.id)


def _findings(told: Told) -> list[Block]:
    """How many findings there are; the first as it is, the others by their types."""
    found = told.incident.findings
    if not found:
        return []
    finding = found[0].finding
    addresses = [str(address) for address in finding.get("remote_addresses", ())]
    lines = [
        f"{codes([str(finding.get('type', ''))])} {safe(finding.get('title', ''), 300)}".strip(),
        f"Talks to {codes(addresses)}" if addresses else "",
        f"Finding {codes([str(finding.get('id', ''))])}",
    ]
    if finding.get("sample"):
        lines.append("It is one of GuardDuty's *sample findings*")
    others = [
        f"{codes([str(k.finding.get('type', ''))])} {severity_of(k.finding)}" for k in found[1:]
    ]
    if others:
        lines.append(f"Then {some_of(others, _MOST_FINDINGS)}")
    return sections(_counted(found), [line for line in lines if line], 1_800)


def _counted(found: Sequence[KnownFinding]) -> str:
    resolved = sum(known.resolved for known in found)
    if len(found) == 1:
        return "Finding, resolved where it came from" if resolved else "Finding"
    return f"{len(found)} findings" + (f", {resolved} of them resolved" if resolved else "")


def _reason(told: Told) -> list[Block]:
    reason = str(told.incident.opened["reason"])
    finding = told.finding
    # A route's reason names the finding, which stands there already.
    if not reason or (finding and reason == f"{finding.get('type')} {finding.get('id')}"):
        return []
    return [section(f"*Why*\n{safe(reason, 500)}")]


def _plan(told: Told) -> list[Block]:
    plan = told.incident.plan
    if plan is None:
        return []
    more = "*Every call* shows all."
    return [
        *sections(f"Plan: {_amount(plan)}", plan_lines(plan), _PLAN_ROOM, more),
        *sections("To know", warning_lines(plan.steps), _WARNING_ROOM, more),
    ]


def _amount(plan: Plan) -> str:
    gates = [gate for gate in dict.fromkeys(step.gate for step in plan.steps) if gate]
    asks = f"approval at {', '.join(safe(gate, 80) for gate in gates)}" if gates else "no approval"
    return f"{counted(len(plan.changes), 'change')}, {asks}"


def _buttons(told: Told) -> list[Block]:
    incident = told.incident
    buttons: list[Block] = []
    if incident.status == "proposed":
        sure = confirmation(
            f"Start {incident.playbook}?",
            f"{told.mark}: {told.title} on {told.short_targets()}. What stands before the first "
            "gate is done at once; what stands behind one waits for its approval.",
            "Start",
        )
        buttons.append(button("Start", START, told.id, style="primary", confirm=sure))
    if incident.plan is not None:
        buttons.append(button("Every call", SHOW_CALLS, told.id))
    buttons.append(button("Timeline", SHOW_TIMELINE, told.id))
    if incident.status in ("proposed", "running", "waiting") and not incident.undoing:
        label = "Dismiss" if incident.status == "proposed" else "Stop"
        buttons.append(button(label, ABORT, told.id, style="danger"))
    return buttons
