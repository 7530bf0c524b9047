"""What is started from Prefect goes on with what was begun, and decides nothing."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows import deployed
from flows.drill import Drilled
from flows.execution import open_incident
from flows.incident import Incident
from flows.settings import Settings
from runbooks.errors import InvalidInput
from runbooks.targets.reference import TargetRef
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene, until

ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'
GATED = f"{ONE}\n- approve: {{id: contain, by: oncall}}\n{TWO}"


@pytest.fixture
def here(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The scene as what a worker of Prefect finds in its environment."""
    monkeypatch.setenv("CLAMPDOWN_HOME", str(scene.home))
    monkeypatch.setenv("CLAMPDOWN_PLAYBOOKS", str(scene.file))
    monkeypatch.setenv("CLAMPDOWN_SIMULATE", scene.aws.url)
    monkeypatch.setenv("CLAMPDOWN_REGION", scene.world.region)
    scene.write(ONE)
    return scene


def outcome(state: Any) -> tuple[str, str]:
    return state.name, state.message


def now(scene: Scene, incident: Incident) -> Incident:
    return scene.responder().incident(incident.id)


def left_behind(scene: Scene, incident: Incident, kind: str, **body: Any) -> None:
    """A record as the last one of a process that was killed."""
    scene.responder().journal.append(incident.id, kind, body, REQUESTER.actor)


def test_what_was_begun_is_gone_on_with_by_the_service(here: Scene) -> None:
    incident = here.responder().open("tag-it", [here.world.victim], REQUESTER).incident

    state = deployed.respond.fn(incident.id)

    assert outcome(state) == ("Completed", f"{incident.id} is contained.")
    assert "one" in here.tags()
    (started,) = here.records(incident, "incident.started")
    assert started.actor.id == "service:clampdown"


def test_a_gate_waits_for_people_as_ever(here: Scene) -> None:
    here.write(GATED)
    incident = here.run(wait=False).incident
    assert incident.status == "waiting"

    with ThreadPoolExecutor(1) as pool:
        gone_on = pool.submit(deployed.respond.fn, incident.id)
        until(lambda: here.records(incident, "incident.started")[1:])
        assert not here.records(incident, "gate.decided")
        here.responder().decide(incident.id, "contain", ALICE, "approve")
        state = gone_on.result(20)

    assert outcome(state) == ("Completed", f"{incident.id} is contained.")
    (decided,) = here.records(incident, "gate.decided")
    assert decided.actor.id == "local:alice"


def test_who_cancels_a_run_stops_no_containment(here: Scene) -> None:
    here.write(GATED)
    incident = here.run(wait=False).incident

    def cancel() -> None:
        until(lambda: here.records(incident, "incident.started")[1:])
        os.kill(os.getpid(), signal.SIGTERM)  # as a worker of Prefect does

    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(cancel)
        state = deployed.respond.fn(incident.id)
        cancelled.result(20)

    assert outcome(state) == (
        "Completed",
        f"{incident.id} was interrupted; the service goes on with it.",
    )
    assert now(here, incident).unfinished


@pytest.mark.parametrize("flow", [deployed.respond, deployed.undo])
def test_what_is_only_proposed_is_not_begun(here: Scene, flow: Any) -> None:
    responder = here.responder()
    open_incident(
        responder.journal,
        "inc-20260101-abcdef",
        playbook_id="tag-it",
        playbooks=responder.playbooks,
        refs=[TargetRef("ec2.instance", here.world.account, here.world.region, here.world.victim)],
        finding=None,
        requester=REQUESTER.actor,
        simulate=here.aws.url,
        reason="a test",
        proposed=True,
    )

    name, message = outcome(flow.fn("inc-20260101-abcdef"))

    assert name == "Failed"
    assert message.startswith("inc-20260101-abcdef is proposed; nothing was done. ")
    assert here.changes() == []
    assert len(responder.journal.records("inc-20260101-abcdef")) == 1


@pytest.mark.parametrize("flow", [deployed.respond, deployed.undo])
def test_what_has_ended_is_left_as_it_is(here: Scene, flow: Any) -> None:
    incident = here.run().incident
    records = len(here.records(incident))

    name, message = outcome(flow.fn(incident.id))

    assert name == "Failed"
    assert "is contained; nothing was done. " in message
    assert len(here.records(incident)) == records
    assert "one" in here.tags()


def test_an_undo_that_a_person_has_begun_is_gone_on_with(here: Scene) -> None:
    incident = here.run().incident
    left_behind(here, incident, "undo.started", step=None)

    refused = deployed.respond.fn(incident.id)
    assert outcome(refused)[0] == "Failed"
    assert "one" in here.tags()

    assert outcome(deployed.undo.fn(incident.id)) == ("Completed", f"{incident.id} is undone.")
    assert "one" not in here.tags()


def test_an_undo_begins_none_in_the_middle_of_a_containment(here: Scene) -> None:
    incident = here.responder().open("tag-it", [here.world.victim], REQUESTER).incident

    name, message = outcome(deployed.undo.fn(incident.id))

    assert name == "Failed"
    assert "Nobody has begun to undo it" in message
    assert now(here, incident).status == "running"


def test_what_another_process_is_at_is_left_to_it(here: Scene) -> None:
    incident = here.responder().open("tag-it", [here.world.victim], REQUESTER).incident
    with here.responder().journal.hold(incident.id):
        name, message = outcome(deployed.respond.fn(incident.id))

    assert name == "Completed"
    assert message.startswith(f"Another process is at {incident.id}")
    assert here.changes() == []


@pytest.mark.parametrize("chain", ["inc-20260101-000000", "automatic", "", "../../etc/passwd"])
def test_what_is_no_incident_ends_with_a_sentence(here: Scene, chain: str) -> None:
    assert outcome(deployed.respond.fn(chain)) == (
        "Failed",
        "There is no such incident. `clampdown incidents` lists them.",
    )


# Drills


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(deployed, "create_markdown_artifact", lambda **given: made.append(given))
    return made


@pytest.mark.parametrize(
    ("shortcomings", "expected"),
    [
        ((), ("Completed", "Tag_it was rehearsed and undone.")),
        (("one is not verified.",), ("Failed", "one is not verified.")),
    ],
)
def test_a_drill_ends_as_it_went_and_is_told_in_prefect(
    here: Scene,
    artifacts: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    shortcomings: tuple[str, ...],
    expected: tuple[str, str],
) -> None:
    def drilled(playbook: str, seed: int, settings: Settings) -> Drilled:
        assert settings.playbooks == here.file
        took = timedelta(seconds=4.2)
        return Drilled("inc-1", playbook, seed, Path("drills/1"), took, took, shortcomings)

    monkeypatch.setattr(deployed.drills, "drill", drilled)

    assert outcome(deployed.drill.fn("Tag_it", 7)) == expected
    (artifact,) = artifacts
    assert artifact["key"] == "drill-tag-it"
    assert all(text in artifact["markdown"] for text in ("4.2 s", "inc-1", *shortcomings))


def test_a_drill_that_cannot_begin_ends_with_a_sentence(
    artifacts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def drilled(*_: Any) -> Drilled:
        raise InvalidInput("There is no playbook 'nope'.", advice="There are: tag-it.")

    monkeypatch.setattr(deployed.drills, "drill", drilled)

    assert outcome(deployed.drill.fn("nope")) == (
        "Failed",
        "There is no playbook 'nope'. There are: tag-it.",
    )
    assert artifacts == []
