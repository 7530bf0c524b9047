"""The clock of a drill: work takes the time that it takes, and waiting takes none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

from runbooks import clock
from runbooks.clock import Act, Clock

# What goes on in an event loop between two threads' work is not seen; it takes less than this.
_QUIET = 0.04
_LOOK_EVERY = 0.005
# A sleeper looks so often whether the event that it waits for is set.
_LOOK_AT_EVENT = 0.02


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
        self._sleepers: dict[threading.Event, float] = {}
        self._listeners: list[tuple[Act, datetime | None]] = []
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
        woken = threading.Event()
        due = self.monotonic() + seconds
        with self.resting():
            with self._lock:
                self._sleepers[woken] = due
            try:
                while not event.is_set() and (left := due - self.monotonic()) > 0:
                    woken.wait(min(left, _LOOK_AT_EVENT))
            finally:
                with self._lock:
                    del self._sleepers[woken]
        return event.is_set()

    def after(self, seconds: float, act: Act) -> Act:
        called_off = threading.Event()

        def work() -> None:
            if not self.wait(called_off, seconds):
                act()

        threading.Thread(target=work, name="alarm", daemon=True).start()
        return called_off.set

    @contextmanager
    def told_of_skips(self, act: Act, due: datetime | None) -> Iterator[None]:
        with self._lock:
            self._listeners.append((act, due))
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove((act, due))

    @contextmanager
    def working(self) -> Iterator[None]:
        depth = getattr(self._mine, "depth", 0)
        self._mine.depth = depth + 1
        if depth == 0:
            self._count(1)
        try:
            yield
        finally:
            self._mine.depth = depth
            if depth == 0:
                self._count(-1)

    @contextmanager
    def resting(self) -> Iterator[None]:
        depth = getattr(self._mine, "depth", 0)
        self._mine.depth = 0
        if depth:
            self._count(-1)
        try:
            yield
        finally:
            self._mine.depth = depth
            if depth:
                self._count(1)

    def at_rest(self, within: float) -> bool:
        """Wait until nobody is at work, for so many of the machine's seconds at most; whether so."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            with self._lock:
                if not self._at_work and time.monotonic() - self._quiet_since >= _QUIET:
                    return True
            time.sleep(_LOOK_EVERY)
        return False

    def next_wake(self) -> datetime | None:
        """When the first of those who wait by this clock is to go on; None for nobody."""
        now, monotonic = self.now(), self.monotonic()
        with self._lock:
            wakes = [now + timedelta(seconds=due - monotonic) for due in self._sleepers.values()]
            dues = [due for _, due in self._listeners if due is not None]
        return min((max(now, moment) for moment in (*wakes, *dues)), default=None)

    def skip_to(self, moment: datetime) -> None:
        """Have it be that moment. Raises ValueError for one that is past by more than a hair."""
        seconds = (moment - self.now()).total_seconds()
        if seconds < -1:
            raise ValueError(f"{moment.isoformat()} is {-seconds:.1f} s ago")
        with self._lock:
            self._ahead += max(0.0, seconds)
            self._skipped += max(0.0, seconds)
            self._quiet_since = time.monotonic()
            woken = [event for event, due in self._sleepers.items() if due <= self.monotonic()]
            listeners = [act for act, _ in self._listeners]
        # Before anybody goes on: what they then ask AWS has to have happened there.
        self._on_skip(self._ahead)
        for event in woken:
            event.set()
        for act in listeners:
            act()

    def _count(self, by: int) -> None:
        with self._lock:
            self._at_work += by
            self._quiet_since = time.monotonic()
