from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused, until


def snapshot_of(ec2: Any, snapshot_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
    return found


def locks(ec2: Any, *ids: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ec2.describe_locked_snapshots(SnapshotIds=list(ids))["Snapshots"]
    return found


@pytest.fixture
def snapshot(ec2: Any, world: WorldIds) -> str:
    made: str = ec2.create_snapshot(VolumeId=world.ids["volume_1"])["SnapshotId"]
    return made


def test_a_snapshot_is_pending_and_makes_progress(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(snapshot_seconds=0.4)

    made = ec2.create_snapshot(VolumeId=world.ids["volume_1"])

    assert made["State"] == "pending"
    until(lambda: 0 < int(snapshot_of(ec2, made["SnapshotId"])["Progress"].rstrip("%")) < 100)
    until(lambda: snapshot_of(ec2, made["SnapshotId"])["State"] == "completed")
    assert snapshot_of(ec2, made["SnapshotId"])["Progress"] == "100%"


def test_a_snapshot_keeps_the_key_of_its_volume(ec2: Any, world: WorldIds) -> None:
    made = ec2.create_snapshot(VolumeId=world.ids["volume_2"])["SnapshotId"]

    found = snapshot_of(ec2, made)
    assert (found["Encrypted"], found["KmsKeyId"]) == (True, world.ids["key"])


def test_a_snapshot_of_a_volume_whose_key_is_disabled_fails(
    ec2: Any, world: WorldIds, aws: Any
) -> None:
    aws("kms").disable_key(KeyId=world.ids["key"].rsplit("/", 1)[1])

    made = ec2.create_snapshot(VolumeId=world.ids["volume_2"])["SnapshotId"]

    found = snapshot_of(ec2, made)
    assert (found["State"], found["StateMessage"]) == ("error", "Given key ID is not accessible")


def test_snapshots_fail_on_demand(ec2: Any, world: WorldIds, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(snapshots_fail=True)

    made = ec2.create_snapshot(VolumeId=world.ids["volume_1"])["SnapshotId"]

    assert snapshot_of(ec2, made)["State"] == "error"


def test_a_set_names_every_volume_with_its_state(ec2: Any, world: WorldIds) -> None:
    made = ec2.create_snapshots(InstanceSpecification={"InstanceId": world.victim})["Snapshots"]

    attached = {
        item["Ebs"]["VolumeId"] for item in instance(ec2, world.victim)["BlockDeviceMappings"]
    }
    assert {item["VolumeId"] for item in made} == attached
    assert {item["State"] for item in made} == {"completed"}


def test_a_set_fails_as_a_whole(ec2: Any, world: WorldIds, aws: Any) -> None:
    aws("kms").disable_key(KeyId=world.ids["key"].rsplit("/", 1)[1])

    made = ec2.create_snapshots(InstanceSpecification={"InstanceId": world.victim})["Snapshots"]

    states = {snapshot_of(ec2, item["SnapshotId"])["State"] for item in made}
    assert states == {"error"}


def test_a_set_leaves_out_what_is_excluded(ec2: Any, world: WorldIds) -> None:
    wanted = {
        "InstanceId": world.victim,
        "ExcludeBootVolume": True,
        "ExcludeDataVolumeIds": [world.ids["volume_1"]],
    }

    made = ec2.create_snapshots(InstanceSpecification=wanted)["Snapshots"]

    assert [item["VolumeId"] for item in made] == [world.ids["volume_2"]]


def test_a_set_cannot_exclude_what_is_not_a_data_volume(ec2: Any, world: WorldIds) -> None:
    found = instance(ec2, world.victim)
    [root] = [
        item["Ebs"]["VolumeId"]
        for item in found["BlockDeviceMappings"]
        if item["DeviceName"] == found["RootDeviceName"]
    ]
    for volume in (root, "vol-00000000000000000"):
        with refused("InvalidParameterValue"):
            ec2.create_snapshots(
                InstanceSpecification={
                    "InstanceId": world.victim,
                    "ExcludeDataVolumeIds": [volume],
                }
            )


def test_a_set_has_its_own_tags_and_those_of_the_volumes_if_asked_for(
    ec2: Any, world: WorldIds
) -> None:
    ec2.create_tags(Resources=[world.ids["volume_1"]], Tags=[{"Key": "owner", "Value": "web"}])

    def tags(**more: Any) -> dict[str, str]:
        made = ec2.create_snapshots(
            InstanceSpecification={"InstanceId": world.victim},
            TagSpecifications=[
                {"ResourceType": "snapshot", "Tags": [{"Key": "case", "Value": "7"}]}
            ],
            **more,
        )["Snapshots"]
        [snapshot] = [item for item in made if item["VolumeId"] == world.ids["volume_1"]]
        return {tag["Key"]: tag["Value"] for tag in snapshot["Tags"]}

    assert tags() == {"case": "7"}
    assert tags(CopyTagsFromSource="volume") == {"case": "7", "owner": "web"}


def test_others_snapshots_are_not_ones_own(ec2: Any, snapshot: str) -> None:
    own = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    others = ec2.describe_snapshots(OwnerIds=["222222222222"])["Snapshots"]

    assert snapshot in {item["SnapshotId"] for item in own}
    assert others == []


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
    until(lambda: snapshot_of(ec2, made)["State"] == "error")
    assert locks(ec2, made) == []


def test_a_lock_lasts_for_days_or_until_a_date(ec2: Any, snapshot: str) -> None:
    with refused("InvalidParameterCombination"):
        ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance")
    with refused("InvalidParameterValue"):
        ec2.lock_snapshot(
            SnapshotId=snapshot, LockMode="governance", LockDuration=1, CoolOffPeriod=1
        )
