"""The time: the machine's, or in a drill one that skips what everybody only waits for.

Everything that a containment waits for, and every moment that it writes down, goes by this clock.
What is about processes (leases, heartbeats, connections) goes by the machine's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime

Act = Callable[[], object]


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary beginning."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event for so long at most; whether it is set."""
        return event.wait(seconds)

    def after(self, seconds: float, act: Act) -> Act:
        """Have something done after a while, in another thread; what it returns calls that off."""
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        return timer.cancel

    def told_of_skips(self, act: Act, due: datetime | None) -> AbstractContextManager[None]:
        """Have it done, in another thread, whenever time has been skipped; none is beyond ``due``."""
        return nullcontext()

    def working(self) -> AbstractContextManager[None]:
        """This thread is at work in the block: meanwhile no time is skipped."""
        return nullcontext()

    def resting(self) -> AbstractContextManager[None]:
        """In the block this thread waits for others, whose work counts by itself."""
        return nullcontext()


_machine = Clock()
_clock = _machine


def now() -> datetime:
    """The time, aware, in UTC."""
    return _clock.now()


def monotonic() -> float:
    """Seconds that never go back, from an arbitrary beginning."""
    return _clock.monotonic()


def wait(event: threading.Event, seconds: float) -> bool:
    """Wait for the event for so long at most; whether it is set."""
    return _clock.wait(event, seconds)


def after(seconds: float, act: Act) -> Act:
    """Have something done after a while, in another thread; what it returns calls that off."""
    return _clock.after(seconds, act)


def told_of_skips(act: Act, due: datetime | None) -> AbstractContextManager[None]:
    """Have it done, in another thread, whenever time has been skipped; none is beyond ``due``."""
    return _clock.told_of_skips(act, due)


def working() -> AbstractContextManager[None]:
    """This thread is at work in the block: meanwhile no time is skipped."""
    return _clock.working()


def resting() -> AbstractContextManager[None]:
    """In the block this thread waits for others, whose work counts by itself."""
    return _clock.resting()


@contextmanager
def using(clock: Clock) -> Iterator[None]:
    """Have this whole process go by another clock in the block."""
    global _clock
    _clock = clock
    try:
        yield
    finally:
        _clock = _machine
