"""Carrying an incident out in this process, with Prefect watching or without it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flows.execution import Execution, Surroundings, WaitingForPeople
from flows.incident import Incident, IncidentStatus
from flows.journal.record import Actor
from flows.prefect_view import PrefectFollower, PrefectView
from flows.stopping import Stop
from runbooks import clock
from runbooks.aws import Progress
from runbooks.errors import ClampdownError, Denied, Interrupted, Refused

# A second Ctrl-C ends the process at once; what was in flight is unknown until it is resumed.
_EXIT_INTERRUPTED = 130
_SAID_AFTER = timedelta(seconds=1)
_LOOK_EVERY = timedelta(milliseconds=200)


@dataclass(frozen=True)
class Result:
    """How carrying an incident out has ended. ``unchanged``: no change was made this time."""

    incident: Incident
    error: ClampdownError | None
    view: PrefectView | None
    unchanged: bool


def carry_out(
    incident_id: str,
    around: Surroundings,
    actor: Actor,
    *,
    prefect_home: Path | None,
    reason: str = "",
) -> Result:
    """Carry an incident out to its end, or to where people are needed, because ``actor`` says so.

    The caller holds the incident's lease. ``prefect_home`` is where the embedded Prefect server
    lives; None leaves Prefect out.

    Raises Refused where the incident was aborted or undone meanwhile.
    """
    execution = Execution(incident_id, around)
    before = execution.incident()
    if before.status in {"aborted", "undone"}:
        raise Refused(f"{incident_id} is {before.status}; nothing was done.")
    changes_before = len(before.changes)
    execution.recorder.append("incident.started", {"reason": reason}, actor)
    follower = PrefectFollower(execution, prefect_home) if prefect_home else None
    with clock.resting():
        error, view = asyncio.run(_run(execution, follower))
    execution.close()
    incident = execution.incident()
    return Result(incident, error, view, len(incident.changes) == changes_before)


async def _run(
    execution: Execution, follower: PrefectFollower | None
) -> tuple[ClampdownError | None, PrefectView | None]:
    with stoppable(execution.around.stop):
        error = await _carried_out(execution, follower)
    if follower is None or (isinstance(error, WaitingForPeople) and not execution.calm.is_set()):
        # Whoever does not wait for people does not wait for Prefect: it shows what is resumed.
        return error, None
    execution.calm_down()
    await _shown(execution, follower)
    return error, follower.view()


async def _carried_out(
    execution: Execution, follower: PrefectFollower | None
) -> ClampdownError | None:
    error: ClampdownError | None = None
    try:
        await execution.prepare()
        if follower:
            follower.start()
        await execution.directly()
    except ClampdownError as problem:
        error = problem
    except Exception as problem:
        # A fault of ours: it is raised as it is, but the journal says first that this has ended.
        _close(execution, ClampdownError(f"Clampdown failed: {type(problem).__name__}."))
        raise
    finally:
        execution.over = True
    _close(execution, error)
    return error


async def _shown(execution: Execution, follower: PrefectFollower) -> None:
    """Give Prefect the time to show all of it; Ctrl-C gives it none.

    The flow run ends by itself: every step that it asks for has ended already.
    """
    enough = Stop()
    began = time.monotonic()
    said = False
    with _interruptible(enough):
        while not await asyncio.to_thread(follower.finish, _LOOK_EVERY):
            waited = timedelta(seconds=time.monotonic() - began)
            if enough.is_set() or waited > execution.around.shown_within:
                return
            if waited > _SAID_AFTER and not said:
                said = True
                text = "the run is being shown there; Ctrl-C leaves that out"
                execution.recorder.progress("Prefect", Progress(False, text))


def _close(execution: Execution, error: ClampdownError | None) -> None:
    if isinstance(error, WaitingForPeople):
        return
    if isinstance(error, Interrupted) and _goes_on_by_itself(execution):
        why = "The service is ending; this goes on by itself when it is back."
        execution.recorder.append("incident.paused", {"why": why})
        return
    if execution.around.resumes and execution.recorder.lost:
        # What failed for want of a record has not failed for good.
        why = "The journal could not be written meanwhile; this goes on by itself."
        execution.recorder.append("incident.paused", {"why": why})
        return
    status = _status(execution, error)
    body = {"status": status, "error": str(error) if error else ""}
    if status == "aborted":
        # Why somebody has stopped it says more than that it has stopped.
        body["error"] = execution.incident().error
    elif not error and execution.failures:
        body["error"] = "; ".join(execution.failures)
    execution.recorder.append("incident.closed", body)


def _goes_on_by_itself(execution: Execution) -> bool:
    """Whether only the end of the process has stopped it: nobody has aborted it."""
    return execution.around.pausing and execution.incident().status != "aborted"


def _status(execution: Execution, error: ClampdownError | None) -> IncidentStatus:
    if error is None:
        return "incomplete" if execution.failures else "contained"
    if isinstance(error, Denied):
        return "denied"
    if isinstance(error, Interrupted):
        return "aborted" if execution.incident().status == "aborted" else "interrupted"
    return "failed"


@contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Ctrl-C once begins nothing new and ends after the call in flight; twice ends at once."""

    def ask(signum: int, frame: object) -> None:
        if stop.is_set():
            os.write(2, b"\nStopped at once. `clampdown resume` finds out what AWS did.\n")
            os._exit(_EXIT_INTERRUPTED)
        stop.set()
        os.write(2, b"\nStopping after the calls in flight; Ctrl-C again stops at once.\n")

    with _handling(ask):
        yield
    sys.stdout.flush()


@contextmanager
def _interruptible(enough: Stop) -> Iterator[None]:
    with _handling(lambda signum, frame: enough.set()):
        yield


@contextmanager
def _handling(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM handled; only the main thread can, and in others nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.signal(name, handler) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, known in before.items():
            signal.signal(name, known)
