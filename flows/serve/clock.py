"""This machine's clock: whether somebody sets it while the process runs."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

# No clock is corrected by as much between two looks without being set.
_SET = timedelta(seconds=10)
_LOG = logging.getLogger(__name__)


class Clock:
    """Notices that the clock was set, by one that nobody sets, and says so.

    Nothing is carried out by it alone. Deadlines of gates and the hours that budgets count are by
    what it shows, in the journal, because people and other machines read them there.
    """

    def __init__(self) -> None:
        self._ahead = _ahead()

    def look(self) -> timedelta:
        """By how much it was set since the last look; nothing where it wasn't."""
        before, self._ahead = self._ahead, _ahead()
        by = timedelta(seconds=round(self._ahead - before))
        if abs(by) < _SET:
            return timedelta()
        _LOG.warning(
            "This machine's clock was set %s by %s. Gates expire by it, budgets are counted by it, "
            "and AWS refuses requests by one that is wrong: `clampdown doctor` compares them.",
            "forward" if by > timedelta() else "back",
            abs(by),
        )
        return by


def _ahead() -> float:
    """Seconds by which it is ahead of one that goes on while the machine sleeps, in Linux."""
    return time.time() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
