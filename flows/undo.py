"""Taking an incident's changes back, the last first, each recorded like any other change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.execution import Surroundings, protected_rules
from flows.incident import IncidentStatus, RecordedChange, fold
from flows.journal.errors import JournalUnavailable
from flows.journal.record import Actor
from flows.ledger import JournalLedger, Recorder
from runbooks.aws import IncidentContext, LiveAws, Once, Where
from runbooks.calls import Change
from runbooks.errors import ClampdownError, Interrupted, InvalidInput
from runbooks.guardrails import Guardrails
from runbooks.undo import first_of_each, take_back


@dataclass(frozen=True)
class Undone:
    """What an undo did: the calls made, and what could not be taken back and why."""

    calls: int
    taken_back: int
    failures: tuple[str, ...]
    kept: tuple[str, ...]


def undo_incident(
    incident_id: str, around: Surroundings, actor: Actor, *, step: str | None = None
) -> Undone:
    """Undo what an incident changed, or what one of its steps did.

    The caller holds the incident's lease. A change that can't be taken back does not keep the
    others from it. Running it again goes on where it stopped.

    Raises InvalidInput for a step that has changed nothing, Interrupted when asked to stop.
    """
    journal = around.journal
    incident = fold(journal.records(incident_id))
    changes = incident.to_undo(step)
    if step and step not in {known.step for known in incident.changes}:
        steps = ", ".join(dict.fromkeys(change.step for change in incident.changes)) or "none"
        raise InvalidInput(
            f"{incident_id} has no changes of a step {step!r}.", advice=f"It has: {steps}."
        )
    recorder = Recorder(journal, incident_id, listener=around.listener, progress=around.progress)
    recorder.append("undo.started", {"step": step}, actor)
    guard = Guardrails(protected_rules(around.playbooks), 10**9, lambda account: 0)
    context = IncidentContext(incident_id)
    calls = taken_back = 0
    failures: list[str] = []
    first = {id(change) for change in first_of_each([item.change for item in changes])}
    for recorded in reversed(changes):
        if id(recorded.change) in first and recorded.change.undos:
            ledger = JournalLedger(
                recorder,
                recorded.step,
                recorded.target,
                mode=incident.mode,
                undoes=recorded.seq,
            )
            aws = _door(recorded, around, context, ledger, guard)
            try:
                calls += len(take_back(aws, [recorded.change]))
            except Interrupted as error:
                if around.pausing:
                    why = "The service is ending; the undo goes on by itself when it is back."
                    recorder.append("incident.paused", {"why": why})
                else:
                    _close(recorder, "interrupted", f"The undo was interrupted: {error}")
                raise
            except JournalUnavailable:
                # What it began it goes on with; what it could not write down has not failed.
                raise
            except ClampdownError as error:
                failures.append(f"{recorded.change.why}: {error}")
                continue
        recorder.append("change.undone", {"intent": recorded.seq})
        taken_back += 1
    happened = [change for change in incident.changes if change.may_have_happened]
    kept = tuple(kept_of([item.change for item in happened if step in (None, item.step)]))
    left = fold(journal.records(incident_id)).to_undo()
    status = "failed" if failures else "undone" if not left else incident.status
    _close(recorder, status, "; ".join(failures))
    return Undone(calls, taken_back, tuple(failures), kept)


def kept_of(changes: Sequence[Change]) -> list[str]:
    """What stays after an undo, and why: evidence, for one."""
    kept = [change for change in changes if not change.undos]
    reasons = {change.why: getattr(change.undo, "reason", "") for change in kept}
    return [f"{why} ({reason})" for why, reason in reasons.items()]


def _close(recorder: Recorder, status: IncidentStatus, error: str) -> None:
    recorder.append("incident.closed", {"status": status, "error": error, "undo": True})


def _door(
    recorded: RecordedChange,
    around: Surroundings,
    context: IncidentContext,
    ledger: JournalLedger,
    guard: Guardrails,
) -> LiveAws:
    return LiveAws(
        around.connections,
        Where(recorded.target.account, recorded.target.region),
        context,
        ledger=ledger,
        guard=guard,
        permit=None,
        once=Once(),
        stop=around.stop,
    )
