"""The time: the machine's, or in a drill one that skips what everybody only waits for.

Everything that a containment waits for, and every moment that it writes down, goes by this clock.
What is about processes (leases, heartbeats, connections) goes by the machine's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Protocol, TypeVar

ResultT = TypeVar("ResultT")
Act = Callable[[], object]


class Lend(Protocol):
    """Has a thread do work as somebody else's."""

    def __call__(self, work: Callable[[], ResultT], /) -> Callable[[], ResultT]: ...


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

    def waiting(self, wake: Act, due: datetime | None) -> AbstractContextManager[Act]:
        """Something in an event loop waits in the block, until what this gives is called.

        Where time is skipped, that is done then; none is skipped beyond ``due``.
        """
        return nullcontext(wake)

    def working(self) -> AbstractContextManager[None]:
        """This thread is at work in the block: meanwhile no time is skipped."""
        return nullcontext()

    def resting(self) -> AbstractContextManager[None]:
        """In the block this thread waits for others, whose work counts by itself."""
        return nullcontext()

    def awaiting(self) -> AbstractContextManager[Lend]:
        """In the block a coroutine awaits what a thread does: the work that it lends out counts as
        its own, until the coroutine has its result."""
        return nullcontext(_as_it_is)

    def handed(self, work: Callable[[], ResultT]) -> Callable[[], ResultT]:
        """Work for another thread: it counts from now on, until it has been done."""
        return work

    def side_by_side(self, works: Sequence[Callable[[], ResultT]]) -> list[Callable[[], ResultT]]:
        """Works for other threads, for all of which this one waits."""
        return list(works)


def _as_it_is(work: Callable[[], ResultT]) -> Callable[[], ResultT]:
    return work


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


def waiting(wake: Act, due: datetime | None) -> AbstractContextManager[Act]:
    """Something in an event loop waits in the block, until what this gives is called.

    Where time is skipped, that is done then; none is skipped beyond ``due``.
    """
    return _clock.waiting(wake, due)


def working() -> AbstractContextManager[None]:
    """This thread is at work in the block: meanwhile no time is skipped."""
    return _clock.working()


def resting() -> AbstractContextManager[None]:
    """In the block this thread waits for others, whose work counts by itself."""
    return _clock.resting()


def awaiting() -> AbstractContextManager[Lend]:
    """In the block a coroutine awaits what a thread does: the work that it lends out counts as its
    own, until the coroutine has its result."""
    return _clock.awaiting()


def handed(work: Callable[[], ResultT]) -> Callable[[], ResultT]:
    """Work for another thread: it counts from now on, until it has been done."""
    return _clock.handed(work)


def side_by_side(works: Sequence[Callable[[], ResultT]]) -> list[Callable[[], ResultT]]:
    """Works for other threads, for all of which this one waits."""
    return _clock.side_by_side(works)


@contextmanager
def using(clock: Clock) -> Iterator[None]:
    """Have this whole process go by another clock in the block."""
    global _clock
    _clock = clock
    try:
        yield
    finally:
        _clock = _machine
