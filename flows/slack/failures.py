"""What can go wrong when Slack is asked for something, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import ClientError
from slack_sdk.errors import SlackApiError, SlackClientError

# What a call of the Web API alone raises, and what else happens to it on the way.
OF_SLACK = (SlackClientError, ClientError)
FAILURES = (*OF_SLACK, OSError, TimeoutError)


def reason(error: Exception) -> str:
    """Slack's own word where it has given one, else the status of HTTP, else the error's kind."""
    if not isinstance(error, SlackApiError):
        return type(error).__name__
    return code_of(error) or f"HTTP {status_of(error)}"


def code_of(error: SlackApiError) -> str:
    """Slack's word for what is wrong; empty where something before Slack has answered."""
    data: Any = getattr(error.response, "data", error.response)
    return str(data.get("error") or "") if isinstance(data, Mapping) else ""


def status_of(error: SlackApiError) -> int:
    """The answer's status of HTTP."""
    response: Any = error.response
    # Where the body could not be read, the SDK gives aiohttp's own answer.
    return int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
