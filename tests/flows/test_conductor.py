"""Incidents carried out in threads: started, gone on with, undone, stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from flows.conductor import Asked, Conductor
from flows.identity import SERVICE
from flows.settings import Settings
from runbooks.errors import InvalidInput, UnknownTarget
from runbooks.loader import load
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene

ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'
GATED = f"{ONE}\n- approve: {{id: contain, by: oncall}}\n{TWO}"
_SOON = timedelta(seconds=20)


@pytest.fixture
def conductors() -> Iterator[list[Conductor]]:
    made: list[Conductor] = []
    yield made
    for conductor in made:
        conductor.stop(_SOON)


def conductor(scene: Scene, made: list[Conductor], steps: str = ONE, **more: Any) -> Conductor:
    """Another service process, as far as one can be had in this one."""
    scene.write(steps)
    settings = Settings(
        home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
    )
    settings = settings.model_copy(update=more.pop("settings", {}))
    journal = scene.responder().journal
    made.append(Conductor(settings, load(scene.file), journal, prefect=False, **more))
    return made[-1]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SOON.total_seconds()
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def status(conductor: Conductor, incident: str) -> str:
    return conductor.responder().incident(incident).status


def test_a_containment_is_carried_out_while_whoever_asked_goes_on(
    scene: Scene, conductors: list[Conductor]
) -> None:
    service = conductor(scene, conductors)
    incident = service.start(Asked("tag-it", scene.world.victim, "a drill"), REQUESTER).result(10)
    until(lambda: not service.carries(incident))
    found = service.responder().incident(incident)
    assert (found.status, found.opened["reason"]) == ("contained", "a drill")
    assert found.requester == REQUESTER.actor


def test_what_is_refused_is_told_to_whoever_asked_and_opens_nothing(
    scene: Scene, conductors: list[Conductor]
) -> None:
    service = conductor(scene, conductors)
    with pytest.raises(InvalidInput, match="There is no playbook 'nope'"):
        service.start(Asked("nope", scene.world.victim), REQUESTER).result(10)
    assert service.responder().incidents() == []


def test_an_incident_that_ends_at_once_is_one_all_the_same(
    scene: Scene, conductors: list[Conductor]
) -> None:
    service = conductor(scene, conductors)
    incident = service.start(Asked("tag-it", "i-00000000000000000"), REQUESTER).result(10)
    until(lambda: not service.carries(incident))
    assert status(service, incident) == "failed"
    with pytest.raises(UnknownTarget):
        service.responder().plan("tag-it", ["i-00000000000000000"])


def test_a_decision_is_acted_on_at_once_by_the_one_who_waits(
    scene: Scene, conductors: list[Conductor]
) -> None:
    service = conductor(scene, conductors, GATED)
    incident = service.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    until(lambda: bool(service.responder().incident(incident).gates))
    service.responder().decide(incident, "contain", ALICE, "approve")
    # Going on with what this process carries out already begins nothing a second time.
    service.go_on(incident, ALICE)
    until(lambda: status(service, incident) == "contained")
    records = service.journal.records(incident)
    assert sum(record.kind == "incident.started" for record in records) == 1


def test_after_a_restart_everything_unfinished_goes_on(
    scene: Scene, conductors: list[Conductor]
) -> None:
    first = conductor(scene, conductors, GATED)
    incident = first.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    until(lambda: bool(first.responder().incident(incident).gates))
    assert first.stop(_SOON) == []
    first.responder().decide(incident, "contain", ALICE, "approve")

    second = conductor(scene, conductors, GATED)
    assert second.go_on_with_all() == [incident]
    until(lambda: status(second, incident) == "contained")
    started = [r for r in second.journal.records(incident) if r.kind == "incident.started"]
    assert started[-1].actor == SERVICE.actor


def test_what_another_process_carries_out_is_left_to_it(
    scene: Scene, conductors: list[Conductor]
) -> None:
    first = conductor(scene, conductors, GATED)
    incident = first.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    until(lambda: bool(first.responder().incident(incident).gates))

    problems: list[Exception] = []
    second = conductor(scene, conductors, GATED)
    second.go_on(incident, ALICE, problems.append)
    until(lambda: not second.carries(incident))
    assert problems == []
    assert first.carries(incident)


def test_what_an_incident_changed_is_taken_back(scene: Scene, conductors: list[Conductor]) -> None:
    service = conductor(scene, conductors)
    incident = service.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    until(lambda: not service.carries(incident))
    assert service.undo(incident, ALICE).result(10).taken_back == 1
    assert status(service, incident) == "undone"


def test_stopping_begins_nothing_new_and_says_what_has_not_ended(
    scene: Scene, conductors: list[Conductor]
) -> None:
    service = conductor(scene, conductors, GATED)
    incident = service.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    until(lambda: bool(service.responder().incident(incident).gates))
    assert service.stop(timedelta(0)) in ([incident], [])
    assert service.stop(_SOON) == []
    # It is not interrupted: when the service is back, it goes on by itself.
    assert status(service, incident) == "waiting"
    assert service.journal.records(incident)[-1].kind == "incident.paused"


def test_a_simulation_beside_what_is_live_is_one_that_was_named(
    scene: Scene, conductors: list[Conductor]
) -> None:
    live = conductor(scene, conductors, settings={"simulate": ""})
    asked = Asked("tag-it", scene.world.victim, simulate=True)
    assert not live.offers_simulation
    with pytest.raises(InvalidInput, match="There is no simulated AWS here"):
        live.start(asked, REQUESTER).result(10)

    both = conductor(scene, conductors, settings={"simulate": ""}, simulate=scene.aws.url)
    incident = both.start(asked, REQUESTER).result(10)
    until(lambda: not both.carries(incident))
    assert both.responder().incident(incident).mode == "simulated"
    assert both.undo(incident, ALICE).result(10).taken_back == 1
