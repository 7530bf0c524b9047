"""Socket Mode: WebSockets over which Slack sends envelopes, and the app acknowledges them.

docs.slack.dev, "Using Socket Mode": up to ten connections; each envelope goes to any one of them;
Slack renews connections, and warns about ten seconds before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from flows.gameday.slack.workspace import Workspace

MOST_CONNECTIONS = 10
_HOST = "applink-simulated"


class NotConnected(Exception):
    """The app has no connection that could take the envelope."""


class SocketMode:
    """The connections of the app. ``warning_seconds`` is how long before the end the warning comes.

    All of it runs in the server's loop.
    """

    def __init__(self, workspace: Workspace, warning_seconds: float = 10.0) -> None:
        self._workspace = workspace
        self._warning_seconds = warning_seconds
        self._connections: list[WebSocket] = []
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/link/", self._serve)]

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def send(self, envelope: dict[str, Any], seconds: float) -> Any:
        """What the app answers to an envelope; None where it merely acknowledges.

        Raises NotConnected, and TimeoutError where it takes longer than ``seconds``.
        """
        if not self._connections:
            raise NotConnected
        chosen = self._connections[self._workspace.ids.pick(len(self._connections))]
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[envelope["envelope_id"]] = future
        try:
            await _send(chosen, envelope)
            async with asyncio.timeout(seconds):
                return await future
        finally:
            self._waiting.pop(envelope["envelope_id"], None)

    async def renew(self, *, warn: bool = True) -> None:
        """End all connections as Slack does when it renews them; the app is to open new ones."""
        ending = list(self._connections)
        if warn:
            for connection in ending:
                await _send(connection, _disconnect("warning"))
            await asyncio.sleep(self._warning_seconds)
        for connection in ending:
            await _send(connection, _disconnect("refresh_requested"))
            await self._close(connection)

    async def close(self) -> None:
        """End all connections without a word."""
        for connection in list(self._connections):
            await self._close(connection)

    async def _serve(self, connection: WebSocket) -> None:
        ticket = connection.query_params.get("ticket", "")
        with self._workspace.changing():
            known = ticket in self._workspace.tickets
            self._workspace.tickets.discard(ticket)
        if not known:
            # Before it is accepted, this answers 403.
            await connection.close()
            return
        await connection.accept()
        if len(self._connections) >= MOST_CONNECTIONS:
            too_many = _disconnect("too_many_websockets")
            await _send(connection, {**too_many, "num_connections": len(self._connections)})
            await connection.close()
            return
        with self._workspace.changing():
            self._connections.append(connection)
        await _send(connection, self._hello())
        try:
            while True:
                self._acknowledged(await connection.receive_text())
        except (WebSocketDisconnect, RuntimeError):
            # Starlette raises RuntimeError where this side has closed it meanwhile.
            pass
        finally:
            self._lost(connection)

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self._connections),
            "debug_info": {
                "host": _HOST,
                "build_number": 1,
                "approximate_connection_time": 18060,
            },
            "connection_info": {"app_id": self._workspace.installation.app_id},
        }

    def _acknowledged(self, text: str) -> None:
        """An app may acknowledge on another connection than that on which it was told, as the SDKs
        do when they have changed to a new one."""
        try:
            message = json.loads(text)
            future = self._waiting[message["envelope_id"]]
        except (ValueError, TypeError, KeyError):
            return
        if not future.done():
            future.set_result(message.get("payload"))

    async def _close(self, connection: WebSocket) -> None:
        self._lost(connection)
        if connection.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await connection.close()

    def _lost(self, connection: WebSocket) -> None:
        with self._workspace.changing():
            if connection in self._connections:
                self._connections.remove(connection)


def _disconnect(reason: str) -> dict[str, Any]:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": _HOST}}


async def _send(connection: WebSocket, message: dict[str, Any]) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await connection.send_text(json.dumps(message))
