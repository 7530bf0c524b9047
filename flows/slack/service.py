"""The Slack face as a whole: connected, telling, and going on with what was unfinished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import uvicorn
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncConnectionErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from flows.conductor import Conductor
from flows.journal.journal import Journal
from flows.settings import Settings
from flows.slack.app import build_app
from flows.slack.desk import Desk
from flows.slack.http import http_app
from flows.slack.people import People
from flows.slack.poster import Poster
from flows.slack.settings import SlackSettings
from runbooks.errors import ClampdownError, InvalidInput
from runbooks.playbook import Playbooks

# "up to 10 connections share the load": with two, one that Slack refreshes leaves no gap.
_CONNECTIONS = 2
_ANSWERS_WITHIN = 10
_RENEW_HOMES = timedelta(seconds=30)
_END_WITHIN = timedelta(seconds=20)
_LOG = logging.getLogger(__name__)


class SlackUnavailable(ClampdownError):
    """Slack refuses the app, or can't be reached."""


@dataclass(frozen=True)
class SlackService:
    """What runs. ``address`` is where Slack's requests come to in HTTP mode; empty in Socket Mode."""

    desk: Desk
    poster: Poster
    team: str
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
    """Run the Slack face until the block is left; then begin nothing new, and end.

    Raises InvalidInput where playbooks.yaml has no place in Slack, SlackUnavailable,
    JournalUnavailable.
    """
    if playbooks.slack is None:
        raise InvalidInput(
            "playbooks.yaml says nowhere where in Slack incidents are told.",
            advice="Give it `slack: {channel: C…}`; docs/slack.md says how.",
        )
    token = slack.bot_token.get_secret_value()
    client = AsyncWebClient(token, base_url=slack.api_url, timeout=_ANSWERS_WITHIN)
    # A request that was cut off may have been carried out: the poster looks before it posts again.
    client.retry_handlers = [
        handler
        for handler in client.retry_handlers
        if not isinstance(handler, AsyncConnectionErrorRetryHandler)
    ]
    team = await _workspace(client)
    journal = await asyncio.to_thread(Journal.open, settings.journal_url)
    conductor = Conductor(settings, playbooks, journal, simulate=slack.simulate, prefect=prefect)
    groups = [group for group in playbooks.approvers.values() if group.slack_team == team]
    people = People(client, team, [g.slack_usergroup for g in groups if g.slack_usergroup])
    desk = Desk(client, people, conductor)
    poster = Poster(client, journal, playbooks)
    secret = slack.signing_secret.get_secret_value() if http else None
    app = build_app(desk, signing_secret=secret, bot_token=token)
    async with AsyncExitStack() as stack:
        stack.callback(journal.close)
        if http and secret:
            address = await stack.enter_async_context(_listening(app, secret, slack))
        else:
            address = ""
            await stack.enter_async_context(_connected(app, slack, client))
        for work in (poster.run(), _renewing(desk)):
            stack.enter_context(_cancelled_in_the_end(asyncio.create_task(work)))
        resumed = await asyncio.to_thread(conductor.go_on_with_all)
        yield SlackService(desk, poster, team, address, tuple(resumed))
        await desk.finish()
        left = await asyncio.to_thread(conductor.stop, _END_WITHIN)
        if left:
            _LOG.warning("Still under way at the end, to be resumed: %s", ", ".join(left))
        await _all_told(poster)


async def _workspace(client: AsyncWebClient) -> str:
    try:
        answer = await client.auth_test()
    except SlackApiError as error:
        raise SlackUnavailable(
            f"Slack refuses the app's token: {error.response.get('error')}.",
            advice="Nothing was started. docs/slack.md says where the token is found.",
        ) from error
    except Exception as error:
        raise SlackUnavailable(
            f"Slack can't be reached at {client.base_url} ({type(error).__name__}).",
            advice="Nothing was started; `clampdown approve` works without Slack.",
        ) from error
    return str(answer["team_id"])


@asynccontextmanager
async def _connected(
    app: AsyncApp, slack: SlackSettings, client: AsyncWebClient
) -> AsyncIterator[None]:
    """Socket Mode: Slack's requests come over WebSockets that this process opens."""
    handlers = [
        AsyncSocketModeHandler(
            app,
            slack.app_token.get_secret_value(),
            web_client=AsyncWebClient(base_url=client.base_url, timeout=_ANSWERS_WITHIN),
            logger=_LOG,
        )
        for _ in range(_CONNECTIONS)
    ]
    try:
        for handler in handlers:
            await _connect(handler)
        yield
    finally:
        for handler in handlers:
            await handler.close_async()  # type: ignore[no-untyped-call]


async def _connect(handler: AsyncSocketModeHandler) -> None:
    try:
        await handler.connect_async()  # type: ignore[no-untyped-call]
    except SlackApiError as error:
        raise SlackUnavailable(
            f"Slack opens no connection for the app: {error.response.get('error')}.",
            advice="Socket Mode must be on, and the app's token have connections:write.",
        ) from error


@asynccontextmanager
async def _listening(app: AsyncApp, secret: str, slack: SlackSettings) -> AsyncIterator[str]:
    """HTTP mode: Slack's requests come to this machine."""
    config = uvicorn.Config(
        http_app(app, secret),
        host=slack.host,
        port=slack.port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
    )
    server = uvicorn.Server(config)
    # Signals are for whoever runs the service.
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        if serving.done():
            raise InvalidInput(
                f"Nothing can listen on port {slack.port} of {slack.host}.",
                advice="CLAMPDOWN_SLACK_PORT takes another one; 0 a free one.",
            )
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}/slack/events"
    finally:
        server.should_exit = True
        await serving


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


@contextmanager
def _cancelled_in_the_end(task: asyncio.Task[None]) -> Iterator[None]:
    try:
        yield
    finally:
        task.cancel()


async def _renewing(desk: Desk) -> None:
    while True:
        await asyncio.sleep(_RENEW_HOMES.total_seconds())
        await desk.renew_homes()


async def _all_told(poster: Poster) -> None:
    """Give Slack a moment to hear the end; what it doesn't hear is told after the next start."""
    for _ in range(20):
        if poster.behind == 0:
            return
        await asyncio.sleep(0.1)
