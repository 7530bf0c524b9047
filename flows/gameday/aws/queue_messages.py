"""What is in a queue: what can be received, what is in flight, what is delayed, and its receipts."""

from __future__ import annotations

import base64
import binascii
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, Literal, TypeVar

from flows.gameday.aws import simulated_time

_Content = TypeVar("_Content")
Verdict = Literal["give", "drop", "dead"]
"""What becomes of a message that is about to be received: it is given out; it is gone, because it
was kept too long; or it is a dead letter, because it was given out too often."""
Judge = Callable[[_Content, int], Verdict]
"""Says it of a message that was given out so often before."""


class NoReceipt(ValueError):
    """It isn't a receipt handle of this queue."""


class NotAvailable(ValueError):
    """Whoever has this receipt handle has the message no more: others received it, or it's gone."""


class NotInFlight(ValueError):
    """The message isn't in flight: it can be received again."""


@dataclass(frozen=True)
class Received(Generic[_Content]):
    """A message that was given out, with the handle of this one receipt of it."""

    content: _Content
    handle: str


@dataclass(eq=False)
class _Stored(Generic[_Content]):
    """``due`` is when it can be received, None where it can be now; ``received`` when it was last,
    and ``receipts`` how often. Seconds of the queue's clock."""

    content: _Content
    number: int
    group: str
    due: float | None = None
    in_flight: bool = False
    received: float = 0.0
    receipts: int = 0


class Messages(Generic[_Content]):
    """The messages of one queue; ``name`` tells its receipt handles from those of others.

    What is received is given out in the order in which it was sent, as far as it can be received.
    In a queue that is ``fifo``, a group of which something is in flight waits for it. No call takes
    longer because there are many messages, but for those that are received at random.
    """

    def __init__(
        self,
        name: str,
        *,
        fifo: bool = False,
        clock: Callable[[], float] = simulated_time.monotonic,
    ) -> None:
        self._name = name
        self._fifo = fifo
        self._clock = clock
        self._last = 0
        self._stored: dict[int, _Stored[_Content]] = {}
        # By number: it follows the order in which they were sent. What was deleted stays in both
        # until it is met.
        self._ready: list[int] = []
        self._later: list[tuple[float, int]] = []
        self._in_flight = 0
        self._delayed = 0
        self._busy: Counter[str] = Counter()

    # How many there are

    @property
    def ready(self) -> int:
        """How many can be received."""
        self._settle()
        return len(self._stored) - self._in_flight - self._delayed

    @property
    def in_flight(self) -> int:
        """How many were received, and neither deleted nor returned."""
        self._settle()
        return self._in_flight

    @property
    def delayed(self) -> int:
        """How many can't be received yet since they were sent."""
        self._settle()
        return self._delayed

    def next_due(self) -> float | None:
        """In how many seconds a message will be there to be received, or None."""
        while self._later and not self._waits(*self._later[0]):
            heappop(self._later)
        return max(0.0, self._later[0][0] - self._clock()) if self._later else None

    # What is done with them

    def add(self, content: _Content, *, group: str = "", delay: float = 0.0) -> int:
        """Put a message in, to be received after ``delay`` seconds; its number."""
        stored = self._keep(content, group)
        if delay > 0:
            self._delayed += 1
            self._wait(stored, delay)
        else:
            heappush(self._ready, stored.number)
        return stored.number

    def receive(
        self,
        count: int,
        visibility: float,
        judge: Judge[_Content],
        *,
        shuffle: random.Random | None = None,
        twice: bool = False,
    ) -> tuple[list[Received[_Content]], list[_Content]]:
        """Up to ``count`` messages, which are in flight for ``visibility`` seconds from now on, and
        what was found to be dead letters, which are in this queue no more.

        With ``shuffle``, they are any that can be received, in any order. With ``twice``, each will
        be received once more, whether or not it is deleted.
        """
        self._settle()
        if shuffle is not None:
            self._ready = [number for number in self._ready if self._is_ready(number)]
            shuffle.shuffle(self._ready)
        given: list[Received[_Content]] = []
        dead: list[_Content] = []
        # What this call doesn't give out, or not once more.
        aside: list[int] = []
        busy = set(self._busy)
        while self._ready and len(given) < count:
            number = self._ready.pop() if shuffle is not None else heappop(self._ready)
            if not self._is_ready(number):
                continue
            stored = self._stored[number]
            if self._fifo and stored.group in busy:
                aside.append(number)
                continue
            verdict = judge(stored.content, stored.receipts)
            if verdict != "give":
                del self._stored[number]
                dead += [stored.content] if verdict == "dead" else []
                continue
            given.append(self._give(stored, visibility))
            if not stored.in_flight:
                aside.append(number)
            if twice:
                aside.append(self._copied(stored))
        self._ready += aside
        if aside or shuffle is not None:
            heapify(self._ready)
        return given, dead

    def delete(self, handle: str) -> None:
        """Take out the message of this receipt.

        "If you use an old ReceiptHandle, the request will succeed, but the message might not be
        deleted" (DeleteMessage): here it never is. Raises NoReceipt, and NotInFlight for a message
        of a FIFO queue that was in flight too long.
        """
        number, receipt = self._read(handle)
        stored = self._stored.get(number)
        self._settle()
        if stored is None or stored.receipts != receipt:
            return
        if self._fifo and not stored.in_flight:
            raise NotInFlight
        del self._stored[number]
        self._no_longer_waits(stored)

    def change_visibility(self, handle: str, seconds: float, most: float) -> float:
        """Have the message of this receipt be in flight for so many seconds from now on, and no
        more than ``most`` after it was received; how many seconds that was ago.

        Raises NoReceipt, NotAvailable, NotInFlight, and OverflowError for too many seconds.
        """
        number, receipt = self._read(handle)
        self._settle()
        stored = self._stored.get(number)
        if stored is None or stored.receipts != receipt:
            raise NotAvailable
        if not stored.in_flight:
            raise NotInFlight
        since = self._clock() - stored.received
        if since + seconds > most:
            raise OverflowError
        if seconds > 0:
            self._wait(stored, seconds)
        else:
            self._return(stored)
        return since

    def take_all(self) -> list[_Content]:
        """All that can be received; it is in this queue no more."""
        self._settle()
        numbers = sorted(number for number in self._ready if self._is_ready(number))
        self._ready.clear()
        return [self._stored.pop(number).content for number in numbers]

    def clear(self) -> None:
        self._stored.clear()
        self._ready.clear()
        self._later.clear()
        self._busy.clear()
        self._in_flight = self._delayed = 0

    # How it is kept

    def _keep(self, content: _Content, group: str) -> _Stored[_Content]:
        self._last += 1
        stored = self._stored[self._last] = _Stored(content, self._last, group)
        return stored

    def _copied(self, stored: _Stored[_Content]) -> int:
        return self._keep(stored.content, stored.group).number

    def _is_ready(self, number: int) -> bool:
        stored = self._stored.get(number)
        return stored is not None and stored.due is None

    def _waits(self, due: float, number: int) -> bool:
        """Whether a message still waits for that moment."""
        stored = self._stored.get(number)
        return stored is not None and stored.due == due

    def _settle(self) -> None:
        """What was in flight or delayed until now can be received."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, number = heappop(self._later)
            if self._waits(due, number):
                self._return(self._stored[number])

    def _give(self, stored: _Stored[_Content], visibility: float) -> Received[_Content]:
        stored.receipts += 1
        stored.received = self._clock()
        if visibility > 0:
            stored.in_flight = True
            self._in_flight += 1
            if self._fifo:
                self._busy[stored.group] += 1
            self._wait(stored, visibility)
        return Received(stored.content, self._handle(stored))

    def _wait(self, stored: _Stored[_Content], seconds: float) -> None:
        stored.due = self._clock() + seconds
        heappush(self._later, (stored.due, stored.number))

    def _return(self, stored: _Stored[_Content]) -> None:
        self._no_longer_waits(stored)
        heappush(self._ready, stored.number)

    def _no_longer_waits(self, stored: _Stored[_Content]) -> None:
        if stored.in_flight:
            stored.in_flight = False
            self._in_flight -= 1
            if self._fifo:
                self._busy[stored.group] -= 1
                self._busy = +self._busy
        elif stored.due is not None:
            self._delayed -= 1
        stored.due = None

    # Receipts

    def _handle(self, stored: _Stored[_Content]) -> str:
        said = f"{self._name}/{stored.number}/{stored.receipts}"
        return "AQEB" + base64.b64encode(said.encode()).decode()

    def _read(self, handle: str) -> tuple[int, int]:
        try:
            said = base64.b64decode(handle.removeprefix("AQEB"), validate=True).decode()
            name, number, receipt = said.split("/")
            if name != self._name:
                raise NoReceipt(handle)
            return int(number), int(receipt)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise NoReceipt(handle) from None
