"""Who is away, and who is asked meanwhile: from records of the journal's chain ``slack``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from flows.journal.record import Record, time_from, time_text
from flows.slack.text import mention_group, mention_user
from runbooks.errors import InvalidInput
from runbooks.playbook import ApproverGroup

Away = Mapping[str, datetime]
NOBODY_AWAY: Away = {}

# The journal's chain of what belongs to no incident.
CHAIN = "slack"
AWAY_KIND = "person.away"
BACK = "back"
CHOICES: Mapping[str, timedelta] = {
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
}
_MOST_PINGED = 20


def away_body(user: str, choice: str, now: datetime) -> dict[str, Any]:
    """The body of the record that says that somebody is away, or back. Raises InvalidInput."""
    if choice != BACK and choice not in CHOICES:
        raise InvalidInput(f"{choice!r} is no time to be away for.")
    return {"user": user, "until": "" if choice == BACK else time_text(now + CHOICES[choice])}


def away_now(records: Iterable[Record], now: datetime) -> Away:
    """The Slack users who are away now, and until when. The newest word of each counts.

    An empty ``until`` means that they are back.
    """
    said = {r.body["user"]: r.body["until"] for r in records if r.kind == AWAY_KIND}
    until = {user: time_from(text) for user, text in said.items() if text}
    return {user: end for user, end in until.items() if end > now}


def deputies(group: ApproverGroup, away: Away) -> dict[str, str]:
    """Who stands in for whom of the group at the moment: the deputy, by who is away."""
    return {user: deputy for user, deputy in group.deputies.items() if user in away}


def pings(group: ApproverGroup, away: Away) -> list[str]:
    """What pings a group: its user group, else its users; deputies in the place of who is away.

    Where all are away and nobody stands in, all are pinged. Empty where nobody is in Slack.
    """
    standing_in = deputies(group, away)
    if group.slack_usergroup:
        return [mention_group(group.slack_usergroup), *map(mention_user, standing_in.values())]
    there = [standing_in.get(user, user) for user in group.slack_users]
    asked = [user for user in there if user not in away] or list(group.slack_users)
    return [mention_user(user) for user in dict.fromkeys(asked)][:_MOST_PINGED]
