"""HTTP mode: nothing passes without Slack's signature, and nothing that is sent is an error."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from flows.slack.http import Signed

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BODY = b"command=%2Fclampdown&text=help"


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


def send(method: str, path: str, **request: Any) -> httpx.Response:
    routes = [Route("/slack/events", _echo, methods=["POST"])]
    transport = httpx.ASGITransport(Signed(Starlette(routes=routes), SECRET))

    async def sent() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, **request)

    return asyncio.run(sent())


def signed(body: bytes = BODY, *, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    moment = str(int(at if at is not None else time.time()))
    digest = hmac.new(secret.encode(), b"v0:" + moment.encode() + b":" + body, hashlib.sha256)
    return {
        "X-Slack-Request-Timestamp": moment,
        "X-Slack-Signature": f"v0={digest.hexdigest()}",
    }


def test_what_slack_has_signed_passes_byte_for_byte() -> None:
    answer = send("POST", "/slack/events", content=BODY, headers=signed())
    assert (answer.status_code, answer.content) == (200, BODY)


@pytest.mark.parametrize("path", ["/slack/events", "/", "/slack/events/", "/metrics", "/%00"])
def test_nothing_is_answered_on_any_path_without_a_signature(path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        assert send(method, path, content=BODY).status_code == 401


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(secret="another secret of 32 characters"), BODY),
        (signed(), BODY + b"&text=other"),
        (signed(at=time.time() - 301), BODY),
        (signed(at=time.time() + 3_600), BODY),
        ({**signed(), "X-Slack-Request-Timestamp": "abc"}, BODY),
        ({**signed(), "X-Slack-Request-Timestamp": "9" * 5000}, BODY),
        ({**signed(), "X-Slack-Request-Timestamp": "-1"}, BODY),
        ({**signed(), "X-Slack-Request-Timestamp": "nan"}, BODY),
        ({**signed(), "X-Slack-Request-Timestamp": ""}, BODY),
        ({**signed(), "X-Slack-Signature": ""}, BODY),
        ({**signed(), "X-Slack-Signature": "v0="}, BODY),
        ({**signed(b"\xff\xfe"), "X-Slack-Signature": "v0=00"}, b"\xff\xfe"),
        (signed(b"\xff\xfe"), b"\xff\xfe"),
    ],
    ids=[
        "another secret",
        "another body",
        "stale",
        "from the future",
        "a time in words",
        "a time of 5000 digits",
        "a negative time",
        "no number",
        "no time",
        "an empty signature",
        "half a signature",
        "a body that is no text",
        "a signed body that is no text",
    ],
)
def test_what_is_not_slacks_is_refused_and_is_never_an_error(
    headers: Mapping[str, str], body: bytes
) -> None:
    answer = send("POST", "/slack/events", content=body, headers=dict(headers))
    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["X-Slack-Signature", "X-Slack-Request-Timestamp"])
@pytest.mark.parametrize("value", [b"v0=\xc3\xa9", b"\xff"])
def test_headers_that_are_no_ascii_are_refused(name: str, value: bytes) -> None:
    headers: Any = {**{k: v.encode() for k, v in signed().items()}, name: value}
    assert send("POST", "/slack/events", content=BODY, headers=headers).status_code == 401


def test_two_signatures_are_none() -> None:
    headers = list(signed().items())
    doubled = [*headers, ("X-Slack-Signature", "v0=00")]
    assert send("POST", "/slack/events", content=BODY, headers=doubled).status_code == 401


def test_more_than_slack_ever_sends_is_not_read() -> None:
    body = b"a" * 1_000_001
    assert send("POST", "/slack/events", content=body, headers=signed(body)).status_code == 413
