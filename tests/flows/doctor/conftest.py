"""A set-up to be broken, and somebody who looks at it."""

from __future__ import annotations

import pytest

from tests.flows.doctor.clinic import Clinic
from tests.flows.scene import Scene


@pytest.fixture
def clinic(scene: Scene) -> Clinic:
    """A set-up in which all is well as far as it goes, on the small world."""
    return Clinic(scene)
