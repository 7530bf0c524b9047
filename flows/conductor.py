"""Carrying incidents out in threads of this process, for faces that must not wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta

from flows.identity import SERVICE, Identity
from flows.intake.finding import Finding
from flows.journal.errors import IncidentHeld
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.ledger import Listener
from flows.responder import Responder
from flows.settings import Settings
from flows.stopping import Stop
from flows.undo import Undone
from runbooks.errors import ClampdownError, Denied, InvalidInput
from runbooks.playbook import Playbooks

# An incident that was stopped, or has failed, waits for somebody to say that it should go on.
_UNFINISHED = ("running", "waiting")
_BEGINS = {"incident.opened", "incident.started"}


@dataclass(frozen=True)
class Asked:
    """A containment that somebody asks for."""

    playbook: str
    target: str
    reason: str = ""
    simulate: bool = False
    finding: Finding | None = None


class Conductor:
    """Starts, resumes and undoes incidents, each in a thread of its own.

    ``simulate`` is the simulated AWS for those that are asked for as simulated. ``prefect`` is
    whether they are shown in Prefect.
    """

    def __init__(
        self,
        settings: Settings,
        playbooks: Playbooks,
        journal: Journal,
        *,
        simulate: str = "",
        prefect: bool = True,
    ) -> None:
        self.playbooks = playbooks
        self.journal = journal
        self._settings = settings
        self._simulate = settings.simulate or simulate
        self._prefect = prefect
        self._stop = Stop()
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, str] = {}

    @property
    def offers_simulation(self) -> bool:
        """Whether there is a simulated AWS to ask for."""
        return bool(self._simulate)

    @property
    def always_simulates(self) -> bool:
        """Whether there is nothing but a simulated AWS here."""
        return bool(self._settings.simulate)

    @property
    def region(self) -> str:
        """Where targets that are given by id are looked for."""
        return self._settings.region

    @property
    def side(self) -> str:
        """The simulated AWS of everything here; empty where it is live."""
        return self._settings.simulate

    def responder(self, *, simulate: bool = False, listener: Listener | None = None) -> Responder:
        """What everything can be asked of, on the live or the simulated side.

        Raises InvalidInput where there is no simulated AWS.
        """
        settings = self._settings
        if simulate:
            if not self._simulate:
                raise InvalidInput(
                    "There is no simulated AWS here to do that in; nothing was done.",
                    advice="`clampdown sandbox` starts one; its URL is given when the service starts.",
                )
            settings = settings.model_copy(update={"simulate": self._simulate})
        return Responder(
            settings, self.playbooks, listener=listener, stop=self._stop, journal=self.journal
        )

    def start(self, asked: Asked, identity: Identity) -> Future[str]:
        """Have a containment carried out. The future is the incident's id, once there is one, or
        the ClampdownError because of which there is none."""
        opened: Future[str] = Future()

        def heard(record: Record) -> None:
            if record.kind in _BEGINS and not opened.done():
                self._named(record.incident)
                opened.set_result(record.incident)

        def work() -> None:
            try:
                self.responder(simulate=asked.simulate, listener=heard).run(
                    asked.playbook,
                    [asked.target],
                    identity,
                    finding=asked.finding,
                    reason=asked.reason,
                    prefect=self._prefect,
                )
            except BaseException as error:
                if not opened.done():
                    opened.set_exception(error)
                if not isinstance(error, ClampdownError):
                    raise

        self._begin("", work)
        return opened

    def go_on(
        self,
        incident: str,
        identity: Identity,
        told: Callable[[ClampdownError], None] | None = None,
    ) -> None:
        """Go on with an incident that this process doesn't carry out yet, if no other one does.

        ``told`` hears of what keeps it from going on.
        """
        if self.carries(incident):
            return

        def work() -> None:
            try:
                responder = self._side_of(incident)
                responder.resume(incident, identity, prefect=self._prefect)
            except (IncidentHeld, Denied):
                # Another process is at it; or there is nothing to go on with.
                return
            except ClampdownError as error:
                if told:
                    told(error)

        self._begin(incident, work)

    def go_on_with_all(self) -> list[str]:
        """Go on with everything that is unfinished, as after a restart; returns their ids."""
        unfinished = [
            incident.id
            for incident in self.responder().incidents()
            if incident.status in _UNFINISHED and not incident.undoing
        ]
        for incident in unfinished:
            self.go_on(incident, SERVICE)
        return unfinished

    def undo(self, incident: str, identity: Identity, step: str | None = None) -> Future[Undone]:
        """Take back what an incident changed. The future is what came of it, or the
        ClampdownError because of which it has not begun."""
        ended: Future[Undone] = Future()

        def work() -> None:
            try:
                undone = self._side_of(incident).undo(incident, identity, step=step)
            except BaseException as error:
                ended.set_exception(error)
                if not isinstance(error, ClampdownError):
                    raise
            else:
                ended.set_result(undone)

        self._begin(incident, work)
        return ended

    def carries(self, incident: str) -> bool:
        """Whether this process is at it."""
        with self._lock:
            return incident in self._threads.values()

    def stop(self, within: timedelta) -> list[str]:
        """Begin nothing new and wait for the calls in flight; returns what has not ended."""
        self._stop.set()
        deadline = time.monotonic() + within.total_seconds()
        with self._lock:
            threads = dict(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sorted(name for thread, name in threads.items() if thread.is_alive() and name)

    def _side_of(self, incident: str) -> Responder:
        """Simulated stays simulated, live stays live."""
        live = self.responder()
        simulated = live.incident(incident).simulate
        return self.responder(simulate=True) if simulated and not self.always_simulates else live

    def _begin(self, incident: str, work: Callable[[], None]) -> None:
        def whole() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._threads.pop(threading.current_thread(), None)

        thread = threading.Thread(target=whole, name=incident or "opening", daemon=True)
        with self._lock:
            self._threads[thread] = incident
        thread.start()

    def _named(self, incident: str) -> None:
        with self._lock:
            self._threads[threading.current_thread()] = incident
