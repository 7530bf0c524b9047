"""How things stand, looked at in the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from flows.conductor import Asked, Conductor
from flows.identity import SERVICE
from flows.intake.finding import FindingRejected
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.serve.dead_letters import DeadLetters
from flows.serve.measuring import Measuring
from flows.serve.metrics import Metrics
from flows.settings import Settings
from runbooks.loader import load
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene, until

STEPS = """\
- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}
- approve: {id: contain, by: oncall}
- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}
"""


class Desk:
    """Stands for what reads the queues."""

    def undecided(self) -> dict[str, int]:
        return {"urgent": 3}

    def failures(self) -> Counter[str]:
        return Counter({"delete: AwsUnreachable": 1})


@pytest.fixture
def conductor(scene: Scene) -> Iterator[Conductor]:
    scene.write(STEPS)
    settings = Settings(
        home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
    )
    made = Conductor(settings, load(scene.file), scene.responder().journal, prefect=False)
    yield made
    made.stop(timedelta(seconds=20))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"clampdown_{name}", labels)


def test_it_shows_what_waits_for_people_and_what_does_not_any_more(
    scene: Scene, conductor: Conductor
) -> None:
    metrics = Metrics()
    reader: Any = Desk()
    measuring = Measuring(metrics, conductor, reader)
    measuring.once()
    assert value(metrics, "gates_open") == 0
    assert value(metrics, "queue_messages_undecided", queue="urgent") == 3
    assert value(metrics, "queue_failures_total", doing="delete") == 1

    incident = conductor.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)

    def gates_open() -> float | None:
        measuring.once()
        return value(metrics, "gates_open")

    until(lambda: gates_open() == 1)
    assert value(metrics, "incidents_waiting_for_people", awaited="decision") == 1
    assert value(metrics, "incidents_waiting_for_people", awaited="start") == 0
    conductor.responder().decide(incident, "contain", ALICE, "approve")
    until(lambda: not conductor.carries(incident))
    assert gates_open() == 0
    assert value(metrics, "incidents_waiting_for_people", awaited="decision") == 0
    assert value(metrics, "incidents_being_contained") == 0


def test_it_shows_what_nobody_has_started_and_that_everything_automatic_is_frozen(
    conductor: Conductor,
) -> None:
    metrics = Metrics()
    body = {"simulate": conductor.side, "proposed": True}
    for incident in ("inc-20260101-000001", "inc-20260101-000002"):
        conductor.journal.append(incident, "incident.opened", body, SERVICE.actor)
    conductor.journal.append("inc-20260101-000002", "incident.aborted", {}, SERVICE.actor)
    other_side = {**body, "simulate": "http://127.0.0.1:1"}
    conductor.journal.append("inc-20260101-000003", "incident.opened", other_side, SERVICE.actor)
    frozen = {"why": "enough", "simulate": conductor.side}
    conductor.journal.append("automatic", "automatic.frozen", frozen, SERVICE.actor)
    Measuring(metrics, conductor).once()
    assert value(metrics, "incidents_waiting_for_people", awaited="start") == 1
    assert value(metrics, "automatic_frozen") == 1


@pytest.mark.parametrize("status", ["failed", "incomplete", "interrupted"])
def test_what_has_ended_badly_is_shown_until_somebody_goes_on_with_it(
    conductor: Conductor, status: str
) -> None:
    metrics = Metrics()
    measuring = Measuring(metrics, conductor)

    def shown_after(incident: str, kind: str, **body: Any) -> float | None:
        conductor.journal.append(incident, kind, body, SERVICE.actor)
        measuring.once()
        return value(metrics, "incidents_not_contained")

    here, elsewhere = "inc-20260101-000001", "inc-20260101-000002"
    ended = {"status": status, "error": "x"}
    for incident, side in [(here, conductor.side), (elsewhere, "")]:
        body = {"proposed": True, "simulate": side}
        conductor.journal.append(incident, "incident.opened", body, SERVICE.actor)
    assert shown_after(elsewhere, "incident.closed", **ended) == 0
    assert shown_after(here, "incident.closed", **ended) == 1
    assert shown_after(here, "incident.aborted", why="seen") == 0
    assert shown_after(here, "incident.closed", status="undone", error="") == 0


def test_dead_letters_are_counted_each_once(conductor: Conductor) -> None:
    metrics = Metrics()
    letters = DeadLetters(conductor.journal, Settings(simulate=conductor.side))
    measuring = Measuring(metrics, conductor)
    for document, count in [(b"one", 1), (b"two", 2), (b"one", 2)]:
        letters.put(document, [FindingRejected("no")], "webhook")
        measuring.once()
        assert value(metrics, "dead_letters") == count


def test_a_journal_that_is_away_is_a_figure_and_no_error(
    conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise JournalUnavailable("The journal is away.")

    metrics = Metrics()
    measuring = Measuring(metrics, conductor)
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_read", away)
        measuring.once()
        assert value(metrics, "journal_unavailable") == 1
    measuring.once()
    assert value(metrics, "journal_unavailable") == 0
