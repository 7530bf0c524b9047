"""Prefect's server: the one that shows a single run, and the one with the UI that stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

_HOST = "127.0.0.1"
_URL_FILE = "ui-url"
_LOG_FILE = "server.log"
# Everything that matters was recorded before; its database survives a server that is killed.
_END = timedelta(seconds=3)


class NoAnswer(Exception):
    """Prefect's server does not answer. Nothing but a view depends on it."""


class EmbeddedServer:
    """Prefect's server in a process of its own, for as long as one run is shown.

    It ends with the process that has started it, however that ends. Prefect's own ephemeral server
    does not, and would have this process import all of the server's code.

    ``home`` is where its database and its log are. ``url`` is its API's; it answers once
    :func:`require_answer` returns. ``ui`` is whether it has Prefect's UI; a server with it is
    announced, so that other commands on this machine show their runs there. ``port`` 0 takes a
    free one.
    """

    def __init__(self, home: Path, *, ui: bool = False, port: int = 0) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._announced = home / _URL_FILE if ui else None
        server_only = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        with (
            socket.create_server((_HOST, port)) as listening,
            (home / _LOG_FILE).open("ab") as log,
        ):
            self.port = int(listening.getsockname()[1])
            self.url = f"http://{_HOST}:{self.port}/api"
            server_only |= {"PREFECT_UI_API_URL": self.url} if ui else {"PREFECT_UI_ENABLED": "0"}
            self._process = subprocess.Popen(
                # Without -P, a uvicorn.py in the current directory would be run.
                [sys.executable, "-P", "-m", "flows.prefect_server", str(listening.fileno())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **server_only},
                pass_fds=[listening.fileno()],
                # Ctrl-C is for the containment to handle; the server ends when it has ended.
                start_new_session=True,
            )
        if self._announced:
            self._announced.write_text(self.url, encoding="utf-8")

    @property
    def running(self) -> bool:
        """Whether its process lives; it may not answer yet."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it. What was not recorded yet is lost to the view."""
        if self._announced:
            self._announced.unlink(missing_ok=True)
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(_END.total_seconds())
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def embed_prefect(home: Path) -> None:
    """Settings for a Prefect that stays on this machine, unless the user has a server of their own.

    They must be in the environment before Prefect is imported.
    """
    home.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        # What fails is told by Clampdown, in sentences; Prefect would print it a second time.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # This machine is never behind the proxy that others may be behind.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if _HOST not in direct.split(","):
        os.environ["no_proxy"] = f"{direct},{_HOST}".lstrip(",")


def require_answer(url: str, within: timedelta) -> None:
    """Wait until the server at an API's URL answers. Raises NoAnswer."""
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(f"{url}/health", timeout=within.total_seconds()):
            return
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", "") or error
        raise NoAnswer(f"Prefect's server at {url} does not answer ({reason})") from error


def serve_ui(home: Path, port: int) -> int:
    """Run Prefect's server with its UI on 127.0.0.1 until Ctrl-C; returns its exit code.

    While it runs, ``clampdown run`` reports to it instead of starting a server of its own.
    """
    embed_prefect(home)
    url = f"http://{_HOST}:{port}/api"
    os.environ["PREFECT_API_URL"] = url
    announced = home / _URL_FILE
    announced.write_text(url, encoding="utf-8")
    print(f"Prefect's UI: http://{_HOST}:{port}  (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-P", "-m", "prefect", "server", "start"]
    try:
        return subprocess.call([*command, "--host", _HOST, "--port", str(port)])
    except KeyboardInterrupt:
        return 0
    finally:
        announced.unlink(missing_ok=True)


def running_ui(home: Path) -> str | None:
    """The API's URL of a server that ``clampdown ui`` runs on this machine; None if none answers."""
    try:
        url = (home / _URL_FILE).read_text(encoding="utf-8").strip()
        require_answer(url, timedelta(seconds=1))
    except (OSError, NoAnswer):
        return None
    return url


def _serve(listening: socket.socket) -> None:
    """Answer on the socket until standard input ends: until whoever started this is gone."""
    import uvicorn
    from prefect.server.api.server import create_app

    app: Any = create_app
    server = uvicorn.Server(uvicorn.Config(app, factory=True, log_level="error", lifespan="on"))

    def end_with_parent() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    server.run(sockets=[listening])


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
