"""Carrying incidents out in threads of this process, for faces that must not wait for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta

from flows import prefect_view, unshown
from flows.execution import Surroundings
from flows.identity import SERVICE, Identity
from flows.incident import Incident
from flows.incident_index import IncidentIndex
from flows.intake.finding import Finding
from flows.journal.errors import IncidentHeld, JournalUnavailable
from flows.journal.journal import Journal
from flows.prefect_view import PrefectFollower
from flows.recorded import Recorded
from flows.responder import Opened, Responder
from flows.settings import Settings
from flows.stopping import Stop
from flows.turns import A_PERSON_ASKED, Turns
from flows.undo import Undone
from runbooks import clock
from runbooks.connections import USED_BY_PLAYBOOKS, SharedClients
from runbooks.errors import ClampdownError, Denied, Interrupted, InvalidInput
from runbooks.playbook import Playbooks

INCIDENTS_AT_ONCE = 8
_LATELY = timedelta(seconds=30)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A containment that somebody asks for."""

    playbook: str
    target: str
    reason: str = ""
    simulate: bool = False
    finding: Finding | None = None


@dataclass(frozen=True)
class _Failure:
    """Why an incident did not go on; ``at`` is on the monotonic clock."""

    error: ClampdownError
    at: float


class Conductor:
    """Starts, resumes and undoes incidents, each in a thread of its own, the most urgent first.

    ``simulate`` is the simulated AWS for those that are asked for as simulated. ``prefect`` is
    whether they are shown in Prefect. ``at_once`` bounds how many are contained side by side.
    """

    def __init__(
        self,
        settings: Settings,
        playbooks: Playbooks,
        journal: Journal,
        *,
        simulate: str = "",
        prefect: bool = True,
        at_once: int = INCIDENTS_AT_ONCE,
    ) -> None:
        self.playbooks = playbooks
        self.journal = journal
        self._settings = settings
        self._simulate = settings.simulate or simulate
        self._prefect = prefect
        self._index = IncidentIndex(journal)
        self._clients = SharedClients()
        self._stop = Stop()
        self.turns = Turns(at_once, self._stop)
        self._failures: dict[str, _Failure] = {}
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
    def settings(self) -> Settings:
        """Those of this process."""
        return self._settings

    @property
    def side(self) -> str:
        """The simulated AWS of everything here; empty where it is live."""
        return self._settings.simulate

    def responder(
        self,
        *,
        simulate: bool = False,
        on_calm: Callable[[], None] | None = None,
    ) -> Responder:
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
            settings,
            self.playbooks,
            stop=self._stop,
            journal=self.journal,
            index=self._index,
            clients=self._clients,
            service=True,
            on_calm=on_calm,
        )

    def warm_up(self) -> None:
        """Have at hand what the first incident would have to wait for. Nothing is sent to AWS."""
        connections = self.responder().connections("clampdown")
        connections.warm_up(USED_BY_PLAYBOOKS)
        connections.close()

    def start(self, asked: Asked, identity: Identity) -> Future[str]:
        """Have a containment carried out. The future is the incident's id, once there is one, or
        the ClampdownError because of which there is none."""
        named: Future[str] = Future()

        def work() -> None:
            try:
                opened = self.responder(simulate=asked.simulate).open(
                    asked.playbook,
                    [asked.target],
                    identity,
                    finding=asked.finding,
                    reason=asked.reason,
                )
            except BaseException as error:
                named.set_exception(error)
                if not isinstance(error, ClampdownError):
                    raise
                return
            self._named(opened.incident.id)
            named.set_result(opened.incident.id)
            self._carry_out(opened, identity, asked.simulate)

        self._begin("", work)
        return named

    def _carry_out(self, opened: Opened, identity: Identity, simulate: bool) -> None:
        try:
            with self.turns.turn(A_PERSON_ASKED) as end:
                responder = self.responder(simulate=simulate, on_calm=end)
                responder.carry_out(opened, identity, prefect=self._prefect)
        except JournalUnavailable as error:
            self._does_not_go_on(opened.incident.id, error)
        except ClampdownError as error:
            # What has become of the incident is in the journal; here, only why there is no more.
            _LOG.info("%s: %s", opened.incident.id, error)

    def _does_not_go_on(self, incident: str, error: ClampdownError) -> None:
        """Say so, once for each reason: it is tried again every few seconds."""
        with self._lock:
            known = self._failures.get(incident)
            self._failures[incident] = _Failure(error, time.monotonic())
        if known is None or str(known.error) != str(error):
            _LOG.warning("%s does not go on: %s", incident, error)

    def go_on(
        self,
        incident: str,
        identity: Identity,
        told: Callable[[ClampdownError], None] | None = None,
    ) -> None:
        """Go on, because somebody says so, with an incident that this process doesn't carry out
        yet, if no other one does.

        ``told`` hears of what keeps it from going on.
        """

        def work(responder: Responder) -> None:
            responder.resume(incident, identity, prefect=self._prefect)

        self._go_on(incident, A_PERSON_ASKED, work, told)

    def go_on_with(
        self,
        incident: str,
        urgency: float,
    ) -> Future[None]:
        """Go on with what was begun and not ended, if nobody else does; most urgent things first.

        The future is done once nothing of it is urgent any more: it waits for people or for AWS,
        has ended, or is another process's.
        """
        calm: Future[None] = Future()

        def work(responder: Responder) -> None:
            responder.go_on(incident, SERVICE, prefect=self._prefect)

        if not self._go_on(incident, urgency, work, calm=calm):
            calm.set_result(None)
        return calm

    def go_on_with_all(self, untouched_for: timedelta = timedelta()) -> list[str]:
        """Go on with everything that was begun and that no process is at: after a restart, a crash
        elsewhere, or a lost hand-over. Returns the incidents' ids, the most urgent first.

        ``untouched_for`` is how long whoever has begun them has to go on by themselves. The rights
        to incidents decide who gets one that several processes see.
        """
        unfinished = sorted(self._unfinished(untouched_for), key=urgency_of, reverse=True)
        for incident in unfinished:
            self.go_on_with(incident.id, urgency_of(incident))
        return [incident.id for incident in unfinished]

    def _unfinished(self, untouched_for: timedelta) -> list[Incident]:
        """What was begun, not ended, and is being carried out by no process, on the sides that this
        one can act on: none in shadow."""
        if self._settings.shadow:
            return []
        responder = self.responder()
        return [
            incident
            for incident in responder.unfinished(untouched_for)
            if incident.simulate in {self._settings.simulate, self._simulate}
            and not self.carries(incident.id)
            and not self.journal.is_held(incident.id)
        ]

    def show_unshown(self) -> None:
        """Have Prefect show what has ended and is not shown there: the process had ended before, or
        Prefect did not answer, or there was too much of it at once."""
        home = self._settings.prefect_home
        for incident in unshown.marked(home):
            if not prefect_view.room():
                return
            if incident in prefect_view.following() or self.carries(incident):
                continue
            try:
                found = self.responder().incident(incident)
            except InvalidInput:
                # It was in another journal.
                unshown.unmark(home, incident)
                continue
            if not found.unfinished and not self.journal.is_held(incident):
                PrefectFollower(self._recorded(incident), home).start()

    def _recorded(self, incident: str) -> Recorded:
        responder = self._side_of(incident)
        around = Surroundings(
            journal=self.journal,
            playbooks=self.playbooks,
            connections=responder.connections(incident),
            stop=self._stop,
            resumes=True,
        )
        return Recorded(incident, around)

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

        self._begin(incident, work, beside=True)
        return ended

    def carries(self, incident: str) -> bool:
        """Whether this process is at it."""
        with self._lock:
            return incident in self._threads.values()

    @property
    def trouble(self) -> str:
        """Which incident does not go on for want of the journal, and why; empty where all do.

        It is tried again every few seconds, here or by another process.
        """
        since = time.monotonic() - _LATELY.total_seconds()
        with self._lock:
            for incident, failure in self._failures.items():
                if isinstance(failure.error, JournalUnavailable) and failure.at > since:
                    return f"{incident} does not go on: {failure.error.what}"
        return ""

    def stop(self, within: timedelta) -> list[str]:
        """Begin nothing new and wait for the calls in flight, and until Prefect shows what has ended;
        returns what has not ended."""
        self._stop.set()
        deadline = time.monotonic() + within.total_seconds()
        with self._lock:
            threads = dict(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        prefect_view.finish_all(timedelta(seconds=max(0.0, deadline - time.monotonic())))
        return sorted(name for thread, name in threads.items() if thread.is_alive() and name)

    def _go_on(
        self,
        incident: str,
        urgency: float,
        work: Callable[[Responder], None],
        told: Callable[[ClampdownError], None] | None = None,
        calm: Future[None] | None = None,
    ) -> bool:
        def calmed() -> None:
            if calm is not None and not calm.done():
                calm.set_result(None)

        def whole() -> None:
            try:
                with self.turns.turn(urgency) as end:

                    def on_calm() -> None:
                        end()
                        calmed()

                    if self.journal.is_held(incident):
                        # Asking first is cheaper than asking for the right: several processes have
                        # the same incidents in line.
                        return
                    work(self._side_of(incident, on_calm))
                with self._lock:
                    self._failures.pop(incident, None)
            except (IncidentHeld, Denied, Interrupted):
                # Another process is at it; there is nothing to go on with; or it is time to end.
                return
            except ClampdownError as error:
                self._does_not_go_on(incident, error)
                if told:
                    told(error)
            finally:
                calmed()

        return self._begin(incident, whole)

    def _side_of(self, incident: str, on_calm: Callable[[], None] | None = None) -> Responder:
        """Simulated stays simulated, live stays live."""
        live = self.responder(on_calm=on_calm)
        either = self.offers_simulation and not self.always_simulates
        if either and live.incident(incident).simulate:
            return self.responder(simulate=True, on_calm=on_calm)
        return live

    def _begin(self, incident: str, work: Callable[[], None], *, beside: bool = False) -> bool:
        """Begin it in a thread of its own; but ``beside`` what this process does with that incident
        already, only where that is asked for."""

        def whole() -> None:
            try:
                counted()
            finally:
                with self._lock:
                    self._threads.pop(threading.current_thread(), None)

        thread = threading.Thread(target=whole, name=incident or "opening", daemon=True)
        with self._lock:
            if incident and not beside and incident in self._threads.values():
                return False
            # Not before it is sure to begin: what never ends would be at work for ever.
            counted = clock.handed(work)
            # Whoever sees it may wait for it to end, so it has to have begun.
            thread.start()
            self._threads[thread] = incident
        return True

    def _named(self, incident: str) -> None:
        with self._lock:
            self._threads[threading.current_thread()] = incident


def urgency_of(incident: Incident) -> float:
    """How urgent an incident is: as severe as its finding; what a person has asked for comes first."""
    finding = incident.opened["finding"]
    by_itself = incident.requester.kind == "service"
    return float(finding["severity"]) if by_itself and finding else A_PERSON_ASKED
