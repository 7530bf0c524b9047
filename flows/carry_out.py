"""Carrying an incident out in this process, with Prefect watching or without it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.execution import Execution, StepFailed, Surroundings, WaitingForPeople
from flows.incident import Incident, IncidentStatus
from runbooks.errors import ClampdownError, Denied, Interrupted

# A second Ctrl-C ends the process at once; what was in flight is unknown until it is resumed.
_EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class PrefectView:
    """Where the run can be seen in Prefect.

    ``home`` is where the embedded server keeps its database. ``problem`` says why there is no
    view; the containment does not depend on it.
    """

    home: Path
    problem: str = ""


@dataclass(frozen=True)
class Result:
    """How carrying an incident out has ended. ``unchanged``: no change was made this time."""

    incident: Incident
    error: ClampdownError | None
    view: PrefectView | None
    unchanged: bool


def carry_out(
    incident_id: str, around: Surroundings, *, prefect_home: Path | None, reason: str = ""
) -> Result:
    """Carry an incident out to its end, or to where people are needed.

    The caller holds the incident's lease. ``prefect_home`` is where the embedded Prefect server
    lives; None leaves Prefect out.
    """
    execution = Execution(incident_id, around)
    changes_before = len(execution.incident().changes)
    execution.recorder.append("incident.started", {"reason": reason})
    follower = _Follower(execution, prefect_home) if prefect_home else None
    with _stoppable(around.stop):
        error = asyncio.run(_run(execution, follower))
    view = follower.view() if follower else None
    execution.close()
    incident = execution.incident()
    return Result(incident, error, view, len(incident.changes) == changes_before)


async def _run(execution: Execution, follower: _Follower | None) -> ClampdownError | None:
    error: ClampdownError | None = None
    try:
        await execution.prepare()
        if follower:
            follower.start()
        await execution.directly()
    except ClampdownError as problem:
        error = problem
    finally:
        execution.calm.set()
    _close(execution, error)
    if follower:
        # The flow run ends by itself: every step it asks for has ended already.
        await asyncio.get_running_loop().run_in_executor(None, follower.join)
    return error


def _close(execution: Execution, error: ClampdownError | None) -> None:
    if isinstance(error, WaitingForPeople):
        return
    body = {"status": _status(execution, error), "error": str(error) if error else ""}
    if not error and execution.failures:
        body["error"] = "; ".join(execution.failures)
    execution.recorder.append("incident.closed", body)


def _status(execution: Execution, error: ClampdownError | None) -> IncidentStatus:
    if error is None:
        return "incomplete" if execution.failures else "contained"
    if isinstance(error, Denied):
        return "denied"
    if isinstance(error, Interrupted):
        return "interrupted"
    return "failed"


class _Follower:
    """Shows the execution as a Prefect flow run, from a thread and an event loop of its own.

    It starts once the execution is *calm* (it waits for people or for AWS, or it has ended), so
    that neither importing Prefect nor starting its server takes time from a containment.
    """

    def __init__(self, execution: Execution, home: Path) -> None:
        self._execution = execution
        self._home = home
        self._problem = ""
        self._thread = threading.Thread(target=self._follow, name="prefect", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout=60)
            if self._thread.is_alive():
                self._problem = "Prefect did not answer within a minute"

    def view(self) -> PrefectView:
        return PrefectView(self._home, self._problem)

    def _follow(self) -> None:
        self._execution.calm.wait()
        try:
            embed_prefect(self._home)
            use_running_server(self._home)
            from flows.respond import run_in_prefect

            async def follow() -> None:
                await run_in_prefect(self._execution, self._execution.planner.playbook_id)

            asyncio.run(follow())
        except (ClampdownError, StepFailed):
            # The execution itself reports why it has ended; the flow run shows it as failed.
            return
        except Exception as error:  # a missing view is never a failed containment
            self._problem = f"{type(error).__name__}: {error}"


def embed_prefect(home: Path) -> None:
    """Settings for Prefect's embedded server, unless the user has a server of their own.

    They must be in the environment before Prefect is imported.
    """
    home.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def use_running_server(home: Path) -> None:
    """Report to the server that ``clampdown ui`` runs, where one does."""
    from flows.prefect_server import running_ui

    if "PREFECT_API_URL" not in os.environ and (url := running_ui(home)):
        os.environ["PREFECT_API_URL"] = url


@contextmanager
def _stoppable(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C once begins nothing new and ends after the call in flight; twice ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(signum: int, frame: object) -> None:
        if stop.is_set():
            os.write(2, b"\nStopped at once. `clampdown resume` finds out what AWS did.\n")
            os._exit(_EXIT_INTERRUPTED)
        stop.set()
        os.write(2, b"\nStopping after the calls in flight; Ctrl-C again stops at once.\n")

    before = {name: signal.signal(name, ask) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
        sys.stdout.flush()
