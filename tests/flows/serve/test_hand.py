"""Who carries out what `clampdown serve --workers` has opened: a worker, or this process itself."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from flows import handing_over
from flows.serve.service import _hand
from flows.stopping import Stop
from flows.turns import CRITICAL, Turns


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was handed over to workers, of which there are none."""
    handed: list[str] = []

    class HandOver:
        def __init__(self, warn: object) -> None:
            return

        def __call__(self, incident: str, urgency: float) -> None:
            handed.append(incident)

        def close(self) -> None:
            return

    monkeypatch.setattr(handing_over, "HandOver", HandOver)
    return handed


def test_what_is_critical_waits_for_no_hand_over_while_there_is_a_free_turn(
    handed: list[str],
) -> None:
    here: list[str] = []
    conductor: Any = SimpleNamespace(
        turns=Turns(1, Stop()), go_on_with=lambda incident, urgency: here.append(incident)
    )
    hand = _hand(conductor, AsyncExitStack(), workers=True)
    hand("inc-1", CRITICAL)
    hand("inc-2", 8.9)
    assert (here, handed) == (["inc-1"], ["inc-2"])
    with conductor.turns.turn(CRITICAL), conductor.turns.turn(CRITICAL):
        hand("inc-3", 9.9)
    assert (here, handed) == (["inc-1"], ["inc-2", "inc-3"])


def test_without_workers_everything_is_carried_out_here(handed: list[str]) -> None:
    conductor: Any = SimpleNamespace(go_on_with=object())
    assert _hand(conductor, AsyncExitStack(), workers=False) is conductor.go_on_with
