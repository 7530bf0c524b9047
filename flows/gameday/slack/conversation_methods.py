"""The methods ``conversations.*``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from flows.gameday.slack.arguments import Arguments
from flows.gameday.slack.records import Channel, Message
from flows.gameday.slack.workspace import Refusal, Workspace

_Item = TypeVar("_Item")
MOST_NAME = 80
MOST_TOPIC = 250
MOST_PEOPLE = 8


def open_(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("im:write")
    if given.text("channel"):
        channel = workspace.channel(given.text("channel"))
        if not channel.im_with:
            raise Refusal("method_not_supported_for_channel_type")
        return {"channel": {"id": channel.id}}
    users = given.listed("users")
    if not users:
        raise Refusal("users_list_not_supplied")
    if len(users) > MOST_PEOPLE:
        raise Refusal("too_many_users")
    if len(users) > 1:
        raise Refusal("method_not_supported_for_channel_type")
    [user_id] = users
    user = workspace.user(user_id)
    if user.is_bot:
        raise Refusal("cannot_dm_bot")
    if user.deleted:
        raise Refusal("user_disabled")
    known = any(channel.im_with == user_id for channel in workspace.channels.values())
    channel = workspace.direct_message(user_id)
    shown = channel.to_json(workspace.bot_user) if given.flag("return_im") else {"id": channel.id}
    return {"no_op": known, "already_open": known, "channel": shown}


def create(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    private = given.flag("is_private")
    workspace.need("groups:write" if private else "channels:manage")
    name = given.text("name")
    if not name:
        raise Refusal("invalid_name_required")
    if len(name) > MOST_NAME:
        raise Refusal("invalid_name_maxlength")
    if not any(letter.isalnum() for letter in name):
        raise Refusal("invalid_name_punctuation")
    if name != name.lower() or not re.fullmatch(r"[\w-]+", name):
        raise Refusal("invalid_name_specials")
    with workspace.changing():
        if any(channel.name == name for channel in workspace.channels.values()):
            raise Refusal("name_taken")
        channel = Channel(
            workspace.ids.new("C"),
            name,
            workspace.team,
            private=private,
            members={workspace.bot_user},
            creator=workspace.bot_user,
            created=int(workspace.clock()),
        )
        workspace.channels[channel.id] = channel
    return {"channel": channel.to_json(workspace.bot_user)}


def invite(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    channel = workspace.channel(given.needed("channel"))
    if channel.im_with:
        raise Refusal("method_not_supported_for_channel_type")
    write = "groups:write" if channel.private else "channels:manage"
    workspace.need(f"{channel.scope}:write.invites", write)
    users = given.listed("users")
    if not users:
        raise Refusal("no_user")
    if channel.archived:
        raise Refusal("is_archived")
    if workspace.bot_user not in channel.members:
        raise Refusal("not_in_channel")
    refused = {user_id: _not_invited(workspace, channel, user_id) for user_id in users}
    invited = {user_id for user_id, why in refused.items() if not why}
    if len(invited) < len(users) and not (invited and given.flag("force")):
        raise Refusal(next(why for why in refused.values() if why))
    with workspace.changing():
        channel.members.update(invited)
    return {"channel": channel.to_json(workspace.bot_user)}


def _not_invited(workspace: Workspace, channel: Channel, user_id: str) -> str:
    """Why somebody can't be invited; empty where they can."""
    user = workspace.users.get(user_id)
    if user is None:
        return "user_not_found"
    if user_id == workspace.bot_user:
        return "cant_invite_self"
    if user_id in channel.members:
        return "already_in_channel"
    return "cant_invite" if user.deleted or user.is_ultra_restricted else ""


def join(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("channels:join")
    channel = workspace.channel(given.needed("channel"))
    if channel.private or channel.im_with:
        raise Refusal("method_not_supported_for_channel_type")
    if channel.archived:
        raise Refusal("is_archived")
    known = workspace.bot_user in channel.members
    with workspace.changing():
        channel.members.add(workspace.bot_user)
    answer: dict[str, Any] = {"channel": channel.to_json(workspace.bot_user)}
    if known:
        answer |= {
            "warning": "already_in_channel",
            "response_metadata": {"warnings": ["already_in_channel"]},
        }
    return answer


def set_topic(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    channel = workspace.channel(given.needed("channel"))
    write = "channels:manage" if channel.scope == "channels" else f"{channel.scope}:write"
    workspace.need(write, f"{channel.scope}:write.topic")
    if workspace.bot_user not in channel.members:
        raise Refusal("not_in_channel")
    if channel.archived:
        raise Refusal("is_archived")
    if len(given.text("topic")) > MOST_TOPIC:
        raise Refusal("too_long")
    with workspace.changing():
        channel.topic = given.text("topic")
    return {"channel": channel.to_json(workspace.bot_user)}


def info(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    channel = workspace.channel(given.needed("channel"))
    workspace.need(f"{channel.scope}:read")
    return {"channel": channel.to_json(workspace.bot_user)}


def list_(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    kinds = given.listed("types") or ["public_channel"]
    scopes = {"public_channel": "channels", "private_channel": "groups", "im": "im"}
    for kind in kinds:
        if kind not in (*scopes, "mpim"):
            raise Refusal("invalid_types")
        if kind in scopes:
            workspace.need(f"{scopes[kind]}:read")
    wanted = {scopes[kind] for kind in kinds if kind in scopes}
    found = [
        channel
        for channel in workspace.channels.values()
        if channel.scope in wanted
        and not (channel.archived and given.flag("exclude_archived"))
        and (channel.scope == "channels" or workspace.bot_user in channel.members)
    ]
    page, cursor = _page(found, [channel.id for channel in found], given, 100, 1000)
    return {
        "channels": [channel.to_json(workspace.bot_user) for channel in page],
        "response_metadata": {"next_cursor": cursor},
    }


def history(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    """The newest messages first, without the replies in threads."""
    channel = _readable(workspace, given)
    found = [m for m in channel.messages.values() if not m.is_reply or m.broadcast]
    found = _between(found, given)[::-1]
    page, cursor = _page(found, [m.ts for m in found], given, 100, 999)
    return _messages(channel, page, cursor, given) | {"pin_count": 0}


def replies(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    """A thread, its first message first. ``ts`` may be that of any message in it."""
    channel = _readable(workspace, given)
    asked = channel.messages.get(given.needed("ts"))
    if asked is None:
        raise Refusal("thread_not_found")
    root = channel.messages.get(asked.thread_ts or asked.ts, asked)
    found = [root, *_between(channel.replies(root.ts), given)]
    page, cursor = _page(found, [m.ts for m in found], given, 1000, 1000)
    return _messages(channel, page, cursor, given)


def _readable(workspace: Workspace, given: Arguments) -> Channel:
    channel = workspace.channel(given.needed("channel"))
    workspace.need(f"{channel.scope}:history")
    if workspace.bot_user not in channel.members:
        raise Refusal("not_in_channel")
    return channel


def _messages(
    channel: Channel, page: Sequence[Message], cursor: str, given: Arguments
) -> dict[str, Any]:
    metadata = given.flag("include_all_metadata")
    answer: dict[str, Any] = {
        "messages": [channel.message_json(message, metadata=metadata) for message in page],
        "has_more": bool(cursor),
    }
    return answer | ({"response_metadata": {"next_cursor": cursor}} if cursor else {})


def _between(messages: Sequence[Message], given: Arguments) -> list[Message]:
    oldest, latest = _ts(given, "oldest", 0.0), _ts(given, "latest", float("inf"))
    inclusive = given.flag("inclusive")
    return [
        message
        for message in messages
        if oldest < float(message.ts) < latest
        or (inclusive and float(message.ts) in (oldest, latest))
    ]


def _ts(given: Arguments, name: str, default: float) -> float:
    try:
        return float(given.text(name) or default)
    except ValueError as error:
        raise Refusal(f"invalid_ts_{name}") from error


def _page(
    items: Sequence[_Item], keys: Sequence[str], given: Arguments, default: int, most: int
) -> tuple[Sequence[_Item], str]:
    """One page and the cursor of the next. Raises Refusal where the cursor is of no page."""
    limit = given.number("limit", default, most)
    start = 0
    if given.text("cursor"):
        try:
            key = base64.b64decode(given.text("cursor"), validate=True).decode()
            start = keys.index(key.removeprefix("next:"))
        except (binascii.Error, UnicodeDecodeError, ValueError) as error:
            raise Refusal("invalid_cursor") from error
    end = start + limit
    cursor = base64.b64encode(f"next:{keys[end]}".encode()).decode() if end < len(items) else ""
    return items[start:end], cursor
