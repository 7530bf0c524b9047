from __future__ import annotations

from typing import Any

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused


def a_snapshot(ec2: Any, volume: str) -> str:
    made: str = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    return made


def volume_of(ec2: Any, volume: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
    return found


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


def test_a_volume_is_being_created_and_then_available(ec2: Any) -> None:
    made = ec2.create_volume(Size=1, AvailabilityZone="eu-west-1a", VolumeType="gp3")

    assert made["State"] == "creating"
    assert volume_of(ec2, made["VolumeId"])["State"] == "available"


def test_there_are_only_volumes_of_known_types(ec2: Any) -> None:
    with refused("UnknownVolumeType"):
        ec2.create_volume(Size=1, AvailabilityZone="eu-west-1a", VolumeType="nonsense")


def test_a_volume_shows_the_arn_of_its_key_however_it_was_named(ec2: Any, aws: Any) -> None:
    key = aws("kms").create_key()["KeyMetadata"]
    aws("kms").create_alias(AliasName="alias/volumes", TargetKeyId=key["KeyId"])

    for name in (key["KeyId"], key["Arn"], "alias/volumes"):
        made = ec2.create_volume(
            Size=1, AvailabilityZone="eu-west-1a", Encrypted=True, KmsKeyId=name
        )
        assert volume_of(ec2, made["VolumeId"])["KmsKeyId"] == key["Arn"]


def test_a_volume_with_a_key_that_cannot_be_used_comes_to_nothing(ec2: Any, aws: Any) -> None:
    key = aws("kms").create_key()["KeyMetadata"]["KeyId"]
    aws("kms").disable_key(KeyId=key)

    for name in (key, "00000000-0000-0000-0000-000000000000"):
        made = ec2.create_volume(
            Size=1, AvailabilityZone="eu-west-1a", Encrypted=True, KmsKeyId=name
        )
        assert made["State"] == "creating"
        with refused("InvalidVolume.NotFound"):
            volume_of(ec2, made["VolumeId"])


def test_a_volume_whose_key_was_disabled_is_not_attached(
    ec2: Any, world: WorldIds, aws: Any
) -> None:
    aws("kms").disable_key(KeyId=world.ids["key"].rsplit("/", 1)[1])
    ec2.detach_volume(VolumeId=world.ids["volume_2"])

    with refused("CustomerKeyHasBeenRevoked"):
        ec2.attach_volume(
            VolumeId=world.ids["volume_2"], InstanceId=world.victim, Device="/dev/sdz"
        )


def test_volumes_are_well_and_their_io_is_not_enabled_by_itself(ec2: Any, world: WorldIds) -> None:
    volume = world.ids["volume_1"]

    [status] = ec2.describe_volume_status(VolumeIds=[volume])["VolumeStatuses"]
    assert (status["VolumeId"], status["VolumeStatus"]["Status"]) == (volume, "ok")
    everything = ec2.describe_volume_status()["VolumeStatuses"]
    assert len(everything) == len(ec2.describe_volumes()["Volumes"])
    attribute = ec2.describe_volume_attribute(VolumeId=volume, Attribute="autoEnableIO")
    assert attribute["AutoEnableIO"] == {"Value": False}
    codes = ec2.describe_volume_attribute(VolumeId=volume, Attribute="productCodes")
    assert codes["ProductCodes"] == []


def test_a_volume_is_detached_by_its_id_alone(ec2: Any, world: WorldIds) -> None:
    ec2.detach_volume(VolumeId=world.ids["volume_1"])

    volume = volume_of(ec2, world.ids["volume_1"])
    assert (volume["State"], volume["Attachments"]) == ("available", [])
    with refused("IncorrectState"):
        ec2.detach_volume(VolumeId=world.ids["volume_1"])
