"""The methods ``chat.*`` and ``reactions.add``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.slack import blocks as block_kit
from flows.gameday.slack.arguments import Arguments
from flows.gameday.slack.records import Channel
from flows.gameday.slack.workspace import Refusal, Workspace

# "Provide no more than 40,000 characters" (chat.postMessage). The text of chat.update may have
# 4,000, which are counted as bytes (measured by users).
MOST_TEXT = 40_000
MOST_UPDATED_BYTES = 4_000


def post_message(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("chat:write")
    channel = _writable(workspace, given, may_open=True)
    content = _content(workspace, given)
    if len(content["text"]) > MOST_TEXT:
        raise Refusal("msg_too_long")
    thread_ts = given.text("thread_ts")
    if thread_ts:
        _require_thread(channel, thread_ts)
    message = workspace.post(
        channel,
        workspace.bot_user,
        **content,
        thread_ts=thread_ts,
        broadcast=bool(thread_ts) and given.flag("reply_broadcast"),
        metadata=_metadata(given),
    )
    return {
        "channel": channel.id,
        "ts": message.ts,
        "message": message.to_json(metadata=True),
    }


def post_ephemeral(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("chat:write")
    channel = _writable(workspace, given)
    content = _content(workspace, given)
    if len(content["text"]) > MOST_TEXT:
        raise Refusal("msg_too_long")
    to = given.needed("user")
    if to not in channel.members:
        raise Refusal("user_not_in_channel")
    message = workspace.whisper(
        channel, workspace.bot_user, **content, to=to, thread_ts=given.text("thread_ts")
    )
    return {"message_ts": message.ts}


def update(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    """What isn't given stays; only blocks go where there is a new text without blocks.

    "If the text argument is provided and blocks are not provided, the blocks will be removed";
    "if blocks are used (…), the edited flag will not be displayed" (chat.update).
    """
    workspace.need("chat:write")
    channel = workspace.channel(given.needed("channel"))
    message = workspace.message(channel, given.needed("ts"))
    if channel.archived:
        raise Refusal("is_inactive")
    if message.user != workspace.bot_user:
        raise Refusal("cant_update_message")
    content = _content(workspace, given)
    if len(content["text"].encode()) > MOST_UPDATED_BYTES:
        raise Refusal("msg_too_long")
    changes: dict[str, Any] = {}
    if given.text("text") or content["blocks"]:
        changes |= {"text": content["text"], "blocks": content["blocks"]}
        if not content["blocks"]:
            changes["edited_ts"] = workspace.new_ts()
    if "attachments" in given:
        changes["attachments"] = content["attachments"]
    if "metadata" in given:
        changes["metadata"] = _metadata(given)
    edited = workspace.edit(channel, message, **changes)
    return {
        "channel": channel.id,
        "ts": edited.ts,
        "text": edited.text,
        "message": edited.to_json(metadata=True),
    }


def delete(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("chat:write")
    channel = workspace.channel(given.needed("channel"))
    message = workspace.message(channel, given.needed("ts"))
    if message.user != workspace.bot_user:
        raise Refusal("cant_delete_message")
    workspace.delete(channel, message)
    return {"channel": channel.id, "ts": message.ts}


def get_permalink(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    channel = workspace.channel(given.needed("channel"))
    message = workspace.message(channel, given.needed("message_ts"))
    link = (
        f"https://{workspace.team.domain}.slack.com/archives/"
        f"{channel.id}/p{message.ts.replace('.', '')}"
    )
    if message.is_reply:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def add_reaction(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("reactions:write")
    if not (given.text("channel") and given.text("timestamp")):
        raise Refusal("no_item_specified")
    channel = workspace.channel(given.text("channel"))
    message = workspace.message(channel, given.text("timestamp"))
    name = given.text("name").strip(":")
    if not name:
        raise Refusal("invalid_name")
    if channel.archived:
        raise Refusal("is_archived")
    who = message.reactions.get(name, [])
    if workspace.bot_user in who:
        raise Refusal("already_reacted")
    with workspace.changing():
        message.reactions[name] = [*who, workspace.bot_user]
    return {}


def _writable(workspace: Workspace, given: Arguments, *, may_open: bool = False) -> Channel:
    """The channel of this id or name in which the app may post."""
    name = given.needed("channel")
    if may_open and name in workspace.users:
        return workspace.direct_message(name)
    named = [c.id for c in workspace.channels.values() if c.name and f"#{c.name}" == name]
    channel = workspace.channel(named[0] if named else name)
    if channel.archived:
        raise Refusal("is_archived")
    if workspace.bot_user not in channel.members:
        scopes = workspace.app.scopes
        if scopes is None or "chat:write.public" not in scopes:
            raise Refusal("not_in_channel")
    return channel


def _require_thread(channel: Channel, thread_ts: str) -> None:
    seconds, _, micros = thread_ts.partition(".")
    if not (seconds.isdigit() and micros.isdigit()):
        message = f"[ERROR] {thread_ts} is not a valid thread_ts"
        raise Refusal("invalid_thread_ts", response_metadata={"messages": [message]})
    if thread_ts not in channel.messages:
        raise Refusal("thread_not_found")


def _content(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    """Text, blocks and attachments. Raises Refusal where they aren't as they must be."""
    blocks = given.structure("blocks", "invalid_blocks_format") or []
    attachments = given.structure("attachments", "invalid_attachments") or []
    if not isinstance(blocks, list):
        raise Refusal("invalid_blocks_format")
    problems = block_kit.problems_of_message(blocks)
    if problems:
        raise Refusal(
            "invalid_blocks",
            errors=problems,
            response_metadata={"messages": [f"[ERROR] {problem}" for problem in problems]},
        )
    if block_kit.too_long_together(blocks):
        raise Refusal("msg_blocks_too_long")
    text = given.text("text")
    if not (text or blocks or attachments or "metadata" in given):
        raise Refusal("no_text")
    return {"text": text, "blocks": workspace.with_ids(blocks), "attachments": attachments}


def _metadata(given: Arguments) -> dict[str, Any] | None:
    metadata = given.structure("metadata", "invalid_metadata_format")
    if not metadata:
        return None
    if not isinstance(metadata, Mapping):
        raise Refusal("invalid_metadata_format")
    payload = metadata.get("event_payload")
    if not (isinstance(metadata.get("event_type"), str) and isinstance(payload, Mapping)):
        raise Refusal("invalid_metadata_schema")
    return {"event_type": metadata["event_type"], "event_payload": dict(payload)}
