"""Days on which no drill is played, and when a surprise begins."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runbooks.errors import InvalidInput

_DAYS = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?", re.ASCII)


def zone(name: str) -> ZoneInfo:
    """The time zone. Raises InvalidInput where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(f"There is no time zone {name!r}.") from error


def blacked_out(days: str, day: date) -> bool:
    """Whether the day is one of those. Raises InvalidInput for text that names no days."""
    match = _DAYS.fullmatch(days)
    try:
        if match is None:
            raise ValueError
        first = date.fromisoformat(match[1])
        last = date.fromisoformat(match[2]) if match[2] else first
        if last < first:
            raise ValueError
    except ValueError as error:
        raise InvalidInput(
            f"{days!r} names no days.",
            advice="2026-12-24, or 2026-12-24..2027-01-02.",
        ) from error
    return first <= day <= last


def off_today(blackout: Sequence[str], timezone: str, now: datetime | None = None) -> str:
    """The blackout that today falls into, in that time zone; empty for none."""
    today = (now or datetime.now(UTC)).astimezone(zone(timezone)).date()
    return next((days for days in blackout if blacked_out(days, today)), "")


def surprise(window: timedelta) -> timedelta:
    """How long after the scheduled time a surprise begins: any second is as likely as any other."""
    return timedelta(seconds=secrets.randbelow(int(window.total_seconds()) + 1))
