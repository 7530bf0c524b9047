"""Where an incident stands, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from flows.approvals import GateState
from flows.console.sentences import finding_words, sentence
from flows.console.terminal import counted, shown, table
from flows.incident import Incident, KnownFinding
from flows.journal.record import Record

STYLES = {
    "contained": "green",
    "done": "green",
    "undone": "green",
    "unchanged": "green",
    "running": "cyan",
    "waiting": "yellow",
    "proposed": "yellow",
    "pending": "yellow",
    "skipped": "dim",
    "approved": "green",
}
_MOST_FINDINGS = 20


def show_incidents(out: Console, incidents: Sequence[Incident]) -> None:
    """A line for each; those that wait for somebody to start them are marked, and counted."""
    if not incidents:
        out.print(shown("No incidents."))
        return
    rows = table("INCIDENT", "STATUS", "MODE", "OPENED (UTC)", "PLAYBOOK", "TARGETS", "WAITS FOR")
    for incident in incidents:
        rows.add_row(
            incident.id,
            shown(incident.status, STYLES.get(incident.status, "red")),
            incident.side,
            f"{incident.opened_at:%Y-%m-%d %H:%M:%S}",
            incident.playbook,
            ", ".join(ref.id for ref in incident.targets),
            shown(waits_for(incident), "yellow"),
        )
    out.print(rows)
    if proposed := sum(incident.status == "proposed" for incident in incidents):
        verb = "waits" if proposed == 1 else "wait"
        said = f"{counted(proposed, 'incident')} {verb} for somebody to start: "
        out.print(
            shown(f"\n{said}`clampdown resume INCIDENT`, or `clampdown abort INCIDENT --why …`.")
        )


def waits_for(incident: Incident) -> str:
    """Whom or what an incident waits for; empty where it waits for nothing."""
    if incident.paused:
        return "the service"
    if incident.status == "proposed":
        return "somebody to start it"
    return "a decision" if incident.status == "waiting" else ""


def show_status(out: Console, incident: Incident, gates: Sequence[GateState]) -> None:
    out.print(
        shown(f"{incident.id}  ", "bold")
        + shown(incident.status, STYLES.get(incident.status, "red"))
        + shown(f"  {incident.side}", "" if incident.simulate else "bold red")
    )
    out.print(shown(f"  {incident.playbook} on {', '.join(ref.arn for ref in incident.targets)}"))
    out.print(
        shown(f"  opened {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC by {incident.requester.id}")
    )
    if incident.opened["reason"]:
        out.print(shown(f"  reason: {incident.opened['reason']}"))
    _show_findings(out, incident.findings)
    if incident.paused:
        out.print(shown(f"  paused: {incident.paused}", "yellow"))
    elif incident.status == "proposed":
        out.print(shown("  nothing is done until somebody starts it:", "yellow"))
        out.print(shown(f"    clampdown resume {incident.id}", "cyan"))
    if incident.error:
        out.print(shown(f"  {incident.error}", "red"))
    _show_steps(out, incident)
    for gate in gates:
        _show_gate(out, incident, gate)
    _show_people(out, incident)
    for change in incident.unknown():
        out.print(
            shown(f"\n  outcome unknown: {change.change.call}\n", "yellow")
            + shown(f"    `clampdown resume {incident.id}` reads back what AWS did.")
        )
    left = len(incident.to_undo())
    out.print(shown(f"\n  {len(incident.changes)} changes, {left} of them not taken back", "dim"))


def show_timeline(out: Console, records: Sequence[Record]) -> None:
    """Every record with the seconds since the first."""
    rows = table("SECONDS", "TIME (UTC)", "WHO", "WHAT")
    for record in records:
        rows.add_row(
            f"{(record.at - records[0].at).total_seconds():9.3f}",
            f"{record.at:%H:%M:%S.%f}"[:-3],
            record.actor.id,
            shown(sentence(record)),
        )
    out.print(rows)


def _show_findings(out: Console, findings: Sequence[KnownFinding]) -> None:
    for known in findings[:_MOST_FINDINGS]:
        state = "  resolved" if known.resolved else ""
        out.print(shown(f"  finding: {finding_words(known.finding)}{state}"))
    if (left := len(findings) - _MOST_FINDINGS) > 0:
        out.print(shown(f"  … and {counted(left, 'more finding')}"))


def _show_steps(out: Console, incident: Incident) -> None:
    if not incident.steps:
        return
    rows = table("  STEP", "TARGET", "STATUS", "TOOK", "VERIFIED", "")
    for step in incident.steps:
        took = f"{(step.finished - step.started).total_seconds():.2f} s" if step.finished else ""
        verified = {True: "yes", False: "NO", None: ""}[step.verified]
        rows.add_row(
            f"  {step.id}",
            step.target.rsplit("/", 1)[-1],
            shown(step.status, STYLES.get(step.status, "red")),
            took,
            verified,
            shown(step.error, "red"),
        )
    out.print()
    out.print(rows)


def _show_gate(out: Console, incident: Incident, gate: GateState) -> None:
    out.print()
    out.print(shown(f"  gate {gate.id}: ") + shown(gate.status, STYLES.get(gate.status, "red")))
    for vote in gate.votes:
        out.print(shown(f"    {vote.answer} by {vote.principal} at {vote.at:%H:%M:%S} {vote.why}"))
    if gate.status == "pending" and gate.expires_at:
        left = gate.expires_at - datetime.now(UTC)
        out.print(shown(f"    needs {gate.needed}; {int(left.total_seconds())} s are left"))
        out.print(shown(f"    clampdown approve {incident.id} {gate.id}", "cyan"))
        out.print(shown(f"    clampdown deny {incident.id} {gate.id} --why …", "cyan"))
    if gate.review_due:
        late = " OVERDUE" if gate.review_due < datetime.now(UTC) else ""
        out.print(
            shown(f"    review after broken glass due {gate.review_due:%H:%M:%S}{late}", "red")
        )


def _show_people(out: Console, incident: Incident) -> None:
    for task in incident.manual:
        state = {None: "open", True: "done", False: "not possible"}[task.done]
        out.print(shown(f"\n  task {task.id} for {task.by}: {state}"))
        out.print(shown(f"    {task.text}"))
        if task.done is None:
            out.print(
                shown(f"    clampdown approve {incident.id} {task.id}   (when it is done)", "cyan")
            )
