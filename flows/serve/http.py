"""The HTTP face of the service: is it alive, can it work, its figures, and findings by webhook.

Nothing here is meant for browsers: no cookies, no CORS, and what changes something is refused to
whatever sends an ``Origin``.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.intake_desk import Taken
from flows.listening import listening
from flows.serve.metrics import Metrics, Take
from runbooks.errors import ClampdownError

Policy = Literal["public", "token", "slack"]

POLICIES: Mapping[str, Policy] = {
    "/health": "public",
    "/ready": "public",
    "/metrics": "public",
    "/findings": "token",
    "/slack/events": "slack",
}
"""Who may ask for what: anybody; whoever has the webhook's token; Slack, by its signature."""

# As large as the largest message of SQS, by which findings come otherwise.
_LARGEST_BODY = 1 << 20
_BODY_WITHIN = 10.0
_READY_WITHIN = 5.0
# Whoever waits longer is told to come again. What they sent goes on, and is known when they do.
_TAKEN_WITHIN = 15.0
_AGAIN_SECONDS = 10
_AT_ONCE = 4
_LOG = logging.getLogger(__name__)


def http_app(
    *,
    ready: Callable[[], list[str]],
    take: Take | None,
    webhook_token: str,
    slack: ASGIApp | None,
    metrics: Metrics,
) -> ASGIApp:
    """The ASGI application.

    ``ready`` says what keeps the service from working, nothing where nothing does. ``take`` is
    given each document that is sent to ``/findings``; without it, or without a ``webhook_token``,
    there is no such path. ``slack`` is given what is sent to ``/slack/events`` and checks Slack's
    signature itself.
    """
    return _Guard(
        Starlette(
            routes=routes(
                ready=ready, take=take, webhook_token=webhook_token, slack=slack, metrics=metrics
            )
        )
    )


def serve_http(app: ASGIApp, host: str, port: int) -> AbstractAsyncContextManager[str]:
    """Serve the app until the block is left; gives its URL. Raises InvalidInput."""
    return listening(app, host, port, "CLAMPDOWN_PORT")


def routes(
    *,
    ready: Callable[[], list[str]],
    take: Take | None,
    webhook_token: str,
    slack: ASGIApp | None,
    metrics: Metrics,
) -> list[Route]:
    """The paths that there are, each of which POLICIES names."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def figures(_: Request) -> Response:
        return Response(metrics.text(), media_type=metrics.MEDIA_TYPE)

    found = [
        Route("/health", health),
        Route("/ready", _Ready(ready).answer),
        Route("/metrics", figures),
    ]
    if take is not None and (token := webhook_token.strip()):
        found.append(Route("/findings", _Webhook(take, token).answer, methods=["POST"]))
    if slack is not None:
        found.append(Route("/slack/events", _Delegated(slack), methods=["POST"]))
    return found


class _Guard:
    """Lets no browser change anything, and waits for no body longer than it may take."""

    def __init__(self, inner: Starlette) -> None:
        # What leads elsewhere would lead to whichever host the request names.
        inner.router.redirect_slashes = False
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        changes = scope["method"] not in {"GET", "HEAD"}
        if changes and any(name.lower() == b"origin" for name, _ in scope["headers"]):
            await PlainTextResponse("not for browsers", 403)(scope, receive, send)
        else:
            await self._inner(scope, _impatient(receive), send)


def _impatient(receive: Receive) -> Receive:
    """What takes a body that does not come in time for one that was given up."""
    ends = time.monotonic() + _BODY_WITHIN
    whole = False

    async def read() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(ends - time.monotonic()):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    return read


class _Delegated:
    """Another application, as it is: a Route takes a function for something else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Ready:
    """Whether the service can work. Whoever asks meanwhile gets the same answer: what is asked of
    the journal does not grow with how many ask."""

    def __init__(self, ready: Callable[[], list[str]]) -> None:
        self._ready = ready
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ready")
        self._asking: asyncio.Future[list[str]] | None = None

    async def answer(self, _: Request) -> Response:
        if self._asking is None or self._asking.done():
            loop = asyncio.get_running_loop()
            self._asking = loop.run_in_executor(self._thread, self._reasons)
        try:
            async with asyncio.timeout(_READY_WITHIN):
                reasons = await asyncio.shield(self._asking)
        except TimeoutError:
            reasons = [f"What it needs has not answered within {_READY_WITHIN:g} seconds."]
        return JSONResponse(reasons, 503 if reasons else 200)

    def _reasons(self) -> list[str]:
        try:
            return self._ready()
        except ClampdownError as error:
            return [str(error)]


class _Webhook:
    """Takes findings of whoever has the token."""

    def __init__(self, take: Take, token: str) -> None:
        self._take = take
        self._token = token.encode()
        # Threads of its own, and few: whatever they wait for, the rest of the service has others.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="webhook")

    async def answer(self, request: Request) -> Response:
        if not self._may(request):
            return _refusal(401, "The token is missing or wrong.", {"WWW-Authenticate": "Bearer"})
        try:
            document = await _body(request)
        except ClientDisconnect:
            return _refusal(408, "The body did not come in time.", {"Connection": "close"})
        if document is None:
            return _refusal(413, f"The body is larger than {_LARGEST_BODY} bytes.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_TAKEN_WITHIN):
                taken = await loop.run_in_executor(self._threads, self._take, document, "webhook")
        except (ClampdownError, TimeoutError) as error:
            _LOG.warning(
                "A document from the webhook can't be taken now: %s", str(error) or "no answer"
            )
            again = {"Retry-After": str(_AGAIN_SECONDS)}
            return _refusal(503, "It can't be taken now. Send it again.", again)
        return _answer(taken)

    def _may(self, request: Request) -> bool:
        given = request.headers.getlist("authorization")
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(" ")
        # Header values are read as Latin-1 (ASGI gives bytes, Starlette text).
        right = hmac.compare_digest(token.strip().encode("latin-1"), self._token)
        return scheme.lower() == "bearer" and right


async def _body(request: Request) -> bytes | None:
    """The whole body; None where it is too large, of which no more is read.

    Raises ClientDisconnect where it ends too early.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > _LARGEST_BODY:
        return None
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            return None
    return bytes(body)


def _answer(taken: Taken) -> Response:
    """What is not understood is kept as a dead letter; but who sends nothing else should know."""
    understood = taken.findings > 0 or taken.rejected == 0
    body = {
        "findings": taken.findings,
        "rejected": taken.rejected,
        "incidents": list(taken.incidents),
    }
    return JSONResponse(body, 202 if understood else 422)


def _refusal(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": why}, status, headers=headers)
