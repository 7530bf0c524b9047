"""``clampdown slack``: the Slack app in this process, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal

from flows.console.terminal import console, show_warnings, shown
from flows.settings import Settings
from flows.slack.service import slack_service
from flows.slack.settings import SlackSettings
from runbooks.playbook import Playbooks


async def serve_slack(
    settings: Settings,
    slack: SlackSettings,
    playbooks: Playbooks,
    *,
    http: bool,
    prefect: bool,
    as_json: bool,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises what :func:`slack_service` raises."""
    show_warnings()
    out = console()
    enough = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, enough.set)
    async with slack_service(settings, slack, playbooks, http=http, prefect=prefect) as service:
        if as_json:
            document = {
                "team": service.face.team,
                "address": service.address,
                "simulate": settings.simulate,
                "resumed": list(service.resumed),
            }
            print(json.dumps(document, indent=2), flush=True)
            await enough.wait()
            return
        side = f"simulated AWS at {settings.simulate}" if settings.simulate else "LIVE"
        side = f"SHADOW of {side}" if settings.shadow else side
        how = f"at {service.address}" if http else "over Socket Mode"
        out.print(
            shown(
                f"Slack: workspace {service.face.team or 'not reached yet'}, {how}; {side}. Ctrl-C ends it.",
                "bold",
            )
        )
        for incident in service.resumed:
            out.print(shown(f"going on with {incident}"))
        await enough.wait()
        out.print(shown("Ending after the calls in flight."))
