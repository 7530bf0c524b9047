"""A simulated AWS in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from flows.gameday.worlds import build, load_world

LATENCY_MS = 50


@contextmanager
def sandbox(latency_ms: int = LATENCY_MS) -> Iterator[dict[str, Any]]:
    """Start ``clampdown sandbox``; yields what it prints with ``--json``, and its process's id."""
    command = [sys.executable, "-m", "flows.cli", "sandbox", "--json", "--latency", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text = ""
    world: dict[str, Any] | None = None
    for line in process.stdout:
        text += line
        try:
            world = json.loads(text)
        except json.JSONDecodeError:
            continue
        break
    if world is None:
        raise RuntimeError("the sandbox did not start")
    try:
        yield {**world, "pid": process.pid}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)


def fresh_world(url: str) -> str:
    """Empty the simulated AWS and build the small world in it; nothing in it takes time.

    Returns the victim's id.
    """
    post(url, "reset")
    instant = ("latency_seconds", "snapshot_seconds", "drain_seconds", "stack_seconds")
    post(url, "config", dict.fromkeys(instant, 0))
    return build(load_world("small"), url).victim


def calls(url: str) -> list[dict[str, Any]]:
    """Every call that the simulated AWS has answered."""
    with urlopen(f"{url}/_clampdown/calls") as answer:
        recorded: list[dict[str, Any]] = json.load(answer)["calls"]
    return recorded


def post(url: str, path: str, body: Any = None) -> None:
    data = json.dumps(body).encode()
    request = Request(f"{url}/_clampdown/{path}", data=data, method="POST")
    request.add_header("Content-Type", "text/plain")
    with urlopen(request):
        return
