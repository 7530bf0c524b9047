"""What tests of single steps share: a stage with the small world on it, and an incident there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runbooks.driver import Incident
from tests.runbooks.stage import Stage


@pytest.fixture
def incident(stage: Stage) -> Iterator[Incident]:
    incident = Incident(stage.url)
    yield incident
    incident.close()
