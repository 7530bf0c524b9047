from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.gameday.play.stage import Stage
from tests.flows.gameday.play.drilling import Director, quick


@pytest.fixture(scope="session")
def one_stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture
def director(one_stage: Stage, tmp_path: Path) -> Director:
    return Director(one_stage, tmp_path, quick(tmp_path / "playbooks.yaml"))
