"""Sending one message to Slack: posting, updating, attaching, and what Slack's refusals mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from flows.slack.message import Message

METADATA = "clampdown"
# The channel can't be written to, and trying again won't help.
_NO_CHANNEL = {
    "channel_not_found",
    "is_archived",
    "not_in_channel",
    "restricted_action",
    "channel_is_archived",
}
_GONE = {"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"}
_TOO_MUCH = {"msg_too_long", "invalid_blocks", "msg_blocks_too_long", "invalid_blocks_format"}


class RateLimited(Exception):
    """Slack asks to wait. ``seconds`` says how long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Slack asks to wait {seconds:g} s")
        self.seconds = seconds


class NoSuchChannel(Exception):
    """The channel is gone, archived, or the app is not in it."""


class MessageGone(Exception):
    """Somebody has deleted the message."""


class NotSent(Exception):
    """Slack gave no answer, or an error that may pass. ``maybe`` is whether it may have arrived."""

    def __init__(self, why: str, *, maybe: bool) -> None:
        super().__init__(why)
        self.maybe = maybe


@dataclass(frozen=True)
class Place:
    """A message's place in Slack. ``thread`` is empty for one that begins a thread."""

    channel: str
    thread: str = ""


async def post(client: AsyncWebClient, place: Place, incident: str, message: Message) -> str:
    """Post a message; returns its timestamp, or the id of the file that was attached.

    Raises RateLimited, NoSuchChannel, MessageGone, NotSent.
    """
    if message.file is not None:
        answer = await _sent(
            client.files_upload_v2(
                channel=place.channel,
                thread_ts=place.thread or None,
                content=message.file.content,
                filename=message.file.name,
                title=message.file.title,
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
        answer = await _sent(client.chat_postMessage(**common, blocks=list(message.blocks)))
    except _Unfit:
        answer = await _sent(client.chat_postMessage(**common))
    return str(answer["ts"])


async def update(client: AsyncWebClient, channel: str, ts: str, message: Message) -> None:
    """Have a message say what it says now. Raises like :func:`post`."""
    common: dict[str, Any] = {"channel": channel, "ts": ts, "text": message.text}
    try:
        await _sent(client.chat_update(**common, blocks=list(message.blocks)))
    except _Unfit:
        await _sent(client.chat_update(**common, blocks=[]))


async def find(
    client: AsyncWebClient, place: Place, incident: str, since: float
) -> dict[str, tuple[str, str]]:
    """What was posted of an incident: key to (channel, timestamp), by what posts carry unseen.

    Looks in the thread, or for the message that begins one. Raises like :func:`post`.
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
        answer = await _sent(
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
                if str(file.get("name", "")).startswith(incident):
                    found.setdefault("report", (place.channel, str(file["id"])))
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return found


class _Unfit(Exception):
    """Slack does not take the blocks: the text alone must do."""


async def _sent(request: Any) -> Any:
    try:
        return await request
    except SlackApiError as error:
        code = str(error.response.get("error", ""))
        if error.response.status_code == 429 or code in {"ratelimited", "rate_limited"}:
            raise RateLimited(_retry_after(error)) from error
        if code in _NO_CHANNEL:
            raise NoSuchChannel(code) from error
        if code in _GONE:
            raise MessageGone(code) from error
        if code in _TOO_MUCH:
            raise _Unfit(code) from error
        # Slack says that these were not carried out; of a 5xx nobody knows.
        maybe = error.response.status_code >= 500 or code in {"internal_error", "fatal_error"}
        raise NotSent(code or f"HTTP {error.response.status_code}", maybe=maybe) from error
    except (OSError, TimeoutError, ValueError) as error:
        raise NotSent(type(error).__name__, maybe=True) from error
    except Exception as error:
        # aiohttp's own errors don't all derive from OSError.
        if type(error).__module__.startswith("aiohttp"):
            raise NotSent(type(error).__name__, maybe=True) from error
        raise


def _retry_after(error: SlackApiError) -> float:
    headers = {str(name).lower(): value for name, value in error.response.headers.items()}
    try:
        return max(1.0, float(headers.get("retry-after", 1)))
    except ValueError:
        return 1.0
