"""Both templates, deployed once in a test process and brought back for each test."""

from __future__ import annotations

import pytest

from flows.gameday.aws.memory import Memory
from flows.gameday.aws.server import SimulatedAws
from tests.deployments.stacks import Deployment

_DEPLOYED: dict[str, tuple[Deployment, Memory]] = {}


@pytest.fixture
def deployment(simulated_aws: SimulatedAws) -> Deployment:
    """The templates, deployed with their defaults."""
    url = simulated_aws.url
    if url not in _DEPLOYED:
        _DEPLOYED[url] = Deployment(simulated_aws), simulated_aws.remember()
    made, memory = _DEPLOYED[url]
    simulated_aws.recall(memory)
    return made
