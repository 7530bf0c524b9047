"""What is to be done, and when: by the simulated clock, in an order that is always the same."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime


class Agenda:
    """Things to be done at moments; of those at the same moment, whatever was put down first."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._entries: list[tuple[datetime, int, Callable[[], None]]] = []

    def at(self, moment: datetime, do: Callable[[], None]) -> None:
        """Have something done once it is that late; at once where it is later already."""
        heapq.heappush(self._entries, (moment, next(self._numbers), do))

    @property
    def next(self) -> datetime | None:
        """When the next thing is due."""
        return self._entries[0][0] if self._entries else None

    def due(self, now: datetime) -> Callable[[], None] | None:
        """The next thing that is due by now, which is taken off; None where nothing is."""
        if self._entries and self._entries[0][0] <= now:
            return heapq.heappop(self._entries)[2]
        return None
