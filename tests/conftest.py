"""What all tests share: one simulated AWS per process, reset for each test, and the small world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, build, load_world

# No test reaches anything but this machine, whatever the developer's environment holds.
for name in [name for name in os.environ if name.startswith(("AWS_", "CLAMPDOWN_"))]:
    if name not in {"CLAMPDOWN_SHARED_DATA", "CLAMPDOWN_TEST_POSTGRES"}:
        del os.environ[name]
os.environ.update(
    AWS_ACCESS_KEY_ID="AKIATEST000000000000",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_EC2_METADATA_DISABLED="true",
)

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def _server() -> Iterator[SimulatedAws]:
    with SimulatedAws() as aws:
        yield aws


@pytest.fixture
def simulated_aws(_server: SimulatedAws) -> SimulatedAws:
    """A simulated AWS with nothing in it, in which nothing takes time."""
    _server.reset()
    return _server


@pytest.fixture
def world(simulated_aws: SimulatedAws) -> WorldIds:
    """The small world; the calls that built it are forgotten."""
    built = build(load_world("small"), simulated_aws.url)
    simulated_aws.calls.clear()
    return built
