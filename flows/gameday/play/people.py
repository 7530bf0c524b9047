"""The people of a drill, where nobody plays them: when they answer, and what."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows import approvals
from flows.approvals import GateState
from flows.gameday.drills import PERSON
from flows.gameday.play.diary import Diary
from flows.gameday.scenario import Person, Reaction
from flows.identity import Identity
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.responder import Responder
from runbooks import clock
from runbooks.errors import ClampdownError
from runbooks.playbook import Playbooks

Later = Callable[[datetime, Callable[[], None]], None]
_ANSWERED = ("approved", "denied")


@dataclass(frozen=True)
class Asking:
    """A gate that groups are asked for. ``key`` is what its incident is about, the same for a seed
    every time; the incident's id is not."""

    incident: str
    key: str
    gate: str
    round: int
    nonce: str
    groups: frozenset[str]
    at: datetime


@dataclass(frozen=True)
class Answering:
    """How somebody reacts: when they look, when they decide, and whether they open the details."""

    looks: timedelta
    decides: timedelta
    opens_details: bool


class StandIns:
    """Answers for people, each at a time of their own.

    How long somebody takes follows from the seed, who they are, and what they are asked, whatever
    else goes on. ``later`` has something done at a moment. While Clampdown is away nobody can
    answer: whoever would have does when it is back.
    """

    def __init__(
        self,
        people: Mapping[str, Person],
        playbooks: Playbooks,
        seed: int,
        diary: Diary,
        journal: Journal,
        later: Later,
    ) -> None:
        self._people = people
        self._playbooks = playbooks
        self._seed = seed
        self._diary = diary
        self._journal = journal
        self._responder: Responder | None = None
        self._later = later
        self._asked: dict[tuple[str, str], dict[str, datetime]] = {}

    def come_back(self, responder: Responder) -> None:
        """Clampdown is at work: from now on decisions are taken."""
        self._responder = responder

    def hear(self, record: Record) -> None:
        """Take in what Clampdown has written down: somebody may be asked by it, or it is too late."""
        body, gate = record.body, record.body.get("gate", "")
        match record.kind:
            case "gate.requested":
                self._asked[record.incident, gate] = {}
                self._ask(record, frozenset(item["group"] for item in body["any_of"]), body)
            case "gate.escalated":
                self.give_up(record.incident, gate)
                records = self._records(record.incident)
                asked = [r for r in records if r.kind == "gate.requested"]
                request = next(r for r in reversed(asked) if r.body["gate"] == gate)
                self._ask(record, frozenset({body["to"]}), request.body)
            case "gate.expired":
                self.give_up(record.incident, gate)

    def give_up(self, incident: str, gate: str) -> None:
        """Write down who was asked and has not answered."""
        for who, since in self._asked.get((incident, gate), {}).items():
            if not self._has(who, incident, gate, since, *_ANSWERED, "silent"):
                after = (clock.now() - since).total_seconds()
                self._diary.person(who, "silent", incident=incident, gate=gate, after=after)

    def reaction(self, who: str, asking: Asking) -> Answering:
        """How somebody reacts to being asked."""
        person = self._people[who]
        what = f"{self._seed} {who} {asking.key} {asking.gate} {asking.round}"
        chance = random.Random(what)
        looks = _drawn(person.notices, chance)
        decides = _drawn(person.decides, chance)
        return Answering(looks, looks + decides, chance.random() < person.opens_details)

    def _ask(self, record: Record, groups: frozenset[str], request: Mapping[str, object]) -> None:
        opened = self._records(record.incident)[0]
        key = " ".join(sorted(item["id"] for item in opened.body["targets"]))
        asking = Asking(
            record.incident,
            key,
            str(request["gate"]),
            int(str(request["round"])),
            str(request["nonce"]),
            groups,
            record.at,
        )
        asked = self._asked.setdefault((record.incident, asking.gate), {})
        for who, person in self._people.items():
            identity = Identity("local", who)
            in_groups = set(approvals.groups_of(identity, self._playbooks.approvers))
            if who in asked or not groups & in_groups or opened.actor.id == identity.principal:
                continue
            asked[who] = record.at
            if person.answers != "nothing":
                self._answer(who, asking)

    def _answer(self, who: str, asking: Asking) -> None:
        reaction = self.reaction(who, asking)
        self._later(asking.at + reaction.looks, lambda: self._look(who, asking))
        self._later(asking.at + reaction.decides, lambda: self._decide(who, asking, reaction))

    def _look(self, who: str, asking: Asking) -> None:
        if self._gate(asking) is None or self._did(who, asking, "noticed"):
            return
        after = (clock.now() - asking.at).total_seconds()
        incident = asking.incident
        self._diary.person(who, "noticed", incident=incident, gate=asking.gate, after=after)
        if not any(
            record.body["does"] == "acknowledged" and record.body["incident"] == incident
            for record in self._diary.records(PERSON)
        ):
            self._diary.person(who, "acknowledged", incident=incident, after=after)

    def _decide(self, who: str, asking: Asking, reaction: Answering) -> None:
        if self._gate(asking) is None or self._did(who, asking, *_ANSWERED):
            return
        answer = self._people[who].answers
        after = (clock.now() - asking.at).total_seconds()
        refused = ""
        assert self._responder is not None
        try:
            self._responder.decide(
                asking.incident,
                asking.gate,
                Identity("local", who),
                "deny" if answer == "deny" else "approve",
                why="stood in for in a drill",
                nonce=asking.nonce,
            )
        except ClampdownError as error:
            refused = error.what
        self._diary.person(
            who,
            "denied" if answer == "deny" else "approved",
            incident=asking.incident,
            gate=asking.gate,
            after=after,
            refused=refused,
            details_opened=reaction.opens_details,
        )

    def _gate(self, asking: Asking) -> GateState | None:
        """The gate, where it is still asked about as it was, and nobody has decided it."""
        records = self._records(asking.incident)
        gate = approvals.state(records, asking.gate, self._playbooks.approvers)
        open_ = gate is not None and gate.status in {"pending", "expired"}
        return gate if gate and open_ and gate.nonce == asking.nonce else None

    def _did(self, who: str, asking: Asking, *does: str) -> bool:
        return self._has(who, asking.incident, asking.gate, asking.at, *does)

    def _has(self, who: str, incident: str, gate: str, since: datetime, *does: str) -> bool:
        return any(
            record.at >= since
            and (record.body["person"], record.body["incident"], record.body["gate"])
            == (who, incident, gate)
            and record.body["does"] in does
            for record in self._diary.records(PERSON)
        )

    def _records(self, incident: str) -> list[Record]:
        return self._journal.records(incident)


def _drawn(reaction: Reaction, chance: random.Random) -> timedelta:
    """A time around the median; as often half of it as twice."""
    drawn = reaction.after * chance.lognormvariate(0, reaction.spread)
    return drawn if reaction.at_most is None else min(drawn, reaction.at_most)
