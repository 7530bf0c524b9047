"""HTTP mode: what Slack sends, taken in only with Slack's signature over its raw bytes."""

from __future__ import annotations

import logging

from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Slack's own are a few hundred kilobytes at most, a modal with all of its state.
_LARGEST_BODY = 1_000_000
_LOG = logging.getLogger(__name__)


def http_app(app: AsyncApp, signing_secret: str) -> ASGIApp:
    """The ASGI application: everything that Slack sends comes to ``/slack/events``."""
    handler = AsyncSlackRequestHandler(app)

    async def handle(request: Request) -> Response:
        return await handler.handle(request)

    inner = Starlette(routes=[Route("/slack/events", handle, methods=["POST"])])
    return Signed(inner, signing_secret)


class Signed:
    """Lets nothing pass without Slack's signature, on whichever path: 401, and never an error.

    Source: Slack, "Verifying requests from Slack". The signature covers the raw body, so it is
    checked before anything reads that.
    """

    def __init__(self, inner: ASGIApp, signing_secret: str) -> None:
        self._inner = inner
        self._verifier = SignatureVerifier(signing_secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            await PlainTextResponse("too large", 413)(scope, receive, send)
        elif not self._is_slacks(scope, body):
            await PlainTextResponse("not signed by Slack", 401)(scope, receive, send)
        else:
            await self._inner(scope, _again(body, receive), send)

    def _is_slacks(self, scope: Scope, body: bytes) -> bool:
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        signatures = [value for name, value in headers if name == b"x-slack-signature"]
        times = [value for name, value in headers if name == b"x-slack-request-timestamp"]
        if len(signatures) != 1 or len(times) != 1:
            return False
        try:
            return self._verifier.is_valid(body, times[0].decode(), signatures[0].decode())
        except (ValueError, TypeError):
            # A time that is no number, a signature or a body that is no text.
            return False


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is larger than anything that Slack sends."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives the body once more, and then goes on as before."""
    given = False

    async def read() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return read
