"""An office with the simulated Slack and the simulated AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.gameday.slack.server import SimulatedSlack
from flows.slack import pace
from tests.flows.scene import Scene
from tests.flows.slack.office import Office


@pytest.fixture
def office(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """Nothing is open yet: ``office.open()`` starts the app, which Slack never slows down."""
    monkeypatch.setattr(pace, "_PER_SECOND", 1_000.0)
    with SimulatedSlack(unlimited=True) as slack:
        made = Office(scene, slack)
        yield made
        made.close()
