"""HTTP in front of the simulated AWS: one connection serves many calls, and what all of them send is
read without detours."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

HOST = "127.0.0.1"
_LONGEST_LINE = 65_536
_MOST_HEADERS = 100

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def server(port: int, application: Application) -> Any:
    """A server on this machine that has the application answer; ``port`` 0 takes a free one.

    It is Werkzeug's, with a thread for each connection. Raises OSError where the port is taken.
    """
    from werkzeug.serving import make_server

    return make_server(HOST, port, application, threaded=True, request_handler=_handler())


class _Headers:
    """The headers of a request, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def get(self, name: str, default: str = "") -> str:
        wanted = name.lower()
        return next((value for known, value in self.all if known.lower() == wanted), default)

    def items(self) -> Iterator[tuple[str, str]]:
        return iter(self.all)

    def keys(self) -> Iterator[str]:
        return (name for name, _ in self.all)


def _handler() -> Any:
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    base: Any = MotoRequestHandler

    class Handler(base):  # type: ignore[misc]
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def parse_request(self) -> bool:
            """Read the head of a request. Python reads headers as if they were a mail's, which
            takes a tenth of a call."""
            words = self.raw_requestline.decode("iso-8859-1").split()
            if len(words) != 3 or words[2] != "HTTP/1.1":
                return bool(super().parse_request())
            self.requestline = " ".join(words)
            self.command, self.path, self.request_version = words
            # As Python does it, so that no path is taken for a host.
            self.path = "/" + self.path.lstrip("/") if self.path[:2] == "//" else self.path
            self.close_connection = False
            self.headers = _Headers()
            while (line := self.rfile.readline(_LONGEST_LINE + 1)) not in (b"\r\n", b"\n"):
                name, colon, value = line.decode("iso-8859-1").partition(":")
                if not line:
                    # The caller is gone.
                    self.close_connection = True
                    return False
                if not colon or len(line) > _LONGEST_LINE:
                    self.close_connection = True
                    self.send_error(HTTPStatus.BAD_REQUEST, "Not a header")
                    return False
                self.headers.all.append((name, value.strip()))
                if len(self.headers.all) > _MOST_HEADERS:
                    self.close_connection = True
                    self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                    return False
            self.close_connection = self.headers.get("Connection").lower() == "close"
            if self.headers.get("Expect").lower() == "100-continue":
                self.handle_expect_100()
            return True

        def make_environ(self) -> dict[str, Any]:
            """The request in WSGI; what goes to ``/`` has nothing in it to be decoded."""
            names = {name.lower() for name, _ in self.headers.items()}
            if self.path != "/" or any("_" in name for name in names):
                return dict(super().make_environ())
            environ: dict[str, Any] = {
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.input": self.rfile,
                "wsgi.errors": sys.stderr,
                "wsgi.multithread": True,
                "wsgi.multiprocess": False,
                "wsgi.run_once": False,
                "werkzeug.socket": self.connection,
                "REQUEST_METHOD": self.command,
                "SCRIPT_NAME": "",
                "PATH_INFO": "/",
                "QUERY_STRING": "",
                "REQUEST_URI": "/",
                "RAW_URI": "/",
                "REMOTE_ADDR": self.client_address[0],
                "REMOTE_PORT": self.client_address[1],
                "SERVER_NAME": self.server.server_address[0],
                "SERVER_PORT": str(self.server.server_address[1]),
                "SERVER_PROTOCOL": self.request_version,
            }
            for name, value in self.headers.items():
                key = _environ_key(name)
                known = environ.get(key) if key.startswith("HTTP_") else None
                environ[key] = value if known is None else f"{known},{value}"
            if "transfer-encoding" in names:
                return dict(super().make_environ())
            return environ

        def run_wsgi(self) -> None:
            """Answer one request; Werkzeug would close the connection after it."""
            self.environ = self.make_environ()
            begun: list[tuple[str, list[tuple[str, str]]]] = []
            try:
                parts = self.server.app(self.environ, lambda *given: begun.append(given[:2]))
            except ConnectionError:
                self.close_connection = True
                return
            status, headers = begun[-1]
            answer = b"".join(parts)
            length = str(len(answer))
            head = [f"{self.protocol_version} {status}", f"Server: {self.version_string()}"]
            head.append(f"Date: {_date(int(time.time()))}")
            for name, value in headers:
                kind = name.lower()
                if kind == "content-length" and self.command == "HEAD":
                    # The length of what isn't sent.
                    length = value
                elif kind not in ("connection", "content-length"):
                    head.append(f"{name}: {value}")
            head += (f"Content-Length: {length}", "", "")
            sent = "\r\n".join(head).encode("iso-8859-1")
            # At once: the client is told by one packet, if it fits.
            self.wfile.write(sent if self.command == "HEAD" else sent + answer)

        def log_request(self, *arguments: Any) -> None:
            """Calls are recorded, not logged."""

    return Handler


@lru_cache(maxsize=256)
def _environ_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
