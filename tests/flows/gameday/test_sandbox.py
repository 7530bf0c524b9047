"""``clampdown sandbox``: a simulated AWS of one's own, from its first line to Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest

from flows.gameday.worlds import client
from tests.flows.commands import Commands, Running, until
from tests.flows.gameday.aws.answers import refused

BANK = Path(__file__).parent / "worlds" / "bank.yaml"


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


def test_a_sandbox_goes_by_the_settings_that_it_is_given(clampdown: Commands) -> None:
    given = ("--latency", "5", "--enforce-iam", "--iam-consistency", "0.5", "--seed", "7")
    with clampdown.start("sandbox", "--json", *given) as sandbox:
        url = announced(sandbox)["url"]
        for request in (("reset", b"null"), ("config", b"{}")):
            with urlopen(Request(f"{url}/_clampdown/{request[0]}", data=request[1])) as answer:
                settings = json.loads(answer.read())

    assert settings["latency_seconds"] == 0.005
    assert (settings["enforce_iam"], settings["iam_consistency_seconds"]) == (True, 0.5)
    assert settings["seed"] == 7


def test_iam_decides_where_that_is_asked_for(clampdown: Commands) -> None:
    with clampdown.start("sandbox", "--json", "--enforce-iam") as sandbox:
        world = announced(sandbox)
        iam = client(world["url"], world["region"], "iam")
        iam.create_user(UserName="somebody")
        key = iam.create_access_key(UserName="somebody")["AccessKey"]
        somebody = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"])
        ec2 = somebody.client("ec2", world["region"], endpoint_url=world["url"])
        with refused("UnauthorizedOperation"):
            ec2.describe_vpcs()


def test_the_same_seed_gives_the_same_ids(clampdown: Commands) -> None:
    ids = []
    for _ in range(2):
        with clampdown.start("sandbox", "--json", "--seed", "1") as sandbox:
            ids.append(announced(sandbox)["ids"])

    assert ids[0] == ids[1]


def test_a_world_file_says_what_is_in_a_sandbox(clampdown: Commands) -> None:
    with clampdown.start("sandbox", "--world", str(BANK)) as sandbox:
        said = sandbox.says("Ctrl-C ends it")
        sandbox.signal(signal.SIGINT)
        assert sandbox.end(within=10).code == 0

    ids = dict(line.split() for line in said.splitlines() if line.startswith("instances/"))
    assert f"--target {next(iter(ids.values()))}\n" in said


def test_a_world_file_that_is_none_is_invalid(clampdown: Commands, tmp_path: Path) -> None:
    absent = tmp_path / "absent.yaml"
    ended = clampdown("sandbox", "--world", str(absent))
    assert (ended.code, ended.out) == (2, "")
    assert "absent.yaml can't be read: No such file or directory" in ended.err

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nregion: eu-west-1\nvpc: {}\n")
    ended = clampdown("sandbox", "--world", str(wrong))
    assert (ended.code, ended.out) == (2, "")
    assert "wrong.yaml:3" in ended.err


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


@pytest.mark.parametrize("seconds", ["-1", "soon"])
def test_a_consistency_that_makes_no_sense_is_bad_usage(clampdown: Commands, seconds: str) -> None:
    ended = clampdown("sandbox", "--iam-consistency", seconds)

    assert ended.code == 2
    assert "--iam-consistency" in ended.err


def test_a_latency_that_makes_no_sense_is_bad_usage(clampdown: Commands) -> None:
    ended = clampdown("sandbox", "--latency", "-5")

    assert ended.code == 2
    assert "--latency" in ended.err
