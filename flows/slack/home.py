"""The App Home: everything that waits for whoever opens it, who stands in for whom, what is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flows.approvals import GateState, groups_of
from flows.identity import Identity
from flows.incident import ManualTask
from flows.slack.actions import AWAY, NEW
from flows.slack.away import BACK, CHOICES, Away, deputies
from flows.slack.blast_radius import risk
from flows.slack.blocks import (
    actions,
    button,
    context,
    divider,
    header,
    plain_text,
    section,
    sections,
)
from flows.slack.budgets import Budgets
from flows.slack.deciders import deciding
from flows.slack.freeze import Freeze, freeze_button
from flows.slack.gates import gate_buttons
from flows.slack.incident_channel import own_channel
from flows.slack.message import Block
from flows.slack.opening import status
from flows.slack.tasks import task_buttons
from flows.slack.text import channel_link, code, mention_user, safe, span, time_left, when
from flows.slack.told import Told
from runbooks.playbook import Playbooks

MOST_TASKS = 10
_MOST_GATES = 15
_INCIDENTS_ROOM, _BUDGETS_ROOM = 4_000, 2_500
_IN_SHADOW = (
    "Nothing is opened or changed from here: what would have been done is only recorded. "
    "`clampdown gameday shadow compare` holds it against what people did."
)
_CLOSED = {"undone", "aborted", "contained", "denied"}
_AWAY_LABELS = {"4h": "Away for 4 hours", "1d": "Away for a day", "1w": "Away for a week"}


@dataclass(frozen=True)
class Tasks:
    """How many tasks are open, and the newest of them, at most ``MOST_TASKS``."""

    number: int
    newest: Sequence[tuple[Told, ManualTask]]


NO_TASKS = Tasks(0, ())


def home(
    identity: Identity,
    incidents: Sequence[Told],
    playbooks: Playbooks,
    budgets: Budgets,
    away: Away,
    tasks: Tasks = NO_TASKS,
    freeze: Freeze | None = None,
    *,
    shadow: bool = False,
) -> Block:
    """The view for one person.

    What is shown is what they may decide; whether they may is looked at again when they do.
    ``incidents`` are those that are not over, ``tasks`` what their groups are asked to do,
    ``freeze`` is that of everything automatic here, while it is in force. In ``shadow`` nothing is
    opened or changed here, which stands above all else.
    """
    mine = set(groups_of(identity, playbooks.approvers))
    gates = [(told, gate) for told in incidents for gate in waiting(told, identity, mine)]
    gates.sort(key=lambda item: _due(item[1]))
    blocks = [
        *([header("👥 SHADOW"), section(_IN_SHADOW)] if shadow else []),
        *_freeze(freeze, may_lift=bool(mine)),
        *_gates(gates),
        *_tasks(tasks),
        *_standing_in(identity, playbooks, away),
        *_own_absence(identity, away),
        *_open_incidents(incidents),
        *_budgets(budgets, playbooks, freeze),
    ]
    return {"type": "home", "blocks": blocks}


def waiting(told: Told, identity: Identity, mine: set[str]) -> Iterator[GateState]:
    """The gates of an incident that this identity may decide, or review, and has not yet."""
    for gate in told.gates:
        open_ = gate in told.pending
        if told.is_over or not (open_ or gate.review_due is not None):
            continue
        groups = {*deciding(gate), *([gate.request["break_glass"]] if open_ else [])}
        asked_for_it = told.incident.requester.id == identity.principal
        excluded = asked_for_it and "requester" in gate.request["distinct_from"]
        voted = any(vote.principal == identity.principal for vote in gate.votes)
        if mine & groups and not excluded and not voted:
            yield gate


def _due(gate: GateState) -> float:
    due = gate.review_due or gate.expires_at
    return due.timestamp() if due else float("inf")


def _gates(gates: Sequence[tuple[Told, GateState]]) -> Iterator[Block]:
    yield header(f"Waiting for you: {len(gates)}" if gates else "Nothing waits for you")
    for told, gate in gates[:_MOST_GATES]:
        others = len(told.incident.targets) - 1
        lines = [
            f"*{told.mark} {safe(told.title, 100)}*: {told.named(told.incident.targets[0])}"
            + (f" and {others} more" if others else ""),
            risk(told.plan_behind(gate)),
            _urgency(told, gate),
        ]
        yield section("\n".join(lines))
        yield gate_buttons(told, gate)
        yield context(f"{code(told.id, 60)} gate {code(gate.id, 80)}{_thread(told)}")
    if len(gates) > _MOST_GATES:
        yield section(f"… and {len(gates) - _MOST_GATES} more that are due later.")


def _urgency(told: Told, gate: GateState) -> str:
    if gate.review_due is not None:
        return f"The glass was broken: *review it*, until {when(gate.review_due)}"
    age = span(told.now - gate.requested_at) if gate.requested_at else "?"
    left = time_left(gate.expires_at, told.now) if gate.expires_at else "no deadline"
    return f"*{left}*, asked {age} ago; needs {safe(gate.needed, 200)}"


def _freeze(freeze: Freeze | None, *, may_lift: bool) -> Iterator[Block]:
    if freeze is None:
        return
    yield header(f"🧊 {freeze.mark} Everything automatic is frozen")
    yield section(
        f"Since {when(freeze.since)}: {safe(freeze.why, 600)}.\n"
        "Findings are only *proposed* until somebody lifts it."
    )
    if may_lift:
        yield actions(freeze_button(freeze))


def _tasks(tasks: Tasks) -> Iterator[Block]:
    if not tasks.number:
        return
    yield header(f"To do: {tasks.number}")
    for told, task in tasks.newest:
        yield section(f"☐ {safe(task.text, 600)}\n{told.mark} {code(told.id, 60)}{_thread(told)}")
        yield task_buttons(told, task)
    if left := tasks.number - len(tasks.newest):
        yield section(f"… and {left} more.")


def _standing_in(identity: Identity, playbooks: Playbooks, away: Away) -> Iterator[Block]:
    lines = [
        f"• for {mention_user(user)} in {code(name, 80)}, until {when(away[user])}"
        for name, group in playbooks.approvers.items()
        for user, deputy in deputies(group, away).items()
        if identity.kind == "slack" and deputy == identity.id and group.slack_team == identity.team
    ]
    yield from sections("You stand in", lines, 1_500, "")


def _own_absence(identity: Identity, away: Away) -> Iterator[Block]:
    until = away.get(identity.id)
    said = f"You are away until {when(until)}" if until else "You are not away"
    options = [_option(choice, _AWAY_LABELS[choice]) for choice in CHOICES]
    select: dict[str, Any] = {
        "type": "static_select",
        "action_id": AWAY,
        "placeholder": plain_text("Away?", 75),
        "options": [*options, _option(BACK, "Back")] if until else options,
    }
    note = "Who is away has their deputies pinged, and may still decide"
    yield divider()
    yield section(f"{said}. {note}.", accessory=select)


def _option(value: str, label: str) -> Block:
    return {"text": plain_text(label, 75), "value": value}


def _open_incidents(incidents: Iterable[Told]) -> Iterator[Block]:
    going = [told for told in incidents if told.incident.status not in _CLOSED or told.pending]
    lines = [
        f"• {code(told.id, 60)} {told.mark} {safe(told.title, 80)}, "
        f"{safe(told.short_targets(), 60)}: {status(told)}, "
        f"{span(told.now - told.incident.opened_at)} ago{_thread(told)}"
        for told in going
    ]
    yield divider()
    yield from sections("Open incidents", lines or ["None."], _INCIDENTS_ROOM)
    yield actions(button("Contain an instance…", NEW, "new", style="primary"))


def _budgets(budgets: Budgets, playbooks: Playbooks, freeze: Freeze | None) -> Iterator[Block]:
    lines = [
        f"• {safe(account.name, 60)} {code(number, 20)}: "
        f"{_of(budgets.changes.get(number, 0), budgets.changes_limit)} changes within the last hour"
        for number, account in playbooks.accounts.items()
    ]
    automatic = _of(budgets.automatic, budgets.automatic_limit)
    spent = f"• {automatic} incidents started automatically within the last hour"
    left = max(0, budgets.automatic_limit - budgets.automatic)
    lines.append(
        f"{spent}: *frozen* since {when(freeze.since)}" if freeze else f"{spent}, {left} are left"
    )
    yield divider()
    yield from sections("Budgets", lines, _BUDGETS_ROOM, "")


def _of(spent: int, limit: int) -> str:
    return f"{'🔴 ' if spent >= limit else ''}{spent} of {limit}"


def _thread(told: Told) -> str:
    channel = own_channel(told.records) or told.incident.opened.get("channel")
    return f" in {channel_link(channel)}" if channel else ""
