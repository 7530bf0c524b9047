"""Messages in hand: received, not decided about yet, the most urgent first."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from flows.serve.sqs import MOST_IN_BATCH, Queue

MOST = 5_000
_MOST_BYTES = 256 * 1024 * 1024
# What the most urgent queue may have beyond that: others must never keep it from being read.
_FOR_URGENT = 1.2


@dataclass(eq=False)
class Message:
    """A message that was received.

    ``sent_at`` is in milliseconds since 1970, ``received`` how often SQS has given it out. Nobody
    else gets it before ``hidden_until``, which is on the monotonic clock, and half of ``hidden_for``
    earlier it is time to extend that; both in seconds. ``set_aside_at``, on that clock, is when it
    was first tried in vain.
    """

    queue: Queue
    id: str
    receipt: str
    body: bytes
    sent_at: int
    received: int
    severity: float
    hidden_until: float
    hidden_for: float
    set_aside_at: float | None = None
    deletions: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.body)

    @property
    def via(self) -> str:
        """Where it came from, for the journal."""
        return f"sqs {self.queue.name} {self.id}"


class Backlog:
    """What was received and waits for a decision: by severity, then by when it was sent.

    It holds at most ``most`` messages, and no more of them than fit into memory: when it is full,
    nothing more is received but from the most urgent queue, which may fill it a fifth further.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, int, Message]] = []
        self._aside: deque[Message] = deque()
        self._in_hand: set[Message] = set()
        self._undecided: Counter[str] = Counter()
        self._expected = 0
        self._bytes = 0
        self._closed = False

    def expect(self, most_urgent: bool) -> bool:
        """Return when there is room for all that one call may receive, and keep it free; False
        when the backlog is closed. It is to be followed by :meth:`put`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(most_urgent))
            self._expected += 0 if self._closed else MOST_IN_BATCH
            return not self._closed

    def put(self, messages: Collection[Message]) -> bool:
        """Take in what came, which may be nothing; False where the backlog is closed and nothing is
        taken in."""
        with self._changed:
            self._expected -= MOST_IN_BATCH
            if self._closed:
                return False
            for message in messages:
                self._push(message)
                self._in_hand.add(message)
                self._undecided[message.queue.name] += 1
                self._bytes += message.size
            self._changed.notify_all()
        return True

    def next(self) -> Message | None:
        """The most urgent one, as soon as there is one; None when the backlog is closed.

        What was set aside comes when there is nothing else.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._aside)
            if self._closed:
                return None
            if self._waiting:
                return heapq.heappop(self._waiting)[-1]
            return self._aside.popleft()

    def set_aside(self, message: Message) -> bool:
        """Keep one that was tried in vain for later; False where the backlog is closed."""
        with self._changed:
            if self._closed:
                return False
            message.set_aside_at = message.set_aside_at or time.monotonic()
            self._aside.append(message)
            self._changed.notify()
        return True

    def bring_back(self) -> None:
        """Have what was set aside in its order again."""
        with self._changed:
            for message in self._aside:
                self._push(message)
            self._aside.clear()

    def decided(self, message: Message) -> None:
        """There is room for another. It stays in hand until SQS knows."""
        with self._changed:
            message.body = b""
            self._undecided[message.queue.name] -= 1
            self._bytes -= message.size
            self._changed.notify_all()

    def let_go(self, messages: Iterable[Message]) -> None:
        """These are no longer in hand: deleted, given back, or SQS gives them to others."""
        with self._changed:
            self._in_hand.difference_update(messages)

    def in_hand(self) -> list[Message]:
        with self._changed:
            return list(self._in_hand)

    def has_room(self, most_urgent: bool) -> bool:
        with self._changed:
            return self._has_room(most_urgent)

    def undecided(self) -> Mapping[str, int]:
        """How many messages of each queue wait for a decision."""
        with self._changed:
            return dict(self._undecided)

    def close(self) -> list[Message]:
        """Take nothing in and give nothing out any more; what was still waiting."""
        with self._changed:
            self._closed = True
            left = [*(entry[-1] for entry in sorted(self._waiting)), *self._aside]
            self._waiting.clear()
            self._aside.clear()
            self._changed.notify_all()
        return left

    def _push(self, message: Message) -> None:
        entry = (-message.severity, message.sent_at, next(self._order), message)
        heapq.heappush(self._waiting, entry)

    def _has_room(self, most_urgent: bool) -> bool:
        messages = self._undecided.total() + self._expected + MOST_IN_BATCH
        full = max(messages / self._most, self._bytes / _MOST_BYTES)
        return full <= (_FOR_URGENT if most_urgent else 1)
