"""What is too long for a message, in modals whose pages are turned: every call, and the timeline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from flows.console.sentences import sentence
from flows.journal.record import Record
from flows.slack.actions import CALLS_BACK, CALLS_ON, TIMELINE_BACK, TIMELINE_ON, PageValue
from flows.slack.blocks import actions, button, context, plain_text, section, sections
from flows.slack.message import Block
from flows.slack.text import code, code_block, safe
from flows.slack.told import short
from runbooks.calls import Change, Keep, Plan, PlannedStep

_CALLS = 20
_RECORDS = 60
_CALL, _UNDO, _WHY, _WARNING = 1_900, 350, 200, 500
_MOST_UNDOS = 2


def every_call(incident: str, plan: Plan, page: int = 0, *, gate: str = "") -> Block:
    """Each call of a plan, exactly, with its undo. ``gate`` shows those behind it alone."""
    shown = plan.behind(gate) if gate else plan
    entries = list(_calls(shown))
    page, pages = _within(page, len(entries), _CALLS)
    blocks = [
        context(
            f"{code(incident, 60)} plan {code(plan.digest, 80)}"
            + (f", behind the gate {code(gate, 80)}" if gate else "")
            + ". What is cut (… #) stands whole in `clampdown status --json`."
        ),
        *entries[page * _CALLS : (page + 1) * _CALLS],
        *_turn(incident, page, pages, (CALLS_BACK, CALLS_ON), gate),
    ]
    if not entries:
        blocks.insert(1, section("Already contained: there is nothing to change."))
    return _view("Every call", page, pages, blocks)


def timeline(records: Sequence[Record], page: int = 0) -> Block:
    """Every record with the seconds since the first; the last page is the newest."""
    told = [record for record in records if not record.kind.startswith("slack.")]
    page, pages = _within(page, len(told), _RECORDS)
    lines = [
        f"`{(record.at - told[0].at).total_seconds():.1f}` {safe(_name(record), 60)}: "
        f"{safe(sentence(record), 300)}"
        for record in told[page * _RECORDS : (page + 1) * _RECORDS]
    ]
    blocks = [
        *sections("", lines, 40_000),
        *_turn(told[0].incident, page, pages, (TIMELINE_BACK, TIMELINE_ON), ""),
    ]
    return _view("Timeline", page, pages, blocks)


def last_page(records: Sequence[Record]) -> int:
    """The page of the timeline with the newest records."""
    told = sum(not record.kind.startswith("slack.") for record in records)
    return max(0, (told - 1) // _RECORDS)


def _name(record: Record) -> str:
    return record.actor.id.partition(":")[2] or record.actor.id


def _calls(plan: Plan) -> Iterator[Block]:
    """A block for each call, one for what a step leaves out, one for each step's warnings."""
    for step in plan.steps:
        place = f"{code(step.id, 80)} on {code(short(step.target), 60)}"
        if step.skipped:
            yield section(f"{place}: left out, {safe(step.skipped, 300)}")
        for change in step.changes:
            yield section(_call(place, change, ""))
        for change in step.contingent:
            yield section(_call(place, change, "if needed: "))
        yield from _warnings(place, step)


def _warnings(place: str, step: PlannedStep) -> list[Block]:
    lines = [f"⚠️ {safe(warning, _WARNING)}" for warning in step.warnings]
    return sections(place, lines, 2_800)[:1] if lines else []


def _call(place: str, change: Change, prefix: str) -> str:
    params = json.dumps(change.call.to_json()["params"], ensure_ascii=False)
    exact = f"{change.call.service}.{change.call.operation} {params}"
    lines = [f"{place}: {prefix}{safe(change.why, _WHY)}", code_block(exact, _CALL)]
    if isinstance(change.undo, Keep):
        lines.append(f"stays: {safe(change.undo.reason, _UNDO)}")
    lines += [f"undo: {code(undo.call, _UNDO)}" for undo in change.undos[:_MOST_UNDOS]]
    if len(change.undos) > _MOST_UNDOS:
        lines.append(f"… and {len(change.undos) - _MOST_UNDOS} more")
    return "\n".join(lines)


def _within(page: int, entries: int, size: int) -> tuple[int, int]:
    """The page that there is nearest to the one asked for, and how many there are."""
    pages = max(1, -(-entries // size))
    return min(max(page, 0), pages - 1), pages


def _turn(incident: str, page: int, pages: int, ids: tuple[str, str], gate: str) -> list[Block]:
    back, on = ids
    buttons: list[Block] = []
    if page > 0:
        buttons.append(button("Back", back, PageValue(incident, page - 1, gate)))
    if page + 1 < pages:
        buttons.append(button("Next", on, PageValue(incident, page + 1, gate)))
    return [actions(*buttons)] if buttons else []


def _view(title: str, page: int, pages: int, blocks: list[Block]) -> Block:
    number = f" {page + 1} of {pages}" if pages > 1 else ""
    return {
        "type": "modal",
        "title": plain_text(f"{title}{number}", 24),
        "close": plain_text("Close", 24),
        "blocks": blocks,
    }
