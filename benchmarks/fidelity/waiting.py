"""What takes its time: long enough to be seen while it lasts, or short enough to be waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

LONG = 60.0
"""Seconds in which any check is over: what takes so long is seen while it lasts."""
SHORT = 0.05
"""Seconds that a check can wait for."""


def until(look: Callable[[], bool], seconds: float = 3.0) -> bool:
    """Whether it came to be so within this time."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
