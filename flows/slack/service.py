"""The Slack face as a whole: connected, telling, and going on with what was unfinished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from starlette.types import ASGIApp

from flows.conductor import Conductor
from flows.journal.journal import Journal
from flows.listening import listening
from flows.settings import Settings
from flows.slack.app import build_app
from flows.slack.desk import Desk
from flows.slack.failures import FAILURES, code_of, reason
from flows.slack.http import http_app
from flows.slack.people import People
from flows.slack.poster import Poster
from flows.slack.posting import web_client
from flows.slack.settings import SlackSettings, places_of
from runbooks.errors import ClampdownError
from runbooks.playbook import Playbooks

# "up to 10 connections share the load": with two, one that Slack refreshes leaves no gap.
_CONNECTIONS = 2
# A connection that was cut without a word is noticed, and opened again, so much later at most.
_PING_EVERY = 5
# What is unfinished is not gone on with before it is known whether Slack takes the app's token; it
# waits no longer than this for a Slack that is down.
_REACHED_WITHIN = 3.0
_THREADS = 16
_RENEW_HOMES = timedelta(seconds=30)
_END_WITHIN = timedelta(seconds=20)
# Slack's words for a call that it would take at another time.
_MAY_PASS = {"ratelimited", "internal_error", "fatal_error", "service_unavailable", ""}
_LOG = logging.getLogger(__name__)
_SOCKETS = logging.getLogger(f"{__name__}.sockets")
# At DEBUG the SDK writes down whole requests: codes that people type, and addresses that let in.
for _talkative in (_SOCKETS, logging.getLogger("slack_sdk")):
    _talkative.setLevel(logging.INFO)


class SlackUnavailable(ClampdownError):
    """Slack refuses the app."""


@dataclass(frozen=True)
class SlackFace:
    """The app. ``team`` is the workspace's id, empty where Slack could not be reached yet.
    ``requests`` is what Slack's requests are given to in HTTP mode; None in Socket Mode."""

    desk: Desk
    poster: Poster
    team: str
    requests: ASGIApp | None


@dataclass(frozen=True)
class SlackService:
    """What runs. ``address`` is where Slack's requests come to in HTTP mode; empty in Socket Mode."""

    face: SlackFace
    address: str
    resumed: tuple[str, ...]


@asynccontextmanager
async def slack_service(
    settings: Settings,
    slack: SlackSettings,
    playbooks: Playbooks,
    *,
    http: bool,
    prefect: bool = True,
) -> AsyncIterator[SlackService]:
    """Run the Slack face alone until the block is left; then begin nothing new, and end.

    A Slack that is down keeps nothing that is unfinished from going on: it is told when it is back.

    Raises InvalidInput where playbooks.yaml has no place in Slack, SlackUnavailable,
    JournalUnavailable.
    """
    places_of(playbooks)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(threads_and_journal(settings))
        conductor = Conductor(
            settings, playbooks, journal, simulate=slack.simulate, prefect=prefect
        )
        face = await stack.enter_async_context(slack_face(slack, conductor, http=http))
        address = ""
        if face.requests:
            listens = listening(face.requests, slack.host, slack.port, "CLAMPDOWN_SLACK_PORT")
            address = await stack.enter_async_context(listens) + "/slack/events"
        resumed = await asyncio.to_thread(conductor.go_on_with_all)
        yield SlackService(face, address, tuple(resumed))


@asynccontextmanager
async def slack_face(
    slack: SlackSettings, conductor: Conductor, *, http: bool
) -> AsyncIterator[SlackFace]:
    """Have Slack told and listened to until the block is left; then end what the conductor carries.

    Raises InvalidInput where playbooks.yaml has no place in Slack, SlackUnavailable.
    """
    places_of(conductor.playbooks)
    token = slack.bot_token.get_secret_value()
    client = web_client(slack.api_url, token)
    team = await _workspace(client)
    if team and not http:
        await _require_app_token(client, slack)
    people = People(client, conductor.playbooks.approvers.values(), team)
    desk = Desk(client, people, conductor)
    poster = Poster(client, conductor.journal, conductor.playbooks)
    async with AsyncExitStack() as stack:
        for work in (poster.run(), _renewing(desk)):
            await stack.enter_async_context(_beside(work))
        secret = slack.signing_secret.get_secret_value() if http else None
        app = build_app(desk, signing_secret=secret, bot_token=token)
        if secret:
            yield SlackFace(desk, poster, team, http_app(app, secret))
        else:
            async with _connected(app, slack):
                yield SlackFace(desk, poster, team, None)
        await _end(desk, conductor, poster)


@asynccontextmanager
async def threads_and_journal(settings: Settings) -> AsyncIterator[Journal]:
    """The journal, and threads enough to ask it and the rest; both are ended with the block.

    A journal that is slow must not keep the few threads that asyncio has by default from looking up
    addresses, and so Slack from being answered.

    Raises JournalUnavailable.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "service"))
    journal = await asyncio.to_thread(Journal.open, settings.journal_url)
    try:
        yield journal
    finally:
        # A connection that is closed while a thread still asks something of it ends the process at
        # once: of what hangs at AWS, threads may be left.
        await loop.shutdown_default_executor()
        if not journal.in_hand:
            journal.close()


async def _workspace(client: AsyncWebClient) -> str:
    """The workspace's id; empty where Slack can't be reached. Raises SlackUnavailable."""
    try:
        async with asyncio.timeout(_REACHED_WITHIN):
            return str((await client.auth_test())["team_id"])
    except (*FAILURES, ValueError) as error:
        if isinstance(error, SlackApiError) and code_of(error) not in _MAY_PASS:
            raise SlackUnavailable(
                f"Slack refuses the app's token: {reason(error)}.",
                advice="Nothing was started. docs/slack.md says where the token is found.",
            ) from error
        _LOG.warning(
            "Slack can't be reached at %s (%s). What is unfinished goes on, and is told when Slack "
            "is back; `clampdown approve` works without it.",
            client.base_url,
            reason(error),
        )
        return ""


async def _require_app_token(client: AsyncWebClient, slack: SlackSettings) -> None:
    """Raise SlackUnavailable where Slack will open no connection: the SDK would try for ever."""
    token = slack.app_token.get_secret_value()
    try:
        await client.apps_connections_open(app_token=token)
    except (*FAILURES, ValueError) as error:
        if isinstance(error, SlackApiError) and code_of(error) not in _MAY_PASS:
            raise SlackUnavailable(
                f"Slack opens no connection for the app: {reason(error)}.",
                advice="Socket Mode must be on, and the app's token have connections:write.",
            ) from error


@asynccontextmanager
async def _connected(app: AsyncApp, slack: SlackSettings) -> AsyncIterator[None]:
    """Socket Mode: Slack's requests come over WebSockets that this process opens, and opens again."""
    handlers = [
        AsyncSocketModeHandler(
            app,
            slack.app_token.get_secret_value(),
            web_client=web_client(slack.api_url),
            logger=_SOCKETS,
            ping_interval=_PING_EVERY,
        )
        for _ in range(_CONNECTIONS)
    ]
    connecting: list[asyncio.Task[None]] = [
        asyncio.create_task(handler.connect_async())  # type: ignore[no-untyped-call]
        for handler in handlers
    ]
    try:
        # With one of them Slack can tell; the others, and a Slack that is down, are not waited for.
        await asyncio.wait(connecting, timeout=_REACHED_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        for handler in handlers:
            await handler.close_async()  # type: ignore[no-untyped-call]


def _without_traceback(record: logging.LogRecord) -> bool:
    """The SDK shows one whenever Slack can't be reached; what happened stands in the line before."""
    record.exc_info = None
    return True


_SOCKETS.addFilter(_without_traceback)


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have something done meanwhile; it has ended when the block is left."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _renewing(desk: Desk) -> None:
    while True:
        await asyncio.sleep(_RENEW_HOMES.total_seconds())
        await desk.renew_homes()


async def _end(desk: Desk, conductor: Conductor, poster: Poster) -> None:
    """Begin nothing new, wait for what is in flight, and have it told."""
    stopping = asyncio.create_task(asyncio.to_thread(conductor.stop, _END_WITHIN))
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_WITHIN.total_seconds()):
            await desk.finish()
    if left := await stopping:
        _LOG.warning("Still under way at the end, to be resumed: %s", ", ".join(left))
    await _all_told(poster)


async def _all_told(poster: Poster) -> None:
    """Give Slack a moment to hear the end; what it doesn't hear is told after the next start."""
    for _ in range(20):
        if poster.behind == 0:
            return
        await asyncio.sleep(0.1)
