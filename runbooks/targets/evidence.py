"""How evidence snapshots are marked, and found again by their marks.

CreateSnapshots puts the same tags on every snapshot of its set, so each carries the whole map of
the instance's devices; the snapshot's own VolumeId says which of them it holds. A copy of a
snapshot has an arbitrary VolumeId (EC2 API Reference, Snapshot), its tags still tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runbooks.calls import Call, Resource
from runbooks.targets.instance import EvidenceSnapshot, Volume
from runbooks.targets.reference import partition_of

INCIDENT_TAG = "clampdown:incident"
FINDING_TAG = "clampdown:finding"
INSTANCE_TAG = "clampdown:instance"
DEVICES_TAG = "clampdown:devices"
TAG_VALUE_LENGTH = 256


def device_tags(volumes: Sequence[Volume]) -> dict[str, str]:
    """Which volume is attached as which device, as tags.

    ``clampdown:devices`` is ``/dev/sda1=vol-… /dev/sdf=vol-…``; what does not fit into a tag's 256
    characters goes on in ``clampdown:devices-2`` and so forth.
    """
    values: list[str] = []
    for volume in volumes:
        entry = f"{volume.device}={volume.id}"
        if values and len(values[-1]) + 1 + len(entry) <= TAG_VALUE_LENGTH:
            values[-1] += f" {entry}"
        else:
            values.append(entry)
    return {
        DEVICES_TAG if number == 1 else f"{DEVICES_TAG}-{number}": value
        for number, value in enumerate(values, start=1)
    }


def devices_in(tags: Mapping[str, str]) -> dict[str, str]:
    """The device of each volume that the tags name, by the volume's id."""
    entries = [
        entry.partition("=")
        for key, value in tags.items()
        if key == DEVICES_TAG or key.startswith(f"{DEVICES_TAG}-")
        for entry in value.split()
    ]
    return {volume: device for device, _, volume in entries}


def describe_evidence(incident_id: str) -> Call:
    """The read that finds an incident's snapshots."""
    return Call(
        "ec2",
        "describe_snapshots",
        OwnerIds=["self"],
        Filters=[{"Name": f"tag:{INCIDENT_TAG}", "Values": [incident_id]}],
    )


def evidence_snapshots(
    snapshots: Iterable[Mapping[str, Any]], instance_id: str, region: str
) -> tuple[EvidenceSnapshot, ...]:
    """Those of DescribeSnapshots' answer that were made of the instance."""
    found = []
    for snapshot in snapshots:
        tags = {tag["Key"]: tag["Value"] for tag in snapshot.get("Tags", [])}
        if tags.get(INSTANCE_TAG) == instance_id:
            found.append(
                EvidenceSnapshot(
                    resource=Resource(snapshot_arn(region, snapshot["SnapshotId"]), tags),
                    id=snapshot["SnapshotId"],
                    volume_id=snapshot["VolumeId"],
                    device=devices_in(tags).get(snapshot["VolumeId"], ""),
                    state=snapshot["State"],
                    incident=tags.get(INCIDENT_TAG, ""),
                    started=snapshot.get("StartTime"),
                    size=snapshot["VolumeSize"],
                )
            )
    return tuple(found)


def snapshot_arn(region: str, snapshot_id: str) -> str:
    """A snapshot's ARN; it names no account (Service Authorization Reference, Amazon EC2)."""
    return f"arn:{partition_of(region)}:ec2:{region}::snapshot/{snapshot_id}"
