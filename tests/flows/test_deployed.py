"""What is started from Prefect goes on with what was begun, and decides nothing."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows import deployed
from flows.execution import open_incident
from flows.gameday.assessment import Assessment, Verdict
from flows.incident import Incident
from flows.settings import Settings
from runbooks.targets.reference import TargetRef
from tests.flows.gameday.report.assessments import assessment
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


def of(level: str) -> Assessment:
    """What a drill came to whose one objective is at that level."""
    return replace(
        assessment(),
        scenario="crypto-mining",
        passed=level == "met",
        score=100.0 if level == "met" else 0.0,
        verdicts=(Verdict("isolated", "It is isolated", level, "eni-1 is loose."),),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("met", ("Completed", "crypto-mining: 100 of 100.")),
        ("missed", ("Failed", "It is isolated: eni-1 is loose.")),
    ],
)
def test_a_drill_ends_as_it_went_and_is_told_in_prefect(
    here: Scene,
    artifacts: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    expected: tuple[str, str],
) -> None:
    def play(scenario: str, seed: int, settings: Settings) -> Assessment:
        assert (scenario, seed, settings.playbooks) == ("crypto-mining", 7, here.file)
        return of(level)

    monkeypatch.setattr(deployed, "play", play)

    assert outcome(deployed.drill.fn("crypto-mining", 7)) == expected
    (artifact,) = artifacts
    assert artifact["key"] == "drill-crypto-mining"
    assert all(text in artifact["markdown"] for text in ("eni-1 is loose", level))


def test_a_drill_that_cannot_begin_ends_with_a_sentence(
    artifacts: list[dict[str, Any]], here: Scene
) -> None:
    name, message = outcome(deployed.drill.fn("crypto-minig"))

    assert name == "Failed"
    assert "crypto-mining" in message
    assert artifacts == []


def test_on_a_day_that_is_blacked_out_nothing_is_played(
    artifacts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "play", None)

    state = deployed.drill.fn("crypto-mining", blackout=["2000-01-01..2999-12-31"])

    assert outcome(state) == (
        "Completed",
        "2000-01-01..2999-12-31 is blacked out: nothing was played.",
    )


def test_a_surprise_is_a_run_of_its_own_later_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(deployed, "play", None)
    monkeypatch.setattr(
        deployed, "run_deployment", lambda name, **more: asked.append({"name": name, **more})
    )
    ours = "6f5c4e0a-7b1f-4f0e-9d59-9a6b7f0f0c11"
    monkeypatch.setattr(deployed.runtime.deployment, "id", ours, raising=False)

    state = deployed.drill.fn("crypto-mining", window_minutes=240)

    assert state.name == "Completed"
    (later,) = asked
    assert str(later["name"]) == ours
    assert later["parameters"] == {"window_minutes": 0}
    ahead = later["scheduled_time"] - datetime.now(UTC)
    assert timedelta(minutes=-1) < ahead <= timedelta(hours=4)
