"""Who encrypts volumes and snapshots with a key needs to be allowed to use it."""

from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.authorization.conftest import ACCOUNT, Iam
from tests.flows.gameday.aws.authorization.documents import allow

THROUGH_EC2 = {"StringEquals": {"kms:ViaService": "ec2.eu-west-1.amazonaws.com"}}
USE = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Generate*", "kms:ReEncrypt*"]
ZONE = "eu-west-1a"


@pytest.fixture
def key(iam: Iam) -> str:
    return str(iam.client("kms").create_key()["KeyMetadata"]["Arn"])


def has(ec2: Any, volume: str) -> bool:
    return volume in {item["VolumeId"] for item in ec2.describe_volumes()["Volumes"]}


@pytest.mark.parametrize(
    ("statements", "is_made"),
    [
        ([], False),
        ([allow(USE, Condition=THROUGH_EC2)], True),
        ([allow([action for action in USE if action != "kms:CreateGrant"])], False),
    ],
)
def test_a_volume_takes_permissions_for_its_key(
    iam: Iam, key: str, statements: list[dict[str, Any]], is_made: bool
) -> None:
    ec2 = iam.client("ec2", iam.user("eve", allow("ec2:*"), *statements))

    made = ec2.create_volume(AvailabilityZone=ZONE, Size=1, Encrypted=True, KmsKeyId=key)

    assert made["State"] == "creating"
    assert has(ec2, made["VolumeId"]) is is_made


def test_a_grant_will_do(iam: Iam, key: str) -> None:
    ec2 = iam.client("ec2", iam.user("eve", allow("ec2:*")))
    iam.client("kms").create_grant(
        KeyId=key,
        GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:user/eve",
        Operations=["CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext"],
    )

    made = ec2.create_volume(AvailabilityZone=ZONE, Size=1, Encrypted=True, KmsKeyId=key)

    assert has(ec2, made["VolumeId"])


def test_the_default_key_takes_none(iam: Iam) -> None:
    ec2 = iam.client("ec2", iam.user("eve", allow("ec2:*")))

    made = ec2.create_volume(AvailabilityZone=ZONE, Size=1, Encrypted=True)

    assert has(ec2, made["VolumeId"])


def test_a_copy_takes_permissions_for_both_keys(iam: Iam, world: WorldIds, key: str) -> None:
    theirs, source = iam.client("ec2"), world.ids["key"]
    snapshot = theirs.create_snapshot(VolumeId=world.ids["volume_2"])["SnapshotId"]
    for number, (keys, state) in enumerate(
        (([key], "error"), ([source], "error"), ([source, key], "completed"))
    ):
        uses = allow(USE, Resource=keys, Condition=THROUGH_EC2)
        ec2 = iam.client("ec2", iam.user(f"eve-{number}", allow("ec2:*"), uses))

        made = ec2.copy_snapshot(
            SourceRegion="eu-west-1", SourceSnapshotId=snapshot, Encrypted=True, KmsKeyId=key
        )["SnapshotId"]

        [found] = theirs.describe_snapshots(SnapshotIds=[made])["Snapshots"]
        assert found["State"] == state


def test_permissions_for_ec2_alone_do_not_let_anybody_use_the_key_itself(
    iam: Iam, key: str
) -> None:
    kms = iam.client("kms", iam.user("eve", allow(USE, Condition=THROUGH_EC2)))

    with refused("AccessDeniedException"):
        kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")
