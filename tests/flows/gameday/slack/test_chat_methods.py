"""Messages: posted, changed, deleted, whispered; threads, metadata, reactions, links."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.apps import actions, button, section
from tests.flows.gameday.slack.conftest import refused

# Slack's SDK warns of messages without a text of their own, which some of these are.
pytestmark = pytest.mark.filterwarnings("ignore:The top-level `text` argument:UserWarning")

METADATA = {"event_type": "clampdown", "event_payload": {"incident": "inc-1", "key": "opening"}}


def posted(web: WebClient, channel: Channel, text: str = "x", **more: Any) -> str:
    return str(web.chat_postMessage(channel=channel.id, text=text, **more)["ts"])


def test_a_message_is_answered_as_slack_keeps_it(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    blocks = [section("*hello*"), actions(button("ok", value="v"))]
    answer = web.chat_postMessage(channel=channel.id, text="hello", blocks=blocks)
    message = answer["message"]
    installed = slack.installation
    assert answer["channel"] == channel.id
    assert message["ts"] == answer["ts"]
    assert (message["user"], message["bot_id"]) == (installed.bot_user, installed.bot_id)
    assert message["app_id"] == installed.app_id
    assert message["bot_profile"]["name"] == "Clampdown"
    # Slack gives every block an id, and texts their flags.
    assert all(block["block_id"] for block in message["blocks"])
    assert message["blocks"][0]["text"]["verbatim"] is False
    assert message["blocks"][1]["elements"][0]["text"]["emoji"] is True


def test_timestamps_are_in_the_order_of_posting(web: WebClient, channel: Channel) -> None:
    times = [posted(web, channel, str(number)) for number in range(20)]
    assert times == sorted(times, key=float)
    assert len(set(times)) == 20
    assert all(len(ts.partition(".")[2]) == 6 for ts in times)


def test_a_channel_may_be_named_or_be_a_person(
    slack: SimulatedSlack, web: WebClient, channel: Channel, maria: Person
) -> None:
    assert web.chat_postMessage(channel="#incidents", text="x")["channel"] == channel.id
    direct = web.chat_postMessage(channel=maria.id, text="psst")["channel"]
    assert direct.startswith("D")
    assert [m.text for m in maria.direct_messages()] == ["psst"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "C0NOSUCH"}, "channel_not_found"),
        ({"text": ""}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"blocks": [{"type": "sections"}]}, "invalid_blocks"),
        ({"blocks": [section("x" * 2999)] * 5}, "msg_blocks_too_long"),
        ({"blocks": {"type": "section"}}, "invalid_blocks_format"),
        ({"thread_ts": "0"}, "invalid_thread_ts"),
        ({"thread_ts": "1.000001"}, "thread_not_found"),
        ({"metadata": "{"}, "invalid_metadata_format"),
        ({"metadata": {"event_type": "x"}}, "invalid_metadata_schema"),
    ],
)
def test_what_is_wrong_with_a_message_is_refused(
    slack: SimulatedSlack,
    web: WebClient,
    channel: Channel,
    arguments: dict[str, Any],
    error: str,
) -> None:
    assert refused(web.chat_postMessage, **{"channel": channel.id, "text": "x", **arguments}) == (
        error
    )
    assert slack.messages(channel) == []


def test_channels_that_are_archived_or_not_the_apps_take_no_message(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    slack.archive(channel)
    assert refused(web.chat_postMessage, channel=channel.id, text="x") == "is_archived"
    secret = slack.channel("secret", private=True, with_app=False)
    assert refused(web.chat_postMessage, channel=secret.id, text="x") == "channel_not_found"


def test_invalid_blocks_are_explained(web: WebClient, channel: Channel) -> None:
    with pytest.raises(SlackApiError) as error:
        web.chat_postMessage(channel=channel.id, blocks=[section("x" * 3001)])
    problem = "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert error.value.response["errors"] == [problem]
    assert error.value.response["response_metadata"]["messages"] == [f"[ERROR] {problem}"]


# Changing


def test_an_update_with_blocks_changes_both_and_shows_no_edit(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    ts = posted(web, channel, "one", blocks=[section("one"), actions(button("ok"))])
    answer = web.chat_update(channel=channel.id, ts=ts, text="two", blocks=[section("two")])
    assert answer["text"] == answer["message"]["text"] == "two"
    [message] = slack.messages(channel)
    assert (message.text, len(message.blocks), message.edited_ts) == ("two", 1, "")


@pytest.mark.parametrize("blocks", [None, []])
def test_an_update_with_text_alone_takes_the_blocks_away(
    slack: SimulatedSlack, web: WebClient, channel: Channel, blocks: list[Any] | None
) -> None:
    ts = posted(web, channel, "one", blocks=[actions(button("ok"))])
    web.chat_update(channel=channel.id, ts=ts, text="two", blocks=blocks)
    [message] = slack.messages(channel)
    assert (message.text, message.blocks) == ("two", [])
    assert message.edited_ts


def test_an_update_of_something_else_leaves_the_blocks(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    ts = posted(web, channel, "one", blocks=[actions(button("ok"))])
    web.chat_update(channel=channel.id, ts=ts, metadata=METADATA)
    [message] = slack.messages(channel)
    assert (message.text, len(message.blocks)) == ("one", 1)
    assert message.metadata == METADATA


def test_metadata_stays_until_it_is_replaced(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    ts = posted(web, channel, metadata=METADATA)
    web.chat_update(channel=channel.id, ts=ts, text="y")
    assert slack.messages(channel)[0].metadata == METADATA
    web.chat_update(channel=channel.id, ts=ts, text="y", metadata={})
    assert slack.messages(channel)[0].metadata is None


def test_an_update_takes_less_text_than_a_new_message(web: WebClient, channel: Channel) -> None:
    ts = posted(web, channel, "é" * 2001)
    # Slack counts bytes here.
    assert refused(web.chat_update, channel=channel.id, ts=ts, text="é" * 2001) == "msg_too_long"
    assert web.chat_update(channel=channel.id, ts=ts, text="é" * 2000)["ok"]


def test_only_the_apps_own_messages_can_be_changed_or_deleted(
    web: WebClient, channel: Channel, maria: Person
) -> None:
    theirs = maria.say(channel, "hello").ts
    assert refused(web.chat_update, channel=channel.id, ts=theirs, text="y") == (
        "cant_update_message"
    )
    assert refused(web.chat_delete, channel=channel.id, ts=theirs) == "cant_delete_message"
    assert refused(web.chat_update, channel=channel.id, ts="1.000001", text="y") == (
        "message_not_found"
    )


def test_who_has_a_message_on_the_screen_keeps_it_as_it_was(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    ts = posted(web, channel, "one", blocks=[actions(button("ok"))])
    [seen] = slack.messages(channel)
    web.chat_update(channel=channel.id, ts=ts, text="two")
    assert (seen.text, len(seen.blocks)) == ("one", 1)


def test_an_archived_channel_keeps_its_messages_as_they_are(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    ts = posted(web, channel)
    slack.archive(channel)
    assert refused(web.chat_update, channel=channel.id, ts=ts, text="y") == "is_inactive"


def test_a_deleted_message_is_gone_and_one_with_replies_leaves_a_mark(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    alone, root = posted(web, channel), posted(web, channel)
    posted(web, channel, "reply", thread_ts=root)
    for ts in (alone, root):
        assert web.chat_delete(channel=channel.id, ts=ts)["ts"] == ts
        assert refused(web.chat_delete, channel=channel.id, ts=ts) == "message_not_found"
    mark, reply = slack.messages(channel)
    assert mark.to_json()["subtype"] == "tombstone"
    assert reply.text == "reply"
    # The thread goes on.
    posted(web, channel, "another", thread_ts=root)


# Threads


def test_a_reply_to_a_reply_is_in_the_same_thread(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    root = posted(web, channel)
    reply = posted(web, channel, thread_ts=root)
    posted(web, channel, "third", thread_ts=reply)
    assert slack.messages(channel)[-1].thread_ts == root


# To one person


def test_an_ephemeral_message_is_seen_by_one_person(
    slack: SimulatedSlack, web: WebClient, channel: Channel, maria: Person, tom: Person
) -> None:
    answer = web.chat_postEphemeral(channel=channel.id, user=maria.id, text="only you")
    [message] = maria.ephemerals(channel)
    assert (message.text, message.ts) == ("only you", answer["message_ts"])
    assert tom.ephemerals() == []
    assert slack.messages(channel) == []
    # It can't be changed.
    assert refused(web.chat_update, channel=channel.id, ts=message.ts, text="y") == (
        "message_not_found"
    )


def test_an_ephemeral_message_is_for_somebody_in_the_channel(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    stranger = slack.person("olga")
    call = {"channel": channel.id, "user": stranger.id, "text": "x"}
    assert refused(web.chat_postEphemeral, **call) == "user_not_in_channel"


# Links and reactions


def test_a_permalink_leads_to_the_message(web: WebClient, channel: Channel) -> None:
    root = posted(web, channel)
    reply = posted(web, channel, thread_ts=root)
    link = web.chat_getPermalink(channel=channel.id, message_ts=root)["permalink"]
    assert link == (
        f"https://example-corp.slack.com/archives/{channel.id}/p{root.replace('.', '')}"
    )
    of_reply = web.chat_getPermalink(channel=channel.id, message_ts=reply)["permalink"]
    assert of_reply.endswith(f"?thread_ts={root}&cid={channel.id}")


def test_a_reaction_is_added_once(slack: SimulatedSlack, web: WebClient, channel: Channel) -> None:
    where = {"channel": channel.id, "timestamp": posted(web, channel)}
    web.reactions_add(name="eyes", **where)
    assert refused(web.reactions_add, name="eyes", **where) == "already_reacted"
    assert refused(web.reactions_add, name="", **where) == "invalid_name"
    assert refused(web.reactions_add, name="eyes", channel="", timestamp="") == (
        "no_item_specified"
    )
    shown = slack.messages(channel)[0].to_json()["reactions"]
    assert shown == [{"name": "eyes", "users": [slack.installation.bot_user], "count": 1}]


# Who is notified


def test_a_mention_notifies_people_groups_and_channels_and_nobody_else(
    slack: SimulatedSlack, web: WebClient, channel: Channel, maria: Person, tom: Person
) -> None:
    group = slack.group("ir-oncall", tom)
    for text in (
        f"<@{maria.id}>",
        f"<!subteam^{group.id}|@ir-oncall>",
        "<!here>",
        "&lt;!channel&gt; @maria",
        f"`<@{maria.id}>` ```<!channel>```",
    ):
        posted(web, channel, text)
    # Nothing in plain text mentions anybody.
    header = {"type": "header", "text": {"type": "plain_text", "text": "<!channel>"}}
    posted(web, channel, "nothing", blocks=[header])
    posted(web, channel, "in blocks", blocks=[section(f"*Gate* <!subteam^{group.id}>")])
    assert [m.text for m in maria.pings()] == [f"<@{maria.id}>", "<!here>"]
    assert [m.text for m in tom.pings()] == [
        f"<!subteam^{group.id}|@ir-oncall>",
        "<!here>",
        "in blocks",
    ]
