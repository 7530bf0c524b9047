"""Handing incidents over to worker processes, as Prefect's background tasks.

A task run has no parameters: they would go through a result store that all machines had to share.
Its name is the incident's id, and everything else is in the journal. Prefect spreads the work and
shows it; it is not trusted with it: what it loses, workers find in the journal.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from queue import PriorityQueue
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.task_worker import TaskWorker

from flows.conductor import Conductor
from flows.prefect_client import share_certificates
from flows.turns import CRITICAL

_AGAIN = timedelta(seconds=2)
_AT_ONCE = 2
Warn = Callable[[str, str], object]
# The conductor of this process, if it is a worker.
_WORKING: dict[str, Conductor] = {}

share_certificates()


@task(name="contain", persist_result=False, cache_policy=NO_CACHE)
def contain() -> None:
    """Go on with the incident that the task run is named after, until nothing of it is urgent."""
    _contain(0.0)


@task(name="contain at once", persist_result=False, cache_policy=NO_CACHE)
def contain_at_once() -> None:
    """As ``contain``, in a line of its own: what is critical never waits behind what is not."""
    _contain(CRITICAL)


class HandOver:
    """Hands incidents to whichever worker has a hand free, the most urgent first.

    Nobody waits for Prefect, not even the end of the process: what it does not take, workers find in
    the journal. ``warn`` is told of that, with the kind of problem and a sentence.
    """

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._numbers = itertools.count()
        self._line: PriorityQueue[tuple[float, int, str]] = PriorityQueue()
        self._closed = threading.Event()
        for number in range(_AT_ONCE):
            name = f"hand-over-{number}"
            threading.Thread(target=self._hand_over_all, name=name, daemon=True).start()

    def __call__(self, incident: str, urgency: float) -> None:
        self._line.put((-urgency, next(self._numbers), incident))

    def close(self) -> None:
        """Hand nothing more over."""
        self._closed.set()
        for _ in range(_AT_ONCE):
            self._line.put((-math.inf, next(self._numbers), ""))

    def _hand_over_all(self) -> None:
        while True:
            urgency, _, incident = self._line.get()
            if self._closed.is_set():
                return
            self._hand_over(incident, -urgency)

    def _hand_over(self, incident: str, urgency: float) -> None:
        chosen = contain_at_once if urgency >= CRITICAL else contain
        try:
            chosen.with_options(name=incident).delay()
        except Exception as error:  # whatever Prefect raises: a worker finds it in the journal
            said = f"Prefect does not take {incident} ({error}); a worker will find it."
            self._warn(f"hand over: {type(error).__name__}", said)


class WorkerLines:
    """Takes task runs from Prefect's server for the conductor of this process, until it is stopped.

    ``limit`` is how many of each line are taken at once. ``warn`` is told when there is nothing to
    be had from Prefect, with the kind of problem and a sentence.
    """

    def __init__(self, conductor: Conductor, limit: int, warn: Warn) -> None:
        _WORKING["here"] = conductor
        self._limit = limit
        self._warn = warn
        self._enough = threading.Event()
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
                said = f"Prefect gives no work ({error}); it is found in the journal."
                self._warn(f"take work: {type(error).__name__}", said)
            self._enough.wait(_AGAIN.total_seconds())

    async def _until_enough(self, line: Any) -> None:
        worker = TaskWorker(line, limit=self._limit)
        serving = asyncio.ensure_future(worker.astart())
        while not serving.done() and not self._enough.is_set():
            await asyncio.wait([serving], timeout=0.2)
        if not serving.done():
            serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def _contain(urgency: float) -> None:
    context = TaskRunContext.get()
    conductor = _WORKING.get("here")
    if context is None or conductor is None:
        return
    calm: Future[None] = conductor.go_on_with(context.task_run.name, urgency)
    calm.result()
