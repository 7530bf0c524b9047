"""Clampdown at work in a drill: what ``clampdown serve`` is, but for its loops, which a clock that
skips would have to wait for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from flows.conductor import Conductor
from flows.gameday.play.diary import Diary
from flows.gameday.play.in_slack import SlackApp
from flows.gameday.play.mailbox import Mailbox, Rejected
from flows.intake.finding import Finding
from flows.intake_desk import Intake
from flows.journal.journal import Journal
from flows.responder import Responder
from flows.settings import Settings
from runbooks import clock
from runbooks.playbook import Playbooks

_ENDS_WITHIN = timedelta(seconds=20)
AGAIN = timedelta(seconds=5)
"""After how long the service looks again at what it could not deal with, or nobody is at."""


class Service:
    """Takes findings in and carries incidents out, without Prefect; people are told of it where they
    play, ``in_slack``."""

    def __init__(
        self,
        settings: Settings,
        playbooks: Playbooks,
        journal: Journal,
        mailbox: Mailbox,
        diary: Diary,
        *,
        in_slack: bool = False,
    ) -> None:
        self.conductor = Conductor(settings, playbooks, journal, prefect=False)
        self.responder: Responder = self.conductor.responder()
        self._journal = journal
        self._mailbox = mailbox
        self._diary = diary
        self._connections = self.responder.connections("clampdown-intake")
        self._intake = Intake(
            self.responder,
            self._connections,
            Rejected(diary.tell),
            self.conductor.go_on_with,
            self._heard,
        )
        self._looked_at: datetime | None = None
        self._slack = SlackApp(self.conductor) if in_slack else None
        self.conductor.warm_up()
        if self._slack:
            self._slack.start()

    def take(self) -> tuple[bool, bool]:
        """Take in what has arrived: whether there was any, and whether some could not be dealt with
        yet."""
        taken, failed = self._mailbox.take(self._intake, AGAIN)
        for error in failed:
            self._diary.tell(f"Clampdown can't deal with it now: {error.what}")
        return taken > 0, bool(failed)

    def go_on(self) -> bool:
        """Go on with what was begun and what nobody is at; whether there was any, and
        it was time to."""
        if all(self.conductor.carries(incident) for incident in self.unfinished()):
            return False
        now = clock.now()
        if self._looked_at is not None and now - self._looked_at < AGAIN:
            return False
        self._looked_at = now
        self.conductor.go_on_with_all()
        return True

    def is_over(self) -> bool:
        """Whether nothing goes on, and nobody is waited for."""
        states = {incident.status for incident in self.responder.incidents()}
        return bool(states) and not states & {"proposed", "waiting"} and not self.unfinished()

    def unfinished(self) -> list[str]:
        """The ids of the incidents that were begun and not ended."""
        return [incident.id for incident in self.responder.unfinished()]

    def waiting(self) -> Iterator[tuple[str, str]]:
        """The incidents that wait for people, each with its gate."""
        for incident in self.responder.unfinished():
            for gate in self.responder.gates(incident):
                if gate.status == "pending":
                    yield incident.id, gate.id

    def deadlines(self) -> Iterator[datetime]:
        """When gates expire, and when people are reminded of them."""
        for incident in self.responder.unfinished():
            for gate in self.responder.gates(incident):
                if gate.status != "pending" or gate.expires_at is None:
                    continue
                yield gate.expires_at
                if every := gate.request.get("remind_seconds"):
                    asked = [
                        record.at
                        for record in self._journal.records(incident.id)
                        if record.kind in {"gate.requested", "gate.reminded"}
                        and record.body["gate"] == gate.id
                    ]
                    # The executor counts from when it came to the gate, a moment later.
                    yield asked[-1] + timedelta(seconds=every + 1)

    def stop(self) -> None:
        """Begin nothing new, and end."""
        if self._slack:
            self._slack.stop(_ENDS_WITHIN)
        self.conductor.stop(_ENDS_WITHIN)
        self._connections.close()

    def _heard(self, finding: Finding, outcome: str) -> None:
        self._diary.tell(f"Clampdown takes {finding.type} in: {outcome}")
