"""``clampdown worker``: more hands. It carries out what ``clampdown serve --workers`` hands over."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from flows.conductor import Conductor
from flows.serve.clock import Clock
from flows.serve.http import http_app, serve_http
from flows.serve.metrics import Metrics
from flows.serve.periodic import Periodic
from flows.serve.prefect import PrefectHome
from flows.serve.service import END_WITHIN, LOOK_EVERY, SHOW_EVERY, Ending, end, journal_problems
from flows.serve.settings import ServeSettings
from flows.serve.sparing_log import SparingLog
from flows.settings import Settings
from flows.slack.service import threads_and_journal
from runbooks.errors import InvalidInput
from runbooks.playbook import Playbooks

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Worker:
    """What runs. ``prefect`` is the API of the server that work comes from."""

    prefect: str
    resumed: tuple[str, ...]


@asynccontextmanager
async def worker(
    settings: Settings, serve: ServeSettings, playbooks: Playbooks
) -> AsyncIterator[Worker]:
    """Take work until the block is left; then begin nothing new, and end.

    What Prefect does not hand out, because it is away or its worker died, is found in the journal.

    Raises InvalidInput without a Prefect server, JournalUnavailable.
    """
    url = require_prefect()
    async with AsyncExitStack() as stack:
        stack.callback(PrefectHome(settings.prefect_home).stop)
        journal = await stack.enter_async_context(threads_and_journal(settings))
        metrics = Metrics()
        stack.enter_context(journal.heard_by(metrics.hear))
        conductor = Conductor(settings, playbooks, journal, at_once=serve.incidents_at_once)
        stack.push_async_callback(end, conductor, Ending(END_WITHIN))
        if serve.worker_port is not None:
            app = http_app(
                ready=partial(journal_problems, conductor),
                take=None,
                webhook_token="",
                slack=None,
                metrics=metrics,
            )
            await stack.enter_async_context(serve_http(app, serve.host, serve.worker_port))
        await asyncio.to_thread(conductor.warm_up)
        # This imports Prefect, which takes a second.
        from flows.handing_over import WorkerLines

        lines = WorkerLines(conductor, serve.incidents_at_once, SparingLog(_LOG).warn)
        resumed = await asyncio.to_thread(conductor.go_on_with_all)
        for periodic in (
            Periodic("watch", LOOK_EVERY, lambda: conductor.go_on_with_all(LOOK_EVERY)),
            Periodic("unshown", SHOW_EVERY, conductor.show_unshown, at_once=True),
            Periodic("clock", LOOK_EVERY, Clock().look),
        ):
            periodic.start()
            stack.callback(periodic.stop)
        lines.start()
        stack.callback(lines.stop)
        yield Worker(url, tuple(resumed))


def require_prefect() -> str:
    """The URL of the Prefect server that is shared. Raises InvalidInput where there is none."""
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        raise InvalidInput(
            "PREFECT_API_URL is not set: work is handed to workers through a Prefect server that "
            "they share.",
            advice="docs/deploy.md says how one is set up.",
        )
    return url
