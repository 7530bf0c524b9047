"""``evidence.wait``: lock the incident's snapshots, and wait until AWS has copied the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from runbooks.aws import Aws, Progress
from runbooks.calls import Call, Change, Keep, Resource, pending
from runbooks.errors import NotContained
from runbooks.step import Duration, Permissions, Step, StepParams
from runbooks.targets.evidence import describe_evidence, evidence_snapshots, snapshot_arn
from runbooks.targets.instance import Ec2Instance, Evidence, EvidenceSnapshot

LockMode = Literal["governance", "compliance"]

LOOK_EVERY = timedelta(seconds=15)
_HOUR = timedelta(hours=1)
# A lock in compliance mode is at least as strong as one in governance mode.
_AS_STRONG: Mapping[str, tuple[str, ...]] = {
    "governance": ("governance", "compliance", "compliance-cooloff"),
    "compliance": ("compliance", "compliance-cooloff"),
}


def _cool_off(value: timedelta) -> timedelta:
    if value % _HOUR or not _HOUR <= value <= 72 * _HOUR:
        raise ValueError("the cool-off is whole hours, 1h to 72h (EC2 API Reference, LockSnapshot)")
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return value


class Wait(StepParams):
    """How evidence is locked and how long it is waited for.

    ``lock``: with ``governance`` the lock can be taken off by those with ec2:UnlockSnapshot; with
    ``compliance`` by nobody once ``cool_off`` (1h to 72h) is over, so the snapshots cost money for
    all of ``lock_days`` (1 to 36500). ``within``: for how long it is waited.
    """

    lock: Literal["governance", "compliance", "none"] = "governance"
    lock_days: Annotated[int, Field(ge=1, le=36_500, strict=True)] = 30
    cool_off: Annotated[Duration, AfterValidator(_cool_off)] = timedelta(hours=72)
    within: Annotated[Duration, AfterValidator(_positive)] = timedelta(hours=4)


class WaitForEvidence(Step[Ec2Instance, Wait]):
    """Lock the snapshots of the incident against deletion, then wait until they are complete.

    A snapshot can be locked while it is still pending; the time then runs from its completion, and
    the lock goes if it fails (EBS User Guide, "Lock Amazon EBS snapshots"). A lock does not keep
    the key of an encrypted snapshot: deny kms:ScheduleKeyDeletion and kms:DisableKey for it.
    """

    name = "evidence.wait"
    facts = (Evidence,)
    permissions = Permissions(
        read=("ec2:DescribeLockedSnapshots", "ec2:DescribeSnapshots"),
        change=("ec2:LockSnapshot",),
    )
    Params = Wait
    waits = True
    on_failure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: Wait) -> None:
        if params.lock != "none":
            usable = [item for item in _that_count(target.fact(Evidence)) if not item.failed]
            # The plan is made before there are any snapshots.
            aws.foresee(_lock(_any_snapshot(aws, target), params.lock, params))
            aws.change_all(
                [
                    _lock(snapshot.resource, params.lock, params)
                    for snapshot in _unlocked(aws, usable, params.lock, params)
                ]
            )
        aws.wait(
            f"snapshots of {target.id}",
            lambda: _progress(aws, target),
            every=LOOK_EVERY,
            within=params.within,
        )

    def verify(self, aws: Aws, target: Ec2Instance, params: Wait) -> None:
        snapshots = _that_count(target.fact(Evidence))
        _require(target, snapshots)
        incomplete = [item for item in snapshots if item.state != "completed"]
        if incomplete:
            raise NotContained(
                f"{target.id}: not completed: "
                + ", ".join(f"{item.id} ({item.state})" for item in incomplete)
            )
        if params.lock != "none" and (
            unlocked := list(_unlocked(aws, snapshots, params.lock, params))
        ):
            raise NotContained(
                f"{target.id}: not locked: {', '.join(item.id for item in unlocked)}."
            )


def _that_count(evidence: Evidence) -> list[EvidenceSnapshot]:
    return list(evidence.of_volumes.values())


def _require(target: Ec2Instance, snapshots: Sequence[EvidenceSnapshot]) -> None:
    """Raise NotContained where there is no evidence, or where AWS failed to make it."""
    if not snapshots and target.volumes:
        raise NotContained(
            f"{target.id}: there are no snapshots of this incident.",
            advice="Is ec2.snapshot in the playbook before evidence.wait, and did it succeed?",
        )
    if failed := [item for item in snapshots if item.failed]:
        raise NotContained(
            f"{target.id}: AWS could not make the snapshots of "
            + ", ".join(f"{item.volume_id} ({item.device or '?'}; {item.id})" for item in failed)
            + ". Is the volume's KMS key disabled?",
            advice="`clampdown run` with ec2.snapshot takes new ones; the volumes are kept.",
        )


def _progress(aws: Aws, target: Ec2Instance) -> Progress:
    answer = aws.read(describe_evidence(aws.incident.id))
    found = evidence_snapshots(answer["Snapshots"], target.id, aws.region)
    snapshots = _that_count(Evidence(found))
    _require(target, snapshots)
    counting = {snapshot.id for snapshot in snapshots}
    shares = [
        _percent(item.get("Progress", "")) if item["State"] != "completed" else 1.0
        for item in answer["Snapshots"]
        if item["SnapshotId"] in counting
    ]
    completed = sum(snapshot.state == "completed" for snapshot in snapshots)
    return Progress(
        done=completed == len(snapshots),
        text=f"{completed} of {len(snapshots)} snapshots completed",
        share=sum(shares) / len(shares) if shares else 1.0,
    )


def _percent(text: str) -> float:
    digits = text.rstrip("%")
    return int(digits) / 100 if digits.isdecimal() else 0.0


def _unlocked(
    aws: Aws, snapshots: Sequence[EvidenceSnapshot], mode: LockMode, params: Wait
) -> Iterator[EvidenceSnapshot]:
    """Those that are not locked as they must be: not at all, less strongly, or for less long."""
    if not snapshots:
        return
    answer = aws.read(
        Call("ec2", "describe_locked_snapshots", SnapshotIds=[item.id for item in snapshots])
    )
    locks = {item["SnapshotId"]: item for item in answer["Snapshots"]}
    for snapshot in snapshots:
        lock = locks.get(snapshot.id, {})
        strong = lock.get("LockState") in _AS_STRONG[mode]
        if not strong or lock.get("LockDuration", 0) < params.lock_days:
            yield snapshot


def _lock(snapshot: Resource, mode: LockMode, params: Wait) -> Change:
    options: dict[str, Any] = {"LockMode": mode, "LockDuration": params.lock_days}
    if mode == "compliance":
        options["CoolOffPeriod"] = params.cool_off // _HOUR
    identity = snapshot.arn.rsplit("/", 1)[1]
    return Change(
        Call("ec2", "lock_snapshot", SnapshotId=identity, **options),
        snapshot,
        Keep("evidence stays locked"),
        f"lock {identity} for {params.lock_days} days ({mode})",
    )


def _any_snapshot(aws: Aws, target: Ec2Instance) -> Resource:
    return Resource(snapshot_arn(aws.region, pending(f"each snapshot of {target.id}")))
