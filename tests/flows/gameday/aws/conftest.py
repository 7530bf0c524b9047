"""Clients on the simulated AWS with the small world in it, and the errors that AWS answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds, client

Client = Callable[[str], Any]


@pytest.fixture
def aws(world: WorldIds) -> Client:
    """A client of the world's Region, by the name of the service."""
    return lambda service: client(world.url, world.region, service)


@pytest.fixture
def ec2(aws: Client) -> Any:
    return aws("ec2")
