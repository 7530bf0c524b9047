"""The messages that ping people again about a gate: handed on, not decided yet, glass broken."""

from __future__ import annotations

from collections.abc import Sequence

from flows.approvals import GateState
from flows.slack.blast_radius import risk
from flows.slack.blocks import section
from flows.slack.deciders import pings_of
from flows.slack.gates import deadline, gate_buttons, outcome, pinged
from flows.slack.message import GATE_URGENCY, Message
from flows.slack.text import code, plain, safe
from flows.slack.told import Told


def escalated(told: Told, gate: GateState, to: str) -> Message:
    key = f"escalated:{gate.id}:{gate.round}"
    if gate.status != "pending" or told.is_over:
        said = f"{outcome(told, gate)}: {code(gate.id, 80)}, which had been handed on to {code(to, 80)}."
        return Message(key, plain(said, 300), (section(said),), GATE_URGENCY)
    asked = " ".join(pings_of(told, to)) or f"{code(to, 80)} (nobody of it is in Slack)"
    risks = risk(told.plan_behind(gate))
    lines = [
        f"📣 {asked}: nobody decided {code(gate.id, 80)} in time. One of {code(to, 80)} is enough now.",
        f"{told.named(told.incident.targets[0])}: {risks}",
        deadline(told, gate),
    ]
    text = plain(f"Now yours: {gate.id} for {told.short_targets()}. {told.mark}", 300)
    blocks = (section("\n".join(lines)), gate_buttons(told, gate))
    return Message(key, text, blocks, GATE_URGENCY)


def reminded(told: Told, gate: GateState, seq: int) -> Message:
    key = f"reminded:{gate.id}:{gate.round}:{seq}"
    if gate.status != "pending" or told.is_over:
        said = f"A reminder of {code(gate.id, 80)}, answered since: {outcome(told, gate)}."
        return Message(key, plain(said, 300), (section(said),), GATE_URGENCY)
    said = f"⏰ {code(gate.id, 80)} still needs {safe(gate.needed, 200)}. {deadline(told, gate)}"
    blocks = (section(f"{said}\n{pinged(told, gate)}"), gate_buttons(told, gate))
    return Message(key, plain(f"Still to decide: {gate.id}", 300), blocks, GATE_URGENCY)


def paged(told: Told, gate: str, groups: Sequence[str], why: str, seq: int) -> Message:
    asked = [ping for name in groups for ping in pings_of(told, name)]
    said = f"🔨 {' '.join(dict.fromkeys(asked))} {code(gate, 80)}: {safe(why, 600)}".strip()
    text = plain(f"The glass of {gate} was broken: {told.short_targets()}", 300)
    return Message(f"paged:{gate}:{seq}", text, (section(said),), GATE_URGENCY)
