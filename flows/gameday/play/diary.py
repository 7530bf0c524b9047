"""The drill's own chain in the journal: what is written there is what it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flows.gameday.drills import INJECTED, PERSON
from flows.identity import Identity
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record

DECISIONS = frozenset({"gate.decided", "gate.refused"})
"""The kinds of records of what people did at gates."""
DRILL = Actor("system", "drill", "drill")


class Diary:
    """Writes a drill's records down, and tells of it in lines."""

    def __init__(self, journal: Journal, drill: str, told: Callable[[str], None]) -> None:
        self._journal = journal
        self._drill = drill
        self._told = told

    def records(self, *kinds: str) -> list[Record]:
        """What is written down already."""
        return [record for record in self._journal.records(self._drill) if record.kind in kinds]

    @property
    def began(self) -> Record:
        """Its first record."""
        return self._journal.records(self._drill)[0]

    def write(self, kind: str, body: Mapping[str, Any], text: str = "") -> Record:
        """Write a record; ``text`` is told to whoever watches."""
        return self._write(kind, body, DRILL, text)

    def injected(
        self, event: int, at: float, thing: str, text: str, detail: Mapping[str, Any]
    ) -> None:
        body = {"event": event, "at": at, "thing": thing, "text": text, "detail": dict(detail)}
        self.write(INJECTED, body, text)

    def person(
        self,
        who: str,
        does: str,
        *,
        incident: str = "",
        gate: str = "",
        after: float | None = None,
        refused: str = "",
        details_opened: bool | None = None,
    ) -> None:
        body = {
            "person": who,
            "does": does,
            "incident": incident,
            "gate": gate,
            "after": None if after is None else round(after, 3),
            "refused": refused,
            "details_opened": details_opened,
        }
        text = (
            f"{who} {_IN_WORDS.get(does, does)} {f'the gate {gate}' if gate else incident}".strip()
        )
        if refused:
            text = f"{text}; refused: {refused}"
        self._write(PERSON, body, Identity("local", who).actor, text)

    def decided(self, record: Record, text: str = "") -> None:
        """What a person did at a gate, as the incident's own record of it says."""
        body = record.body
        self.write(
            PERSON,
            {
                "person": record.actor.id.partition(":")[2],
                "does": _ANSWERED[body["answer"]],
                "incident": record.incident,
                "gate": body["gate"],
                "after": body.get("latency_seconds"),
                "refused": body["why"] if record.kind == "gate.refused" else "",
                "details_opened": None,
            },
            text,
        )

    def tell(self, text: str) -> None:
        self._told(text)

    def _write(self, kind: str, body: Mapping[str, Any], actor: Actor, text: str) -> Record:
        record = self._journal.append(self._drill, kind, body, actor)
        if text:
            self._told(text)
        return record


_ANSWERED = {"approve": "approved", "deny": "denied", "more_info": "acknowledged"}
_IN_WORDS = {"silent": "has not answered", "noticed": "looks at", "acknowledged": "is on"}
