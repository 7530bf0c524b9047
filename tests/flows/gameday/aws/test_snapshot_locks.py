from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused, until


def locks(ec2: Any, *ids: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ec2.describe_locked_snapshots(SnapshotIds=list(ids))["Snapshots"]
    return found


@pytest.fixture
def snapshot(ec2: Any, world: WorldIds) -> str:
    made: str = ec2.create_snapshot(VolumeId=world.ids["volume_1"])["SnapshotId"]
    return made


def test_a_locked_snapshot_cannot_be_deleted_until_it_is_unlocked(ec2: Any, snapshot: str) -> None:
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", LockDuration=7)

    with refused("SnapshotLocked"):
        ec2.delete_snapshot(SnapshotId=snapshot)
    [lock] = locks(ec2, snapshot)
    assert (lock["LockState"], lock["LockDuration"]) == ("governance", 7)
    assert (lock["LockExpiresOn"] - lock["LockDurationStartTime"]).days == 7

    ec2.unlock_snapshot(SnapshotId=snapshot)
    assert locks(ec2, snapshot) == []
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_a_compliance_lock_can_be_taken_off_only_while_it_cools_off(
    ec2: Any, snapshot: str
) -> None:
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=7, CoolOffPeriod=1)
    assert locks(ec2, snapshot)[0]["LockState"] == "compliance-cooloff"
    ec2.unlock_snapshot(SnapshotId=snapshot)

    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=7)
    assert locks(ec2, snapshot)[0]["LockState"] == "compliance"
    with refused("SnapshotLocked"):
        ec2.unlock_snapshot(SnapshotId=snapshot)


def test_a_compliance_lock_can_be_extended_and_nothing_else(ec2: Any, snapshot: str) -> None:
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=7)

    for weaker in (
        {"LockMode": "governance", "LockDuration": 7},
        {"LockMode": "compliance", "LockDuration": 6},
    ):
        with refused("InvalidParameterValue"):
            ec2.lock_snapshot(SnapshotId=snapshot, **weaker)
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=8)

    assert locks(ec2, snapshot)[0]["LockDuration"] == 8


def test_the_time_of_a_lock_runs_from_the_snapshots_completion(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(snapshot_seconds=0.3)
    made = ec2.create_snapshot(VolumeId=world.ids["volume_1"])["SnapshotId"]

    ec2.lock_snapshot(SnapshotId=made, LockMode="governance", LockDuration=1)

    assert "LockDurationStartTime" not in locks(ec2, made)[0]
    until(lambda: "LockDurationStartTime" in locks(ec2, made)[0])


def test_the_lock_of_a_failed_snapshot_is_gone(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(snapshot_seconds=0.2, snapshots_fail=True)
    made = ec2.create_snapshot(VolumeId=world.ids["volume_1"])["SnapshotId"]
    ec2.lock_snapshot(SnapshotId=made, LockMode="governance", LockDuration=1)

    assert locks(ec2, made) != []
    found = {"SnapshotIds": [made]}
    until(lambda: ec2.describe_snapshots(**found)["Snapshots"][0]["State"] == "error")
    assert locks(ec2, made) == []


def test_a_lock_lasts_for_days_or_until_a_date(ec2: Any, snapshot: str) -> None:
    with refused("InvalidParameterCombination"):
        ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance")
    with refused("InvalidParameterValue"):
        ec2.lock_snapshot(
            SnapshotId=snapshot, LockMode="governance", LockDuration=1, CoolOffPeriod=1
        )
