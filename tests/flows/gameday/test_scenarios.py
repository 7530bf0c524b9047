"""Every scenario that ships, played to its end with the playbooks that ship: all of them pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.gameday.archive import assessed, drill_in
from flows.gameday.drills import CALLS, DIED, INJECTED
from flows.gameday.play.stage import Stage
from flows.gameday.run import run_drill
from flows.gameday.scenario_file import load_scenario, shipped
from flows.settings import Settings
from tests.conftest import ROOT

SEED = 11


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", shipped())
def test_a_scenario_that_ships_passes(name: str, stage: Stage, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    settings = Settings(home=tmp_path, playbooks=ROOT / "playbooks.yaml")

    home = run_drill(
        scenario,
        name=name,
        playbooks=settings.playbooks,
        home=tmp_path,
        seed=SEED,
        stage=stage,
    )

    drill = drill_in(home)
    went = assessed(drill, settings)
    missed = [f"{v.title}: {v.level}, {v.reason}" for v in went.verdicts if v.level != "met"]
    assert not missed
    assert went.passed
    # What the scenario does has really happened.
    assert len(drill.of(INJECTED)) == len(scenario.timeline)
    (calls,) = drill.of(CALLS)
    assert len(calls.body["faults"]) == sum(event.fault is not None for event in scenario.timeline)
    assert all(fault["hits"] > 0 for fault in calls.body["faults"])
    assert len(drill.of(DIED)) == sum(event.dies is not None for event in scenario.timeline)
