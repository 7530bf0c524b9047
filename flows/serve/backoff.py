"""Trying again later and later, while something outside is away."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime, timedelta

_LOOK_SECONDS = 0.1


class Backoff:
    """How long threads wait after failures: each time twice as long, until one succeeds.

    ``first`` and ``most`` bound the waits; each is cut by a random part of its second half, so that
    not everybody comes back at once. What several threads meet at the same time counts once.
    """

    def __init__(self, first: timedelta, most: timedelta, stop: threading.Event) -> None:
        self._first = first.total_seconds()
        self._most = most.total_seconds()
        self._stop = stop
        self._lock = threading.Lock()
        self._length = 0.0
        self._resume_at = 0.0
        self._since: datetime | None = None
        self._why = ""

    def wait(self) -> None:
        """Return when it is time to try, or another thread has succeeded, or to stop."""
        while (left := self._resume_at - time.monotonic()) > 0:
            if self._stop.wait(min(left, _LOOK_SECONDS)):
                return

    def failed(self, why: str, at_least: timedelta = timedelta(0)) -> None:
        """It was tried in vain."""
        now = time.monotonic()
        with self._lock:
            self._why = why
            self._since = self._since or datetime.now(UTC)
            if now >= self._resume_at:
                self._length = min(self._most, 2 * self._length) or self._first
                wait = self._length * random.uniform(0.5, 1)
                self._resume_at = now + max(wait, at_least.total_seconds())

    def succeeded(self) -> bool:
        """It went well. Returns whether it had failed before."""
        with self._lock:
            had_failed = self._since is not None
            self._length = self._resume_at = 0.0
            self._since = None
            return had_failed

    @property
    def trouble(self) -> str:
        """Since when it fails, and why; empty where it doesn't."""
        with self._lock:
            if self._since is None:
                return ""
            return f"since {self._since:%Y-%m-%d %H:%M:%S} UTC: {self._why}"
