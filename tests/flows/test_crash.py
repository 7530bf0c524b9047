"""The process dies, without any warning, at every change of the shipped playbook.

Whoever goes on afterwards must come to the same end as if nothing had happened, with nothing done
twice. TEST_EVERY_CRASH=1 dies at every change in both ways; otherwise they alternate.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.recording import RecordedCall
from flows.gameday.aws.server import SimulatedAws
from tests.flows.commands import Commands, Ended, Running, on_change
from tests.runbooks.stage import Stage, State

Way = Literal["before", "after", "alternately"]

EVERY: tuple[Way, ...] = ("before", "after")
WAYS = EVERY if os.environ.get("TEST_EVERY_CRASH") else ("alternately",)

_ENDS = 200
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z")
# Incidents, AWS's ids, the ends of the names that CloudFormation gives, and times.
_NAMES = re.compile(
    r"\b(?:inc-\d{8}-[0-9a-f]{6}|[a-z]+-[0-9a-f]{8,17}|A[A-Z]{3}[A-Z0-9]{12,}|[A-Z0-9]{12}"
    rf"|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}|{_TIME.pattern})\b"
)


@dataclass
class Killer:
    """Kills a command at the first changing call that it has not been killed at yet.

    The request has come; the command is dead before AWS does anything, or before it hears of it.
    """

    way: Way
    victim: Running | None = None
    killed: bool = False
    at: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def after(self, victim: Running) -> Iterator[None]:
        self.victim, self.killed = victim, False
        yield
        self.victim, self.killed = None, False

    def __call__(self, call: RecordedCall) -> Fault | None:
        parameters = json.dumps(call.parameters, sort_keys=True, default=str)
        # A policy that names the moment is another one each time.
        text = f"{call.name} {_TIME.sub('now', parameters)}"
        with self._lock:
            if self.killed:
                return Fault(effect="drop")  # It was on its way when the command died.
            if self.victim is None or text in self.at:
                return None
            self.at.append(text)
            self.killed = True
            self.victim.signal(signal.SIGKILL)
            before = self.way == "before" or (self.way == "alternately" and len(self.at) % 2)
        return Fault(effect="drop" if before else "lost_answer")


class Scene:
    """An instance to contain by the shipped playbook, and somebody who kills what does it."""

    def __init__(self, directory: Path, stage: Stage) -> None:
        self.directory = directory
        self.stage = stage
        self.times = 0
        self.set_up()

    def set_up(self) -> None:
        """As if nothing had happened yet, here and in AWS."""
        self.times += 1
        place = self.directory / str(self.times)
        place.mkdir()
        self.commands = Commands(place, self.stage)
        # A replacement stays when all else is undone: it is in service by then.
        self.commands.ship_playbooks(autoscaling_detach={"replacement": "none"})
        self.stage.set_up()
        self.before = self.stage.state()
        self.stage.forget_calls()
        self.finding = str(self.commands.finding(self.stage))

    def begin(self) -> tuple[str, ...]:
        return ("respond", "--finding", self.finding, "--without-prefect", "--no-wait")

    def contained(self) -> list[str]:
        return comparable(self.stage.state(), self.before)

    def effects(self) -> Counter[str]:
        """What AWS has carried out, and how often."""
        return Counter(
            call.name
            for call in self.stage.aws.calls.changes
            if not call.error and 0 < call.status < 300
        )

    def undone(self) -> None:
        """It is as it was before, but for the evidence; and the journal is whole."""
        assert self.stage.without_evidence() == self.stage.without_evidence(self.before)
        assert self.commands("journal", "verify").code == 0


@pytest.fixture
def scene(simulated_aws: SimulatedAws, tmp_path: Path) -> Scene:
    stage = Stage(simulated_aws)
    stage.set_up()
    return Scene(tmp_path, stage)


@pytest.fixture
def killer(request: pytest.FixtureRequest, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Killer:
    killer = Killer(request.param)
    on_change(scene.stage.aws, monkeypatch, killer)
    return killer


@pytest.mark.timeout(300)
@pytest.mark.parametrize("killer", WAYS, indirect=True)
def test_dying_at_every_change_leads_to_the_same_end_with_nothing_done_twice(
    scene: Scene, killer: Killer
) -> None:
    undisturbed = carry_out(scene)
    reference, effects = scene.contained(), scene.effects()
    assert undisturbed.code == 0, undisturbed.out
    scene.set_up()

    ended = carry_out(scene, killer)

    assert ended.code == 0, ended
    assert len(killer.at) >= sum(effects.values()), "some change was not died at"
    assert scene.effects() == effects
    assert scene.contained() == reference
    assert scene.commands("status", ended.incident, "--json").json["unknown"] == []
    assert scene.commands("undo", ended.incident).code == 0
    scene.undone()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("killer", WAYS, indirect=True)
def test_dying_at_every_change_of_an_undo_still_takes_everything_back_once(
    scene: Scene, killer: Killer
) -> None:
    incident = carry_out(scene).incident
    scene.stage.forget_calls()

    ended = again_and_again(scene, killer, ("undo", incident))

    assert ended.code == 0
    assert killer.at
    assert scene.commands("status", incident, "--json").json["status"] == "undone"
    scene.undone()
    assert scene.commands("undo", incident).code == 0
    scene.undone()


def test_dying_at_a_gate_leaves_it_to_be_decided_and_the_rest_to_be_done(scene: Scene) -> None:
    with scene.commands.start(
        "respond", "--finding", scene.finding, "--without-prefect"
    ) as running:
        waiting = Ended(0, running.says("clampdown approve"), "")
        running.says("ec2.snapshot on")
        running.signal(signal.SIGKILL)
        assert running.end().code == -signal.SIGKILL

    assert scene.commands("approve", waiting.incident, "contain").code == 0
    resumed = scene.commands("resume", waiting.incident, "--without-prefect")

    assert resumed.code == 0
    assert scene.effects()["ec2:CreateSnapshots"] == 1


def carry_out(scene: Scene, killer: Killer | None = None) -> Ended:
    """Respond, approve and go on, with as many processes as that takes."""
    ended = again_and_again(scene, killer, scene.begin())
    incident = ended.incident
    assert "waits for" in ended.out, ended
    assert scene.commands("approve", incident, "contain").code == 0
    return again_and_again(scene, killer, ("resume", incident, "--without-prefect", "--no-wait"))


def again_and_again(scene: Scene, killer: Killer | None, arguments: tuple[str, ...]) -> Ended:
    """Run a command; when it was killed, run it again, until it ends by itself."""
    for _ in range(_ENDS):
        with (
            scene.commands.start(*arguments) as running,
            killer.after(running) if killer else nullcontext(),
        ):
            ended = running.end()
        if ended.code != -signal.SIGKILL:
            return ended
    raise AssertionError(f"it was killed {_ENDS} times")


def comparable(state: State, before: State) -> list[str]:
    """The state as lines, without the names that it did not have before: others come next time."""
    known = set(_NAMES.findall(repr(before)))

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return plain(list(value.items()))
        if isinstance(value, (list, tuple)):
            return sorted((plain(item) for item in value), key=repr)
        if isinstance(value, str):
            return _NAMES.sub(lambda match: match[0] if match[0] in known else "new", value)
        return value

    return json.dumps(plain(state), indent=1).splitlines()
