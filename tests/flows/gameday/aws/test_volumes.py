from __future__ import annotations

from typing import Any

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused


def a_snapshot(ec2: Any, volume: str) -> str:
    made: str = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    return made


def test_a_restored_volume_has_the_size_and_the_key_of_its_snapshot(
    ec2: Any, world: WorldIds
) -> None:
    snapshot = a_snapshot(ec2, world.ids["volume_2"])

    made = ec2.create_volume(SnapshotId=snapshot, AvailabilityZone=f"{world.region}a")

    assert (made["Size"], made["Encrypted"], made["KmsKeyId"]) == (20, True, world.ids["key"])
    assert made["SnapshotId"] == snapshot


def test_a_restored_volume_may_be_larger_and_not_smaller(ec2: Any, world: WorldIds) -> None:
    request = {
        "SnapshotId": a_snapshot(ec2, world.ids["volume_1"]),
        "AvailabilityZone": f"{world.region}a",
    }

    assert ec2.create_volume(Size=50, **request)["Size"] == 50
    with refused("InvalidParameterValue", "smaller than snapshot"):
        ec2.create_volume(Size=39, **request)


def test_nothing_is_restored_from_a_snapshot_that_is_not_complete(
    ec2: Any, world: WorldIds, simulated_aws: Any
) -> None:
    simulated_aws.configure(snapshot_seconds=60)
    snapshot = a_snapshot(ec2, world.ids["volume_1"])

    with refused("IncorrectState", "pending"):
        ec2.create_volume(SnapshotId=snapshot, AvailabilityZone=f"{world.region}a")


def test_there_are_volumes_only_in_zones_that_exist(ec2: Any) -> None:
    with refused("InvalidZone.NotFound"):
        ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")


def test_a_volume_is_attached_in_its_own_zone_once_and_to_a_free_device(
    ec2: Any, world: WorldIds
) -> None:
    here, there = (
        ec2.create_volume(Size=1, AvailabilityZone=f"{world.region}{zone}")["VolumeId"]
        for zone in "ab"
    )

    def attach(volume: str, device: str) -> None:
        ec2.attach_volume(VolumeId=volume, InstanceId=world.ids["standalone"], Device=device)

    with refused("InvalidVolume.ZoneMismatch"):
        attach(there, "/dev/sdf")
    attach(here, "/dev/sdf")
    with refused("VolumeInUse"):
        attach(here, "/dev/sdg")
    another = ec2.create_volume(Size=1, AvailabilityZone=f"{world.region}a")["VolumeId"]
    with refused("InvalidParameterValue", "already in use"):
        attach(another, "/dev/sdf")


def test_a_volume_is_detached_by_its_id_alone(ec2: Any, world: WorldIds) -> None:
    ec2.detach_volume(VolumeId=world.ids["volume_1"])

    [volume] = ec2.describe_volumes(VolumeIds=[world.ids["volume_1"]])["Volumes"]
    assert (volume["State"], volume["Attachments"]) == ("available", [])
    with refused("IncorrectState"):
        ec2.detach_volume(VolumeId=world.ids["volume_1"])
