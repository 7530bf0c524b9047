"""What a drill has not tested: nobody knows of it more than before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flows.gameday.assessment import Verdict
from flows.gameday.drills import DIED, INJECTED
from flows.gameday.score.gates import asked
from flows.gameday.score.reading import Played
from runbooks.playbook import Approve, Gate, Manual, Playbook, Playbooks


def not_tested(
    played: Played,
    playbooks: Playbooks,
    verdicts: Sequence[Verdict],
    faults: Sequence[dict[str, Any]],
) -> tuple[str, ...]:
    """In sentences: parts of the playbook that never ran, what was not asked, what hit nothing."""
    return tuple(dict.fromkeys(_all(played, playbooks, verdicts, faults)))


def _all(
    played: Played,
    playbooks: Playbooks,
    verdicts: Sequence[Verdict],
    faults: Sequence[dict[str, Any]],
) -> Iterator[str]:
    for verdict in verdicts:
        if verdict.level == "not tested":
            yield f"Objective “{verdict.title}”. {verdict.reason}"
    yield from _of_playbooks(played, playbooks)
    if not any(told.of("undo.started") for told in played.incidents):
        yield "Taking it back: nobody began to undo anything."
    for fault in faults:
        if fault["hits"] == 0:
            yield f"A fault hit no call: {fault['what']}."
    injected = {record.body["event"] for record in played.drill.of(INJECTED)}
    for number, event in enumerate(played.scenario.timeline):
        if number not in injected:
            yield f"Event {number + 1} of the timeline ({event.things[0]}) never happened."
    died = {record.body.get("event") for record in played.drill.of(DIED)}
    for record in played.injected("dies"):
        if record.body["event"] not in died:
            yield "The orchestrator's death: it made too few changes to be killed at one."
    for told in played.incidents:
        for task in told.incident.manual:
            if task.done is None:
                yield f"The task for {task.by} stayed open: {task.text}"


def _of_playbooks(played: Played, playbooks: Playbooks) -> Iterator[str]:
    wanted = played.scenario.playbook
    run = {told.incident.playbook: told.playbook for told in played.incidents}
    if wanted not in run:
        yield f"The playbook {wanted}: no incident was opened with it."
        if wanted in playbooks.playbooks:
            for entry in playbooks.playbooks[wanted].run_steps():
                yield f"{wanted}: the step {entry.id} was never begun."
    for name, playbook in run.items():
        yield from _of_playbook(played, name, playbook)


def _of_playbook(played: Played, name: str, playbook: Playbook) -> Iterator[str]:
    incidents = [told for told in played.incidents if told.incident.playbook == name]
    begun = {record.body["step"] for told in incidents for record in told.of("step.started")}
    skipped = {
        record.body["step"]: record.body["error"]
        for told in incidents
        for record in told.of("step.finished")
        if record.body["status"] == "skipped"
    }
    for entry in playbook.run_steps():
        if entry.id in begun:
            continue
        why = f" ({skipped[entry.id]})" if skipped.get(entry.id) else ""
        yield f"{name}: the step {entry.id} was never begun{why}."
    requested = [wait for told in incidents for wait in asked(played, told)]
    for item in playbook.steps:
        if isinstance(item, Approve):
            of_gate = [wait for wait in requested if wait.gate == item.approve.id]
            if not of_gate:
                yield f"{name}: the gate {item.approve.id} was never asked for."
            elif not any(wait.escalated for wait in of_gate):
                yield from _escalation(name, item.approve)
        elif isinstance(item, Manual) and not any(
            task.id == item.manual.id for told in incidents for task in told.incident.manual
        ):
            yield f"{name}: nobody was asked to do the task {item.manual.id}."


def _escalation(name: str, gate: Gate) -> Iterator[str]:
    if gate.escalate_to:
        yield f"{name}: the gate {gate.id} was never escalated to {gate.escalate_to}."
