"""A list of all incidents says of each what reading all of it would say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flows.incident import Incident, fold
from flows.incident_list import list_incidents
from flows.journal.journal import Journal
from tests.flows.people import SERVICE, Case
from tests.flows.slack.made_up import some_playbooks, some_records


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    opened = Journal.open(sqlite_url)
    yield opened
    opened.close()


def listed(incident: Incident) -> tuple[Any, ...]:
    return (
        incident.id,
        incident.status,
        incident.error,
        incident.paused,
        incident.opened_at,
        incident.closed_at,
        incident.targets,
        incident.mode,
        incident.unfinished,
        incident.undoing,
    )


def test_at_every_moment_of_an_incident(journal: Journal) -> None:
    story = some_records(lambda: "words", some_playbooks(lambda: "words"))
    moves = [
        index for index, record in enumerate(story, 1) if record.kind.startswith(("inc", "und"))
    ]
    for number, upto in enumerate(moves):
        for record in story[:upto]:
            journal.append(f"inc-20260101-{number:06x}", record.kind, record.body, record.actor)
    journal.append("automatic", "automatic.frozen", {"why": "x", "simulate": ""}, SERVICE)
    found = list_incidents(journal)
    whole = [fold(journal.records(incident.id)) for incident in found]
    assert [listed(one) for one in found] == [listed(one) for one in whole]
    assert len(found) == len(moves)
    assert [one.id for one in found] == sorted((one.id for one in found), reverse=True)


def test_what_is_opened_meanwhile_is_left_to_the_next_list(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = journal.find

    def meanwhile(*, kind: str, **more: Any) -> Any:
        found = list(find(kind=kind, **more))
        if kind == "incident.opened":
            other = Case(journal, id="inc-20260101-00beef")
            journal.append(other.id, "incident.started", {"reason": "x"}, SERVICE)
        return iter(found)

    first = Case(journal)
    monkeypatch.setattr(journal, "find", meanwhile)
    assert [incident.id for incident in list_incidents(journal)] == [first.id]
