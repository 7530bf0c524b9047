"""EBS snapshots in the hands of others: shared, locked, and kept from the public."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from benchmarks.fidelity.account import ACCOUNT_ID, REGION, Account, Credentials
from benchmarks.fidelity.verdicts import Verdicts, check

_OTHER = "222222222222"


@check("ec2", "snapshots shared with another account")
def _shared(account: Account, seen: Verdicts) -> None:
    ec2, other = account("ec2"), _other(account, "ec2")
    snapshot = _snapshot(account, "/dev/sda1")
    _share(ec2, snapshot)
    permissions = ec2.describe_snapshot_attribute(
        SnapshotId=snapshot, Attribute="createVolumePermission"
    )["CreateVolumePermissions"]
    seen.holds(
        "who may use a snapshot can be read", permissions == [{"UserId": _OTHER}], permissions
    )
    found = seen.done(
        "the other account can describe it",
        lambda: other.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"],
    )
    seen.holds(
        "the other account sees whose it is",
        bool(found) and found[0]["OwnerId"] == ACCOUNT_ID,
        found,
    )
    seen.done(
        "the other account can copy it",
        lambda: other.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=snapshot),
    )
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot,
        Attribute="createVolumePermission",
        OperationType="remove",
        UserIds=[_OTHER],
    )
    seen.refused(
        "describing what is no longer shared",
        "InvalidSnapshot.NotFound",
        lambda: other.describe_snapshots(SnapshotIds=[snapshot]),
    )


@check("ec2", "volumes of an encrypted snapshot that is shared")
def _shared_encrypted(account: Account, seen: Verdicts) -> None:
    ec2, other, key = account("ec2"), _other(account, "ec2"), account.ids.key
    snapshot = _snapshot(account, "/dev/sdf")
    _share(ec2, snapshot)
    zone = f"{REGION}a"

    def restored(**more: Any) -> Any:
        made = other.create_volume(SnapshotId=snapshot, AvailabilityZone=zone, **more)
        return other.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"][0]

    seen.refused(
        "describing a volume for whose snapshot the key isn't shared",
        "InvalidVolume.NotFound",
        restored,
    )
    account("kms").put_key_policy(
        KeyId=key, PolicyName="default", Policy=_policy(ACCOUNT_ID, _OTHER)
    )
    found = seen.done("a volume is made of it, where its key is shared too", restored) or {}
    seen.holds(
        "the volume has the default key of whoever makes it",
        f":{_OTHER}:key/" in found.get("KmsKeyId", ""),
        found.get("KmsKeyId"),
    )
    own = _other(account, "kms").create_key()["KeyMetadata"]["Arn"]
    found = (
        seen.done("a volume is made of it for another key", lambda: restored(KmsKeyId=own)) or {}
    )
    seen.holds(
        "the volume has the key that is given", found.get("KmsKeyId") == own, found.get("KmsKeyId")
    )


@check("ec2", "locked snapshots")
def _locked(account: Account, seen: Verdicts) -> None:
    ec2, snapshot = account("ec2"), _snapshot(account, "/dev/sda1")
    seen.done(
        "LockSnapshot",
        lambda: ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", LockDuration=7),
    )
    locks = seen.done(
        "DescribeLockedSnapshots", lambda: ec2.describe_locked_snapshots()["Snapshots"]
    )
    seen.holds(
        "a lock has its mode and its days",
        [(lock["LockState"], lock["LockDuration"]) for lock in locks or []] == [("governance", 7)],
        locks,
    )
    # With which error is in no documentation ("Error codes for the Amazon EC2 API").
    with suppress(ClientError):
        ec2.delete_snapshot(SnapshotId=snapshot)
    left = ec2.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": [snapshot]}])
    seen.holds("a locked snapshot can't be deleted", len(left["Snapshots"]) == 1, "deleted")
    seen.done("UnlockSnapshot", lambda: ec2.unlock_snapshot(SnapshotId=snapshot))
    seen.done(
        "EnableSnapshotBlockPublicAccess",
        lambda: ec2.enable_snapshot_block_public_access(State="block-all-sharing"),
    )


def _other(account: Account, service: str) -> Any:
    given = account("sts").assume_role(
        RoleArn=f"arn:aws:iam::{_OTHER}:role/security", RoleSessionName="central"
    )["Credentials"]
    credentials = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    return account(service, credentials=credentials)


def _snapshot(account: Account, device: str) -> str:
    [volume] = [
        item["Ebs"]["VolumeId"]
        for item in account.instance(account.ids.victim)["BlockDeviceMappings"]
        if item["DeviceName"] == device
    ]
    snapshot: str = account("ec2").create_snapshot(VolumeId=volume)["SnapshotId"]
    return snapshot


def _share(ec2: Any, snapshot: str) -> None:
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[_OTHER],
    )


def _policy(*accounts: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{account}:root" for account in accounts]},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
