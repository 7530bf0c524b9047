"""The message at the end of a containment, or of an undo: what came of it, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from flows.console.terminal import counted
from flows.incident import StepState
from flows.incident_report import incident_report
from flows.journal.record import Record
from flows.slack.actions import RESUME, SHOW_TIMELINE, UNDO
from flows.slack.blocks import actions, button, header, section, sections
from flows.slack.message import TASK_URGENCY, Attachment, Block, Message
from flows.slack.opening import status
from flows.slack.text import code, plain, safe, some_of, span, when, who
from flows.slack.told import Told, short
from flows.undo import kept_of

_ROOM = 1_800
_LEFT_ROOM = 1_800
# Whoever restarts what carries incidents out goes on with them; there is nothing to sum up yet.
_UNTOLD = "interrupted"
_BEGINS = ("incident.asked", "incident.started", "undo.started")


def closing_messages(told: Told) -> Iterator[tuple[int, Message]]:
    """A summary and a report for each time that the incident came to an end, as it was then."""
    ends = _ends(told)
    for number, index in enumerate(ends, start=1):
        record = told.records[index]
        then = replace(told, records=told.records[: index + 1], now=record.at)
        suffix = "" if number == 1 else f":{number}"
        latest = index == ends[-1] and _is_at_an_end(told)
        yield record.seq, summary(then, f"summary{suffix}", record, latest=latest)
        yield record.seq, _report(then, number)


def summary(told: Told, key: str, end: Record, *, latest: bool) -> Message:
    """What came of it. Buttons are those of the ``latest`` end only."""
    title = f"{told.mark} {told.title}: {told.short_targets()}"
    blocks: list[Block] = [
        header(status(told)),
        section(f"*{safe(title)}*\n{_what(told, end)}"),
        *sections("Times", list(_times(told)), _ROOM),
        *sections("Evidence", list(_evidence(told)), _ROOM),
        *sections("Refused, failed or open", list(_left(told)), _LEFT_ROOM),
        section(_next(told)),
    ]
    if latest:
        blocks.append(actions(*_buttons(told)))
    return Message(key, plain(f"{status(told)}: {title}", 300), tuple(blocks), TASK_URGENCY)


def _report(told: Told, number: int) -> Message:
    suffix = "" if number == 1 else f"-{number}"
    file = Attachment(
        name=f"{told.id}-report{suffix}.md",
        title=f"Report of {told.id}",
        write=lambda: incident_report(told.records, told.playbooks),
    )
    key = "report" if number == 1 else f"report:{number}"
    text = f"Everything that was planned, decided and done: the report of {told.id}"
    return Message(key, text, (), TASK_URGENCY, file=file)


def _what(told: Told, end: Record) -> str:
    incident = told.incident
    if end.kind == "incident.aborted":
        return f"Stopped by {who(end.actor.id)}: {safe(end.body['why'], 500)}"
    if end.body.get("undo"):
        left = len(incident.to_undo())
        stand = (
            f"not taken back: {counted(left, 'change')}" if left else "nothing is left to take back"
        )
        error = f"\n{safe(end.body['error'], 800)}" if end.body["error"] else ""
        return f"The undo has ended: {stand}.{error}"
    return safe(incident.error, 1_000) if incident.error else "All of the playbook was done."


def _times(told: Told) -> Iterator[str]:
    opened = told.incident.opened_at
    yield f"Opened {when(opened)}"
    if (isolated := _isolated_at(told)) is not None:
        yield f"Isolated after *{span(isolated - opened)}*"
    verified = [record.at for record in told.records if record.kind == "verify.passed"]
    if verified and told.incident.status in ("contained", "incomplete"):
        yield f"Verified after *{span(verified[-1] - opened)}*"
    if (waited := _waited(told)) >= timedelta(seconds=1):
        yield f"Of which people were waited for: {span(waited)}"
    if told.incident.closed_at is not None:
        yield f"Ended {when(told.incident.closed_at)}, {span(told.incident.closed_at - opened)} later"


def _isolated_at(told: Told) -> datetime | None:
    found = [
        step.finished
        for step in told.incident.steps
        if step.step == "ec2.isolate" and step.status in ("done", "unchanged") and step.finished
    ]
    return max(found, default=None)


def _waited(told: Told) -> timedelta:
    """For how long gates have stood that were decided in the end."""
    waited = timedelta()
    for gate in told.gates:
        if gate.requested_at is not None and gate.votes:
            waited += gate.votes[-1].at - gate.requested_at
    return waited


def _evidence(told: Told) -> Iterator[str]:
    for step in told.incident.steps:
        if step.step == "ec2.snapshot" and step.outputs.get("snapshots"):
            pairs = [f"{code(snap, 40)} of {code(volume, 40)}" for volume, snap in _snapshots(step)]
            yield f"Snapshots of {code(short(step.target), 60)}: {some_of(pairs, 8)}"
        elif step.step == "evidence.wait" and step.status in ("done", "unchanged"):
            yield f"Snapshots of {code(short(step.target), 60)} are complete"
        elif step.step == "clean_room.create" and step.outputs.get("connect"):
            yield f"Clean room: {code(step.outputs['connect'], 300)}"
            if step.outputs.get("expires"):
                yield f"It is deleted after {code(step.outputs['expires'], 60)} by `clampdown reap`"


def _snapshots(step: StepState) -> list[tuple[str, str]]:
    return sorted(step.outputs["snapshots"].items())


def _left(told: Told) -> Iterator[str]:
    incident = told.incident
    for step in incident.steps:
        where = f"{code(step.id, 80)} on {code(short(step.target), 60)}"
        if step.verified is False:
            yield f"❌ {where} is *not verified*: {safe(step.error, 300)}"
        elif step.status in ("failed", "interrupted"):
            yield f"❌ {where}: {step.status}, {safe(step.error, 300)}"
    for change in incident.unknown():
        yield f"❓ {safe(change.change.why, 200)}: nobody knows whether AWS has done it"
    for task in incident.manual:
        if task.done is None:
            yield f"☐ open, for {code(task.by, 80)}: {safe(task.text, 200)}"
        elif not task.done:
            yield f"🚫 not possible: {safe(task.text, 200)} {safe(task.note, 200)}".rstrip()
    for gate in told.gates:
        if gate.review_due is not None and not told.is_over:
            yield f"🔨 the glass of {code(gate.id, 80)} was broken: review until {when(gate.review_due)}"
    refused = sum(record.kind == "gate.refused" for record in told.records)
    if refused:
        yield f"🛑 {counted(refused, 'decision')} refused: see the timeline"


def _next(told: Told) -> str:
    incident = told.incident
    if incident.status == "undone":
        stays = kept_of([change.change for change in incident.changes if change.may_have_happened])
        if not stays:
            return "Everything is as it was."
        more = f" and {len(stays) - 3} more" if len(stays) > 3 else ""
        return f"Stays: {'; '.join(safe(line, 200) for line in stays[:3])}{more}."
    undo = (
        f"`clampdown undo {incident.id}` takes back {counted(len(incident.to_undo()), 'change')}."
    )
    if incident.undoing:
        return f"{undo} Mend what kept it from that first."
    if incident.status in ("failed", "incomplete"):
        return f"Mend it, then go on (`clampdown resume {incident.id}`), or take it back: {undo}"
    return undo if incident.to_undo() else "Nothing was changed: there is nothing to take back."


def _buttons(told: Told) -> list[Block]:
    incident = told.incident
    buttons: list[Block] = []
    if incident.status in ("failed", "incomplete") and not incident.undoing:
        buttons.append(button("Go on", RESUME, told.id, style="primary"))
    if incident.to_undo():
        buttons.append(button("Undo…", UNDO, told.id, style="danger"))
    return [*buttons, button("Timeline", SHOW_TIMELINE, told.id)]


def _closes_the_aborted(told: Told, index: int) -> bool:
    """Whether the record only says that the executor has heard of an abort that is told already."""
    record = told.records[index]
    return (
        record.kind == "incident.closed"
        and not record.body.get("undo")
        and any(earlier.kind == "incident.aborted" for earlier in told.records[:index])
    )


def _ends(told: Told) -> list[int]:
    """The indices of the records that ended it, but for those that say nothing new."""
    ends: list[int] = []
    for index, record in enumerate(told.records):
        closed = record.kind == "incident.closed" and record.body["status"] != _UNTOLD
        if not closed and record.kind != "incident.aborted":
            continue
        if _closes_the_aborted(told, index) or (ends and _is_as_before(told, ends[-1], index)):
            continue
        ends.append(index)
    return ends


def _is_as_before(told: Told, before: int, index: int) -> bool:
    """Whether a finding that goes on has only had it looked at again, and all was as it had been.

    GuardDuty repeats a finding for as long as it goes on; that is no news each time.
    """
    since = told.records[before + 1 : index]
    end, known = told.records[index], told.records[before]
    return (
        any(record.kind == "incident.asked" for record in since)
        and not any(record.kind in ("change.intent", "undo.started") for record in since)
        and (end.kind, end.body) == (known.kind, known.body)
    )


def _is_at_an_end(told: Told) -> bool:
    """Whether nobody has gone on with it since it ended."""
    kinds = (*_BEGINS, "incident.closed", "incident.aborted")
    moves = [
        record
        for index, record in enumerate(told.records)
        if record.kind in kinds and not _closes_the_aborted(told, index)
    ]
    return moves[-1].kind not in _BEGINS and moves[-1].body.get("status") != _UNTOLD
