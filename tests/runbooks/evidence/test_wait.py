"""``evidence.wait``: locked while still pending, then waited for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from runbooks.calls import Keep, is_pending
from runbooks.evidence.wait import Wait, WaitForEvidence
from tests.runbooks.instances import Plan, instance, volume

ROOT = volume(0, "/dev/sda1")


def test_the_plan_allows_locks_on_snapshots_that_do_not_exist_yet() -> None:
    plan = Plan(WaitForEvidence, instance(volumes=[ROOT]))

    assert plan.calls == []
    (change,) = plan.contingent
    assert change.call.action == "ec2:LockSnapshot"
    assert is_pending(change.call.params["SnapshotId"])
    assert change.call.params["LockMode"] == "governance"
    assert change.call.params["LockDuration"] == 30
    assert "CoolOffPeriod" not in change.call.params


def test_compliance_leaves_the_longest_time_to_think_better_of_it() -> None:
    (change,) = Plan(WaitForEvidence, instance(volumes=[ROOT]), {"lock": "compliance"}).contingent

    assert change.call.params["CoolOffPeriod"] == 72


def test_without_a_lock_none_is_planned() -> None:
    assert not Plan(WaitForEvidence, instance(volumes=[ROOT]), {"lock": "none"}).contingent


def test_undo_leaves_the_evidence_locked() -> None:
    (change,) = Plan(WaitForEvidence, instance(volumes=[ROOT])).contingent

    assert change.undo == Keep("evidence stays locked")


def test_parameters_are_read_as_playbooks_write_them() -> None:
    params = Wait.model_validate({"lock": "compliance", "within": "90m", "cool_off": "24h"})

    assert params.within == timedelta(minutes=90)
    assert params.cool_off == timedelta(hours=24)


@pytest.mark.parametrize(
    "values",
    [
        {"lock": "forever"},
        {"lock_days": 0},
        {"lock_days": 36_501},
        {"lock_days": "30"},
        {"within": "4"},
        {"within": "0s"},
        {"cool_off": "30m"},
        {"cool_off": "73h"},
        {"cool_off": "1h30m"},
        {"wait": "4h"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Wait.model_validate(values)


def test_it_never_blocks_a_containment() -> None:
    assert WaitForEvidence.on_failure == "continue"
    assert WaitForEvidence.waits
