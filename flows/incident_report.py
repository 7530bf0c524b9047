"""An incident's report in Markdown: what came of it, what was planned, and everything that happened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from flows import approvals
from flows.approvals import GateState
from flows.console.sentences import sentence
from flows.console.terminal import counted
from flows.incident import Incident, fold
from flows.intake.finding import for_display
from flows.journal.record import Record
from flows.plan_text import plan_markdown
from flows.undo import kept_of
from runbooks.playbook import Playbooks

_RESOLVED = "Archived or resolved where it came from."


def incident_report(records: Sequence[Record], playbooks: Playbooks) -> str:
    """The report of an incident as it stood when the last of the records was written.

    Raises InvalidInput where the records are no incident's.
    """
    told = [record for record in records if not record.kind.startswith("slack.")]
    incident = fold(told)
    gates = [
        state
        for gate in incident.gates
        if (state := approvals.state(told, gate, playbooks.approvers, now=told[-1].at))
    ]
    plan = plan_markdown(incident.plan, "Plan").splitlines() if incident.plan else []
    lines = [
        *_head(incident, playbooks),
        *_finding(incident),
        *_other_findings(incident),
        *_steps(incident),
        *_decisions(gates),
        *_tasks(incident),
        *_left(incident),
        # One level lower: the report's own title stands above it.
        *(f"#{line}" if line.startswith("#") else line for line in plan),
        *_timeline(told),
    ]
    return "\n".join(for_display(line) for line in lines) + "\n"


def _head(incident: Incident, playbooks: Playbooks) -> Iterator[str]:
    yield f"# {_text(incident.opened['definition']['title'])}: {incident.id}"
    yield ""
    mode = f"simulated at {_text(incident.simulate)}" if incident.simulate else "**live**"
    drill = f", **DRILL** ({_text(incident.drill)})" if incident.drill else ""
    yield f"- Status: **{incident.status}**, {mode}{drill}"
    if incident.paused:
        yield f"- Paused: {_text(incident.paused)}"
    if incident.error:
        yield f"- {_text(incident.error)}"
    for ref in incident.targets:
        account = playbooks.accounts.get(ref.account)
        name = f"{_text(account.name)}, {_text(account.environment)}" if account else "not listed"
        yield f"- Target: `{_code(ref.arn)}` (account {ref.account}: {name})"
    yield f"- Asked for by {_text(incident.requester.id)}, {_time(incident.opened_at)}"
    if incident.closed_at:
        took = (incident.closed_at - incident.opened_at).total_seconds()
        yield f"- Ended {_time(incident.closed_at)}, {took:.1f} s later"
    if incident.opened["reason"]:
        yield f"- Why: {_text(incident.opened['reason'])}"
    left = len(incident.to_undo())
    yield f"- {counted(len(incident.changes), 'change')}, {left} of them not taken back"
    yield ""


def _finding(incident: Incident) -> Iterator[str]:
    finding = incident.opened["finding"]
    if not finding:
        return
    yield from ("## Finding", "")
    yield f"- `{_code(finding.get('type', ''))}`, severity {_text(finding.get('severity', '?'))}"
    yield f"- {_text(finding.get('title', ''))}"
    yield f"- `{_code(finding.get('id', ''))}`"
    if finding.get("description"):
        yield f"- {_text(finding['description'])}"
    if incident.findings[0].resolved:
        yield f"- {_RESOLVED}"
    yield ""


def _other_findings(incident: Incident) -> Iterator[str]:
    others = incident.findings[1 if incident.opened["finding"] else 0 :]
    if not others:
        return
    yield from ("## Findings that joined later", "")
    for known in others:
        finding = known.finding
        severity = _text(finding.get("severity", "?"))
        yield (
            f"- `{_code(finding.get('type', ''))}`, severity {severity}: "
            f"{_text(finding.get('title', ''))} (`{_code(finding.get('id', ''))}`)"
            + (f" {_RESOLVED}" if known.resolved else "")
        )
    yield ""


def _steps(incident: Incident) -> Iterator[str]:
    if not incident.steps:
        return
    yield from ("## Steps", "", "| Step | Target | Status | Took | Verified | |")
    yield "|---|---|---|---|---|---|"
    for step in incident.steps:
        took = f"{(step.finished - step.started).total_seconds():.2f} s" if step.finished else ""
        verified = {True: "yes", False: "NO", None: ""}[step.verified]
        cells = [step.id, step.target.rsplit("/", 1)[-1], step.status, took]
        yield _row(*cells, verified, step.error)
    yield ""


def _decisions(gates: Sequence[GateState]) -> Iterator[str]:
    if not gates:
        return
    yield from ("## Decisions", "")
    for gate in gates:
        yield f"- Gate `{_code(gate.id)}`: {gate.status} {_text(gate.reason)}".rstrip()
        for vote in gate.votes:
            glass = " (broke the glass)" if vote.break_glass else ""
            why = f": {_text(vote.why)}" if vote.why else ""
            yield f"  - {vote.answer}{glass} by {_text(vote.principal)}, {_time(vote.at)}{why}"
    yield ""


def _tasks(incident: Incident) -> Iterator[str]:
    if not incident.manual:
        return
    yield from ("## Tasks", "")
    for task in incident.manual:
        state = {None: "open", True: "done", False: "not possible"}[task.done]
        note = f" ({_text(task.note)})" if task.note else ""
        yield f"- {_text(task.text)}, for {_text(task.by)}: {state}{note}"
    yield ""


def _left(incident: Incident) -> Iterator[str]:
    happened = [change.change for change in incident.changes if change.may_have_happened]
    lines = [
        *(f"outcome unknown: {change.change.why}" for change in incident.unknown()),
        *(f"stays after an undo: {line}" for line in kept_of(happened)),
        *incident.warnings,
    ]
    if lines:
        yield from ("## To know", "", *(f"- {_text(line)}" for line in lines), "")


def _timeline(records: Sequence[Record]) -> Iterator[str]:
    yield from ("## Timeline", "", "| Seconds | Time (UTC) | Who | What |", "|---:|---|---|---|")
    for record in records:
        seconds = f"{(record.at - records[0].at).total_seconds():.3f}"
        time = f"{record.at:%H:%M:%S.%f}"[:-3]
        yield _row(seconds, time, record.actor.id, sentence(record))


def _row(*cells: str) -> str:
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _text(text: object) -> str:
    """Text as it is: neither a link, nor HTML, nor the end of a table's cell."""
    return re.sub(r"([\\`*_\[\]<>|#~!])", r"\\\1", " ".join(str(text).split()))


def _code(text: object) -> str:
    return " ".join(str(text).replace("`", "'").split())
