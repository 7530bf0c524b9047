"""How often the app may call each method: Slack's tiers, and its limits on posting messages."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

PER_MINUTE: Mapping[int, float] = {1: 1, 2: 20, 3: 50, 4: 100}


@dataclass(frozen=True)
class Rate:
    """A bucket that holds ``burst`` calls, of which ``per_second`` come back."""

    burst: float
    per_second: float


@dataclass
class _Bucket:
    left: float
    filled: float


@dataclass
class Limits:
    """Slack's rate limits (docs.slack.dev, "Rate limits"), "per method per app per workspace".

    A tier allows ``tiers`` calls a minute; Slack promises at least so many and "tolerates" bursts
    without a number, so a minute's worth is the burst here. ``chat.postMessage`` "generally allows
    posting one message per second per channel", with short bursts (``post_burst``), and several
    hundred messages a minute in the workspace (``workspace_per_minute``). ``clock`` gives seconds.
    """

    tiers: Mapping[int, float] = field(default_factory=lambda: dict(PER_MINUTE))
    posts_per_second: float = 1.0
    post_burst: float = 3.0
    workspace_per_minute: float = 400.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def take(self, method: str, tier: int, channel: str) -> int:
        """The seconds of Retry-After where the call is too many, and 0 where it may be made.

        A call that is refused takes nothing from any bucket. ``tier`` 0 is without a limit.
        """
        with self._lock:
            now = self.clock()
            buckets = [
                (self._filled(key, rate, now), rate)
                for key, rate in self._rates(method, tier, channel)
            ]
            waits = [
                (1 - bucket.left) / rate.per_second for bucket, rate in buckets if bucket.left < 1
            ]
            if waits:
                return max(1, math.ceil(max(waits)))
            for bucket, _ in buckets:
                bucket.left -= 1
        return 0

    def clear(self) -> None:
        """Forget what was called so far."""
        with self._lock:
            self._buckets.clear()

    def _rates(
        self, method: str, tier: int, channel: str
    ) -> Iterator[tuple[tuple[str, str], Rate]]:
        if method == "chat.postMessage":
            yield (method, channel), Rate(self.post_burst, self.posts_per_second)
            yield (method, ""), Rate(self.workspace_per_minute, self.workspace_per_minute / 60)
        elif tier:
            a_minute = self.tiers[tier]
            yield (method, ""), Rate(max(1, a_minute), a_minute / 60)

    def _filled(self, key: tuple[str, str], rate: Rate, now: float) -> _Bucket:
        bucket = self._buckets.setdefault(key, _Bucket(rate.burst, now))
        bucket.left = min(rate.burst, bucket.left + (now - bucket.filled) * rate.per_second)
        bucket.filled = now
        return bucket
