"""A service in this process: its constants can be shortened, its clock set, and its log be read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from flows import intake_desk
from flows.serve import service as services
from flows.serve import taking
from flows.serve.service import Service, service
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from runbooks.loader import load
from tests.flows import scene
from tests.flows.serve.office import Office, Web

_SECONDS = 60.0


@contextmanager
def serving_here(office: Office, **settings: Any) -> Iterator[Web]:
    """A service without Prefect; ``settings`` are put over those of the office."""
    environment = office.clampdown.environment
    given = {
        "home": office.clampdown.home,
        "journal": environment.get("CLAMPDOWN_JOURNAL", ""),
        "playbooks": office.clampdown.playbooks,
        "simulate": office.stage.url,
        "region": office.stage.world.region,
        **settings,
    }
    made = Settings(**given)
    listens = ServeSettings(
        queues=(office.guardduty.queue,),
        dead_letters=office.dead,
        webhook_token=SecretStr(environment["CLAMPDOWN_WEBHOOK_TOKEN"]),
        port=0,
        sweep_minutes=0,
    )
    running: Future[Service] = Future()
    loop, enough = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        try:
            async with service(made, listens, None, load(made.playbooks), prefect=False) as started:
                running.set_result(started)
                await enough.wait()
        except BaseException as error:
            if not running.done():
                running.set_exception(error)
            raise

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        yield Web(running.result(_SECONDS).address)
    finally:
        loop.call_soon_threadsafe(enough.set)
        thread.join(_SECONDS)
        assert not thread.is_alive(), "the service does not end"


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Look, and try again, after a moment."""
    scene.hurry(patch)
    moment = timedelta(seconds=0.1)
    patch.setattr(services, "LOOK_EVERY", moment)
    patch.setattr(intake_desk, "_PATIENCE", moment)
    patch.setattr(taking, "_FIRST_PAUSE", moment)
    patch.setattr(taking, "_LONGEST_PAUSE", 2 * moment)
