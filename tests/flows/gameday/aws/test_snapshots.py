from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused, until


def snapshot_of(ec2: Any, snapshot_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
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


def test_snapshots_of_one_volume_are_taken_one_after_the_other(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(snapshot_seconds=0.3)
    first = ec2.create_snapshot(VolumeId=world.ids["volume_1"])["SnapshotId"]

    with refused("SnapshotCreationPerVolumeRateExceeded"):
        ec2.create_snapshot(VolumeId=world.ids["volume_1"])
    ec2.create_snapshot(VolumeId=world.ids["volume_2"])

    until(lambda: snapshot_of(ec2, first)["State"] == "completed")
    ec2.create_snapshot(VolumeId=world.ids["volume_1"])


def test_of_a_set_none_is_taken_where_one_may_not_be(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(snapshot_seconds=60)
    alone = ec2.create_snapshot(VolumeId=world.ids["volume_2"])["SnapshotId"]

    with refused("SnapshotCreationPerVolumeRateExceeded"):
        ec2.create_snapshots(InstanceSpecification={"InstanceId": world.victim})

    taken = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert [item["SnapshotId"] for item in taken if item["State"] == "pending"] == [alone]


@pytest.mark.parametrize(("kind", "most"), [("gp3", 5), ("st1", 1)])
def test_there_are_only_so_many_unfinished_snapshots_of_a_volume(
    ec2: Any, simulated_aws: SimulatedAws, kind: str, most: int
) -> None:
    simulated_aws.configure(snapshots_fail=True)
    volume = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=125, VolumeType=kind)["VolumeId"]
    failed = [ec2.create_snapshot(VolumeId=volume)["SnapshotId"] for _ in range(most)]

    with refused("ConcurrentSnapshotLimitExceeded"):
        ec2.create_snapshot(VolumeId=volume)

    ec2.delete_snapshot(SnapshotId=failed[0])
    ec2.create_snapshot(VolumeId=volume)
