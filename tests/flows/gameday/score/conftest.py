"""Drills written by hand, each with a home of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.gameday.score.rehearsal import Rehearsal

Make = Callable[..., Rehearsal]


@pytest.fixture
def rehearse(tmp_path: Path) -> Iterator[Make]:
    """Makes rehearsals under one CLAMPDOWN_HOME."""
    made: list[Rehearsal] = []

    def make(*objectives: Any, **more: Any) -> Rehearsal:
        made.append(Rehearsal(tmp_path, *objectives, **more))
        return made[-1]

    yield make
    for rehearsal in made:
        rehearsal.journal.close()
