"""Where the checks run: the simulated AWS of this process, or plain moto_server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.request import Request, urlopen

from benchmarks.fidelity.account import Account, Ids, build
from flows.gameday.aws.memory import Memory
from flows.gameday.aws.server import SimulatedAws

_MOTO = Path(sys.executable).with_name("moto_server")


class Site(Protocol):
    """A server that gives the account as it was built, as often as asked."""

    def fresh(self) -> Account: ...


class Ours:
    """The simulated AWS. The account is built once and remembered."""

    def __init__(self, aws: SimulatedAws) -> None:
        self._aws = aws
        self._built: tuple[Memory, Ids] | None = None

    def fresh(self) -> Account:
        if self._built is None:
            self._aws.reset()
            ids = build(self._aws.url)
            self._built = self._aws.remember(), ids
        memory, ids = self._built
        self._aws.recall(memory)
        return Account(self._aws.url, ids, self._aws.configure, self._enforce)

    def _enforce(self) -> None:
        self._aws.configure(enforce_iam=True)


class Plain:
    """moto_server as it comes; the account is built anew each time."""

    def __init__(self, url: str) -> None:
        self._url = url

    def fresh(self) -> Account:
        self._enforcement("inf")
        self._post("/moto-api/reset")
        return Account(self._url, build(self._url), _ignored, lambda: self._enforcement("0"))

    def _enforcement(self, after: str) -> None:
        self._post("/moto-api/reset-auth", after)

    def _post(self, path: str, body: str = "") -> None:
        # With another content type moto takes the body for a form, and drops it.
        headers = {"Content-Type": "text/plain"}
        with urlopen(Request(self._url + path, body.encode(), headers, method="POST")):
            return


def _ignored(**_settings: object) -> None:
    """moto has no such times."""


@contextmanager
def plain_moto(port: int) -> Iterator[Plain]:
    """moto_server in a process of its own."""
    process = subprocess.Popen(
        [str(_MOTO), "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                with urlopen(f"{url}/moto-api/data.json", timeout=2):
                    break
            except OSError:
                time.sleep(0.05)
        yield Plain(url)
    finally:
        process.terminate()
        process.wait(timeout=10)
