"""EBS volumes: made from snapshots, attached and detached."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import REGION, Account
from benchmarks.fidelity.verdicts import Verdicts, check


@check("ec2", "volumes made from a snapshot")
def _restored(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    snapshot = _snapshot(account)
    made = ec2.create_volume(
        SnapshotId=snapshot,
        AvailabilityZone=f"{REGION}a",
        VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "evidence", "Value": "1"}]}],
    )
    found = ec2.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"][0]
    seen.holds("CreateVolume answers creating", made["State"] == "creating", made["State"])
    seen.holds("a volume has the size of its snapshot", made["Size"] == 20, made["Size"])
    seen.holds(
        "a volume has the key of its snapshot",
        found.get("KmsKeyId") == account.ids.key,
        found.get("KmsKeyId"),
    )
    seen.holds("a volume knows its snapshot", found["SnapshotId"] == snapshot)
    seen.refused(
        "a volume smaller than its snapshot",
        "InvalidParameterValue",
        lambda: ec2.create_volume(SnapshotId=snapshot, Size=5, AvailabilityZone=f"{REGION}a"),
    )
    wanted = {"SnapshotId": snapshot, "AvailabilityZone": f"{REGION}a", "ClientToken": "once"}
    ids = {ec2.create_volume(**wanted)["VolumeId"] for _ in range(2)}
    seen.holds("CreateVolume makes one volume for a client token", len(ids) == 1, ids)


@check("ec2", "volumes attached and detached")
def _attached(account: Account, seen: Verdicts) -> None:
    ec2, victim, snapshot = account("ec2"), account.ids.victim, _snapshot(account)

    def volume(zone: str = "a") -> str:
        made = ec2.create_volume(SnapshotId=snapshot, AvailabilityZone=f"{REGION}{zone}")
        return str(made["VolumeId"])

    def attach(volume_id: str, device: str, instance: str = victim) -> Any:
        return ec2.attach_volume(VolumeId=volume_id, InstanceId=instance, Device=device)

    elsewhere = volume("b")
    seen.refused(
        "attaching a volume of another zone",
        "InvalidVolume.ZoneMismatch",
        lambda: attach(elsewhere, "/dev/sdz"),
    )
    another = volume()
    seen.refused(
        "attaching a volume as a device that is in use",
        "InvalidParameterValue",
        lambda: attach(another, "/dev/sdf"),
    )
    answer = attach(another, "/dev/sdg")
    seen.holds("AttachVolume answers attaching", answer["State"] == "attaching", answer["State"])
    elsewhere_attached = account.launch()
    seen.refused(
        "attaching a volume that is attached to another instance",
        "VolumeInUse",
        lambda: attach(another, "/dev/sdg", elsewhere_attached),
    )
    answer = seen.done(
        "a volume is detached by its id alone", lambda: ec2.detach_volume(VolumeId=another)
    ) or ec2.detach_volume(VolumeId=another, InstanceId=victim, Device="/dev/sdg")
    seen.holds("DetachVolume answers detaching", answer["State"] == "detaching", answer["State"])


def _snapshot(account: Account) -> str:
    """Of the victim's encrypted volume."""
    [volume] = [
        item["Ebs"]["VolumeId"]
        for item in account.instance(account.ids.victim)["BlockDeviceMappings"]
        if item["DeviceName"] == "/dev/sdf"
    ]
    snapshot: str = account("ec2").create_snapshot(VolumeId=volume)["SnapshotId"]
    return snapshot
