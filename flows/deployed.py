"""What people start from Prefect, as the deployments of ``deployments/prefect.yaml``.

Prefect's API knows no users: whoever reaches it can start these. So they decide nothing. They go on
with what the journal says a person or the service has begun, or rehearse on a simulated AWS; what
they are asked beyond that ends with a sentence, and nothing done. Cancelling a run stops nothing
either: what it leaves is unfinished, and goes on elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.states import Completed, Failed

from flows.carry_out import stoppable
from flows.gameday.archive import play
from flows.gameday.assessment import Assessment
from flows.gameday.days_off import off_today, surprise
from flows.gameday.run import drawn
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


@flow(name="clampdown-drill", flow_run_name="drill {scenario}", persist_result=False)
def drill(
    scenario: str,
    seed: int | None = None,
    window_minutes: int = 0,
    blackout: list[str] | None = None,
    timezone: str = "UTC",
) -> State[None]:
    """Play a scenario in a simulated AWS, with stand-ins for people. It fails where anything falls
    short.

    With a window it is played at some time within it, by a run of its own. On the days of
    ``blackout``, in that time zone, nothing is played.
    """
    try:
        if off := off_today(blackout or [], timezone):
            return Completed(message=f"{off} is blacked out: nothing was played.")
        if window_minutes and (deployment := runtime.deployment.id):
            later = surprise(timedelta(minutes=window_minutes))
            run_deployment(
                UUID(deployment),
                parameters={"window_minutes": 0},
                scheduled_time=datetime.now(UTC) + later,
                timeout=0,
                as_subflow=False,
            )
            return Completed(message=f"A surprise, within {window_minutes} minutes.")
        assessed = _played(scenario, seed)
    except ClampdownError as error:
        return Failed(message=str(error))
    create_markdown_artifact(
        # An artifact's key has lower-case letters, digits and dashes.
        key="drill-" + re.sub(r"[^a-z0-9]+", "-", scenario.lower()),
        markdown=_markdown(assessed),
        description=f"A drill of {scenario}",
    )
    if not assessed.passed:
        missed = [v for v in assessed.verdicts if v.level in ("missed", "partly")]
        return Failed(message=" ".join(f"{verdict.title}: {verdict.reason}" for verdict in missed))
    return Completed(message=f"{scenario}: {assessed.score:.0f} of 100.")


def _played(scenario: str, seed: int | None) -> Assessment:
    """Play it, and have Slack told that it begins and how it went, where it can be told."""
    settings = load_settings()
    places = load(settings.playbooks, STEPS).slack
    if places is None or not os.environ.get("CLAMPDOWN_SLACK_BOT_TOKEN"):
        return play(scenario, drawn(seed), settings)
    from flows.slack.gamedays import announced
    from flows.slack.posting import web_client
    from flows.slack.settings import load_slack_settings

    slack = load_slack_settings(http=None)

    async def told() -> Assessment:
        client = web_client(slack.api_url, slack.bot_token.get_secret_value())
        return await announced(client, places.channel, scenario, drawn(seed), settings)

    return asyncio.run(told())


def _markdown(assessed: Assessment) -> str:
    lines = [
        f"# {assessed.title}: {'passed' if assessed.passed else 'fell short'}",
        "| | |\n|---|---|",
        f"| score | {assessed.score:.0f} of 100 |",
        f"| seed | {assessed.seed} |",
        f"| drill | `{assessed.drill}` |",
    ]
    return "\n".join(
        [*lines, "", *(f"- {v.title}: {v.level}. {v.reason}" for v in assessed.verdicts)]
    )


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
