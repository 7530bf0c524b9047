"""The machine's clock is set: nothing is approved by that, nothing is lost, and it is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from flows.approvals import SYSTEM
from flows.conductor import Asked, Conductor
from flows.journal.verify import verify
from flows.serve.clock import Clock
from flows.serve.service import LOOK_EVERY
from flows.settings import Settings
from runbooks.loader import load
from tests.flows.commands import on_change, until
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene
from tests.flows.serve.here import hurry, serving_here
from tests.flows.serve.office import ROUTES, UNGATED, Office
from tests.runbooks.stage import Stage

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


@pytest.fixture
def office(tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Office:
    hurry(monkeypatch)
    office = Office(tmp_path, stage)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


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
    # Set right again, it is still over, whoever approves it now, until people go on with it.
    conductor.responder().decide(incident, "contain", ALICE, "approve")
    assert conductor.go_on_with_all() == []
    assert status(conductor, incident) == "denied"
    until(lambda: not conductor.carries(incident), "it to be let go")
    conductor.go_on(incident, REQUESTER)
    until(lambda: status(conductor, incident) == "contained", "the containment")


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
    assert after.go_on_with_all(LOOK_EVERY) == [incident]
    after.stop(timedelta(seconds=20))


@pytest.mark.parametrize("by", [TWO_HOURS, -TWO_HOURS])
def test_set_amid_a_containment_and_between_findings_all_is_contained_once(
    by: timedelta, office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = office.instances[:3]
    with ExitStack() as setting, serving_here(office) as service:

        def set_it(call: Any) -> None:
            if call.operation == "ModifyNetworkInterfaceAttribute" and "was set" not in caplog.text:
                setting.enter_context(set_by(by))
                until(lambda: "was set" in caplog.text, "it to be noticed")

        with monkeypatch.context() as patch:
            on_change(office.stage.aws, patch, set_it)
            office.guardduty.find(first)
            until(lambda: office.statuses() == ["contained"], "the containment")
        office.guardduty.find(second)
        until(lambda: office.statuses().count("contained") == 2, "the next one")
        setting.close()
        # By the clock that is right again, what it says was before, or is to come.
        identity = office.guardduty.find(third)
        office.guardduty.find(third, Id=identity)
        until(lambda: office.statuses().count("contained") == 3, "the one after that")
        until(lambda: office.waiting_in(office.guardduty.queue) == 0, "the queue to be empty")
        assert service.get("/ready")[0] == 200
    assert office.repeated() == []
    with office.journal() as journal:
        assert verify(journal).ok


def test_what_a_wrong_clock_has_lifted_is_frozen_again_and_then_lifted_for_good(
    scene: Scene, conductor: Conductor
) -> None:
    """Else nothing counted until that clock's time had come, and there was no budget."""
    automatic, playbooks = conductor.responder().automatic, conductor.playbooks
    budgets = playbooks.guardrails.budgets.model_copy(update={"automatic_isolations_per_hour": 1})
    guardrails = playbooks.guardrails.model_copy(update={"budgets": budgets})
    playbooks = playbooks.model_copy(update={"guardrails": guardrails})

    def started(number: int) -> str:
        body = {"automatic": True, "simulate": scene.aws.url}
        conductor.journal.append(f"inc-20260101-{number:06x}", "incident.opened", body, SYSTEM)
        return automatic.frozen_or_spent(playbooks)

    with set_by(TWO_HOURS):
        assert "the limit is 1" in started(1)
        automatic.lift(ALICE, "a drill", playbooks)
    assert "the limit is 1" in started(2)
    automatic.lift(ALICE, "the clock is right now", playbooks)
    assert automatic.frozen() is None


@pytest.mark.parametrize(("by", "said"), [(TWO_HOURS, "forward"), (-TWO_HOURS, "back")])
def test_it_is_said(by: timedelta, said: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    assert clock.look() == timedelta()
    with set_by(by):
        assert clock.look() == by
    assert f"set {said} by 2:00:00" in caplog.text
