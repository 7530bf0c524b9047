"""EBS snapshots: of one volume, of all volumes of an instance, and their copies."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import REGION, Account
from benchmarks.fidelity.verdicts import Verdicts, check

_UNKNOWN_KEY = "arn:aws:kms:us-west-2:123456789012:key/00000000-0000-0000-0000-000000000000"


@check("ec2", "snapshots of one volume")
def _one(account: Account, seen: Verdicts) -> None:
    account.configure(snapshot_seconds=0.3)
    ec2, volume = account("ec2"), _volumes(account)["/dev/sdf"]
    made = ec2.create_snapshot(
        VolumeId=volume, Description="evidence", TagSpecifications=_tagged("case", "1")
    )
    found = _described(ec2, made["SnapshotId"])
    seen.holds("CreateSnapshot answers pending", made["State"] == "pending", made["State"])
    seen.holds("a snapshot of an encrypted volume is encrypted", made["Encrypted"])
    seen.holds("a snapshot is pending at first", found["State"] == "pending", found["State"])
    seen.holds(
        "a snapshot has the key of its volume",
        found.get("KmsKeyId") == account.ids.key,
        found.get("KmsKeyId"),
    )
    seen.holds(
        "a snapshot has the tags that it is made with",
        found.get("Tags") == [{"Key": "case", "Value": "1"}],
        found.get("Tags"),
    )
    seen.holds("a snapshot says how far it is", "Progress" in found)
    seen.refused(
        "a snapshot of an unknown volume",
        "InvalidVolume.NotFound",
        lambda: ec2.create_snapshot(VolumeId="vol-00000000000000000"),
    )
    seen.done(
        "a snapshot is completed after a while",
        lambda: ec2.get_waiter("snapshot_completed").wait(
            SnapshotIds=[made["SnapshotId"]], WaiterConfig={"Delay": 0.1, "MaxAttempts": 20}
        ),
    )
    seen.refused(
        "6 snapshots of one volume at once",
        ("ConcurrentSnapshotLimitExceeded", "SnapshotCreationPerVolumeRateExceeded"),
        lambda: [ec2.create_snapshot(VolumeId=volume) for _ in range(6)],
    )


@check("ec2", "snapshots of all volumes of an instance")
def _set(account: Account, seen: Verdicts) -> None:
    account.configure(snapshot_seconds=0.3)
    ec2, victim, volume = account("ec2"), account.ids.victim, _volumes(account)["/dev/sdf"]
    ec2.create_tags(Resources=[volume], Tags=[{"Key": "owner", "Value": "web"}])
    made = ec2.create_snapshots(
        InstanceSpecification={"InstanceId": victim},
        Description="evidence",
        CopyTagsFromSource="volume",
        TagSpecifications=_tagged("case", "2"),
    )["Snapshots"]
    states = {snapshot.get("State") for snapshot in made}
    seen.holds("there is one snapshot for each attached volume", len(made) == 2, len(made))
    seen.holds("CreateSnapshots answers pending for each", states == {"pending"}, states)
    [of_data] = [snapshot["SnapshotId"] for snapshot in made if snapshot["VolumeId"] == volume]
    found = _described(ec2, of_data)
    tags = found.get("Tags", [])
    seen.holds(
        "CopyTagsFromSource copies the volumes' tags",
        {"Key": "owner", "Value": "web"} in tags,
        tags,
    )
    seen.holds("each has the tags that are given", {"Key": "case", "Value": "2"} in tags, tags)
    seen.holds(
        "each has the key of its volume",
        found.get("KmsKeyId") == account.ids.key,
        found.get("KmsKeyId"),
    )
    waiter = ec2.get_waiter("snapshot_completed")
    for rule, excluded in (
        ("ExcludeBootVolume leaves the root volume out", {"ExcludeBootVolume": True}),
        ("ExcludeDataVolumeIds leaves these volumes out", {"ExcludeDataVolumeIds": [volume]}),
    ):
        # Of one volume there is only one at a time.
        waiter.wait(
            SnapshotIds=[snapshot["SnapshotId"] for snapshot in made],
            WaiterConfig={"Delay": 0.1, "MaxAttempts": 20},
        )
        made = ec2.create_snapshots(InstanceSpecification={"InstanceId": victim, **excluded})[
            "Snapshots"
        ]
        seen.holds(rule, len(made) == 1, len(made))


@check("ec2", "snapshots copied to another Region")
def _copied(account: Account, seen: Verdicts) -> None:
    ec2, elsewhere = account("ec2"), account("ec2", "us-west-2")
    source = ec2.create_snapshot(VolumeId=_volumes(account)["/dev/sda1"])["SnapshotId"]
    key = account.ids.key_elsewhere

    def copy(**more: Any) -> Any:
        made = elsewhere.copy_snapshot(SourceRegion=REGION, SourceSnapshotId=source, **more)
        return _described(elsewhere, made["SnapshotId"])

    account.configure(snapshot_seconds=0.2)
    found = copy(Encrypted=True, KmsKeyId=key, TagSpecifications=_tagged("case", "3"))
    seen.holds(
        "a copy is encrypted with the key that is given for it",
        found["Encrypted"] and found.get("KmsKeyId") == key,
        found.get("KmsKeyId"),
    )
    seen.holds(
        "a copy has the tags that it is made with",
        found.get("Tags") == [{"Key": "case", "Value": "3"}],
        found.get("Tags"),
    )
    seen.holds(
        "a copy's volume is vol-ffffffff", found["VolumeId"] == "vol-ffffffff", found["VolumeId"]
    )
    seen.holds("a copy is pending at first", found["State"] == "pending", found["State"])
    account.configure(snapshot_seconds=0)
    seen.holds(
        "Encrypted alone encrypts a copy with the default key", copy(Encrypted=True)["Encrypted"]
    )
    seen.refused(
        "a copy of an unknown snapshot",
        "InvalidSnapshot.NotFound",
        lambda: elsewhere.copy_snapshot(
            SourceRegion=REGION, SourceSnapshotId="snap-00000000000000000"
        ),
    )
    # "AWS authenticates the KMS key asynchronously … the action can appear to complete, but
    # eventually fails" (CopySnapshot, KmsKeyId).
    failed = copy(Encrypted=True, KmsKeyId=_UNKNOWN_KEY)
    seen.holds("a copy for an unknown key fails later", failed["State"] == "error", failed["State"])


def _volumes(account: Account) -> dict[str, str]:
    """The victim's volumes by device."""
    devices = account.instance(account.ids.victim)["BlockDeviceMappings"]
    return {device["DeviceName"]: device["Ebs"]["VolumeId"] for device in devices}


def _described(ec2: Any, snapshot_id: str) -> Any:
    return ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]


def _tagged(key: str, value: str) -> list[dict[str, Any]]:
    return [{"ResourceType": "snapshot", "Tags": [{"Key": key, "Value": value}]}]
