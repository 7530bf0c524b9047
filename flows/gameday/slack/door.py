"""The connections to the simulated Slack, so that they can be cut as a network cuts them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

_CUT = "clampdown.cut"


class Door:
    """All open connections. While it is closed, new ones are cut before anything is read."""

    def __init__(self) -> None:
        self.closed = False
        self._transports: set[asyncio.Transport] = set()

    def enter(self, transport: asyncio.Transport) -> bool:
        """Whether the connection may stay."""
        self._transports = {known for known in self._transports if not known.is_closing()}
        if self.closed:
            transport.abort()
            return False
        self._transports.add(transport)
        return True

    def cut_all(self) -> None:
        """Cut every connection, also those that have become WebSockets."""
        for transport in self._transports:
            transport.abort()
        self._transports.clear()

    def protocol(self) -> type[H11Protocol]:
        """uvicorn's HTTP, with connections that go through this door."""
        door = self

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if not door.enter(transport):
                    return
                answer = self.app

                async def cuttable(scope: Any, receive: Any, send: Any) -> None:
                    scope[_CUT] = transport
                    await answer(scope, receive, send)

                self.app = cast(Any, cuttable)

        return Protocol


class Server(uvicorn.Server):
    """uvicorn behind a door. It ends at once when ``over`` is set, and waits for nobody."""

    def __init__(self, application: Starlette, door: Door) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=door.protocol(),
                ws="websockets-sansio",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
            )
        )
        self.over = asyncio.Event()
        self._door = door

    async def main_loop(self) -> None:
        await self.over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._door.cut_all()


async def cut(scope: Any) -> None:
    """Cut the connection of the request that has this scope."""
    scope[_CUT].abort()
    # The server notices it in the next turn of the loop, and then sends nothing more.
    await asyncio.sleep(0)
