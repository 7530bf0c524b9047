"""Modals: the forms that ask for what a click leaves open, and what people only look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.approvals import GateState
from flows.console.terminal import counted
from flows.incident import Incident
from flows.slack.actions import (
    ABORT,
    BREAK_GLASS,
    CODE,
    DENY,
    RESUME_AUTOMATIC,
    TASK_DONE,
    TASK_IMPOSSIBLE,
    TRIGGER,
    UNDO,
    FreezeValue,
    GateValue,
    TaskValue,
)
from flows.slack.blast_radius import risk
from flows.slack.blocks import context, plain_text, section, sections
from flows.slack.commands import Contain
from flows.slack.forms import OPTION, TITLE, form, input_block, state, text_input, value
from flows.slack.freeze import Freeze
from flows.slack.message import Block
from flows.slack.pick import Picked
from flows.slack.text import code, codes, safe, when
from flows.slack.told import Told
from flows.undo import kept_of
from runbooks.playbook import Playbooks

PLAYBOOK, TARGET, REASON, SIDE, WHY, CODE_GIVEN = (
    "playbook",
    "target",
    "reason",
    "side",
    "why",
    "code",
)
"""The block ids of inputs; an error of a form names one. The action id is the same."""

_OPTIONS = 100
_LONGEST_REASON = 1_000
_SIMULATED, _LIVE = "simulated", "live"


def trigger(
    playbooks: Playbooks,
    *,
    offers_simulation: bool,
    always_simulates: bool,
    asked: Contain | None = None,
    picked: Picked | None = None,
    metadata: str = "",
) -> Block:
    """The form that starts a containment; ``asked`` and ``picked`` are what is known already."""
    asked = asked or Contain("")
    instances = picked.instances if picked else ()
    target = asked.target or next(iter(instances), "")
    blocks = [
        _playbook_input(playbooks, asked.playbook),
        input_block(
            TARGET,
            "Instance",
            text_input(TARGET, target, 200, placeholder="i-0123456789abcdef0 or its ARN"),
            hint="An id is looked for in the Region and account of Clampdown's own settings.",
        ),
        *_picked(picked, target),
        input_block(
            REASON,
            "Why",
            text_input(REASON, asked.reason, _LONGEST_REASON, lines=True),
            hint="Stands in the thread and in the journal.",
            optional=True,
        ),
        *_sides(offers_simulation, always_simulates, asked.simulate),
    ]
    return form(TRIGGER, "Contain an instance", "Contain", blocks, metadata)


def read_trigger(view: Mapping[str, Any]) -> Contain:
    """What somebody has filled in."""
    side = state(view, SIDE).get("selected_option") or {}
    return Contain(
        target=value(view, TARGET),
        playbook=str((state(view, PLAYBOOK).get("selected_option") or {}).get("value") or ""),
        reason=value(view, REASON),
        simulate=side.get("value") == _SIMULATED,
    )


def deny(told: Told, gate: GateState) -> Block:
    """Asks why; without a reason nobody denies."""
    said = f"Nothing behind {code(gate.id, 80)} is done; what stood before it stays done."
    blocks = [section(said), _why_input("Why not?"), *_code_input(gate)]
    return form(DENY, "Deny", "Deny", blocks, _gate_value(told, gate))


def break_glass(told: Told, gate: GateState) -> Block:
    """Asks for the reason, and says what breaking the glass means."""
    plan = told.plan_behind(gate)
    blocks = [
        section(
            f"*You alone* approve {code(gate.id, 80)} for {told.named(told.incident.targets[0])}: "
            f"{risk(plan)}."
        ),
        section("The others are paged at once, and somebody else has to review it afterwards."),
        _why_input("What is the emergency?"),
        *_code_input(gate),
    ]
    return form(BREAK_GLASS, "Break the glass", "Break it", blocks, _gate_value(told, gate))


def step_up(told: Told, gate: GateState) -> Block:
    """Asks for the second proof of who approves."""
    plan = told.plan_behind(gate)
    blocks = [section(f"You approve {code(gate.id, 80)}: {risk(plan)}."), *_code_input(gate)]
    return form(CODE, "Your code", "Approve", blocks, _gate_value(told, gate))


def task_note(told: Told, task: str, *, done: bool) -> Block:
    """Asks what is to be said about a task that is done, or can't be."""
    asked = next((item for item in told.incident.manual if item.id == task), None)
    label = "Anything to note?" if done else "Why not?"
    blocks = [
        section(safe(asked.text, 1_500) if asked else code(task, 80)),
        _why_input(label, optional=done),
    ]
    action = TASK_DONE if done else TASK_IMPOSSIBLE
    title = "Done" if done else "Not possible"
    return form(action, title, "Report", blocks, str(TaskValue(told.id, task)))


def undo(incident: Incident, step: str = "") -> Block:
    """Asks whether somebody means it, and says what it takes back and what it leaves."""
    changes = incident.to_undo(step or None)
    what = (
        f"what {code(step, 80)} did in {code(incident.id, 60)}" if step else code(incident.id, 60)
    )
    whys = [f"• {safe(item.change.why, 200)}" for item in reversed(changes) if item.change.undos]
    stays = [f"• {safe(line, 250)}" for line in kept_of([item.change for item in changes])]
    blocks = [
        section(
            f"Takes back {counted(len(whys), 'change')} of {what}, the last first. "
            "*The instance can be reached, and can reach others, again.*"
        ),
        *sections("Taken back", whys, 8_000),
        *sections("Stays", stays, 3_000),
    ]
    return form(UNDO, "Undo", "Undo", blocks, f"{incident.id} {step}".strip())


def abort(incident: Incident) -> Block:
    """Asks why; says what stopping means."""
    proposed = incident.status == "proposed"
    said = (
        "Nothing has been done, and nothing will be."
        if proposed
        else "No further call is begun. What was done stays done: an undo takes it back."
    )
    label = "Dismiss" if proposed else "Stop"
    blocks = [section(f"{code(incident.id, 60)}: {said}"), _why_input("Why?")]
    return form(ABORT, f"{label} this", label, blocks, incident.id)


def lift_freeze(freeze: Freeze) -> Block:
    """Asks why; says what lifting a freeze means."""
    blocks = [
        section(
            f"{freeze.mark}: everything automatic is frozen since {when(freeze.since)}: "
            f"{safe(freeze.why, 600)}."
        ),
        section(
            "Findings whose route is automatic *start by themselves* again. What was proposed "
            "meanwhile waits for somebody to start it."
        ),
        _why_input("What did you find out?"),
    ]
    value = str(FreezeValue(freeze.seq))
    return form(RESUME_AUTOMATIC, "Resume automatic", "Resume", blocks, value)


def notice(title: str, text: str, *, more: Sequence[str] = ()) -> Block:
    """Something to read: an error, an outcome, or that it is being looked up."""
    blocks = [section(safe(text, 2_900)), *sections("", [safe(line, 600) for line in more], 9_000)]
    return {
        "type": "modal",
        "title": plain_text(title, TITLE),
        "close": plain_text("Close", TITLE),
        "blocks": blocks,
    }


def read_why(view: Mapping[str, Any]) -> str:
    """The reason that somebody has given; empty where there is none."""
    return value(view, WHY)


def read_code(view: Mapping[str, Any]) -> str:
    """The code of an authenticator that somebody has given; empty where there is none."""
    return value(view, CODE_GIVEN)


def _gate_value(told: Told, gate: GateState) -> str:
    return str(GateValue(told.id, gate.id, gate.nonce))


def _playbook_input(playbooks: Playbooks, chosen: str) -> Block:
    options = [
        {"text": plain_text(f"{name}: {playbook.title}", OPTION), "value": name}
        for name, playbook in list(playbooks.playbooks.items())[:_OPTIONS]
    ]
    initial = next((item for item in options if item["value"] == chosen), options[0])
    select = {
        "type": "static_select",
        "action_id": PLAYBOOK,
        "options": options,
        "initial_option": initial,
    }
    return input_block(PLAYBOOK, "Playbook", select)


def _picked(picked: Picked | None, target: str) -> list[Block]:
    if picked is None:
        return []
    others = [item for item in picked.instances if item != target]
    texts = [f"Also in the message: {codes(others, 8)}"] if others else []
    if picked.findings:
        texts.append(f"Findings in the message: {codes(picked.findings, 8)}")
    if not picked.instances:
        texts.append("The message names no instance.")
    return [context(*texts)] if texts else []


def _sides(offers_simulation: bool, always_simulates: bool, simulate: bool) -> list[Block]:
    if always_simulates:
        return [context("🧪 Everything here happens in a *simulated* AWS.")]
    if not offers_simulation:
        return [context("🚨 This acts on the *real* AWS account.")]
    live = {"text": plain_text("Live: the real AWS account", OPTION), "value": _LIVE}
    simulated = {
        "text": plain_text("Simulated: nothing real changes", OPTION),
        "value": _SIMULATED,
    }
    radio = {
        "type": "radio_buttons",
        "action_id": SIDE,
        "options": [live, simulated],
        "initial_option": simulated if simulate else live,
    }
    return [input_block(SIDE, "Where", radio)]


def _why_input(label: str, *, optional: bool = False) -> Block:
    return input_block(
        WHY, label, text_input(WHY, "", _LONGEST_REASON, lines=True), optional=optional
    )


def _code_input(gate: GateState) -> list[Block]:
    if not gate.request["step_up"]:
        return []
    return [input_block(CODE_GIVEN, "Code of your authenticator", text_input(CODE_GIVEN, "", 10))]
