"""How fast Slack may be written to: its limits, what it asks to wait for, and how long it is left
alone while it gives no answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

# "1 message per second per channel … short bursts" (Slack, "Rate limits"); a little less, as two may
# come to Slack closer together than they were sent.
_PER_SECOND = 0.95
_BURST = 3.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0


@dataclass
class _Bucket:
    left: float = _BURST
    filled: float = field(default_factory=time.monotonic)
    closed_until: float = 0.0


class Pace:
    """When the next message may go to which channel."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._updates_from = 0.0
        self._all_from = 0.0
        self._pause = _SHORTEST_PAUSE

    def ready_in(self, channel: str, *, update: bool) -> float:
        """Seconds until something may be sent to the channel; 0 for at once."""
        now = time.monotonic()
        bucket = self._filled(channel, now)
        from_ = max(self._all_from, bucket.closed_until, self._updates_from if update else 0.0)
        refill = (1 - bucket.left) / _PER_SECOND
        return max(0.0, from_ - now, refill)

    def took(self, channel: str) -> None:
        """Something was sent to the channel."""
        self._filled(channel, time.monotonic()).left -= 1

    def asked_to_wait(self, channel: str, seconds: float, *, update: bool) -> None:
        """Slack's Retry-After. Posting is limited by channel, updating by workspace: a progress
        that must wait keeps no question from being asked."""
        until = time.monotonic() + seconds
        if update:
            self._updates_from = max(self._updates_from, until)
        else:
            self.close(channel, seconds)

    def close(self, channel: str, seconds: float) -> None:
        """Leave a channel alone for a while."""
        bucket = self._filled(channel, time.monotonic())
        bucket.closed_until = max(bucket.closed_until, time.monotonic() + seconds)

    def no_answer(self) -> None:
        """Slack gives no answer at all: leave it alone, longer each time."""
        now = time.monotonic()
        if now >= self._all_from:
            self._all_from = now + self._pause
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause)

    def answered(self) -> None:
        """Slack is there."""
        self._pause = _SHORTEST_PAUSE

    def _filled(self, channel: str, now: float) -> _Bucket:
        bucket = self._buckets.setdefault(channel, _Bucket())
        bucket.left = min(_BURST, bucket.left + (now - bucket.filled) * _PER_SECOND)
        bucket.filled = now
        return bucket
