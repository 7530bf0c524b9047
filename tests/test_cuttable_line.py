"""The line that other tests cut: whole it is not noticed, cut nothing gets through."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.cuttable_line import CuttableLine


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)
        self.wfile.write(b"that was all\n")


@pytest.fixture
def line() -> Iterator[CuttableLine]:
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with CuttableLine(server.server_address[1]) as line:
            yield line
        server.shutdown()


def call(line: CuttableLine) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=10)


def test_everything_gets_through_and_each_end_may_stop_talking_first(line: CuttableLine) -> None:
    much = b"x" * 1_000_000 + b"\n"
    with call(line) as caller, call(line) as other:
        caller.sendall(much)
        other.sendall(b"hello\n")
        other.shutdown(socket.SHUT_WR)
        assert other.makefile("rb").read() == b"hello\nthat was all\n"
        assert caller.makefile("rb").readline() == much
    deadline = time.monotonic() + 10
    while line.connections:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cut_it_is_as_if_the_server_were_gone_and_mended_as_if_it_were_back(
    line: CuttableLine,
) -> None:
    port = line.port
    for _ in range(3):
        with call(line) as caller:
            caller.sendall(b"hello\n")
            assert caller.recv(100) == b"hello\n"
            line.cut()
            assert caller.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            call(line)
        line.cut()
        line.mend()
        line.mend()
        assert line.port == port


def test_a_server_that_is_not_there_is_not_there_through_the_line_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with CuttableLine(port) as line, call(line) as caller:
        assert caller.recv(100) == b""
        assert line.connections == 0
