"""Looking, every so often, at how things stand: for the figures that no single event tells."""

from __future__ import annotations

from flows.conductor import Conductor
from flows.incident import Incident
from flows.journal.errors import JournalUnavailable
from flows.responder import Responder
from flows.serve import dead_letters
from flows.serve.metrics import Metrics, Standing
from flows.serve.queue import QueueReader

_TURNING_POINTS = {
    "incident.opened",
    "incident.asked",
    "incident.started",
    "incident.aborted",
    "incident.closed",
    "undo.started",
}
_NOT_CONTAINED = {"failed", "incomplete", "interrupted"}


class Measuring:
    """Tells the figures of this process how things stand: here, and by the journal on its side of
    live and simulated."""

    def __init__(
        self, metrics: Metrics, conductor: Conductor, reader: QueueReader | None = None
    ) -> None:
        self._metrics = metrics
        self._conductor = conductor
        self._reader = reader
        self._dead_letters = 0
        self._counted_to = 0
        self._sides: dict[str, str] = {}

    def once(self) -> None:
        """Look now. A journal that is away is itself a figure; the others stay as they were."""
        if self._reader:
            self._metrics.queues(self._reader.undecided(), self._reader.failures())
        try:
            standing = self._standing()
        except JournalUnavailable:
            self._metrics.journal_answers(False)
            return
        self._metrics.journal_answers(True)
        self._metrics.stands(standing)

    def _standing(self) -> Standing:
        responder = self._conductor.responder()
        deciding = gates = 0
        for incident in responder.unfinished():
            if incident.simulate != self._conductor.side:
                continue
            pending = _pending(responder, incident)
            gates += pending
            deciding += pending > 0
        proposed, not_contained = self._left_by_people()
        return Standing(
            in_line=self._conductor.turns.waiting,
            being_contained=self._conductor.turns.taken,
            awaited={"decision": deciding, "start": proposed},
            not_contained=not_contained,
            gates_open=gates,
            dead_letters=self._count_dead_letters(),
            automatic_frozen=responder.automatic.frozen() is not None,
        )

    def _left_by_people(self) -> tuple[int, int]:
        """How many incidents wait for somebody to start them, and how many have ended badly with
        nobody having gone on with them."""
        proposed = not_contained = 0
        for last in self._conductor.journal.last_of(_TURNING_POINTS):
            if last.kind == "incident.opened" and last.body["proposed"]:
                proposed += self._is_here(last.incident)
            elif last.kind == "incident.closed" and last.body["status"] in _NOT_CONTAINED:
                not_contained += self._is_here(last.incident)
        return proposed, not_contained

    def _is_here(self, incident: str) -> bool:
        """Whether an incident is on this side of live and simulated."""
        if incident not in self._sides:
            opened = self._conductor.journal.records(incident)[0]
            self._sides[incident] = opened.body["simulate"]
        return self._sides[incident] == self._conductor.side

    def _count_dead_letters(self) -> int:
        # They hold whole documents, so that each is read once.
        for record in self._conductor.journal.records(dead_letters.CHAIN, self._counted_to):
            self._counted_to = record.seq
            self._dead_letters += record.kind == dead_letters.REJECTED
        return self._dead_letters


def _pending(responder: Responder, incident: Incident) -> int:
    """How many of an incident's gates nobody has decided."""
    if not incident.gates:
        return 0
    return sum(gate.status == "pending" for gate in responder.gates(incident))
