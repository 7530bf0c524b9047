"""Handing incidents over to worker processes, as Prefect's background tasks.

A task run has no parameters: they would go through a result store that all machines had to share.
Its name is the incident's id, and everything else is in the journal. Prefect spreads the work and
shows it; it is not trusted with it: what it loses, workers find in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.task_worker import TaskWorker

from flows.conductor import Conductor
from flows.turns import CRITICAL

_AGAIN = timedelta(seconds=2)
_LOG = logging.getLogger(__name__)
# The conductor of this process, if it is a worker.
_WORKING: dict[str, Conductor] = {}


@task(name="contain", persist_result=False, cache_policy=NO_CACHE)
def contain() -> None:
    """Go on with the incident that the task run is named after, until nothing of it is urgent."""
    _contain(0.0)


@task(name="contain at once", persist_result=False, cache_policy=NO_CACHE)
def contain_at_once() -> None:
    """As ``contain``, in a line of its own: what is critical never waits behind what is not."""
    _contain(CRITICAL)


class HandOver:
    """Hands incidents to whichever worker has a hand free. Never waits for Prefect."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="hand-over")

    def __call__(self, incident: str, urgency: float) -> None:
        self._pool.submit(self._hand_over, incident, urgency)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _hand_over(self, incident: str, urgency: float) -> None:
        chosen = contain_at_once if urgency >= CRITICAL else contain
        try:
            chosen.with_options(name=incident).delay()
        except Exception as error:  # whatever Prefect raises: a worker finds it in the journal
            _LOG.warning("Prefect does not take %s (%s); a worker will find it.", incident, error)


class WorkerLines:
    """Takes task runs from Prefect's server for the conductor of this process, until it is stopped.

    ``limit`` is how many of each line are taken at once.
    """

    def __init__(self, conductor: Conductor, limit: int) -> None:
        _WORKING["here"] = conductor
        self._limit = limit
        self._enough = threading.Event()
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._threads = [
            threading.Thread(target=self._serve, args=(line,), name=line.name, daemon=True)
            for line in (contain_at_once, contain)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take nothing more. What is being contained is the conductor's to end."""
        self._enough.set()

    def _serve(self, line: Any) -> None:
        while not self._enough.is_set():
            try:
                asyncio.run(self._until_enough(line))
            except Exception as error:  # Prefect's server is away: the journal is looked at anyway
                _LOG.warning("Prefect gives no work (%s); looking again.", error)
            self._enough.wait(_AGAIN.total_seconds())

    async def _until_enough(self, line: Any) -> None:
        worker = TaskWorker(line, limit=self._limit)
        serving = asyncio.ensure_future(worker.astart())
        while not serving.done() and not self._enough.is_set():
            await asyncio.wait([serving], timeout=0.2)
        if not serving.done():
            serving.cancel()
        await serving


def _contain(urgency: float) -> None:
    context = TaskRunContext.get()
    conductor = _WORKING.get("here")
    if context is None or conductor is None:
        return
    calm: Future[None] = conductor.go_on_with(context.task_run.name, urgency)
    calm.result()
