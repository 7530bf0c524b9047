"""This machine's clock, against the time that AWS's answers bear."""

from __future__ import annotations

from datetime import timedelta

from flows.doctor.check import Check, NotLooked, Result, ok, problem, warning
from flows.doctor.setup import NO_CALLER, Moment, Setup

# AWS refuses what is signed more than five minutes off (IAM User Guide, "Signing AWS API requests"),
# and so does Slack ("Verifying requests from Slack").
_REFUSED = timedelta(minutes=5)
_OFF = timedelta(minutes=1)


def check(setup: Setup) -> Check:
    """The check of the clock. That of the credentials is to begin before it: it asks for both."""
    return Check(
        "AWS",
        "clock",
        lambda: _look(setup),
        meaning="AWS and Slack refuse requests whose time is more than 5 minutes off.",
    )


def _look(setup: Setup) -> Result:
    moment = setup.introduction.needed(NO_CALLER).moment
    if moment is None:
        raise NotLooked("AWS gave no answer whose time could be compared.")
    return compare(moment)


def compare(moment: Moment) -> Result:
    """How far this machine's clock is off AWS's, which says whole seconds only."""
    off = moment.here - moment.aws
    way = "ahead of" if off > timedelta() else "behind"
    said = f"This machine's clock is {_in_words(abs(off))} {way} AWS's."
    if abs(off) > _REFUSED:
        return problem(said, advice="Set it, and have it kept right (NTP, chrony).")
    if abs(off) > _OFF:
        return warning(said, advice="Have it kept right (NTP, chrony).")
    return ok("This machine's clock and AWS's agree.")


def _in_words(duration: timedelta) -> str:
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
