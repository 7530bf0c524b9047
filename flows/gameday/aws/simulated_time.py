"""The time in the simulated AWS: the machine's, and ahead of it where a drill has skipped some."""

from __future__ import annotations

import datetime as machine
import time
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace

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


def correct() -> None:
    """Have moto go by it as well, wherever moto asks for the time: when something was launched,
    made, or last modified.

    moto's modules hold its ``utcnow`` each by themselves, so it is what that asks that is replaced.
    """
    import moto.core.utils

    moto.core.utils.datetime = SimpleNamespace(**{**vars(machine), "datetime": _Simulated})


class _Simulated(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return now().astimezone(tz)
