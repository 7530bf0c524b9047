"""What a scenario has somebody do out of turn: decide, start, abort, take back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal

from flows.conductor import Asked, Conductor
from flows.gameday.play.diary import Diary
from flows.gameday.play.outside import Outside
from flows.gameday.scenario import PersonInject
from flows.identity import Identity
from flows.incident import Incident
from flows.responder import Responder
from runbooks.errors import ClampdownError, InvalidInput

DID = {
    "approve": "approved",
    "deny": "denied",
    "start": "started",
    "abort": "aborted",
    "undo": "undid",
}
"""What somebody has done, by what they were to do."""


class Acts:
    """Has people act. What Clampdown refuses is written down with the reason."""

    def __init__(self, conductor: Conductor, outside: Outside, diary: Diary, playbook: str) -> None:
        self._conductor = conductor
        self._responder: Responder = conductor.responder()
        self._outside = outside
        self._diary = diary
        self._playbook = playbook

    def act(self, inject: PersonInject) -> None:
        """Do it, and write down that it was done, or refused."""
        identity = Identity("local", inject.who)
        try:
            match inject.does:
                case "approve" | "deny":
                    self._decide(inject, identity, inject.does)
                case "start":
                    self._start(inject, identity)
                case "abort":
                    for incident in self._about(inject):
                        self._responder.abort(incident.id, identity, inject.why)
                        self._write(inject, incident.id)
                case "undo":
                    for incident in self._about(inject):
                        done = self._conductor.undo(incident.id, identity)
                        done.add_done_callback(self._when_done(inject, incident.id))
        except ClampdownError as error:
            self._write(inject, refused=error.what)

    def _decide(
        self, inject: PersonInject, identity: Identity, answer: Literal["approve", "deny"]
    ) -> None:
        incident, gate = self._gate(inject)
        try:
            self._responder.decide(incident, gate, identity, answer, why=inject.why)
        except ClampdownError as error:
            self._write(inject, incident, gate, refused=error.what)
        else:
            self._write(inject, incident, gate)

    def _gate(self, inject: PersonInject) -> tuple[str, str]:
        """The gate that is meant: one that waits, else the newest. Raises InvalidInput."""
        meant = [
            (incident.id, gate)
            for incident in self._about(inject)
            for gate in self._responder.gates(incident)
            if inject.gate in ("", gate.id)
        ]
        if not meant:
            raise InvalidInput(f"No incident has a gate {inject.gate!r}.")
        waiting = [(incident, gate) for incident, gate in meant if gate.status == "pending"]
        incident, gate = (waiting or meant)[0]
        return incident, gate.id

    def _start(self, inject: PersonInject, identity: Identity) -> None:
        target = self._outside.instance(inject.target)
        asked = Asked(inject.playbook or self._playbook, target, inject.why)
        named = self._conductor.start(asked, identity)

        def done(future: Future[str]) -> None:
            error = future.exception()
            if isinstance(error, ClampdownError):
                self._write(inject, refused=error.what)
            elif error is None:
                self._write(inject, future.result())

        named.add_done_callback(done)

    def _when_done(self, inject: PersonInject, incident: str) -> Callable[[Future[Any]], None]:
        def done(future: Future[Any]) -> None:
            error = future.exception()
            refused = error.what if isinstance(error, ClampdownError) else ""
            self._write(inject, incident, refused=refused)

        return done

    def _about(self, inject: PersonInject) -> list[Incident]:
        """The incidents that are meant, the newest first. Raises InvalidInput where there are none."""
        found = self._responder.incidents()
        if inject.target:
            target = self._outside.instance(inject.target)
            found = [item for item in found if target in {ref.id for ref in item.targets}]
        if not found:
            raise InvalidInput("There is no incident.")
        return found

    def _write(
        self, inject: PersonInject, incident: str = "", gate: str = "", *, refused: str = ""
    ) -> None:
        self._diary.person(
            inject.who, DID[inject.does], incident=incident, gate=gate, refused=refused
        )
