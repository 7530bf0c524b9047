from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from tests.flows.gameday.aws.accounts import OTHER_ACCOUNT, clients_of
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]


@pytest.fixture
def other(world: WorldIds, aws: Client) -> Client:
    """Clients of another account."""
    return clients_of(world, aws)


@pytest.fixture
def key(aws: Client) -> str:
    """A customer managed key."""
    return str(aws("kms").create_key()["KeyMetadata"]["Arn"])


def _snapshot(ec2: Any, **volume: Any) -> str:
    made = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=3, **volume)["VolumeId"]
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "case", "Value": "7"}]}]
    answer = ec2.create_snapshot(VolumeId=made, Description="evidence", TagSpecifications=tags)
    return str(answer["SnapshotId"])


def _share(ec2: Any, snapshot: str, account: str = OTHER_ACCOUNT) -> None:
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[account],
    )


def _seen(ec2: Any, **more: Any) -> set[str]:
    return {item["SnapshotId"] for item in ec2.describe_snapshots(**more)["Snapshots"]}


def _one(ec2: Any, snapshot: str) -> dict[str, Any]:
    [found] = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    return dict(found)


def _copy(ec2: Any, world: WorldIds, snapshot: str, **more: Any) -> dict[str, Any]:
    made = ec2.copy_snapshot(SourceRegion=world.region, SourceSnapshotId=snapshot, **more)
    return _one(ec2, made["SnapshotId"])


def _usable_by_the_other() -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"},
        "Action": ["kms:Decrypt", "kms:CreateGrant", "kms:DescribeKey"],
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_snapshot_is_seen_by_the_account_it_is_shared_with(
    ec2: Any, other: Client, world: WorldIds
) -> None:
    snapshot = _snapshot(ec2)
    assert snapshot not in _seen(other("ec2"))

    _share(ec2, snapshot)

    assert snapshot in _seen(other("ec2"))
    assert snapshot in _seen(other("ec2"), OwnerIds=[world.account])
    assert snapshot not in _seen(other("ec2"), OwnerIds=["self"])
    assert snapshot in _seen(other("ec2"), RestorableByUserIds=["self"])
    found = _one(other("ec2"), snapshot)
    assert found["OwnerId"] == world.account
    # Tags are not shared.
    assert found.get("Tags", []) == []
    permissions = ec2.describe_snapshot_attribute(
        SnapshotId=snapshot, Attribute="createVolumePermission"
    )["CreateVolumePermissions"]
    assert permissions == [{"UserId": OTHER_ACCOUNT}]


def test_what_is_shared_can_be_taken_back(ec2: Any, other: Client) -> None:
    snapshot = _snapshot(ec2)
    for take_back in (
        lambda: ec2.modify_snapshot_attribute(
            SnapshotId=snapshot, CreateVolumePermission={"Remove": [{"UserId": OTHER_ACCOUNT}]}
        ),
        lambda: ec2.reset_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission"
        ),
    ):
        _share(ec2, snapshot)
        take_back()

        assert snapshot not in _seen(other("ec2"))
        with refused("InvalidSnapshot.NotFound"):
            other("ec2").describe_snapshots(SnapshotIds=[snapshot])


def test_only_the_owner_can_share_or_delete(ec2: Any, other: Client) -> None:
    snapshot = _snapshot(ec2)
    _share(ec2, snapshot)

    with refused("UnauthorizedOperation"):
        _share(other("ec2"), snapshot, "333333333333")
    with refused("UnauthorizedOperation"):
        other("ec2").delete_snapshot(SnapshotId=snapshot)


def test_a_volume_can_be_made_from_a_shared_snapshot(ec2: Any, other: Client) -> None:
    snapshot = _snapshot(ec2)
    _share(ec2, snapshot)

    volume = other("ec2").create_volume(AvailabilityZone="eu-west-1a", SnapshotId=snapshot)

    assert (volume["Size"], volume["SnapshotId"]) == (3, snapshot)


def test_a_volume_of_another_accounts_snapshot_has_a_key_of_its_own_account(
    ec2: Any, aws: Client, other: Client, key: str
) -> None:
    snapshot = _snapshot(ec2, Encrypted=True, KmsKeyId=key)
    _share(ec2, snapshot)
    aws("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=_usable_by_the_other())
    own = other("kms").create_key()["KeyMetadata"]["Arn"]
    request = {"AvailabilityZone": "eu-west-1a", "SnapshotId": snapshot}

    made = [other("ec2").create_volume(**request, **more) for more in ({}, {"KmsKeyId": own})]

    default = other("kms").describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]
    assert [item["KmsKeyId"] for item in made] == [default, own]
    assert len(other("ec2").describe_volumes()["Volumes"]) == 2


def test_a_volume_of_a_shared_snapshot_comes_to_nothing_without_its_key(
    ec2: Any, other: Client, key: str
) -> None:
    snapshot = _snapshot(ec2, Encrypted=True, KmsKeyId=key)
    _share(ec2, snapshot)

    made = other("ec2").create_volume(AvailabilityZone="eu-west-1a", SnapshotId=snapshot)

    assert made["State"] == "creating"
    with refused("InvalidVolume.NotFound"):
        other("ec2").describe_volumes(VolumeIds=[made["VolumeId"]])


def test_the_default_key_of_ebs_can_not_be_shared(ec2: Any) -> None:
    with refused("OperationNotPermitted", "default key"):
        _share(ec2, _snapshot(ec2, Encrypted=True))


def test_an_encrypted_snapshot_can_not_be_public(ec2: Any, key: str) -> None:
    snapshot = _snapshot(ec2, Encrypted=True, KmsKeyId=key)

    with refused("OperationNotPermitted"):
        ec2.modify_snapshot_attribute(SnapshotId=snapshot, OperationType="add", GroupNames=["all"])


def test_nonsense_is_refused(ec2: Any) -> None:
    snapshot = _snapshot(ec2)

    with refused("InvalidUserID.Malformed"):
        _share(ec2, snapshot, "somebody")
    with refused("InvalidParameterCombination"):
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot,
            CreateVolumePermission={
                "Add": [{"UserId": OTHER_ACCOUNT}],
                "Remove": [{"UserId": "333333333333"}],
            },
        )


def test_public_snapshots_can_be_blocked(ec2: Any, other: Client) -> None:
    public, private = _snapshot(ec2), _snapshot(ec2)
    assert ec2.get_snapshot_block_public_access_state()["State"] == "unblocked"
    publish = {"OperationType": "add", "GroupNames": ["all"]}
    ec2.modify_snapshot_attribute(SnapshotId=public, **publish)
    assert public in _seen(other("ec2"))

    ec2.enable_snapshot_block_public_access(State="block-new-sharing")
    assert public in _seen(other("ec2"))
    with refused("OperationNotPermitted"):
        ec2.modify_snapshot_attribute(SnapshotId=private, **publish)

    ec2.enable_snapshot_block_public_access(State="block-all-sharing")
    assert public not in _seen(other("ec2"))
    assert ec2.get_snapshot_block_public_access_state()["State"] == "block-all-sharing"

    ec2.disable_snapshot_block_public_access()
    assert public in _seen(other("ec2"))


def test_a_copy_has_an_arbitrary_volume_and_no_tags_but_those_given(
    ec2: Any, world: WorldIds
) -> None:
    snapshot = _snapshot(ec2)

    plain = _copy(ec2, world, snapshot)
    tagged = _copy(
        ec2,
        world,
        snapshot,
        Description="of the case",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "copy", "Value": "yes"}]}],
    )

    assert (plain["VolumeId"], plain["VolumeSize"]) == ("vol-ffffffff", 3)
    assert plain.get("Tags", []) == []
    assert tagged["Tags"] == [{"Key": "copy", "Value": "yes"}]
    assert tagged["Description"] == "of the case"
    assert (plain["Encrypted"], "KmsKeyId" in plain) == (False, False)
    by_volume = {"Filters": [{"Name": "volume-id", "Values": ["vol-ffffffff"]}]}
    assert _seen(ec2, **by_volume) == {plain["SnapshotId"], tagged["SnapshotId"]}


def test_a_copy_is_encrypted_with_the_key_given_or_the_default_one(
    ec2: Any, aws: Client, world: WorldIds, key: str
) -> None:
    kms = aws("kms")
    another = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/forensics", TargetKeyId=another["KeyId"])
    encrypted, plain = _snapshot(ec2, Encrypted=True, KmsKeyId=key), _snapshot(ec2)

    for name in (another["KeyId"], another["Arn"], "alias/forensics"):
        made = _copy(ec2, world, encrypted, KmsKeyId=name, Encrypted=True)
        assert (made["Encrypted"], made["KmsKeyId"]) == (True, another["Arn"])

    made = _copy(ec2, world, encrypted)
    default = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]
    assert (made["Encrypted"], made["KmsKeyId"]) == (True, default)

    assert _copy(ec2, world, plain, Encrypted=True, KmsKeyId=key)["KmsKeyId"] == key
    with refused("InvalidParameterDependency"):
        _copy(ec2, world, plain, KmsKeyId=key)


def test_a_copy_with_a_key_that_is_not_there_fails_later(
    ec2: Any, world: WorldIds, key: str
) -> None:
    missing = key.rsplit("/", 1)[0] + "/00000000-0000-0000-0000-000000000000"

    made = _copy(ec2, world, _snapshot(ec2), Encrypted=True, KmsKeyId=missing)

    assert made["State"] == "error"
    assert "key" in made["StateMessage"]


def test_a_copy_goes_to_another_region(ec2: Any, world: WorldIds) -> None:
    snapshot = _snapshot(ec2)
    elsewhere = client(world.url, "us-west-2", "ec2")

    made = _copy(elsewhere, world, snapshot)

    assert made["OwnerId"] == world.account
    with refused("InvalidSnapshot.NotFound"):
        ec2.describe_snapshots(SnapshotIds=[made["SnapshotId"]])


def test_only_a_completed_snapshot_can_be_copied(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(snapshot_seconds=60)
    snapshot = _snapshot(ec2)

    with refused("IncorrectState"):
        _copy(ec2, world, snapshot)


def test_another_account_copies_a_shared_snapshot_if_it_may_use_its_key(
    ec2: Any, aws: Client, other: Client, world: WorldIds, key: str
) -> None:
    snapshot = _snapshot(ec2, Encrypted=True, KmsKeyId=key)
    own = other("kms").create_key()["KeyMetadata"]["Arn"]
    with refused("InvalidSnapshot.NotFound"):
        _copy(other("ec2"), world, snapshot, KmsKeyId=own)
    _share(ec2, snapshot)

    assert _copy(other("ec2"), world, snapshot, KmsKeyId=own)["State"] == "error"

    aws("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=_usable_by_the_other())

    made = _copy(other("ec2"), world, snapshot, KmsKeyId=own)
    assert (made["State"], made["KmsKeyId"]) == ("completed", own)
    assert made["OwnerId"] == OTHER_ACCOUNT


def test_what_is_shared_comes_back_with_what_is_remembered(
    ec2: Any, other: Client, simulated_aws: SimulatedAws
) -> None:
    snapshot = _snapshot(ec2)
    _share(ec2, snapshot)
    ec2.enable_snapshot_block_public_access(State="block-all-sharing")
    # A call, so that the other account's Region is there to be remembered.
    assert snapshot in _seen(other("ec2"))
    memory = simulated_aws.remember()

    ec2.reset_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    ec2.disable_snapshot_block_public_access()
    simulated_aws.recall(memory)

    assert ec2.get_snapshot_block_public_access_state()["State"] == "block-all-sharing"
    assert snapshot in _seen(other("ec2"))
