"""How a report says modes, durations and whatever else an assessment holds, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.assessment import Assessment, Source, Verdict

NOTHING = "–"
_NAMES = {
    "ok": "Verifies",
    "id": "ID",
    "name": "What",
    "text": "What",
    "as written share": "As written, of all",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Mode:
    """A way to drill: its ``style`` in the page, and what it means for what is real."""

    style: str
    means: str


_MODES = {
    "sandbox": Mode("sandbox", "Nothing real was touched: AWS was simulated from start to end."),
    "twin": Mode(
        "twin",
        "Nothing real was changed: the plan ran in a simulated copy of the account, made by reads.",
    ),
    "shadow": Mode(
        "shadow",
        "Nothing real was changed: findings and reads were real, and no change was carried out.",
    ),
    "live drill": Mode(
        "live", "Real changes in a real account, to resources that are tagged for drills."
    ),
    "replay": Mode(
        "replay", "Nothing real was touched: a past incident was played again in a simulation."
    ),
}
_UNKNOWN = Mode("live", "This mode is not known here: assume that what it changed was real.")


def mode_of(assessment: Assessment) -> Mode:
    """What its mode means; a mode that is not known is taken for a real one."""
    return _MODES.get(assessment.mode, _UNKNOWN)


def duration(seconds: float | timedelta | None) -> str:
    """A duration as people say it: ``0.4 s``, ``12 s``, ``2 min 5 s``, ``1 h 4 min``, ``2 d 3 h``."""
    if seconds is None:
        return NOTHING
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    # Tenths only where they say something: below ten seconds.
    if round(seconds, 1) < 10:
        return f"{sign}{seconds:.1f}".removesuffix(".0") + " s"
    if (whole := round(seconds)) < _MINUTE:
        return f"{sign}{whole} s"
    if whole < _HOUR:
        return sign + _two(whole, _MINUTE, "min", "s")
    if (minutes := round(seconds / _MINUTE)) < _DAY / _MINUTE:
        return sign + _two(minutes, 60, "h", "min")
    return sign + _two(round(seconds / _HOUR), 24, "d", "h")


def clock(seconds: float) -> str:
    """A moment on the scenario's clock, to the tenth of a second: ``0:02:13.4``."""
    tenths = round(abs(seconds) * 10)
    hours, rest = divmod(tenths, _HOUR * 10)
    minutes, rest = divmod(rest, _MINUTE * 10)
    sign = "-" if seconds < 0 and tenths else ""
    return f"{sign}{hours}:{minutes:02}:{rest // 10:02}.{rest % 10}"


def margin(verdict: Verdict) -> str:
    """By how much an objective of time was met or missed; empty where it has no such figure."""
    by = verdict.by
    if by is None:
        return ""
    return f"{duration(abs(by))} {'too late' if by < timedelta() else 'to spare'}"


def number(value: float) -> str:
    """A figure with at most one decimal, and thousands apart."""
    return f"{value:,.1f}".removesuffix(".0")


def percent(share: float | None) -> str:
    """A share between 0 and 1 as a percentage."""
    return NOTHING if share is None else f"{share * 100:.0f} %"


def day(moment: datetime | None) -> str:
    """The day of a moment in UTC, ``never`` where there was none."""
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> str:
    """A moment in UTC to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def name(key: str) -> str:
    """What a key is called: ``self_approvals_refused`` is ``Self approvals refused``."""
    said = key.removesuffix("_seconds").replace("_", " ").strip()
    return _NAMES.get(said, said[:1].upper() + said[1:])


def said(value: Any, key: str = "") -> str:
    """Any value of an assessment on one line. A number under a key that ends in ``_seconds`` is a
    duration, and one in ``_share`` a percentage."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int() | float() if key.endswith("_seconds"):
            return duration(value)
        case int() | float() if key.endswith("_share"):
            return percent(value)
        case int() | float():
            return number(value)
        case timedelta():
            return duration(value)
        case datetime():
            return minute(value)
        case Source():
            return f"{value.chain}#{value.seq}"
        case Mapping():
            return "; ".join(f"{name(str(k))}: {said(v, str(k))}" for k, v in value.items()) or (
                "none"
            )
        case list() | tuple() | set() | frozenset():
            return ", ".join(said(item, key) for item in value) or "none"
    return str(value) or NOTHING


def _two(whole: int, of: int, large: str, small: str) -> str:
    first, rest = divmod(whole, of)
    return f"{first} {large}" + (f" {rest} {small}" if rest else "")
