"""What people start from Prefect, as the deployments of ``deployments/prefect.yaml``.

Prefect's API knows no users: whoever reaches it can start these. So they decide nothing. They go on
with what the journal says a person or the service has begun, or rehearse on a simulated AWS; what
they are asked beyond that ends with a sentence, and nothing done. Cancelling a run stops nothing
either: what it leaves is unfinished, and goes on elsewhere.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import drill as drills
from flows.carry_out import stoppable
from flows.drill import Drilled
from flows.identity import SERVICE
from flows.incident import Incident
from flows.journal.errors import IncidentHeld
from flows.responder import Responder
from flows.settings import load_settings
from runbooks.errors import ClampdownError, Interrupted
from runbooks.loader import load
from runbooks.registry import STEPS


@flow(name="clampdown-respond", flow_run_name="respond {incident}", persist_result=False)
def respond(incident: str) -> State[None]:
    """Go on with a containment that was begun and has not ended. It starts none."""
    return _go_on(incident, undo=False)


@flow(name="clampdown-undo", flow_run_name="undo {incident}", persist_result=False)
def undo(incident: str) -> State[None]:
    """Go on with an undo that a person has begun and that has not ended. It starts none."""
    return _go_on(incident, undo=True)


@flow(name="clampdown-drill", flow_run_name="drill {playbook} {seed}", persist_result=False)
def drill(playbook: str = "ec2-compromise", seed: int = 0) -> State[None]:
    """Rehearse a playbook on a simulated AWS, and undo it. It fails where anything falls short."""
    try:
        drilled = drills.drill(playbook, seed, load_settings())
    except ClampdownError as error:
        return Failed(message=str(error))
    create_markdown_artifact(
        # An artifact's key has lower-case letters, digits and dashes.
        key="drill-" + re.sub(r"[^a-z0-9]+", "-", playbook.lower()),
        markdown=_told(drilled),
        description=f"A drill of {playbook}",
    )
    if not drilled.passed:
        return Failed(message=" ".join(drilled.shortcomings))
    return Completed(message=f"{playbook} was rehearsed and undone.")


def _go_on(incident_id: str, *, undo: bool) -> State[None]:
    try:
        settings = load_settings()
        # As the service: what is interrupted here is gone on with there.
        responder = Responder(settings, load(settings.playbooks, STEPS), service=True)
        try:
            incident = responder.incident(incident_id)
            if not incident.unfinished or (incident.undo_begun is not None) is not undo:
                return Failed(message=_refusal(incident, undo=undo))
            with stoppable(responder.stop), suppress(Interrupted):
                responder.go_on(incident_id, SERVICE, prefect=False)
            incident = responder.incident(incident_id)
        finally:
            responder.journal.close()
    except IncidentHeld:
        return Completed(message=f"Another process is at {incident_id}; it is left to that one.")
    except ClampdownError as error:
        return Failed(message=str(error))
    if incident.unfinished:
        return Completed(message=f"{incident_id} was interrupted; the service goes on with it.")
    return Completed(message=f"{incident_id} is {incident.status}. {incident.error}".rstrip())


def _refusal(incident: Incident, *, undo: bool) -> str:
    if undo:
        begun = "Nobody has begun to undo it, or that has ended: people do, with `clampdown undo`"
    else:
        begun = "Only what was begun and has not ended is gone on with: people start, with `clampdown resume`"
    return f"{incident.id} is {incident.status}; nothing was done. {begun} or in Slack."


def _told(drilled: Drilled) -> str:
    lines = [
        f"# {drilled.playbook}: {'passed' if drilled.passed else 'fell short'}",
        f"| | |\n|---|---|\n| incident | `{drilled.incident}` |\n| seed | {drilled.seed} |",
        f"| contained and verified after | {_seconds(drilled.contained_after)} |",
        f"| undone after | {_seconds(drilled.undone_after)} |",
        f"| journal | `{drilled.home}` |",
    ]
    return "\n".join([*lines, "", *(f"- {text}" for text in drilled.shortcomings)])


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():.1f} s"
