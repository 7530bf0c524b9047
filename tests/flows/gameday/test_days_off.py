"""Days without drills, and surprises."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.days_off import blacked_out, off_today, surprise, zone
from runbooks.errors import InvalidInput

HOLIDAYS = "2026-12-24..2027-01-02"


@pytest.mark.parametrize(
    ("days", "day", "off"),
    [
        ("2026-12-24", date(2026, 12, 24), True),
        ("2026-12-24", date(2026, 12, 25), False),
        (HOLIDAYS, date(2026, 12, 23), False),
        (HOLIDAYS, date(2026, 12, 24), True),
        (HOLIDAYS, date(2027, 1, 2), True),
        (HOLIDAYS, date(2027, 1, 3), False),
    ],
)
def test_a_day_is_off_or_it_is_not(days: str, day: date, off: bool) -> None:
    assert blacked_out(days, day) is off


@pytest.mark.parametrize(
    "days",
    ["", "tomorrow", "2026-13-01", "2026-12-24...2027-01-02", "2027-01-02..2026-12-24", "2026-2-3"],
)
def test_what_names_no_days_is_refused(days: str) -> None:
    with pytest.raises(InvalidInput, match="names no days"):
        blacked_out(days, date(2026, 1, 1))


@given(st.text())
def test_any_text_is_days_or_refused(text: str) -> None:
    try:
        blacked_out(text, date(2026, 1, 1))
    except InvalidInput:
        return
    assert text[:4].isdigit()


def test_a_day_begins_where_the_people_are() -> None:
    late = datetime(2026, 12, 23, 23, 30, tzinfo=UTC)

    assert off_today(["2026-12-24"], "Europe/Berlin", late) == "2026-12-24"
    assert off_today(["2026-12-24"], "UTC", late) == ""
    assert off_today(["2026-01-01", HOLIDAYS], "Asia/Tokyo", late) == HOLIDAYS


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "\0"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        zone(name)


def test_a_surprise_is_within_its_window_and_not_always_at_the_same_time() -> None:
    window = timedelta(hours=3)
    drawn = {surprise(window) for _ in range(50)}

    assert all(timedelta(0) <= later <= window for later in drawn)
    assert len(drawn) > 10
    assert surprise(timedelta(0)) == timedelta(0)
