"""A line to a server of this machine that can be cut and mended: the server gone for a while."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_HOST = "127.0.0.1"
_CHUNK = 65_536


class CuttableLine:
    """Forwards what comes to ``port`` on 127.0.0.1 to another address, until it is cut or held.

    Cut, it looks like a server that is gone: its connections are closed, and new ones are refused.
    Mended, it takes new ones on the same port; those that were cut stay so. Held, it looks like a
    server that hangs: nothing is closed or refused, and nothing gets through until it is mended.
    """

    def __init__(self, port: int, host: str = _HOST) -> None:
        self._to = (host, port)
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._flowing = threading.Event()
        self.port = 0
        self.mend()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        with self._lock:
            return len(self._connections)

    def mend(self) -> None:
        """Let connections through again. A line that is whole stays as it is."""
        self._flowing.set()
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server((_HOST, self.port))
                self.port = self._listener.getsockname()[1]
                _in_thread(self._accept, self._listener)

    def hold(self) -> None:
        """Let nothing through, without a word. What is being sent right now may still be."""
        self._flowing.clear()

    def cut(self) -> None:
        """Close every connection and refuse new ones. Nothing gets through when this returns."""
        self._flowing.set()
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._connections = self._connections, set()
        if listener is not None:
            # To close it alone wakes nobody who waits in accept().
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in connections:
            connection.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._to)
            except OSError:
                near.close()
                continue
            connection = _Connection(near, far, self._flowing, self._forget)
            with self._lock:
                if self._listener is listener:
                    self._connections.add(connection)
                    connection.start()
                    continue
            near.close()
            far.close()

    def _forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection:
    """The two ends of a connection, and a thread for each direction."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        flowing: threading.Event,
        ended: Callable[[_Connection], None],
    ) -> None:
        self._ends = (near, far)
        self._flowing = flowing
        self._ended = ended
        self._lock = threading.Lock()
        self._directions = 2
        self._threads: list[threading.Thread] = []
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        near, far = self._ends
        self._threads = [_in_thread(self._forward, *way) for way in ((near, far), (far, near))]

    def cut(self) -> None:
        self._hang_up()
        for thread in self._threads:
            thread.join()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_CHUNK):
                self._flowing.wait()
                sink.sendall(data)
            # Who has said everything may still listen.
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._hang_up()
        with self._lock:
            self._directions -= 1
            last = self._directions == 0
        if last:
            for end in self._ends:
                end.close()
            self._ended(self)

    def _hang_up(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _in_thread(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread
