"""Whose turn it is: so many incidents are contained at once, the most urgent first."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.stopping import Stop
from runbooks.errors import Interrupted

# GuardDuty's scale: 9.0 to 10 is critical (Amazon GuardDuty User Guide, "Severity levels").
CRITICAL = 9.0
A_PERSON_ASKED = 10.0
_LOOK_AT_STOP = 0.5


class Turns:
    """Lets incidents begin. Each has its turn until it is calm: it waits for people, or for AWS.

    ``at_once`` are contained side by side. Critical ones have as many places more of their own, and
    nothing less urgent begins while one of them waits.
    """

    def __init__(self, at_once: int, stop: Stop) -> None:
        self._at_once = at_once
        self._stop = stop
        self._changed = threading.Condition()
        self._line: list[tuple[float, int]] = []
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

    @contextmanager
    def turn(self, urgency: float) -> Iterator[Callable[[], None]]:
        """Wait in line, and have the turn until the block ends, or what it yields is called.

        Raises Interrupted when asked to stop while in line.
        """
        place = (-urgency, next(self._numbers))
        with self._changed:
            heapq.heappush(self._line, place)
            try:
                while not self._may_begin(place):
                    self._changed.wait(_LOOK_AT_STOP)
                    if self._stop.is_set():
                        raise Interrupted("The service is ending; it goes on when it is back.")
            finally:
                self._line.remove(place)
                heapq.heapify(self._line)
                self._changed.notify_all()
            self._taken += 1
        ended = False

        def end() -> None:
            nonlocal ended
            with self._changed:
                if not ended:
                    ended = True
                    self._taken -= 1
                    self._changed.notify_all()

        try:
            yield end
        finally:
            end()

    def _may_begin(self, place: tuple[float, int]) -> bool:
        critical = -place[0] >= CRITICAL
        places = self._at_once * 2 if critical else self._at_once
        return self._line[0] == place and self._taken < places
