"""Showing an execution in Prefect while it happens, without it ever waiting for Prefect."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flows.execution import Execution
from flows.prefect_server import (
    EmbeddedServer,
    NoAnswer,
    embed_prefect,
    require_answer,
    running_ui,
)

# How long a server may take until it answers: for the first time it makes its database.
_READY = timedelta(seconds=60)
_ANSWERS = timedelta(seconds=5)
_AGAIN = timedelta(milliseconds=500)
# Prefect's SQLite collapses where more than a few runs write at once; PostgreSQL is not slower for it.
_WRITING = threading.BoundedSemaphore(3)


@dataclass(frozen=True)
class PrefectView:
    """Where the run can be seen in Prefect.

    ``home`` is where the embedded server keeps its database. ``problem`` says why there is no
    view, or only part of it; the containment does not depend on it.
    """

    home: Path
    problem: str = ""


class PrefectFollower:
    """Shows the execution as a Prefect flow run, from a thread and an event loop of its own.

    It starts once the execution is *calm* (it waits for people or for AWS, or it has ended), so
    that neither importing Prefect nor starting its server takes time from a containment.
    """

    def __init__(self, execution: Execution, home: Path) -> None:
        self._execution = execution
        self._home = home
        self._problem = ""
        self._server: EmbeddedServer | None = None
        self._thread = threading.Thread(target=self._follow, name="prefect", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, within: timedelta) -> bool:
        """Wait until all is shown, for so long at most; whether it is."""
        if self._thread.ident is not None:
            self._thread.join(within.total_seconds())
        return not self._thread.is_alive()

    def view(self) -> PrefectView:
        """What can be seen. What isn't shown by now never will be."""
        problem = self._problem
        if self._thread.is_alive():
            problem = "the run is not or only partly shown there: Prefect took too long"
            if self._server:
                self._server.stop()
        return PrefectView(self._home, problem)

    def _follow(self) -> None:
        self._execution.calm.wait()
        try:
            embed_prefect(self._home)
            url = os.environ.get("PREFECT_API_URL") or running_ui(self._home)
            if url:
                # Who goes on by themselves have the time until a server is back.
                _wait_for(url, _READY if self._execution.around.resumes else _ANSWERS)
            else:
                self._server = EmbeddedServer(self._home)
                url = self._server.url
            # This takes a second or two, in which the server starts as well.
            from flows.respond import show_in_prefect

            require_answer(url, _READY)
            with _WRITING:
                asyncio.run(show_in_prefect(self._execution, url, _resting))
        except Exception as error:  # a missing view is never a failed containment
            self._problem = f"{type(error).__name__}: {error}"
        if self._server:
            self._server.stop()


def _wait_for(url: str, within: timedelta) -> None:
    """Wait until a server answers that may be about to start. Raises NoAnswer."""
    ends = time.monotonic() + within.total_seconds()
    while True:
        try:
            require_answer(url, within)
            return
        except NoAnswer:
            if time.monotonic() > ends:
                raise
        time.sleep(_AGAIN.total_seconds())


@contextmanager
def _resting() -> Iterator[None]:
    """Let other runs write while this one waits for people or for AWS."""
    _WRITING.release()
    try:
        yield
    finally:
        _WRITING.acquire()
