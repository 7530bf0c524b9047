"""``ec2.snapshot``: fix the state of an instance's disks at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Keep
from runbooks.errors import AwsRefused, NotContained, Throttled
from runbooks.step import NoParams, Permissions, Step
from runbooks.targets.evidence import (
    FINDING_TAG,
    INSTANCE_TAG,
    TAG_VALUE_LENGTH,
    device_tags,
)
from runbooks.targets.instance import Ec2Instance, Evidence, Volume

# The codes with which one volume, or the set as such, spoils the snapshots of all: the others may
# still be had one by one (EC2 API Reference, "Error codes"; for the two limits per volume see
# "Amazon EBS quotas"). A denial or throttling would meet the single calls just the same.
_SET_REFUSED = frozenset(
    {
        "ConcurrentSnapshotLimitExceeded",
        "IncorrectInstanceState",
        "IncorrectState",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "InvalidVolume.NotFound",
        "PendingSnapshotLimitExceeded",
        "SnapshotCreationPerVolumeRateExceeded",
        "SnapshotLimitExceeded",
        "UnsupportedOperation",
    }
)


class SnapshotVolumes(Step[Ec2Instance, NoParams]):
    """Take a snapshot of every EBS volume of the instance, all at the same instant.

    CreateSnapshots is crash-consistent across the volumes, and what a snapshot holds is fixed by
    the call: it may stay ``pending`` for hours and nothing needs to wait for it (EBS User Guide,
    "Create EBS snapshots"). What the operating system still has in its cache is not in it. Where
    one volume spoils the set, each is snapshotted alone.

    AWS has no client token for these calls, so the incident's tag, given in the same call, is what
    tells snapshots from before a crash. Tags are the same for the whole set; which volume a
    snapshot holds is its own VolumeId, and ``clampdown:devices`` maps volumes to devices. The
    volumes' own tags are not copied: backup and clean-up policies go by tags, and would reach the
    evidence.

    Returns ``snapshots``: the snapshots' ids by the volumes' ids.
    """

    name = "ec2.snapshot"
    facts = (Evidence,)
    permissions = Permissions(
        change=("ec2:CreateSnapshot", "ec2:CreateSnapshots", "ec2:CreateTags")
    )
    # Evidence that can't be had never blocks a containment.
    on_failure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: NoParams) -> Mapping[str, Any]:
        taken = {
            volume: snapshot.id
            for volume, snapshot in target.fact(Evidence).of_volumes.items()
            if not snapshot.failed
        }
        missing = [volume for volume in target.volumes if volume.id not in taken]
        if target.instance_store:
            aws.warn(f"{target.id}: no snapshot holds its instance-store root.")
        # A part that is missing can't join the instant of the others.
        if missing and not taken and len(missing) > 1:
            taken = self._together(aws, target, missing)
        elif missing:
            taken |= self._one_by_one(aws, target, missing)
        return {"snapshots": taken}

    def verify(self, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        taken = target.fact(Evidence).of_volumes
        without = [
            f"{volume.id} ({volume.device})"
            for volume in target.volumes
            if volume.id not in taken or taken[volume.id].failed
        ]
        if without:
            raise NotContained(f"{target.id}: no snapshot of {', '.join(without)}.")

    def _together(self, aws: Aws, target: Ec2Instance, volumes: Sequence[Volume]) -> dict[str, str]:
        for volume in volumes:
            aws.foresee(_single(aws, target, volume))
        try:
            answer = aws.change(
                Call(
                    "ec2",
                    "create_snapshots",
                    InstanceSpecification={"InstanceId": target.id},
                    Description=_description(aws, target),
                    TagSpecifications=_tags(aws, target, volumes),
                ),
                on=target.resource,
                undo=Keep("evidence"),
                why=f"take snapshots of {', '.join(volume.id for volume in volumes)} at once",
            )
        except AwsRefused as refusal:
            if refusal.code not in _SET_REFUSED:
                raise
            aws.warn(
                f"The volumes of {target.id} can't be snapshotted as one set ({refusal.code}): "
                "each is snapshotted alone, so the snapshots are not of the same instant."
            )
            return self._one_by_one(aws, target, volumes)
        return {item["VolumeId"]: item["SnapshotId"] for item in answer["Snapshots"]}

    def _one_by_one(
        self, aws: Aws, target: Ec2Instance, volumes: Sequence[Volume]
    ) -> dict[str, str]:
        """Snapshots of as many as can be had; then NotContained names the rest."""
        taken: dict[str, str] = {}
        refused: list[str] = []
        for volume in volumes:
            change = _single(aws, target, volume)
            try:
                answer = aws.change(change.call, on=change.on, undo=change.undo, why=change.why)
            except Throttled:
                raise
            except AwsRefused as refusal:
                refused.append(f"{volume.id} ({volume.device}): {refusal.what}")
            else:
                taken[volume.id] = answer["SnapshotId"]
        if refused:
            raise NotContained(
                f"{target.id}: {len(taken)} of {len(volumes)} snapshots were taken. Not of "
                + "; ".join(refused),
                advice="`clampdown resume` takes those that are missing.",
            )
        return taken


def _single(aws: Aws, target: Ec2Instance, volume: Volume) -> Change:
    return Change(
        Call(
            "ec2",
            "create_snapshot",
            VolumeId=volume.id,
            Description=_description(aws, target),
            TagSpecifications=_tags(aws, target, [volume]),
        ),
        volume.resource,
        Keep("evidence"),
        f"take a snapshot of {volume.id} ({volume.device})",
    )


def _description(aws: Aws, target: Ec2Instance) -> str:
    return f"Clampdown evidence of {target.id} for {aws.incident.id}"


def _tags(aws: Aws, target: Ec2Instance, volumes: Sequence[Volume]) -> list[dict[str, Any]]:
    tags = {
        **aws.incident.marks,
        FINDING_TAG: aws.incident.finding[:TAG_VALUE_LENGTH],
        INSTANCE_TAG: target.id,
        **device_tags(volumes),
    }
    return [
        {
            "ResourceType": "snapshot",
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
    ]
