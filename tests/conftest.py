"""What all tests share: one simulated AWS per process, reset for each test, and the small world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import botocore.parsers
import pytest
from botocore.loaders import JSONFileLoader
from botocore.utils import parse_timestamp

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.runbooks.stage import Stage, set_up_world

# No test reaches anything but this machine, whatever the developer's environment holds.
for name in [name for name in os.environ if name.startswith(("AWS_", "CLAMPDOWN_"))]:
    if name not in {"CLAMPDOWN_SHARED_DATA", "CLAMPDOWN_TEST_POSTGRES"}:
        del os.environ[name]
# Nor does it matter which terminal they are run in, and how wide that is.
os.environ.pop("COLUMNS", None)
os.environ.pop("NO_COLOR", None)
os.environ["TERM"] = "xterm-256color"
os.environ.update(
    AWS_ACCESS_KEY_ID="AKIATEST000000000000",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_EC2_METADATA_DISABLED="true",
)

# Every session of botocore reads its models anew, which takes longer than most tests do.
_read = JSONFileLoader.load_file


@cache
def _read_once(path: str) -> Any:
    return _read(JSONFileLoader(), path)


def _load_file(self: JSONFileLoader, path: str) -> Any:
    # A client of S3 takes the bucket out of the paths in its model, which then is only its own.
    return _read(self, path) if "/s3/" in path else _read_once(path)


JSONFileLoader.load_file = _load_file  # type: ignore[method-assign]
# Nor need the few times that most answers repeat be worked out each time.
botocore.parsers.DEFAULT_TIMESTAMP_PARSER = lru_cache(parse_timestamp)

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, those with a limit of their own: begun last, one of
    them would keep one processor busy while the others have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


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
    return set_up_world(simulated_aws)


@pytest.fixture
def stage(simulated_aws: SimulatedAws) -> Stage:
    """The stage with the small world on it."""
    stage = Stage(simulated_aws)
    stage.set_up()
    return stage
