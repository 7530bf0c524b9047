"""Whoever is away isn't pinged; their deputy is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from flows.journal.journal import Journal
from flows.slack.away import (
    AWAY_KIND,
    BACK,
    CHAIN,
    CHOICES,
    away_body,
    away_now,
    deputies,
    pings,
)
from runbooks.errors import InvalidInput
from runbooks.playbook import ApproverGroup
from tests.flows.people import SLACK_ALICE, TEAM

NOW = datetime(2026, 11, 23, 3, 12, tzinfo=UTC)
GROUP = ApproverGroup(
    slack_team=TEAM, slack_users=("U1", "U2", "U3"), deputies={"U1": "U3", "U2": "U3"}
)


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    opened = Journal.open(sqlite_url)
    yield opened
    opened.close()


def say(journal: Journal, user: str, choice: str, at: datetime = NOW) -> None:
    journal.append(CHAIN, AWAY_KIND, away_body(user, choice, at), SLACK_ALICE.actor)


@pytest.mark.parametrize(("choice", "length"), CHOICES.items())
def test_somebody_is_away_until_the_time_is_over(
    journal: Journal, choice: str, length: timedelta
) -> None:
    say(journal, "U1", choice)
    said = journal.records(CHAIN)
    assert away_now(said, NOW) == {"U1": NOW + length}
    assert away_now(said, NOW + length - timedelta(seconds=1)) == {"U1": NOW + length}
    assert away_now(said, NOW + length) == {}


def test_the_newest_word_of_each_counts(journal: Journal) -> None:
    say(journal, "U1", "1w")
    say(journal, "U2", "1d")
    say(journal, "U1", BACK)
    journal.append(CHAIN, "slack.refused", {"what": "x", "why": "y"}, SLACK_ALICE.actor)
    assert away_now(journal.records(CHAIN), NOW) == {"U2": NOW + timedelta(days=1)}


def test_no_other_times_can_be_chosen() -> None:
    with pytest.raises(InvalidInput, match="'forever' is no time"):
        away_body("U1", "forever", NOW)


def away(*users: str) -> dict[str, datetime]:
    return dict.fromkeys(users, NOW)


@pytest.mark.parametrize(
    ("absent", "pinged"),
    [
        ((), ["<@U1>", "<@U2>", "<@U3>"]),
        (("U1",), ["<@U3>", "<@U2>"]),
        (("U3",), ["<@U1>", "<@U2>"]),
        (("U1", "U2"), ["<@U3>"]),
        # There is nobody else: better wake somebody up than nobody.
        (("U1", "U2", "U3"), ["<@U1>", "<@U2>", "<@U3>"]),
    ],
)
def test_users_are_pinged_but_for_those_who_are_away(
    absent: tuple[str, ...], pinged: list[str]
) -> None:
    assert pings(GROUP, away(*absent)) == pinged


def test_a_user_group_is_pinged_as_such_and_deputies_beside_it() -> None:
    group = GROUP.model_copy(update={"slack_usergroup": "S0GROUP"})
    assert pings(group, {}) == ["<!subteam^S0GROUP>"]
    assert pings(group, away("U1")) == ["<!subteam^S0GROUP>", "<@U3>"]


def test_nobody_in_slack_is_nobody_to_ping() -> None:
    assert pings(ApproverGroup(local_users=("alice",)), {}) == []


def test_deputies_stand_in_for_who_is_away_alone() -> None:
    assert deputies(GROUP, away("U2", "U3")) == {"U2": "U3"}
