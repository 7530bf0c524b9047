"""Plain moto_server, with the account in it as often as asked: its process is forked for each check.

moto takes seconds to empty an account and to build another; a fork has its own from the start.
``python -m benchmarks.fidelity.plain PORT`` is that process: moto's own application, as moto_server
serves it, that answers POST /fork with the port and the process id of a fork.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.fidelity.account import Account, Ids, build


class Plain:
    """A site of which each account is a process of its own, that ends with the next one."""

    def __init__(self, url: str, ids: Ids) -> None:
        self._url = url
        self._ids = ids
        self._forked: int | None = None

    def fresh(self) -> Account:
        self.end()
        with urlopen(_post(f"{self._url}/fork")) as answer:
            port, self._forked = json.load(answer)
        url = f"http://127.0.0.1:{port}"
        return Account(url, self._ids, _ignored, lambda: _enforced_after(url, "0"))

    def end(self) -> None:
        if self._forked is not None:
            os.kill(self._forked, signal.SIGTERM)
            self._forked = None


@contextmanager
def plain_moto() -> Iterator[Plain]:
    """moto_server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fidelity.plain", str(port)],
        env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            with suppress(OSError):
                _enforced_after(url, "inf")
                break
            time.sleep(0.05)
        plain = Plain(url, build(url))
        try:
            yield plain
        finally:
            plain.end()
    finally:
        process.terminate()
        process.wait(timeout=10)


def _ignored(**_settings: object) -> None:
    """moto has no such times."""


def _enforced_after(url: str, calls: str) -> None:
    with urlopen(_post(f"{url}/moto-api/reset-auth", calls)):
        return


def _post(url: str, body: str = "") -> Request:
    # With another content type moto takes the body for a form, and drops it.
    return Request(url, body.encode(), {"Content-Type": "text/plain"}, method="POST")


def _main(port: int) -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)

    def serve(port: int, answer: Any) -> Any:
        return make_server(
            "127.0.0.1", port, answer, threaded=True, request_handler=MotoRequestHandler
        )

    def forked() -> tuple[int, int]:
        server = serve(0, application)
        child = os.fork()
        if child == 0:
            os.environ["MOTO_PORT"] = str(server.server_port)
            server.serve_forever()
        server.server_close()
        return server.server_port, child

    def answer(environ: dict[str, Any], start: Any) -> Any:
        if environ["PATH_INFO"] != "/fork":
            return application(environ, start)
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(forked()).encode()]

    # Forks that have ended are nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    threading.Thread(target=serve(port, answer).serve_forever, daemon=True).start()
    signal.pause()


if __name__ == "__main__":
    _main(int(sys.argv[1]))
