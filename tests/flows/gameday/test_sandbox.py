"""``clampdown sandbox``: a simulated AWS of one's own, from its first line to Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.flows.commands import Commands, Running, until


@pytest.fixture
def clampdown(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def announced(sandbox: Running) -> Any:
    """What it prints once it answers."""
    until(lambda: "}\n}" in sandbox.out or not sandbox.alive, "the sandbox to be ready")
    return json.loads(sandbox.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sandbox_prints_what_is_in_it_answers_and_ends_with_0(
    clampdown: Commands, number: int
) -> None:
    with clampdown.start("sandbox", "--json") as sandbox:
        world = announced(sandbox)
        with urlopen(f"{world['url']}/_clampdown/health", timeout=5) as answer:
            assert json.loads(answer.read())["healthy"]
        planned = clampdown(
            "plan", "contain", "--target", world["ids"]["victim"], "--simulate", world["url"]
        )
        sandbox.signal(number)
        ended = sandbox.end(within=10)

    assert planned.code == 0
    assert (ended.code, ended.err) == (0, "")
    assert world["account"] == "123456789012"


def test_a_sandbox_says_in_words_how_to_use_it(clampdown: Commands) -> None:
    with clampdown.start("sandbox") as sandbox:
        said = sandbox.says("Ctrl-C ends it")
        sandbox.signal(signal.SIGINT)
        assert sandbox.end(within=10).code == 0

    assert "nothing here is real" in said
    [export] = [line.strip() for line in said.splitlines() if line.strip().startswith("export ")]
    assert "CLAMPDOWN_SIMULATE=http://127.0.0.1:" in export
    [victim] = [line.split()[-1] for line in said.splitlines() if line.startswith("victim ")]
    assert f"--target {victim}" in said


def test_a_port_that_is_taken_is_said_to_be(clampdown: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = clampdown("sandbox", "--port", port)

    assert (ended.code, ended.out) == (1, "")
    assert port in ended.err
    assert "--port" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "70000", "http"])
def test_a_port_that_is_none_is_bad_usage(clampdown: Commands, port: str) -> None:
    ended = clampdown("sandbox", "--port", port)

    assert ended.code == 2
    assert "--port" in ended.err


def test_a_latency_that_makes_no_sense_is_bad_usage(clampdown: Commands) -> None:
    ended = clampdown("sandbox", "--latency", "-5")

    assert ended.code == 2
    assert "--latency" in ended.err
