"""Ctrl-C and the end of the machine: what is in flight is finished, written down, and gone on with."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.recording import RecordedCall
from tests.flows.commands import Commands, Ended, Running, on_change, until
from tests.runbooks.stage import Stage

# Longer than it takes a signal to arrive and be heard of.
_IN_FLIGHT = 0.5


@dataclass
class Hand:
    """Sends signals to a command while its first call of the operation is in flight."""

    operation: str
    act: Callable[[Running], None]
    command: Running | None = None
    calls: list[str] = field(default_factory=list)

    def __call__(self, call: RecordedCall) -> Fault | None:
        self.calls.append(call.operation)
        if call.operation == self.operation and self.command is not None:
            command, self.command = self.command, None
            self.act(command)
        return None


def once(number: int) -> Callable[[Running], None]:
    def act(command: Running) -> None:
        command.signal(number)
        time.sleep(_IN_FLIGHT)

    return act


def twice(command: Running) -> None:
    command.signal(signal.SIGINT)
    until(lambda: "Ctrl-C again" in command.err, "the first Ctrl-C to be heard")
    command.signal(signal.SIGINT)
    until(lambda: not command.alive, "the second Ctrl-C to end it")


def preserve(stage: Stage) -> tuple[str, ...]:
    return ("run", "preserve", "--target", stage.world.victim, "--without-prefect")


def interrupted(clampdown: Commands, hand: Hand, *arguments: str) -> Ended:
    with clampdown.start(*arguments) as command:
        hand.command = command
        return command.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_the_call_in_flight_which_is_written_down(
    clampdown: Commands, stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = stage.state()
    stage.forget_calls()
    hand = Hand("CreateSnapshots", once(number))
    on_change(stage.aws, monkeypatch, hand)

    ended = interrupted(clampdown, hand, *preserve(stage))

    assert ended.code == 1
    assert "Stopping after the calls in flight" in ended.err
    assert f"clampdown resume {ended.incident}" in ended.out
    assert hand.calls[-1] == "CreateSnapshots", "nothing was begun afterwards"
    records = clampdown.records(ended.incident)
    intents = {r.seq for r in records if r.kind == "change.intent"}
    outcomes = {r.body["intent"]: r.body["status"] for r in records if r.kind == "change.outcome"}
    assert outcomes == dict.fromkeys(intents, "done")

    status = clampdown("status", ended.incident, "--json").json
    assert status["status"] == "interrupted"
    assert [s["status"] for s in status["steps"] if s["id"] == "ec2.protect"] == ["done"]
    assert "ec2.tag" not in [step["id"] for step in status["steps"] if step["status"] == "done"]
    assert "interrupted" in clampdown("status", ended.incident).out

    assert clampdown("resume", ended.incident, "--without-prefect").code == 0
    assert hand.calls.count("CreateSnapshots") == 1
    assert clampdown("undo", ended.incident).code == 0
    assert stage.without_evidence() == stage.without_evidence(before)


def test_a_second_ctrl_c_ends_at_once_and_resuming_finds_out_what_was_done(
    clampdown: Commands, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = Hand("CreateSnapshots", twice)
    on_change(stage.aws, monkeypatch, hand)

    ended = interrupted(clampdown, hand, *preserve(stage))

    assert ended.code == 130
    assert f"opened {ended.incident}" in ended.out
    assert "Stopped at once" in ended.err
    shown = clampdown("status", ended.incident)
    assert "outcome unknown: ec2.create_snapshots" in shown.out
    assert f"clampdown resume {ended.incident}" in shown.out
    assert clampdown("resume", ended.incident, "--without-prefect").code == 0
    assert hand.calls.count("CreateSnapshots") == 1


def test_ctrl_c_at_a_gate_leaves_it_open(clampdown: Commands, stage: Stage) -> None:
    with clampdown.start(
        "run", "contain", "--target", stage.world.victim, "--without-prefect"
    ) as command:
        command.says("clampdown approve")
        command.says("ec2.protect on")
        command.signal(signal.SIGINT)
        ended = command.end(within=10)

    assert ended.code == 1
    assert "waiting for a decision" in ended.out
    assert clampdown("approve", ended.incident, "contain").code == 0
    assert clampdown("resume", ended.incident, "--without-prefect").code == 0


def test_ctrl_c_while_aws_takes_its_time_does_not_wait_for_it(
    clampdown: Commands, stage: Stage
) -> None:
    stage.aws.configure(snapshot_seconds=600)
    wait = {"title": "Wait", "target": "ec2.instance", "steps": []}
    wait["steps"] = [{"step": "ec2.snapshot"}, {"step": "evidence.wait"}]
    clampdown.write_playbooks(playbooks={"preserve": wait})

    with clampdown.start(*preserve(stage)) as command:
        command.says("snapshots completed")
        command.signal(signal.SIGINT)
        ended = command.end(within=10)

    assert ended.code == 1
    stage.aws.configure(snapshot_seconds=0)
    stage.forget_calls()


def test_ctrl_c_during_an_undo_is_gone_on_with_by_undoing_again(
    clampdown: Commands, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stage.state()
    incident = clampdown(*preserve(stage)).incident
    hand = Hand("ModifyInstanceAttribute", once(signal.SIGINT))
    on_change(stage.aws, monkeypatch, hand)

    ended = interrupted(clampdown, hand, "undo", incident)

    assert ended.code == 1
    assert hand.calls[-1] == "ModifyInstanceAttribute", "nothing was begun afterwards"
    assert stage.without_evidence() != stage.without_evidence(before)
    assert clampdown("undo", incident).code == 0
    assert stage.without_evidence() == stage.without_evidence(before)


def test_ctrl_c_once_it_is_contained_only_leaves_the_view_out(
    clampdown: Commands, stage: Stage
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with clampdown.start(
            "run", "preserve", "--target", stage.world.victim, PREFECT_API_URL=url
        ) as command:
            command.says("Ctrl-C leaves that out")
            command.signal(signal.SIGINT)
            ended = command.end(within=5)

    assert ended.code == 0
    assert "contained" in ended.out
    assert "only partly shown" in ended.out
