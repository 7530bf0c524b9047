"""Whose turn it is: so many incidents are contained at once, the most urgent first."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from flows.stopping import Stop
from runbooks import clock
from runbooks.errors import Interrupted

# GuardDuty's scale: 9.0 to 10 is critical (Amazon GuardDuty User Guide, "Severity levels").
CRITICAL = 9.0
A_PERSON_ASKED = 10.0
_LOOK_AT_STOP = 0.5

QUIET = threading.Event()
"""Set while no incident of this process has its turn or waits for it: what is less urgent than any
containment has the process to itself."""
QUIET.set()


class Turns:
    """Lets incidents begin. Each has its turn until it is calm: it waits for people, or for AWS.

    ``at_once`` are contained side by side. Critical ones have as many places more of their own, and
    nothing less urgent begins while one of them waits.
    """

    def __init__(self, at_once: int, stop: Stop) -> None:
        self._at_once = at_once
        self._stop = stop
        self._lock = threading.Lock()
        self._line: list[_Place] = []
        self._numbers = itertools.count()
        self._taken = 0

    @property
    def waiting(self) -> int:
        """How many are in line."""
        return len(self._line)

    @property
    def taken(self) -> int:
        """How many are being contained."""
        return self._taken

    def free(self, urgency: float) -> bool:
        """Whether something that urgent would begin at once."""
        return not self._line and self._taken < self._places(urgency)

    @contextmanager
    def turn(self, urgency: float) -> Iterator[Callable[[], None]]:
        """Wait in line, and have the turn until the block ends, or what it yields is called.

        Raises Interrupted when asked to stop while in line.
        """
        place = _Place(-urgency, next(self._numbers))
        with self._lock:
            heapq.heappush(self._line, place)
            self._changed()
        try:
            with clock.resting():
                while not place.called.wait(_LOOK_AT_STOP):
                    if self._stop.is_set():
                        raise Interrupted("The service is ending; it goes on when it is back.")
            yield partial(self._end, place)
        finally:
            self._end(place)

    def _end(self, place: _Place) -> None:
        """Leave the line, or end the turn, once."""
        with self._lock:
            if place in self._line:
                self._line.remove(place)
                heapq.heapify(self._line)
            elif not place.ended:
                self._taken -= 1
            place.ended = True
            self._changed()

    def _changed(self) -> None:
        """Call who may begin now; nobody else is woken, as there may be hundreds in line."""
        while self._line and self._taken < self._places(-self._line[0].order):
            self._taken += 1
            heapq.heappop(self._line).called.set()
        if self._line or self._taken:
            QUIET.clear()
        else:
            QUIET.set()

    def _places(self, urgency: float) -> int:
        return self._at_once * 2 if urgency >= CRITICAL else self._at_once


@dataclass(order=True)
class _Place:
    """A place in line: the most urgent first, then whoever came first."""

    order: float
    number: int
    called: threading.Event = field(default_factory=threading.Event, compare=False)
    ended: bool = field(default=False, compare=False)
