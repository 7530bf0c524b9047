"""The machine's clock, and having a process go by another one."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from runbooks import clock
from runbooks.clock import Clock


class Stopped(Clock):
    def now(self) -> datetime:
        return datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def test_it_is_the_machines() -> None:
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC) + timedelta(seconds=1)
    began = time.monotonic()
    assert began <= clock.monotonic() <= time.monotonic() + 1


def test_a_wait_ends_with_the_event_or_the_time() -> None:
    event = threading.Event()
    assert clock.wait(event, 0.01) is False
    event.set()
    assert clock.wait(event, 60) is True


def test_what_is_to_be_done_later_is_done_unless_it_is_called_off() -> None:
    done, called_off = threading.Event(), threading.Event()
    clock.after(0.01, done.set)
    clock.after(0.2, called_off.set)()
    assert done.wait(10)
    assert not called_off.wait(0.4)


def test_nothing_is_counted_and_nobody_is_told_of_skips() -> None:
    with clock.working(), clock.resting(), clock.waiting(lambda: None, None), clock.awaiting():
        assert clock.wait(threading.Event(), 0) is False


def test_a_process_goes_by_another_clock_until_the_block_ends() -> None:
    with clock.using(Stopped()):
        assert clock.now() == datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
    assert clock.now() > datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
