"""Listening for HTTP in the loop that runs, until the block is left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from runbooks.errors import InvalidInput

# Whoever can reach the port must not take away the file descriptors that containments need.
_MOST_CONNECTIONS = 256
# uvicorn waits without end for a request's headers, for what follows an answer that was given
# before all of the body was there, and for those who read no answer.
_LONGEST_CONNECTION = 20.0
# After that, what is still being answered is given up at the end.
_END_WITHIN = 30


@asynccontextmanager
async def listening(app: ASGIApp, host: str, port: int, setting: str) -> AsyncIterator[str]:
    """Serve an app on a port, 0 for a free one; gives ``http://host:port`` with the real port.

    Of a host name's addresses the first is taken. ``setting`` names where the port comes from, for
    whoever has to choose another one. Signals are left to whoever runs the service.

    Raises InvalidInput where nothing can listen there.
    """
    bound = await _bound(host, port, setting)
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        # Lower ones would write down whatever anybody sends.
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_END_WITHIN,
    )
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve([bound]))
    try:
        while not server.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)
        yield _address(bound)
    finally:
        server.should_exit = True
        await serving


async def _bound(host: str, port: int, setting: str) -> socket.socket:
    # uvicorn ends the process where it can't listen.
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InvalidInput(
            f"Nothing can listen on port {port} of {host}: {reason}.",
            advice=f"{setting} takes another one; 0 a free one.",
        ) from error


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


class _Connection(H11Protocol):
    """A connection that nobody holds for long; what is being answered then is answered still."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._last = self.loop.call_later(_LONGEST_CONNECTION, self._end)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._last.cancel()
        super().connection_lost(exc)

    def _end(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.shutdown()
