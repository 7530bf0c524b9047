"""A real bolt app against the simulated Slack: Socket Mode and HTTP, reconnecting by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.socket_mode.websockets import (
    AsyncSocketModeHandler as WebSocketsHandler,
)
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.apps import actions, button, modal, section, text_input


@pytest.fixture
def slack() -> Iterator[SimulatedSlack]:
    """With as much time for an answer as Slack gives."""
    with SimulatedSlack(unlimited=True, warning_seconds=0.05) as running:
        yield running


def bolt_app(slack: SimulatedSlack) -> AsyncApp:
    """An approval bot in small: a command posts a gate, and a click asks for a reason."""
    app = AsyncApp(
        client=AsyncWebClient(slack.installation.bot_token, base_url=slack.api_url),
        signing_secret=slack.installation.signing_secret,
    )

    @app.command("/clampdown")
    async def command(ack: Any, command: Any, client: Any) -> None:
        await ack(f"Containing {command['text']}.")
        blocks = [section(f"Contain `{command['text']}`?"), actions(button("deny", "Deny"))]
        await client.chat_postMessage(channel=command["channel_id"], text="Gate", blocks=blocks)

    @app.action("deny")
    async def deny(ack: Any, body: Any, client: Any) -> None:
        await ack()
        place = f"{body['channel']['id']} {body['message']['ts']}"
        view = modal(text_input("why", "Why?"), callback_id="why", private_metadata=place)
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @app.view("why")
    async def why(ack: Any, body: Any, view: Any, client: Any) -> None:
        reason = view["state"]["values"]["why"]["why_value"]["value"]
        if len(reason) < 5:
            await ack(response_action="errors", errors={"why": "Say more."})
            return
        await ack()
        channel, ts = view["private_metadata"].split()
        text = f"Denied by <@{body['user']['id']}>: {reason}"
        await client.chat_update(channel=channel, ts=ts, text=text, blocks=[section(text)])

    @app.event("app_home_opened")
    async def home(event: Any, client: Any) -> None:
        view = {"type": "home", "blocks": [section("Nothing waits for you.")]}
        await client.views_publish(user_id=event["user"], view=view)

    return app


@contextmanager
def running(work: Any) -> Iterator[None]:
    """Run ``work(started, stop)`` in a loop of its own thread."""
    loop = asyncio.new_event_loop()
    stop, started = asyncio.Event(), threading.Event()

    def run() -> None:
        loop.run_until_complete(work(started, stop))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@contextmanager
def connected(slack: SimulatedSlack, handler: Any, ping_interval: float = 1) -> Iterator[None]:
    """The bot on a WebSocket."""

    async def work(started: threading.Event, stop: asyncio.Event) -> None:
        token = slack.installation.app_token
        socket = handler(bolt_app(slack), token, ping_interval=ping_interval)
        await socket.connect_async()
        started.set()
        await stop.wait()
        await socket.close_async()

    with running(work):
        slack.until(lambda: slack.connections)
        yield


def decide(slack: SimulatedSlack, maria: Person, channel: Channel) -> None:
    """The whole conversation, from the command to the decision."""
    ack = maria.command("/clampdown i-0abc", channel)
    assert ack.ok
    assert ack.body in ({"text": "Containing i-0abc."}, "Containing i-0abc.")
    [gate] = slack.until(lambda: slack.messages(channel))
    assert maria.click(channel, gate.ts, "deny").ok
    view = slack.until(lambda: maria.modal)
    assert maria.submit(view, {"why": "no"}).ok
    assert maria.modal is not None
    assert maria.modal.errors == {"why": "Say more."}
    assert maria.submit(maria.modal, {"why": "a false alarm"}).ok
    assert maria.modal is None
    slack.until(lambda: "false alarm" in slack.messages(channel)[0].text)
    assert maria.open_home().ok
    slack.until(lambda: maria.home)
    assert [call.error for call in slack.calls if call.error] == []


@pytest.mark.parametrize(
    "handler", [AsyncSocketModeHandler, WebSocketsHandler], ids=["aiohttp", "websockets"]
)
def test_bolt_works_over_socket_mode(
    slack: SimulatedSlack, maria: Person, channel: Channel, handler: Any
) -> None:
    with connected(slack, handler):
        decide(slack, maria, channel)


def test_bolt_works_over_http(slack: SimulatedSlack, maria: Person, channel: Channel) -> None:
    port: list[int] = []

    async def work(started: threading.Event, stop: asyncio.Event) -> None:
        from aiohttp import web

        server = bolt_app(slack).server(port=0, path="/slack/events").web_app
        runner = web.AppRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.append(runner.addresses[0][1])
        started.set()
        await stop.wait()
        await runner.cleanup()

    with running(work):
        assert slack.use_http(f"http://127.0.0.1:{port[0]}/slack/events")
        decide(slack, maria, channel)


def test_bolt_comes_back_after_renewal_and_after_an_outage(
    slack: SimulatedSlack, maria: Person, channel: Channel
) -> None:
    with connected(slack, AsyncSocketModeHandler, ping_interval=1.5):

        def outage() -> None:
            slack.down()
            slack.up()

        for interruption in (slack.renew_sockets, slack.cut_sockets, outage):
            before = _connections_made(slack)
            interruption()
            _until_connected_again(slack, before)
            # While it changes from one connection to another, a command may still be lost.
            tries = [maria.command("/clampdown i-0abc", channel).ok for _ in range(3)]
            assert any(tries)


def _until_connected_again(slack: SimulatedSlack, before: int) -> None:
    slack.until(lambda: _connections_made(slack) > before and slack.connections, 20)


def _connections_made(slack: SimulatedSlack) -> int:
    return sum(call.method == "apps.connections.open" for call in slack.calls)
