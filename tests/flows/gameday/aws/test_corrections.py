"""moto's services are loaded when they are first asked for, and each is corrected then."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flows.gameday.aws.corrections import CORRECTIONS
from tests.conftest import ROOT

Corrected = dict[str, list[str]]
# What CloudFormation corrects in other services, nobody else uses.
OTHERS = [name for name in CORRECTIONS if name not in ("cloudformation", "moto_server")]


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[Corrected]]:
    """What is corrected in moto's modules, by what was loaded first, after that and what follows."""
    asked = ["sts", "batch", "cloudformation", ",".join([*OTHERS, "cloudformation"])]
    command = [sys.executable, "-m", "tests.flows.gameday.aws.loaded", *asked]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    return dict(zip(["sts", "batch", "cloudformation", "all"], lines, strict=True))


@pytest.mark.parametrize("service", ["sts", "batch", "cloudformation"])
def test_what_is_loaded_is_corrected_by_whatever_it_was_loaded(
    loaded: dict[str, list[Corrected]], service: str
) -> None:
    [there] = loaded[service]

    everything = loaded["all"][-1 if service == "cloudformation" else -2]
    assert {name: everything.get(name, []) for name in there} == there


def test_what_nobody_asks_for_is_not_loaded(loaded: dict[str, list[Corrected]]) -> None:
    [there] = loaded["sts"]

    assert there["moto.sts.models"]
    assert "moto.ec2.models" not in there
