"""Channels, their history with paging, and who is who."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk import WebClient

from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.conftest import refused

METADATA = {"event_type": "clampdown", "event_payload": {"incident": "inc-1", "key": "opening"}}


@pytest.fixture
def thread(web: WebClient, channel: Channel) -> list[str]:
    """The timestamps of a message and its five replies."""
    root = web.chat_postMessage(channel=channel.id, text="0", metadata=METADATA)["ts"]
    return [root] + [
        web.chat_postMessage(channel=channel.id, text=str(n), thread_ts=root)["ts"]
        for n in range(1, 6)
    ]


def texts(answer: Any) -> list[str]:
    return [message["text"] for message in answer["messages"]]


def test_a_thread_is_read_from_its_beginning(
    slack: SimulatedSlack, web: WebClient, channel: Channel, thread: list[str]
) -> None:
    answer = web.conversations_replies(channel=channel.id, ts=thread[0])
    assert texts(answer) == ["0", "1", "2", "3", "4", "5"]
    root, reply = answer["messages"][:2]
    assert (root["reply_count"], root["latest_reply"]) == (5, thread[5])
    assert (reply["thread_ts"], reply["parent_user_id"]) == (thread[0], slack.workspace.bot_user)
    assert answer["has_more"] is False
    # Also by the timestamp of a reply.
    assert texts(web.conversations_replies(channel=channel.id, ts=thread[3])) == texts(answer)
    assert refused(web.conversations_replies, channel=channel.id, ts="1.000001") == (
        "thread_not_found"
    )


def test_a_thread_is_read_page_by_page(web: WebClient, channel: Channel, thread: list[str]) -> None:
    pages = [
        texts(page) for page in web.conversations_replies(channel=channel.id, ts=thread[0], limit=4)
    ]
    assert pages == [["0", "1", "2", "3"], ["4", "5"]]
    where = {"channel": channel.id, "ts": thread[0]}
    assert refused(web.conversations_replies, **where, cursor="???") == "invalid_cursor"
    assert refused(web.conversations_replies, **where, limit=0) == "invalid_limit"


def test_metadata_is_shown_to_who_asks_for_it(
    web: WebClient, channel: Channel, thread: list[str]
) -> None:
    place = {"channel": channel.id, "ts": thread[0]}
    for method in ("conversations.replies", "conversations.history"):
        plain = web.api_call(method, params=place)
        full = web.api_call(method, params={**place, "include_all_metadata": True})
        assert "metadata" not in plain["messages"][0]
        assert full["messages"][0]["metadata"] == METADATA


def test_history_has_the_newest_first_and_no_replies(
    web: WebClient, channel: Channel, thread: list[str], maria: Person
) -> None:
    maria.say(channel, "hello")
    web.chat_postMessage(channel=channel.id, text="!", thread_ts=thread[0], reply_broadcast=True)
    assert texts(web.conversations_history(channel=channel.id)) == ["!", "hello", "0"]
    pages = [texts(page) for page in web.conversations_history(channel=channel.id, limit=2)]
    assert pages == [["!", "hello"], ["0"]]


def test_history_is_read_between_two_times(web: WebClient, channel: Channel) -> None:
    times = [web.chat_postMessage(channel=channel.id, text=str(n))["ts"] for n in range(5)]
    between = {"channel": channel.id, "oldest": times[1], "latest": times[3]}
    assert texts(web.conversations_history(**between)) == ["2"]
    assert texts(web.conversations_history(**between, inclusive=True)) == ["3", "2", "1"]
    wrong = {"channel": channel.id, "oldest": "soon"}
    assert refused(web.conversations_history, **wrong) == "invalid_ts_oldest"


def test_only_members_read(slack: SimulatedSlack, web: WebClient) -> None:
    public = slack.channel("random", with_app=False)
    assert refused(web.conversations_history, channel=public.id) == "not_in_channel"
    assert web.conversations_info(channel=public.id)["channel"]["is_member"] is False
    private = slack.channel("secret", private=True, with_app=False)
    assert refused(web.conversations_info, channel=private.id) == "channel_not_found"


# Channels


def test_a_channel_is_made_and_people_invited(
    slack: SimulatedSlack, web: WebClient, maria: Person, tom: Person
) -> None:
    made = web.conversations_create(name="inc-2026-0001")["channel"]
    assert (made["name"], made["is_member"], made["is_private"]) == ("inc-2026-0001", True, False)
    web.conversations_invite(channel=made["id"], users=[maria.id, tom.id])
    assert slack.workspace.channels[made["id"]].members >= {maria.id, tom.id}
    again = {"channel": made["id"], "users": maria.id}
    assert refused(web.conversations_invite, **again) == "already_in_channel"
    web.conversations_setTopic(channel=made["id"], topic="i-0abc")
    assert web.conversations_info(channel=made["id"])["channel"]["topic"]["value"] == "i-0abc"
    long = {"channel": made["id"], "topic": "x" * 251}
    assert refused(web.conversations_setTopic, **long) == "too_long"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", "invalid_name_required"),
        ("Incident", "invalid_name_specials"),
        ("inc 1", "invalid_name_specials"),
        ("---", "invalid_name_punctuation"),
        ("x" * 81, "invalid_name_maxlength"),
        ("incidents", "name_taken"),
    ],
)
def test_a_channel_needs_a_name_that_slack_takes(
    web: WebClient, channel: Channel, name: str, error: str
) -> None:
    assert refused(web.conversations_create, name=name) == error


@pytest.mark.parametrize(
    ("users", "error"),
    [("", "no_user"), ("U0NOSUCH", "user_not_found"), ("APP", "cant_invite_self")],
)
def test_only_people_who_are_there_are_invited(
    slack: SimulatedSlack, web: WebClient, channel: Channel, users: str, error: str
) -> None:
    users = users.replace("APP", slack.workspace.bot_user)
    assert refused(web.conversations_invite, channel=channel.id, users=users) == error


def test_the_deactivated_and_guests_of_one_channel_are_not_invited(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    for person in (
        slack.person("gone", deleted=True),
        slack.person("guest", is_ultra_restricted=True),
    ):
        invitation = {"channel": channel.id, "users": person.id}
        assert refused(web.conversations_invite, **invitation) == "cant_invite"


def test_the_app_joins_a_public_channel(slack: SimulatedSlack, web: WebClient) -> None:
    public = slack.channel("random", with_app=False)
    assert web.conversations_join(channel=public.id)["channel"]["is_member"]
    assert web.conversations_join(channel=public.id)["warning"] == "already_in_channel"
    private = slack.channel("ours", private=True)
    assert refused(web.conversations_join, channel=private.id) == (
        "method_not_supported_for_channel_type"
    )


def test_channels_are_listed_by_kind(
    slack: SimulatedSlack, web: WebClient, channel: Channel, maria: Person
) -> None:
    slack.channel("secret", private=True, with_app=False)
    ours = slack.channel("ours", private=True)
    old = slack.channel("old")
    slack.archive(old)
    direct = web.conversations_open(users=maria.id)["channel"]["id"]

    def listed(**more: Any) -> list[str]:
        return [c["id"] for c in web.conversations_list(**more)["channels"]]

    assert listed() == [channel.id, old.id]
    assert listed(exclude_archived=True) == [channel.id]
    assert listed(types="private_channel,im") == [ours.id, direct]
    assert refused(web.conversations_list, types="secret") == "invalid_types"


def test_a_direct_message_is_opened_once(web: WebClient, maria: Person) -> None:
    first = web.conversations_open(users=[maria.id])
    again = web.conversations_open(users=[maria.id], return_im=True)
    assert again["channel"]["id"] == first["channel"]["id"]
    assert (first["already_open"], again["already_open"]) == (False, True)
    assert again["channel"]["user"] == maria.id
    assert web.conversations_open(channel=first["channel"]["id"])["channel"] == first["channel"]


def test_direct_messages_are_for_people_who_are_there(
    slack: SimulatedSlack, web: WebClient
) -> None:
    gone, bot = slack.person("gone", deleted=True), slack.person("robot", is_bot=True)
    assert refused(web.conversations_open, users=gone.id) == "user_disabled"
    assert refused(web.conversations_open, users=bot.id) == "cannot_dm_bot"
    assert refused(web.conversations_open, users="U0NOSUCH") == "user_not_found"
    assert refused(web.conversations_open, users="") == "users_list_not_supplied"


# People


def test_what_somebody_is_can_be_asked_for(slack: SimulatedSlack, web: WebClient) -> None:
    other = slack.other_team("Other Corp")
    stranger = slack.person("eve", team=other)
    guest = slack.person("guest", is_restricted=True)
    assert web.users_info(user=stranger.id)["user"]["is_stranger"] is True
    assert (
        web.users_info(user=stranger.id)["user"]["team_id"] == other.id != (slack.workspace.team.id)
    )
    shown = web.users_info(user=guest.id)["user"]
    assert (shown["is_restricted"], shown["is_ultra_restricted"], shown["is_bot"]) == (
        True,
        False,
        False,
    )
    assert "is_stranger" not in shown
    guest.become(deleted=True)
    shown = web.users_info(user=guest.id)["user"]
    # Of the deactivated Slack no longer tells what else they are.
    assert shown["deleted"] is True
    assert "is_restricted" not in shown
    assert refused(web.users_info, user="U0NOSUCH") == "user_not_found"
    with pytest.raises(AttributeError):
        guest.become(is_sleepy=True)


def test_people_of_an_organisation_have_its_ids() -> None:
    with SimulatedSlack(enterprise=True) as slack:
        web = WebClient(slack.installation.bot_token, base_url=slack.api_url)
        maria = slack.person("maria")
        assert maria.id.startswith("W")
        shown = web.users_info(user=maria.id)["user"]["enterprise_user"]
        assert shown["enterprise_id"] == slack.workspace.team.enterprise_id
        assert web.auth_test()["enterprise_id"].startswith("E")


def test_user_groups_and_who_is_in_them(
    slack: SimulatedSlack, web: WebClient, maria: Person, tom: Person
) -> None:
    group = slack.group("ir-oncall", maria, tom)
    old = slack.group("old", maria)
    old.disabled = True
    assert web.usergroups_users_list(usergroup=group.id)["users"] == [maria.id, tom.id]
    assert refused(web.usergroups_users_list, usergroup=old.id) == "no_such_subteam"
    assert refused(web.usergroups_users_list, usergroup="S0NOSUCH") == "no_such_subteam"
    [shown] = web.usergroups_list(include_users=True)["usergroups"]
    assert (shown["id"], shown["handle"], shown["users"]) == (
        group.id,
        "ir-oncall",
        [maria.id, tom.id],
    )
    assert len(web.usergroups_list(include_disabled=True)["usergroups"]) == 2
