"""The clock that skips: nobody at work is skipped over, and whoever waits is woken in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from flows.conductor import Asked, Conductor
from flows.gameday.clock import SkippingClock
from flows.settings import Settings
from runbooks import clock
from runbooks.loader import load
from tests.flows.people import ALICE, CAROL, REQUESTER
from tests.flows.scene import Scene, until

START = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
SOON = 10.0


@pytest.fixture
def skipping() -> Iterator[SkippingClock]:
    with SkippingClock(START) as skipping:
        yield skipping


def began(work: threading.Thread) -> threading.Thread:
    work.start()
    return work


def test_it_starts_when_it_is_told_to_and_goes_on(skipping: SkippingClock) -> None:
    first = clock.now()
    assert START <= first < START + timedelta(seconds=5)
    time.sleep(0.01)
    assert clock.now() > first


def test_a_skip_wakes_whose_time_has_come_and_nobody_else(skipping: SkippingClock) -> None:
    woken: list[str] = []

    def sleep(name: str, seconds: float) -> None:
        clock.wait(threading.Event(), seconds)
        woken.append(name)

    threads = [
        began(threading.Thread(target=sleep, args=each, daemon=True))
        for each in (("short", 60.0), ("long", 3600.0))
    ]
    until(lambda: skipping.next_wake())
    assert skipping.at_rest(SOON)
    due = skipping.next_wake()
    assert due is not None
    assert abs(due - START - timedelta(seconds=60)) < timedelta(seconds=5)

    skipping.skip_to(due)
    threads[0].join(SOON)
    assert woken == ["short"]
    skipping.skip_to(START + timedelta(hours=2))
    threads[1].join(SOON)
    assert woken == ["short", "long"]
    assert skipping.next_wake() is None


def test_an_event_ends_a_wait_without_a_skip(skipping: SkippingClock) -> None:
    event = threading.Event()
    ended: list[bool] = []
    thread = began(threading.Thread(target=lambda: ended.append(clock.wait(event, 3600))))
    event.set()
    thread.join(SOON)
    assert ended == [True]


def test_who_is_at_work_is_waited_for_but_not_who_waits(skipping: SkippingClock) -> None:
    go_on, sleeping = threading.Event(), threading.Event()

    def work() -> None:
        with clock.working():
            go_on.wait()
            sleeping.set()
            clock.wait(threading.Event(), 60)

    thread = began(threading.Thread(target=work, daemon=True))
    until(lambda: not skipping.at_rest(0.1))
    go_on.set()
    assert sleeping.wait(SOON)
    assert skipping.at_rest(SOON)
    skipping.skip_to(START + timedelta(minutes=5))
    thread.join(SOON)
    assert not thread.is_alive()
    assert skipping.at_rest(SOON)


def test_an_alarm_goes_off_by_this_clock(skipping: SkippingClock) -> None:
    rung, called_off = threading.Event(), threading.Event()
    clock.after(60, rung.set)
    clock.after(60, called_off.set)()
    until(lambda: skipping.next_wake())
    skipping.skip_to(START + timedelta(seconds=90))
    assert rung.wait(SOON)
    assert not called_off.wait(0.1)


def test_it_does_not_go_back(skipping: SkippingClock) -> None:
    with pytest.raises(ValueError, match="ago"):
        skipping.skip_to(START - timedelta(hours=1))


def test_whose_time_has_come_is_waited_for_until_they_get_to_run(skipping: SkippingClock) -> None:
    """A skip wakes a thread, which on a busy machine may run only much later."""
    going, woken = threading.Event(), threading.Event()

    class Late(threading.Event):
        def is_set(self) -> bool:
            if going.is_set() and threading.current_thread() is thread:
                time.sleep(0.3)
            return super().is_set()

    def sleep() -> None:
        with clock.working():
            clock.wait(Late(), 60)
            woken.set()

    thread = began(threading.Thread(target=sleep, daemon=True))
    until(lambda: skipping.next_wake())
    assert skipping.at_rest(SOON)
    going.set()
    skipping.skip_to(START + timedelta(minutes=2))
    assert skipping.at_rest(SOON)
    assert woken.is_set()


def test_what_waits_in_a_loop_is_woken_by_a_skip_and_when_its_time_comes(
    skipping: SkippingClock,
) -> None:
    told: list[datetime] = []
    with clock.waiting(lambda: told.append(clock.now()), clock.now() + timedelta(hours=1)) as wake:
        skipping.skip_to(START + timedelta(minutes=5))
        assert len(told) == 1
        assert not skipping.at_rest(0.2), "what was woken is at work until it has been left"
        wake()
        assert len(told) == 1
    assert skipping.at_rest(SOON)
    due = clock.now() + timedelta(seconds=0.1)
    with clock.waiting(lambda: told.append(clock.now()), due):
        assert skipping.next_wake() == due
        time.sleep(0.15)
        assert not skipping.at_rest(0.2)
        assert len(told) == 2
    assert skipping.next_wake() is None


def test_the_simulated_aws_is_told_first() -> None:
    """Who wakes and asks AWS finds done there what would have been done by then."""
    ahead: list[float] = []
    seen: list[int] = []

    def sleep() -> None:
        clock.wait(threading.Event(), 60)
        seen.append(len(ahead))

    with SkippingClock(START, ahead.append) as skipping:
        thread = began(threading.Thread(target=sleep, daemon=True))
        until(lambda: skipping.next_wake())
        skipping.skip_to(START + timedelta(minutes=2))
        thread.join(SOON)
        assert seen == [2]
        assert 60 < ahead[1] - ahead[0] <= 120
        assert ahead[1] == skipping.ahead
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_decision_is_written_down_at_the_moment_at_which_it_is_made(scene: Scene) -> None:
    """A conductor waits at a gate as it does in production, but for the time that it takes."""
    scene.write(
        "- approve: {id: contain, by: oncall, within: 15m}\n"
        '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
    )
    settings = Settings(
        home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
    )
    responder = scene.responder()
    conductor = Conductor(settings, load(scene.file), responder.journal, prefect=False)
    with SkippingClock(START, scene.aws.set_ahead) as skipping:
        incident = conductor.start(Asked("tag-it", scene.world.victim), REQUESTER).result(SOON)
        assert incident.startswith("inc-20260302-")
        assert skipping.at_rest(SOON)
        assert skipping.next_wake() == responder.gates(responder.incident(incident))[0].expires_at
        skipping.skip_to(START + timedelta(minutes=3))
        responder.decide(incident, "contain", ALICE, "approve")
        assert skipping.at_rest(SOON)
        assert not conductor.carries(incident)
    assert conductor.stop(timedelta(seconds=SOON)) == []
    records = {record.kind: record for record in responder.journal.records(incident)}
    decided = records["gate.decided"]
    assert timedelta(0) <= decided.at - START - timedelta(minutes=3) < timedelta(seconds=3)
    assert 170 < decided.body["latency_seconds"] < 183
    assert records["incident.closed"].body["status"] == "contained"


def test_an_abort_ends_a_wait_before_any_time_is_skipped(scene: Scene) -> None:
    """As it does in production, where the gate's deadline is minutes away."""
    scene.write("- approve: {id: contain, by: oncall, within: 15m}\n- {step: ec2.snapshot}")
    settings = Settings(
        home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
    )
    responder = scene.responder()
    conductor = Conductor(settings, load(scene.file), responder.journal, prefect=False)
    with SkippingClock(START, scene.aws.set_ahead) as skipping:
        incident = conductor.start(Asked("tag-it", scene.world.victim), REQUESTER).result(SOON)
        assert skipping.at_rest(SOON)
        responder.abort(incident, ALICE, "a false alarm")
        assert skipping.at_rest(SOON)
        assert not conductor.carries(incident)
        assert responder.incident(incident).status == "aborted"
    assert conductor.stop(timedelta(seconds=SOON)) == []


def test_a_gate_expires_and_is_escalated_and_snapshots_complete_without_anybody_waiting(
    scene: Scene,
) -> None:
    """The times in the journal are those that it would have taken; it takes a few seconds."""
    scene.aws.configure(snapshot_seconds=2400)
    scene.write(
        "- step: ec2.snapshot\n"
        "- approve: {id: contain, by: oncall, within: 15m, remind_every: 6m, "
        "otherwise: escalate, escalate_to: leads}\n"
        '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}\n'
        "- {step: evidence.wait, with: {within: 2h}}"
    )
    scene.fault("DescribeSnapshots", effect="throttle", nth=1, times=4)
    responder = scene.responder()
    ended: list[str] = []

    def carry_out() -> None:
        with clock.working():
            ended.append(scene.run(wait=True).incident.status)

    real = time.monotonic()
    with SkippingClock(START, scene.aws.set_ahead) as skipping:
        thread = began(threading.Thread(target=carry_out, daemon=True))
        decides = START + timedelta(minutes=18)
        while not ended:
            assert skipping.at_rest(SOON)
            gates = [
                gate
                for head in responder.journal.incidents("inc-")
                for gate in responder.gates(responder.incident(head.incident))
                if gate.status == "pending"
            ]
            if gates and clock.now() >= decides:
                responder.decide(scene.heard[0].incident, "contain", CAROL, "approve")
                continue
            moments = [decides] if gates else []
            if (wake := skipping.next_wake()) is not None:
                moments.append(wake)
            if ahead := [moment for moment in moments if moment > clock.now()]:
                skipping.skip_to(min(ahead))
        thread.join(SOON)
    assert ended == ["contained"]
    assert time.monotonic() - real < 30

    told = {record.kind: (record.at - START).total_seconds() / 60 for record in scene.heard}
    assert 12 <= told["gate.reminded"] < 13
    assert 15 <= told["gate.escalated"] < 15.5
    assert 18 <= told["gate.decided"] < 18.5
    assert 40 <= told["incident.closed"] < 46
