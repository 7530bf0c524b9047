"""The clock of a drill: work takes the time that it takes, and waiting takes none.

Time is skipped while nobody is at work. Who is, is counted, and never guessed from how busy the
machine looks: what is handed from one thread to another counts from the moment at which it is handed
over, so that a machine that is slow skips nothing that it has yet to do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runbooks import clock
from runbooks.clock import Act, Clock, Lend, ResultT

# From one callback of an event loop to the next nothing is counted; it takes less than this.
_QUIET = 0.02
_LOOK_EVERY = 0.005
# A sleeper looks so often whether the event that it waits for is set.
_LOOK_AT_EVENT = 0.02


@dataclass(eq=False)
class _Sleeper:
    """A thread that waits by this clock. ``counts`` is whether it is at work when it is woken,
    ``woken`` whether it counts as that already."""

    due: float
    counts: bool
    event: threading.Event
    woken: bool = False


@dataclass(eq=False)
class _Waiter:
    """Something that waits in an event loop. ``told`` is whether it has been woken."""

    wake: Act
    due: datetime | None
    told: bool = False


class MachineClock:
    """The machine's clock, for a drill with people in it: nothing is skipped."""

    _AT_MOST = 0.25

    def __enter__(self) -> MachineClock:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def at_rest(self, within: float) -> bool:
        """Whoever is at work goes on meanwhile."""
        return True

    def next_wake(self) -> datetime | None:
        """Everybody wakes by themselves."""
        return None

    def skip_to(self, moment: datetime) -> None:
        """Let time pass, a quarter of a second at most: something may happen before that moment."""
        left = (moment - datetime.now(UTC)).total_seconds()
        time.sleep(min(self._AT_MOST, max(0.0, left)))


class SkippingClock(Clock):
    """Goes on as the machine's does, and skips ahead when it is told to.

    ``start`` is what it shows when the block is entered; ``on_skip`` is told by how many seconds it
    is ahead of the machine's clock, at the entry and after each skip.
    """

    def __init__(
        self, start: datetime | None = None, on_skip: Callable[[float], None] | None = None
    ) -> None:
        self._start = start
        self._on_skip = on_skip or (lambda ahead: None)
        self._ahead = 0.0
        self._skipped = 0.0
        self._lock = threading.Lock()
        self._sleepers: list[_Sleeper] = []
        self._waiters: list[_Waiter] = []
        self._at_work = 0
        self._quiet_since = time.monotonic()
        self._mine = threading.local()
        self._installed = ExitStack()

    def __enter__(self) -> SkippingClock:
        if self._start is not None:
            self._ahead = (self._start - datetime.now(UTC)).total_seconds()
        self._on_skip(self._ahead)
        self._installed.enter_context(clock.using(self))
        return self

    def __exit__(self, *exception: object) -> None:
        self._installed.close()

    @property
    def ahead(self) -> float:
        """By how many seconds it is ahead of the machine's; negative for behind."""
        return self._ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def wait(self, event: threading.Event, seconds: float) -> bool:
        sleeper = _Sleeper(self.monotonic() + seconds, self._depth > 0, threading.Event())
        with self._lock:
            self._sleepers.append(sleeper)
            self._count(-sleeper.counts)
        try:
            while not event.is_set() and (left := sleeper.due - self.monotonic()) > 0:
                sleeper.event.wait(min(left, _LOOK_AT_EVENT))
        finally:
            with self._lock:
                self._sleepers.remove(sleeper)
                self._count(sleeper.counts and not sleeper.woken)
        return event.is_set()

    def after(self, seconds: float, act: Act) -> Act:
        called_off = threading.Event()

        def work() -> None:
            if not self.wait(called_off, seconds):
                act()

        threading.Thread(target=self.handed(work), name="alarm", daemon=True).start()
        return called_off.set

    @contextmanager
    def waiting(self, wake: Act, due: datetime | None) -> Iterator[Act]:
        waiter = _Waiter(wake, due)
        with self._lock:
            self._waiters.append(waiter)
        try:
            yield lambda: self._tell(waiter)
        finally:
            with self._lock:
                self._waiters.remove(waiter)
                self._count(-waiter.told)

    @contextmanager
    def working(self) -> Iterator[None]:
        with self._lock:
            self._count(self._depth == 0)
        try:
            with self._as_at_work():
                yield
        finally:
            with self._lock:
                self._count(-(self._depth == 0))

    @contextmanager
    def resting(self) -> Iterator[None]:
        depth, self._mine.depth = self._depth, 0
        with self._lock:
            self._count(-(depth > 0))
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._lock:
                self._count(depth > 0)

    @contextmanager
    def awaiting(self) -> Iterator[Lend]:
        with self._lock:
            self._count(1)
        try:
            yield self._lent
        finally:
            with self._lock:
                self._count(-1)

    def handed(self, work: Callable[[], ResultT]) -> Callable[[], ResultT]:
        with self._lock:
            self._count(1)

        def whole() -> ResultT:
            try:
                return self._lent(work)()
            finally:
                with self._lock:
                    self._count(-1)

        return whole

    def side_by_side(self, works: Sequence[Callable[[], ResultT]]) -> list[Callable[[], ResultT]]:
        # Who waits for them lends its own place to the last of them, and has it back from there.
        left = len(works)
        own = int(self._depth > 0 and left > 0)
        with self._lock:
            self._count(left - own)

        def counted(work: Callable[[], ResultT]) -> Callable[[], ResultT]:
            def whole() -> ResultT:
                nonlocal left
                try:
                    return self._lent(work)()
                finally:
                    with self._lock:
                        left -= 1
                        self._count(-(left > 0 or not own))

            return whole

        return [counted(work) for work in works]

    def _lent(self, work: Callable[[], ResultT]) -> Callable[[], ResultT]:
        def whole() -> ResultT:
            with self._as_at_work():
                return work()

        return whole

    @contextmanager
    def _as_at_work(self) -> Iterator[None]:
        """This thread is at work in the block; it was counted already."""
        depth = self._depth
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth

    @property
    def _depth(self) -> int:
        return getattr(self._mine, "depth", 0)

    def at_rest(self, within: float) -> bool:
        """Wait until nobody is at work, for so many of the machine's seconds at most; whether so."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            # Some time has come by itself, without a skip.
            self._wake(all_waiters=False)
            with self._lock:
                if not self._at_work and time.monotonic() - self._quiet_since >= _QUIET:
                    return True
            time.sleep(_LOOK_EVERY)
        return False

    def next_wake(self) -> datetime | None:
        """When the first of those who wait by this clock is to go on; None for nobody."""
        now, monotonic = self.now(), self.monotonic()
        with self._lock:
            wakes = [now + timedelta(seconds=one.due - monotonic) for one in self._sleepers]
            dues = [one.due for one in self._waiters if one.due is not None]
        return min((max(now, moment) for moment in (*wakes, *dues)), default=None)

    def skip_to(self, moment: datetime) -> None:
        """Have it be that moment. Raises ValueError for one that is past by more than a hair."""
        seconds = (moment - self.now()).total_seconds()
        if seconds < -1:
            raise ValueError(f"{moment.isoformat()} is {-seconds:.1f} s ago")
        with self._lock:
            self._ahead += max(0.0, seconds)
            self._skipped += max(0.0, seconds)
        # Before anybody goes on: what they then ask AWS has to have happened there.
        self._on_skip(self._ahead)
        self._wake(all_waiters=True)

    def _wake(self, *, all_waiters: bool) -> None:
        """Wake whose time has come; they count as being at work from now on, however late they run."""
        now, monotonic = self.now(), self.monotonic()
        with self._lock:
            for sleeper in self._sleepers:
                if sleeper.due <= monotonic and sleeper.counts and not sleeper.woken:
                    sleeper.woken = True
                    self._count(1)
                    sleeper.event.set()
            waiters = [
                waiter
                for waiter in self._waiters
                if all_waiters or (waiter.due is not None and waiter.due <= now)
            ]
        for waiter in waiters:
            self._tell(waiter)

    def _tell(self, waiter: _Waiter) -> None:
        """Wake something that waits; from now on it counts as being at work."""
        with self._lock:
            if waiter.told or waiter not in self._waiters:
                return
            waiter.told = True
            self._count(1)
        waiter.wake()

    def _count(self, by: int) -> None:
        """Have so many more be at work; whoever asks holds the lock."""
        self._at_work += by
        self._quiet_since = time.monotonic()
