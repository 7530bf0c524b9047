"""The clock that skips: nobody at work is skipped over, and whoever waits is woken in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from flows import execution
from flows.gameday.clock import SkippingClock
from runbooks import clock
from tests.flows.people import CAROL
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


def test_a_gate_expires_and_is_escalated_and_snapshots_complete_without_anybody_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times in the journal are those that it would have taken; it takes a few seconds."""
    # As it is: whoever looks all the time is never at rest.
    monkeypatch.setattr(execution, "_POLL", 0.5)
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
