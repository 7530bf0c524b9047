"""What tests of single steps share: a stage with the small world on it, and an incident there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.gameday.aws.server import SimulatedAws
from tests.runbooks.driver import Incident
from tests.runbooks.stage import Stage


@pytest.fixture
def stage(simulated_aws: SimulatedAws) -> Stage:
    stage = Stage(simulated_aws)
    stage.set_up()
    return stage


@pytest.fixture
def incident(stage: Stage) -> Iterator[Incident]:
    incident = Incident(stage.url)
    yield incident
    incident.close()
