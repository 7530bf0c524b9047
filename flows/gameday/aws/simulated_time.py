"""The time in the simulated AWS: the machine's, and ahead of it where a drill has skipped some."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

# moto's state is global to the process, and so is its time.
_ahead = 0.0


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC) + timedelta(seconds=_ahead)


def monotonic() -> float:
    """Seconds from an arbitrary beginning, which go on as :func:`now` does."""
    return time.monotonic() + _ahead


def set_ahead(seconds: float) -> None:
    """Have it be so much later than the machine's clock says; earlier where that is negative."""
    global _ahead
    _ahead = seconds
