"""The people of a past incident, as its records have them: what they answered, and how late."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.gameday.scenario import Person, Reaction
from flows.gameday.twin_scenario import stand_ins
from flows.journal.record import Record
from runbooks.playbook import Playbook

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_AT_ONCE = Reaction(after=timedelta(), spread=0)


@dataclass(frozen=True)
class Recalled:
    """Who plays, by name, and what their records do not say."""

    people: dict[str, Person]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Answer:
    answer: str
    groups: tuple[str, ...]
    after: timedelta


def recall(records: Sequence[Record], playbook: Playbook) -> Recalled:
    """Everybody who decided, with the time they took and their answer; where a group was asked and
    nobody answered, somebody who does not; and for groups that only today's playbook asks, people
    who take as long as the others did."""
    names, missing = names_of(records), []
    people: dict[str, Person] = {}
    for principal, answers in _answers(records).items():
        first = answers[0]
        if len({(each.answer, each.after) for each in answers}) > 1:
            missing.append(
                f"{principal} decided {len(answers)} times: as the first time is assumed"
            )
        people[names[principal]] = Person(
            groups=tuple(dict.fromkeys(group for each in answers for group in each.groups)),
            notices=_AT_ONCE,
            decides=Reaction(after=whole(first.after), spread=0),
            answers="deny" if first.answer == "deny" else "approve",
        )
    heard = {group for person in people.values() for group in person.groups}
    silent = [group for group in _asked(records) if group not in heard]
    for group in silent:
        people[_free(f"nobody-of-{group}", people)] = Person(groups=(group,), answers="nothing")
    unknown = {
        name: person
        for name, person in stand_ins(playbook).items()
        if person.groups[0] not in {*heard, *silent}
    }
    usual = _usual(people)
    for name, person in unknown.items():
        people[_free(name, people)] = person.model_copy(
            update={"notices": _AT_ONCE, "decides": Reaction(after=usual, spread=0)}
        )
    groups = sorted({person.groups[0] for person in unknown.values()})
    if groups:
        missing.append(
            f"nobody was asked of {', '.join(groups)}: they are assumed to approve after "
            f"{round(usual.total_seconds())} s"
        )
    return Recalled(people, tuple(missing))


def names_of(records: Sequence[Record]) -> dict[str, str]:
    """A name for each person in the records, by their principal: ``alice`` for ``local:alice``."""
    names: dict[str, str] = {}
    for record in records:
        principal = record.actor.id
        if record.actor.kind == "person" and principal not in names:
            last = re.split(r"[:/]", principal)[-1]
            text = _NO_NAME.sub("-", last)[:50]
            names[principal] = _free(text if text[:1].isalpha() else f"p-{text}", names.values())
    return names


def _answers(records: Sequence[Record]) -> dict[str, list[_Answer]]:
    """What each person decided, and how long after they, or their group, were asked."""
    found: dict[str, list[_Answer]] = {}
    requested: dict[str, datetime] = {}
    escalated: dict[str, tuple[str, datetime]] = {}
    for record in records:
        gate = record.body.get("gate", "")
        if record.kind == "gate.requested":
            requested[gate] = record.at
            escalated.pop(gate, None)
        elif record.kind == "gate.escalated":
            escalated[gate] = (record.body["to"], record.at)
        elif record.kind == "gate.decided" and record.body["answer"] in {"approve", "deny"}:
            groups = tuple(record.body["groups"])
            to, at = escalated.get(gate, ("", requested[gate]))
            since = at if to in groups else requested[gate]
            answer = _Answer(record.body["answer"], groups, record.at - since)
            found.setdefault(record.actor.id, []).append(answer)
    return found


def _asked(records: Sequence[Record]) -> list[str]:
    """The groups that were asked for a decision, in order."""
    groups: dict[str, None] = {}
    for record in records:
        if record.kind == "gate.requested":
            groups.update(dict.fromkeys(item["group"] for item in record.body["any_of"]))
        elif record.kind == "gate.escalated":
            groups[record.body["to"]] = None
    return list(groups)


def _usual(people: dict[str, Person]) -> timedelta:
    """How long those who answered took, in the middle; a minute where nobody did."""
    took = [
        person.decides.after.total_seconds()
        for person in people.values()
        if person.answers != "nothing"
    ]
    return whole(timedelta(seconds=statistics.median(took) if took else 60))


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or with a number behind it where somebody has it."""
    there = set(taken)
    number, text = 1, name[:60]
    while text in there:
        number += 1
        text = f"{name[:58]}-{number}"
    return text


def whole(duration: timedelta) -> timedelta:
    """In whole seconds, one at the least: files have no others."""
    return timedelta(seconds=max(1, round(duration.total_seconds())))
