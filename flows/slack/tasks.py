"""The messages of tasks: what only people can do."""

from __future__ import annotations

from collections.abc import Iterator

from flows.incident import ManualTask
from flows.slack.actions import TASK_DONE, TASK_IMPOSSIBLE, TaskValue
from flows.slack.away import pings
from flows.slack.blocks import actions, button, section
from flows.slack.message import TASK_URGENCY, Block, Message
from flows.slack.text import code, plain, safe, when, who
from flows.slack.told import Told

_TEXT = 1_500


def task_messages(told: Told) -> Iterator[tuple[int, Message]]:
    """A message for each task, and the number of the record that asks for it."""
    tasks = {task.id: task for task in told.incident.manual}
    seen: set[str] = set()
    for record in told.records:
        if record.kind == "manual.requested" and record.body["id"] not in seen:
            seen.add(record.body["id"])
            yield record.seq, _message(told, tasks[record.body["id"]])


def task_buttons(told: Told, task: ManualTask) -> Block:
    """The buttons of a task that is open."""
    value = TaskValue(told.id, task.id)
    return actions(
        button("Done", TASK_DONE, value, style="primary"),
        button("Not possible", TASK_IMPOSSIBLE, value),
    )


def _message(told: Told, task: ManualTask) -> Message:
    mark = {None: "☐", True: "☑️", False: "🚫"}[task.done]
    lines = [f"{mark} *To do* for {code(task.by, 80)}", safe(task.text, _TEXT)]
    blocks: list[Block]
    if task.done is None:
        group = told.playbooks.approvers.get(task.by)
        asked = " ".join(pings(group, told.away)) if group else ""
        lines.append(asked or f"Nobody of it is in Slack: `clampdown approve {told.id} …`")
        blocks = [section("\n".join(lines)), task_buttons(told, task)]
    else:
        lines.append(_reported(told, task))
        blocks = [section("\n".join(lines))]
    text = plain(f"To do for {task.by}: {task.text}", 300)
    return Message(f"task:{task.id}", text, tuple(blocks), TASK_URGENCY)


def _reported(told: Told, task: ManualTask) -> str:
    report = next(
        record
        for record in reversed(told.records)
        if record.kind == "manual.decided" and record.body["id"] == task.id
    )
    what = "Done" if task.done else "*Not possible*"
    note = f": {safe(task.note, 500)}" if task.note else ""
    return f"{what}, says {who(report.actor.id)}, {when(report.at)}{note}"
