"""What Prefect does not show yet is remembered, and shown from the journal: nothing is done again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import prefect_view, respond, unshown
from flows.conductor import Asked, Conductor
from flows.prefect_view import finish_all
from flows.recorded import Recorded
from flows.settings import Settings
from runbooks.errors import ClampdownError, Denied, Interrupted
from runbooks.loader import load
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene

ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'
GATED = f"{ONE}\n- approve: {{id: contain, by: oncall}}\n{TWO}"
_SOON = timedelta(seconds=20)


# On disk


def test_what_is_marked_is_there_until_it_is_shown(tmp_path: Path) -> None:
    assert unshown.marked(tmp_path) == []
    unshown.mark(tmp_path, "inc-2")
    unshown.mark(tmp_path, "inc-1")
    unshown.mark(tmp_path, "inc-1")
    assert unshown.marked(tmp_path) == ["inc-1", "inc-2"]
    unshown.unmark(tmp_path, "inc-1")
    unshown.unmark(tmp_path, "inc-1")
    assert unshown.marked(tmp_path) == ["inc-2"]


def test_what_an_ended_process_has_left_is_ours_and_what_a_living_one_has_is_not(
    tmp_path: Path,
) -> None:
    code = "import sys; from pathlib import Path; from flows import unshown; "
    code += "unshown.mark(Path(sys.argv[1]), 'inc-1'); print('marked', flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert unshown.marked(tmp_path) == []
        other.kill()
        other.wait()
    assert unshown.marked(tmp_path) == ["inc-1"]
    unshown.unmark(tmp_path, "inc-1")
    assert list((tmp_path / "unshown").iterdir()) == []


def test_a_place_that_can_not_be_written_keeps_nothing_back(tmp_path: Path) -> None:
    (tmp_path / "unshown").write_text("in the way")
    unshown.mark(tmp_path, "inc-1")
    assert unshown.marked(tmp_path) == []


# From the journal


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What a Prefect shows: each incident, and how its flow run ended."""
    shown: list[tuple[str, str]] = []

    async def show(execution: Any, url: str, resting: object) -> None:
        shown.append((execution.id, await walked(execution)))

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(prefect_view, "require_answer", lambda url, within: None)
    monkeypatch.setattr(respond, "show_in_prefect", show)
    return shown


async def walked(execution: Any) -> str:
    try:
        await execution.walk(execution.step, execution.gate)
    except ClampdownError as error:
        return str(error)
    return "Completed"


@pytest.fixture
def service(scene: Scene) -> Callable[[str], Conductor]:
    def service(steps: str) -> Conductor:
        scene.write(steps)
        settings = Settings(
            home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
        )
        journal = scene.responder().journal
        return Conductor(settings, load(scene.file), journal, prefect=False)

    return service


def interrupted(conductor: Conductor, scene: Scene) -> str:
    """An incident that waits for people; its process has ended."""
    incident = conductor.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    assert conductor.stop(_SOON) == []
    unshown.mark(scene.home / "prefect", incident)
    return incident


def contained(conductor: Conductor, scene: Scene) -> str:
    incident = conductor.start(Asked("tag-it", scene.world.victim), REQUESTER).result(10)
    deadline = time.monotonic() + _SOON.total_seconds()
    while conductor.carries(incident):
        assert time.monotonic() < deadline, "it never ended"
        time.sleep(0.02)
    unshown.mark(scene.home / "prefect", incident)
    return incident


def test_what_was_left_is_shown_once_and_nothing_of_it_is_done_again(
    scene: Scene, service: Callable[[str], Conductor], shown: list[tuple[str, str]]
) -> None:
    before = service(ONE)
    incident = contained(before, scene)
    records = len(before.journal.records(incident))

    after = service(ONE)
    after.show_unshown()
    assert finish_all(_SOON) == 0
    after.show_unshown()
    assert shown == [(incident, "Completed")]
    assert unshown.marked(scene.home / "prefect") == []
    assert len(after.journal.records(incident)) == records


def test_what_is_not_known_here_or_not_ended_is_not_shown(
    scene: Scene, service: Callable[[str], Conductor], shown: list[tuple[str, str]]
) -> None:
    waiting = interrupted(service(GATED), scene)
    home = scene.home / "prefect"
    unshown.mark(home, "inc-20260101-abcdef")
    service(GATED).show_unshown()
    assert finish_all(_SOON) == 0
    assert shown == []
    # Whoever goes on with it shows it.
    assert unshown.marked(home) == [waiting]


def test_what_prefect_does_not_take_is_tried_again(
    scene: Scene,
    service: Callable[[str], Conductor],
    shown: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    incident = contained(service(ONE), scene)
    conductor = service(ONE)
    with monkeypatch.context() as patch:

        async def fails(*_: object) -> None:
            raise OSError("503")

        patch.setattr(respond, "show_in_prefect", fails)
        conductor.show_unshown()
        assert finish_all(_SOON) == 0
    assert unshown.marked(scene.home / "prefect") == [incident]
    conductor.show_unshown()
    assert finish_all(_SOON) == 0
    assert shown == [(incident, "Completed")]


def test_with_too_many_at_once_the_rest_is_left_for_later(
    scene: Scene,
    service: Callable[[str], Conductor],
    shown: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    incident = contained(service(ONE), scene)
    conductor = service(ONE)
    with monkeypatch.context() as patch:
        patch.setattr(prefect_view, "_MOST", 0)
        conductor.show_unshown()
        assert (finish_all(_SOON), shown) == (0, [])
    conductor.show_unshown()
    assert finish_all(_SOON) == 0
    assert shown == [(incident, "Completed")]


def test_a_recorded_incident_shows_each_step_as_it_ended(scene: Scene) -> None:
    scene.write(GATED)
    responder = scene.responder()
    started = scene.run(scene.world.victim, wait=False)
    incident = started.incident.id
    recorded = look(responder, incident)
    one, gate, two = recorded.playbook.steps
    asyncio.run(recorded.step(one))
    with pytest.raises(Denied, match="was not passed"):
        asyncio.run(recorded.gate(gate))
    with pytest.raises(Interrupted, match="two was not done"):
        asyncio.run(recorded.step(two))

    responder.decide(incident, "contain", ALICE, "approve")
    responder.resume(incident, ALICE, prefect=False)
    assert asyncio.run(walked(look(responder, incident))) == "Completed"
    assert look(responder, incident).plan.steps


def look(responder: Any, incident: str) -> Recorded:
    around: Any = SimpleNamespace(
        journal=responder.journal,
        playbooks=responder.playbooks,
        connections=None,
        stop=responder.stop,
        listener=None,
        progress=None,
        parallel_steps=1,
        on_calm=None,
    )
    return Recorded(incident, around)
