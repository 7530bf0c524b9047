"""The machine's clock is set: nothing is approved by that, nothing is lost, and it is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from flows.conductor import Asked, Conductor
from flows.serve.clock import Clock
from flows.serve.watch import Watch
from flows.settings import Settings
from runbooks.loader import load
from tests.flows.commands import until
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene

GATED = (
    '- approve: {id: contain, by: oncall, within: 15m}\n- {step: ec2.tag, with: {tags: {a: "b"}}}'
)
TWO_HOURS = timedelta(hours=2)


@pytest.fixture
def conductor(scene: Scene) -> Iterator[Conductor]:
    scene.write(GATED)
    settings = Settings(
        home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
    )
    journal = scene.responder().journal
    conductor = Conductor(settings, load(scene.file), journal, prefect=False)
    yield conductor
    conductor.stop(timedelta(seconds=20))


def status(conductor: Conductor, incident: str) -> str:
    return conductor.responder().incident(incident).status


def waiting_at_the_gate(conductor: Conductor, scene: Scene) -> str:
    incident = conductor.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    until(lambda: conductor.responder().incident(incident).gates, "the gate")
    return incident


def set_by(by: timedelta) -> Any:
    return time_machine.travel(datetime.now(UTC) + by, tick=True)


def test_set_forward_at_a_gate_no_answer_still_means_no(conductor: Conductor, scene: Scene) -> None:
    incident = waiting_at_the_gate(conductor, scene)
    with set_by(TWO_HOURS):
        until(lambda: status(conductor, incident) == "denied", "the gate to expire")
    found = conductor.responder().incident(incident)
    assert "no answer means no" in found.error
    assert found.changes == ()


def test_set_back_at_a_gate_it_waits_and_people_decide(conductor: Conductor, scene: Scene) -> None:
    incident = waiting_at_the_gate(conductor, scene)
    with set_by(-TWO_HOURS):
        [gate] = conductor.responder().gates(conductor.responder().incident(incident))
        assert gate.status == "pending"
        conductor.responder().decide(incident, "contain", ALICE, "approve")
        until(lambda: status(conductor, incident) == "contained", "the containment")
    assert len(conductor.responder().incident(incident).changes) == 1


def test_what_was_begun_by_a_clock_that_was_ahead_is_gone_on_with(
    conductor: Conductor, scene: Scene
) -> None:
    with set_by(TWO_HOURS):
        incident = waiting_at_the_gate(conductor, scene)
        conductor.stop(timedelta(seconds=20))
    settings = Settings(
        home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
    )
    after = Conductor(settings, load(scene.file), conductor.journal, prefect=False)
    assert Watch(after).look() == [incident]
    after.stop(timedelta(seconds=20))


@pytest.mark.parametrize(("by", "said"), [(TWO_HOURS, "forward"), (-TWO_HOURS, "back")])
def test_it_is_said(by: timedelta, said: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    assert clock.look() == timedelta()
    with set_by(by):
        assert clock.look() == by
    assert f"set {said} by 2:00:00" in caplog.text
    assert time.time() > 0
