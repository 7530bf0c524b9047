"""The messages of gates: who decides on what until when, and what came of it."""

from __future__ import annotations

from flows.approvals import GateState
from flows.slack.actions import (
    APPROVE,
    BREAK_GLASS,
    DENY,
    RESUME,
    REVIEW,
    SHOW_CALLS,
    GateValue,
    PageValue,
)
from flows.slack.blast_radius import blast_radius, irreversible, risk
from flows.slack.blocks import actions, button, context, header, section, sections
from flows.slack.deciders import (
    escalation_line,
    groups_line,
    otherwise_line,
    pings_of,
    votes_lines,
)
from flows.slack.message import GATE_URGENCY, Block, Message
from flows.slack.opening import severity
from flows.slack.plan_lines import amounts, difference_lines, warning_lines
from flows.slack.text import code, plain, safe, some_of, time_left, when, who
from flows.slack.told import Told

_RADIUS_ROOM, _STAYS_ROOM, _WARNING_ROOM = 2_200, 700, 1_000
_DIFFERENCE_ROOM = 1_800
_MORE = "*Every call* shows all."
_OUTCOMES = {
    "approved": "✅ Approved",
    "denied": "⛔ Denied",
    "expired": "⌛ Nobody decided in time, which means no",
    "pending": "⏳ Not decided",
}


def gate_message(told: Told, gate: GateState, *, latest: bool = True) -> Message:
    """What one request of a gate says now; ``latest`` is whether it was not asked for again."""
    open_ = gate.status == "pending" and latest and not told.is_over
    blocks = _asking(told, gate) if open_ else _decided(told, gate, latest=latest)
    question = f"{told.mark} Approve {gate.id} for {told.short_targets()}? {_risk(told, gate)}"
    answer = f"{outcome(told, gate)}: {gate.id} for {told.short_targets()}"
    text = plain(question if open_ else answer, 300)
    return Message(f"gate:{gate.id}:{gate.round}", text, tuple(blocks), GATE_URGENCY)


def gate_buttons(told: Told, gate: GateState) -> Block:
    """The buttons of a gate that is open, or whose broken glass is to be reviewed."""
    value = GateValue(told.id, gate.id, gate.nonce)
    calls = button("Every call", SHOW_CALLS, PageValue(told.id, 0, gate.id))
    if gate.status == "approved":
        return actions(button("Reviewed", REVIEW, value, style="primary"), calls)
    buttons = [
        button("Approve", APPROVE, value, style="primary"),
        button("Deny", DENY, value, style="danger"),
    ]
    if gate.request["break_glass"]:
        buttons.append(button("Break the glass", BREAK_GLASS, value))
    return actions(*buttons, calls)


def _asking(told: Told, gate: GateState) -> list[Block]:
    plan = told.plan_behind(gate)
    stays = [f"• {safe(line, 200)}" for line in irreversible(plan)]
    return [
        header(f"⏳ {told.mark} Approve “{gate.id}” for {told.short_targets()}?"),
        *_why_again(gate),
        section("\n".join([*_subject(told), deadline(told, gate)])),
        *sections(
            "If you approve, at once",
            [*(f"• {line}" for line in blast_radius(plan)), f"In all {amounts(plan)}"],
            _RADIUS_ROOM,
            _MORE,
        ),
        *sections("What an undo does not take back", stays, _STAYS_ROOM, _MORE),
        *sections("To know", warning_lines(plan.steps), _WARNING_ROOM, _MORE),
        section("\n".join(["*Who may decide*", groups_line(told, gate), *votes_lines(gate)])),
        gate_buttons(told, gate),
        context(f"Asked: {pinged(told, gate)}", *_proof(gate)),
    ]


def _subject(told: Told) -> list[str]:
    """Which instances, where, and what they are suspected of."""
    targets = told.incident.targets
    lines = [f"{some_of([told.named(ref) for ref in targets], 4)} in {told.place(targets[0])}"]
    if kind := told.finding.get("type"):
        lines.append(f"{code(kind, 120)} {severity(told)}".rstrip())
    elif reason := told.incident.opened["reason"]:
        lines.append(safe(reason, 300))
    return lines


def _risk(told: Told, gate: GateState) -> str:
    return risk(told.plan_behind(gate)).replace("`", "")


def _why_again(gate: GateState) -> list[Block]:
    gone, added = gate.request["gone"], gate.request["added"]
    if gone or added:
        title = "The plan changed after it was approved: that approval is void"
        return sections(title, difference_lines(gone, added), _DIFFERENCE_ROOM, _MORE)
    if gate.round > 1:
        return [section("Asked again: it was not decided before.")]
    return []


def deadline(told: Told, gate: GateState) -> str:
    """How long is left, until when, and what happens then."""
    if gate.expires_at is None:
        return "No deadline."
    left = time_left(gate.expires_at, told.now)
    return f"*{left}*, until {when(gate.expires_at)}. {otherwise_line(gate)}"


def pinged(told: Told, gate: GateState) -> str:
    """What pings those who are asked, without who can't decide because they asked for it."""
    groups = [*gate.request["notify"], *([gate.request["escalate_to"]] if gate.escalated else [])]
    asked = [ping for name in groups for ping in pings_of(told, name)]
    if "requester" in gate.request["distinct_from"]:
        asked = [ping for ping in asked if ping != who(told.incident.requester.id)]
    return " ".join(dict.fromkeys(asked)) or f"nobody in Slack: `clampdown approve {told.id}`"


def _proof(gate: GateState) -> list[str]:
    if not gate.request["step_up"]:
        return []
    return ["Asks for the code of your authenticator"]


def _decided(told: Told, gate: GateState, *, latest: bool) -> list[Block]:
    plan = told.plan_behind(gate)
    blocks = [
        header(f"{outcome(told, gate)}: “{gate.id}” for {told.short_targets()}"),
        section("\n".join([*votes_lines(gate), f"{risk(plan)}. In all {amounts(plan)}"])),
    ]
    if not latest:
        blocks.append(section("It was asked for again since: see below."))
        return blocks
    if gate.status == "expired" and not _goes_on(told, gate):
        blocks.append(section(escalation_line(gate) or "What stood before it stays done."))
        if told.incident.status == "denied":
            blocks.append(actions(button("Ask again", RESUME, told.id)))
    elif gate.review_due is not None and not told.is_over:
        late = " *Overdue.*" if gate.review_due < told.now else ""
        said = f"Somebody else must review the broken glass until {when(gate.review_due)}.{late}"
        blocks += [section(said), gate_buttons(told, gate)]
    elif reviews := _reviews(told, gate):
        blocks.append(section("\n".join(reviews)))
    return blocks


def outcome(told: Told, gate: GateState) -> str:
    """What came of the gate, in a few words."""
    if gate.status == "pending" and told.is_over:
        return f"⚪ Not decided, the incident is {told.incident.status}"
    if gate.status == "approved" and any(vote.break_glass for vote in gate.votes):
        return "🔨 Approved by breaking the glass"
    if gate.status == "expired" and _goes_on(told, gate):
        return "⌛ Nobody decided in time"
    return _OUTCOMES.get(gate.status, gate.status)


def _goes_on(told: Told, gate: GateState) -> bool:
    """Whether another group will be asked in a moment, or was asked and hasn't answered either."""
    return gate.request["otherwise"] == "escalate" and not gate.escalated and not told.is_over


def _reviews(told: Told, gate: GateState) -> list[str]:
    return [
        f"Broken glass reviewed by {who(record.actor.id)}, {when(record.at)}"
        + (f": {safe(record.body['why'], 300)}" if record.body["why"] else "")
        for record in told.records
        if record.kind == "gate.reviewed" and record.body["nonce"] == gate.nonce
    ]
