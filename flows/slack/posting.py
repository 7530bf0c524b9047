"""Sending one message to Slack: posting, updating, attaching, and what Slack's refusals mean."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncConnectionErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from flows.slack.failures import FAILURES, code_of, reason, status_of
from flows.slack.message import Message

METADATA = "clampdown"
_ANSWERS_WITHIN = 10
# The channel can't be written to, and trying again won't help. An update says ``is_inactive`` of an
# archived one, the sharing of a file ``invalid_channel``.
_NO_CHANNEL = {
    "channel_not_found",
    "is_archived",
    "is_inactive",
    "invalid_channel",
    "not_in_channel",
    "restricted_action",
    "channel_is_archived",
}
_GONE = {"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"}
_TOO_MUCH = {"msg_too_long", "invalid_blocks", "msg_blocks_too_long", "invalid_blocks_format"}
_LIMITED = {"ratelimited", "rate_limited"}
# Slack itself has failed, at whatever point.
_FAILED = {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}
# The app is not let in at all.
_SHUT_OUT = {
    "account_inactive",
    "invalid_auth",
    "not_authed",
    "org_login_required",
    "team_added_to_org",
    "token_expired",
    "token_revoked",
}


class RateLimited(Exception):
    """Slack asks to wait. ``seconds`` says how long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Slack asks to wait {seconds:g} s")
        self.seconds = seconds


class NoSuchChannel(Exception):
    """The channel is gone, archived, or the app is not in it."""


class MessageGone(Exception):
    """Somebody has deleted the message."""


class MessageRefused(Exception):
    """Slack takes everything but this message: it wants a scope, or does not like what it says."""


class NotSent(Exception):
    """Slack gave no answer, or lets nobody in. ``maybe`` is whether it may have arrived."""

    def __init__(self, why: str, *, maybe: bool) -> None:
        super().__init__(why)
        self.maybe = maybe


@dataclass(frozen=True)
class Place:
    """A message's place in Slack. ``thread`` is empty for one that begins a thread."""

    channel: str
    thread: str = ""


def web_client(api_url: str, token: str | None = None) -> AsyncWebClient:
    """A client that asks once: of a request that was cut off nobody knows whether it was carried
    out, and who has sent it looks before it sends it again."""
    client = AsyncWebClient(token, base_url=api_url, timeout=_ANSWERS_WITHIN)
    client.retry_handlers = [
        handler
        for handler in client.retry_handlers
        if not isinstance(handler, AsyncConnectionErrorRetryHandler)
    ]
    return client


async def post(client: AsyncWebClient, place: Place, incident: str, message: Message) -> str:
    """Post a message; returns its timestamp, or the id of the file that was attached.

    Raises RateLimited, NoSuchChannel, MessageGone, MessageRefused, NotSent.
    """
    if (file := message.file) is not None:
        content = await asyncio.to_thread(lambda: file.content)
        answer = await sent(
            client.files_upload_v2(
                channel=place.channel,
                thread_ts=place.thread or None,
                content=content,
                filename=file.name,
                title=file.title,
                initial_comment=message.text,
            )
        )
        return str(answer["files"][0]["id"])
    metadata = {
        "event_type": METADATA,
        "event_payload": {"incident": incident, "key": message.key},
    }
    common: dict[str, Any] = {
        "channel": place.channel,
        "text": message.text,
        "thread_ts": place.thread or None,
        "metadata": metadata,
        # A link in a finding must not be fetched, nor shown as a card.
        "unfurl_links": False,
        "unfurl_media": False,
    }
    try:
        answer = await sent(client.chat_postMessage(**common, blocks=list(message.blocks)))
    except _Unfit:
        answer = await sent(client.chat_postMessage(**common))
    return str(answer["ts"])


async def update(client: AsyncWebClient, channel: str, ts: str, message: Message) -> None:
    """Have a message say what it says now. Raises like :func:`post`."""
    common: dict[str, Any] = {"channel": channel, "ts": ts, "text": message.text}
    try:
        await sent(client.chat_update(**common, blocks=list(message.blocks)))
    except _Unfit:
        await sent(client.chat_update(**common, blocks=[]))


async def find(
    client: AsyncWebClient, place: Place, incident: str, since: float, files: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """What was posted of an incident: key to (channel, timestamp), by what posts carry unseen.

    Looks in the thread, or for the message that begins one. ``files`` are the keys of files by
    their names. Raises like :func:`post`.
    """
    found: dict[str, tuple[str, str]] = {}
    cursor = ""
    while True:
        common: dict[str, Any] = {
            "channel": place.channel,
            "include_all_metadata": True,
            "limit": 200,
            "cursor": cursor or None,
        }
        answer = await sent(
            client.conversations_replies(**common, ts=place.thread)
            if place.thread
            else client.conversations_history(**common, oldest=f"{since:.6f}")
        )
        for message in answer.get("messages", []):
            metadata = message.get("metadata") or {}
            payload = metadata.get("event_payload") or {}
            if metadata.get("event_type") == METADATA and payload.get("incident") == incident:
                found.setdefault(str(payload.get("key")), (place.channel, str(message["ts"])))
            for file in message.get("files", []):
                if (key := files.get(str(file.get("name")))) is not None:
                    found.setdefault(key, (place.channel, str(file["id"])))
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return found


class _Unfit(MessageRefused):
    """Slack does not take the blocks: the text alone must do."""


async def sent(request: Any) -> Any:
    """Slack's answer to a request that is being made. Raises like :func:`post`."""
    try:
        return await request
    except SlackApiError as error:
        raise _meaning(error) from error
    except (*FAILURES, ValueError) as error:
        raise NotSent(reason(error), maybe=True) from error


def _meaning(error: SlackApiError) -> Exception:
    """What Slack's refusal means for the message."""
    code, status = code_of(error), status_of(error)
    if status == 429 or code in _LIMITED:
        return RateLimited(_retry_after(error))
    if code in _NO_CHANNEL:
        return NoSuchChannel(code)
    if code in _GONE:
        return MessageGone(code)
    if code in _TOO_MUCH:
        return _Unfit(code)
    if code in _SHUT_OUT:
        return NotSent(code, maybe=False)
    if code in _FAILED or not code:
        return NotSent(reason(error), maybe=True)
    return MessageRefused(code)


def _retry_after(error: SlackApiError) -> float:
    headers = {str(name).lower(): value for name, value in error.response.headers.items()}
    try:
        return max(1.0, float(headers.get("retry-after", 1)))
    except ValueError:
        return 1.0
