"""The message that shows how far an incident is: a line for each step, in the plan's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flows.console.terminal import counted
from flows.incident import StepState
from flows.journal.record import Record
from flows.slack.blocks import context, section, sections
from flows.slack.message import PROGRESS_URGENCY, Block, Message
from flows.slack.opening import status
from flows.slack.text import code, plain, safe, span, when, who
from flows.slack.told import Told, short

_ROOM = 6_000
_NOTES_ROOM = 1_500
# More than these are told together: a line for each step.
_TARGETS_APART = 5
_MARKS = {
    "running": "🔵",
    "done": "✅",
    "unchanged": "✅",
    "skipped": "➖",
    "failed": "❌",
    "interrupted": "🟠",
}
_GATE_MARKS = {"pending": "⏳", "approved": "✅", "denied": "⛔", "expired": "⌛", "skipped": "➖"}
_BEGUN = {"step.started", "step.finished", "gate.skipped", "undo.started", "incident.aborted"}


def progress(told: Told) -> tuple[int, Message] | None:
    """The message, and the number of the record that it begins with; None before that."""
    begun = next((record for record in told.records if record.kind in _BEGUN), None)
    if begun is None:
        return None
    blocks: list[Block] = [
        *sections("Progress", list(_lines(told)), _ROOM),
        *sections("", list(_notes(told)), _NOTES_ROOM),
    ]
    blocks = blocks or [section("*Progress*")]
    blocks.append(context(_how_far(told)))
    text = plain(f"Progress on {told.short_targets()}: {status(told)}", 300)
    return begun.seq, Message("progress", text, tuple(blocks), PROGRESS_URGENCY)


def _how_far(told: Told) -> str:
    incident = told.incident
    over = [step for step in incident.steps if step.status != "running"]
    total = len(incident.plan.steps) if incident.plan else len(incident.steps)
    said = f"{len(over)} of {counted(total, 'step')}, {counted(len(incident.changes), 'change')}"
    last = max((step.finished for step in over if step.finished), default=None)
    if last is not None:
        said += f"; the last one {span(last - incident.opened_at)} after it was opened"
    return f"{said}. {status(told)}"


def _lines(told: Told) -> Iterator[str]:
    plan = told.incident.plan
    known = {(step.id, step.target): step for step in told.incident.steps}
    order = [(step.id, step.target, step.gate) for step in plan.steps] if plan else []
    planned = {(step, target) for step, target, _ in order}
    order += [(step, target, "") for step, target in known if (step, target) not in planned]
    apart = len(told.incident.targets) <= _TARGETS_APART
    many = len(told.incident.targets) > 1
    shown: set[str] = set()
    gate = ""
    for step, target, behind in order:
        if behind and behind != gate:
            gate = behind
            yield _gate_line(told, gate)
        if apart:
            name = code(step, 80) + (f" on {code(short(target), 60)}" if many else "")
            yield _step_line(name, known.get((step, target)))
        elif step not in shown:
            shown.add(step)
            targets = [target for other, target, _ in order if other == step]
            yield _together(step, [known.get((step, target)) for target in targets])


def _gate_line(told: Told, gate: str) -> str:
    state = next((state for state in told.gates if state.id == gate), None)
    if state is None:
        return f"🔒 gate {code(gate, 80)}"
    if state.status == "pending":
        mark, said = _GATE_MARKS["pending"], f"needs {safe(state.needed, 200)}"
    else:
        mark, said = _GATE_MARKS[state.status], state.status
    return f"{mark} gate {code(gate, 80)}: {said}"


def _step_line(name: str, step: StepState | None) -> str:
    if step is None:
        return f"⚪ {name}"
    said = [f"{_MARKS[step.status]} {name}"]
    if step.status not in ("done", "skipped"):
        said.append("nothing to change" if step.status == "unchanged" else step.status)
    if step.finished is not None and step.status != "skipped":
        said.append(span(step.finished - step.started))
    if step.verified is not None:
        said.append("verified" if step.verified else "*NOT verified*")
    line = " · ".join(said)
    if step.status == "skipped":
        return f"{line}: left out, {safe(step.error, 200)}"
    return f"{line}: {safe(step.error, 300)}" if step.error else line


def _together(step: str, states: Sequence[StepState | None]) -> str:
    begun = [state for state in states if state is not None]
    counts: dict[str, int] = {}
    for state in begun:
        counts[state.status] = counts.get(state.status, 0) + 1
    verified = sum(state.verified is True for state in begun)
    unverified = sum(state.verified is False for state in begun)
    said = [f"{number} {status}" for status, number in counts.items()]
    if left := len(states) - len(begun):
        said.append(f"{left} to come")
    if verified:
        said.append(f"{verified} verified")
    if unverified:
        said.append(f"*{unverified} NOT verified*")
    error = next((f"{short(state.target)}: {state.error}" for state in begun if state.error), "")
    worst = next((s for s in ("failed", "interrupted", "running") if s in counts), "done")
    mark = _MARKS[worst] if begun and (worst != "done" or not left) else "⚪"
    line = f"{mark} {code(step, 80)}: {', '.join(said)}"
    return f"{line}; {safe(error, 300)}" if error else line


def _notes(told: Told) -> Iterator[str]:
    """What happened beside the steps."""
    for gate in told.gates:
        if gate.status == "skipped":
            yield f"➖ gate {code(gate.id, 80)} is not needed: {safe(gate.reason, 200)}"
    for record in told.records:
        if record.kind == "gate.bypass_attempt":
            step, gate_id = code(record.body["step"], 80), code(record.body["gate"], 80)
            yield f"🛑 {step} was kept from passing {gate_id}, {safe(record.body['why'], 200)}"
        elif record.kind == "incident.aborted":
            yield f"🛑 aborted by {who(record.actor.id)}: {safe(record.body['why'], 300)}"
        elif record.kind == "undo.started":
            yield _undo_line(told, record)
    for change in told.incident.unknown():
        yield f"❓ {safe(change.change.why, 200)}: nobody knows yet whether AWS has done it"


def _undo_line(told: Told, undo: Record) -> str:
    step = undo.body["step"]
    what = f"undo of {code(step, 80)}" if step else "undo"
    taken_back = 0
    failed: dict[int, str] = {}
    for record in told.records:
        if record.seq <= undo.seq:
            continue
        if record.kind == "undo.started":
            break
        if record.kind == "change.undone":
            taken_back += 1
        elif record.kind == "incident.closed" and record.body.get("undo"):
            failed[record.seq] = record.body["error"]
            break
    said = f"↩️ {what} by {who(undo.actor.id)}, {when(undo.at)}: {taken_back} taken back"
    error = next(iter(failed.values()), "")
    return f"{said}; *not all*: {safe(error, 400)}" if error else said
