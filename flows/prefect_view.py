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

from flows import unshown
from flows.execution import Execution
from flows.prefect_server import (
    EmbeddedServer,
    NoAnswer,
    embed_prefect,
    require_answer,
    running_ui,
)
from flows.turns import QUIET

# How long a server may take until it answers: for the first time it makes its database.
_READY = timedelta(seconds=60)
_ANSWERS = timedelta(seconds=5)
_AGAIN = timedelta(milliseconds=500)
# So long at most is kept back what could be shown: a service may never come to rest.
_AFTER_OTHERS = timedelta(seconds=60)
# Prefect's SQLite collapses where more than a few runs write at once; PostgreSQL is not slower for it.
_WRITING = threading.BoundedSemaphore(3)
# Who has begun never waits behind many who have not: they wait here, one after the other.
_BEGINNING = threading.Lock()
# So many threads at most wait to show something. What is more is shown later, from the journal.
_MOST = 300


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

    It starts once the execution is *calm* (it waits for people or for AWS, or it has ended), and in
    a service once others are contained too, so that neither importing Prefect nor starting its
    server nor all that is written there takes time from a containment.
    """

    def __init__(self, execution: Execution, home: Path) -> None:
        self._execution = execution
        self._home = home
        self._problem = ""
        self._server: EmbeddedServer | None = None
        self._latest = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="prefect", daemon=True)

    def start(self) -> None:
        if self._execution.around.resumes:
            unshown.mark(self._home, self._execution.id)
            if not room():
                return
        with _LOCK:
            _FOLLOWING.add(self)
        self._thread.start()

    def finish(self, within: timedelta) -> bool:
        """Wait until all is shown, for so long at most; whether it is."""
        if self._thread.ident is not None:
            self._thread.join(within.total_seconds())
        return not self._thread.is_alive()

    @property
    def incident(self) -> str:
        return self._execution.id

    def end(self) -> None:
        """Wait for no server that does not answer: the process is ending."""
        self._ending.set()

    def view(self) -> PrefectView:
        """What can be seen. What isn't shown by now never will be, but for a service's."""
        problem = self._problem
        if self._thread.is_alive():
            problem = "the run is not or only partly shown there: Prefect took too long"
            if self._server:
                self._server.stop()
        return PrefectView(self._home, problem)

    def _follow(self) -> None:
        self._execution.calm.wait()
        self._latest = time.monotonic() + _AFTER_OTHERS.total_seconds()
        try:
            with _BEGINNING:
                url = self._begin()
            try:
                # This takes a second or two, in which the server starts as well.
                from flows.respond import NotRecorded, show_in_prefect

                require_answer(url, _READY)
                try:
                    asyncio.run(show_in_prefect(self._execution, url, _resting))
                except NotRecorded as slow:
                    # It has all of it, and takes it in when it can.
                    self._problem = str(slow)
            finally:
                _WRITING.release()
            unshown.unmark(self._home, self._execution.id)
        except Exception as error:  # a missing view is never a failed containment
            self._problem = f"{type(error).__name__}: {error}"
        if self._server:
            self._server.stop()
        with _LOCK:
            _FOLLOWING.discard(self)

    def _begin(self) -> str:
        """Wait until it may write; the API's URL of a server that is there, or is starting."""
        QUIET.wait(max(0.0, self._latest - time.monotonic()))
        embed_prefect(self._home)
        url = os.environ.get("PREFECT_API_URL") or running_ui(self._home)
        if url:
            # Who goes on by themselves have the time until a server is back.
            self._wait_for(url, _READY if self._execution.around.resumes else _ANSWERS)
        else:
            self._server = EmbeddedServer(self._home)
            url = self._server.url
        _WRITING.acquire()
        return url

    def _wait_for(self, url: str, within: timedelta) -> None:
        """Wait until a server answers that may be about to start. Raises NoAnswer."""
        ends = time.monotonic() + within.total_seconds()
        while True:
            try:
                require_answer(url, within)
                return
            except NoAnswer:
                if time.monotonic() > ends or self._ending.wait(_AGAIN.total_seconds()):
                    raise


# Those of this process that have not shown all yet.
_FOLLOWING: set[PrefectFollower] = set()
_LOCK = threading.Lock()


def room() -> int:
    """How many more may be shown at the same time."""
    return max(0, _MOST - len(_FOLLOWING))


def following() -> set[str]:
    """The incidents that this process is showing, or waits to show."""
    with _LOCK:
        return {follower.incident for follower in _FOLLOWING}


def finish_all(within: timedelta) -> int:
    """Wait until all that was begun in this process is shown, for so long at most; how many are
    not."""
    ends = time.monotonic() + within.total_seconds()
    with _LOCK:
        left = list(_FOLLOWING)
    for follower in left:
        follower.end()
    return sum(
        not follower.finish(timedelta(seconds=max(0.0, ends - time.monotonic())))
        for follower in left
    )


@contextmanager
def _resting() -> Iterator[None]:
    """Let other runs write while this one waits for people or for AWS."""
    _WRITING.release()
    try:
        yield
    finally:
        _WRITING.acquire()
