"""Warnings that come in floods, each kind said once in a while with how many there were."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from datetime import timedelta

from flows.intake.finding import for_display

_SILENCE = timedelta(minutes=10)


class SparingLog:
    """A log that says each kind of warning at once, and then at most every ten minutes.

    ``counts`` holds how often each kind has come.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.counts: Counter[str] = Counter()
        self._log = log
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}

    def warn(self, kind: str, text: str) -> None:
        """Count the warning, and say it unless its kind was said a short time ago."""
        now = time.monotonic()
        with self._lock:
            self.counts[kind] += 1
            at, count = self._said.get(kind, (float("-inf"), 0))
            if now - at < _SILENCE.total_seconds():
                return
            unsaid = self.counts[kind] - count - 1
            self._said[kind] = now, self.counts[kind]
        more = f" ({unsaid} more of these were not logged)" if unsaid else ""
        self._log.warning("%s%s", for_display(text), more)
