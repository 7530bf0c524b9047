"""``clampdown serve`` and ``clampdown worker`` as processes, until they are asked to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from datetime import timedelta
from typing import Any

from flows.console.terminal import console, show_warnings, shown
from flows.serve.service import END_WITHIN, Service, service
from flows.serve.settings import ServeSettings
from flows.serve.worker import require_prefect, worker
from flows.settings import Settings
from flows.slack.settings import SlackSettings
from runbooks.playbook import Playbooks

_HANGS = timedelta(seconds=3)


async def run_service(
    settings: Settings,
    serve: ServeSettings,
    slack: SlackSettings | None,
    playbooks: Playbooks,
    *,
    workers: bool,
    prefect: bool,
    as_json: bool,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises what :func:`flows.serve.service.service` raises."""
    enough = _prepare()
    if workers:
        require_prefect()
    running = service(settings, serve, slack, playbooks, workers=workers, prefect=prefect)
    async with running as started:
        document = {
            "address": started.address,
            "prefect": started.prefect,
            "queues": [queue.url for queue in started.queues],
            "slack": started.slack.team if started.slack else None,
            "simulate": settings.simulate,
            "shadow": settings.shadow,
            "resumed": list(started.resumed),
        }
        _say(as_json, document, _sentences(started, settings, workers=workers))
        await enough.wait()
        _say(as_json, None, ["Ending after the calls in flight."])
        _end_for_sure()


async def run_worker(
    settings: Settings, serve: ServeSettings, playbooks: Playbooks, *, as_json: bool
) -> None:
    """Work until SIGINT or SIGTERM. Raises what :func:`flows.serve.worker.worker` raises."""
    enough = _prepare()
    async with worker(settings, serve, playbooks) as started:
        document = {
            "prefect": started.prefect,
            "simulate": settings.simulate,
            "resumed": list(started.resumed),
        }
        sentences = [f"Working for {started.prefect}; {_side(settings)}. Ctrl-C ends it."]
        _say(as_json, document, [*sentences, *_resumed(started.resumed)])
        await enough.wait()
        _say(as_json, None, ["Ending after the calls in flight."])
        _end_for_sure()


def _prepare() -> asyncio.Event:
    show_warnings()
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if enough.is_set():
            os.write(2, b"\nStopped at once. What was in flight goes on when it is back.\n")
            os._exit(130)
        enough.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, ask)
    return enough


def _end_for_sure() -> None:
    """Whatever hangs, at AWS or elsewhere, and is waited for by the interpreter at its exit."""

    def end() -> None:
        time.sleep((END_WITHIN + _HANGS).total_seconds())
        os.write(2, b"Ended with calls in flight. What they did is looked at when it is back.\n")
        os._exit(0)

    threading.Thread(target=end, name="end", daemon=True).start()


def _sentences(started: Service, settings: Settings, *, workers: bool) -> list[str]:
    hands = "handed to workers" if workers else "carried out here"
    if settings.shadow:
        hands = "never opened: what would have been done is recorded"
    queues = ", ".join(queue.name for queue in started.queues)
    slack = (
        f"workspace {started.slack.team or 'not reached yet'}" if started.slack else "not set up"
    )
    return [
        f"Serving at {started.address}; {_side(settings)}. Incidents are {hands}. Ctrl-C ends it.",
        f"Queues: {queues or 'none (CLAMPDOWN_QUEUES)'}. Slack: {slack}. "
        f"Prefect: {started.prefect or 'left out'}.",
        *_resumed(started.resumed),
    ]


def _resumed(incidents: tuple[str, ...]) -> list[str]:
    return [f"Going on with {incident}." for incident in incidents]


def _side(settings: Settings) -> str:
    side = f"simulated AWS at {settings.simulate}" if settings.simulate else "LIVE"
    return f"SHADOW of {side}, nothing is changed" if settings.shadow else side


def _say(as_json: bool, document: dict[str, Any] | None, sentences: list[str]) -> None:
    if as_json:
        if document is not None:
            print(json.dumps(document, indent=2), flush=True)
        return
    out = console()
    for sentence in sentences:
        out.print(shown(sentence))
