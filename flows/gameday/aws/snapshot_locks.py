"""Locks of EBS snapshots, in governance and in compliance mode (EBS User Guide, "snapshot lock").

Which error codes EC2 has for a locked snapshot that is to be deleted or unlocked, and for one that
is to be unlocked and isn't locked, is in no documentation: "SnapshotLocked" and "SnapshotNotLocked"
are names of ours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.aws import simulated_time
from flows.gameday.aws.errors import ec2_error
from flows.gameday.aws.snapshots import status_of

_COOL_OFF_HOURS = range(1, 73)
_LOCK_DAYS = range(1, 36_501)


def correct() -> None:
    """Have snapshots be lockable, and kept while they are locked."""
    from moto.core.responses import ActionResult
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.elastic_block_store import Snapshot
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    Snapshot.lock = None

    def lock_snapshot(self: Any) -> Any:
        snapshot = _one(self)
        asked = {
            name: self._get_param(name)
            for name in ("LockMode", "CoolOffPeriod", "LockDuration", "ExpirationDate")
        }
        if status_of(snapshot) == "error":
            raise ec2_error("IncorrectState", f"Snapshot '{snapshot.id}' is in state 'error'.")
        _refuse_lock(_locked(snapshot), asked)
        snapshot.lock = _new_lock(snapshot, asked)
        return ActionResult(_locked(snapshot))

    def unlock_snapshot(self: Any) -> Any:
        snapshot = _one(self)
        lock = _locked(snapshot)
        if lock is None or lock["LockState"] == "expired":
            raise ec2_error("SnapshotNotLocked", f"The snapshot '{snapshot.id}' is not locked.")
        if lock["LockState"] == "compliance":
            raise ec2_error(
                "SnapshotLocked",
                f"The snapshot '{snapshot.id}' is locked in compliance mode and its cooling-off "
                "period is over.",
            )
        snapshot.lock = None
        return ActionResult({"SnapshotId": snapshot.id})

    def describe_locked_snapshots(self: Any) -> Any:
        ids = self._get_param("SnapshotIds", [])
        for snapshot_id in ids:
            self.ec2_backend.get_snapshot(snapshot_id)
        locks = [
            _locked(snapshot)
            for snapshot in self.ec2_backend.snapshots.values()
            if not ids or snapshot.id in ids
        ]
        return ActionResult({"Snapshots": [lock for lock in locks if lock]})

    ElasticBlockStore.lock_snapshot = lock_snapshot
    ElasticBlockStore.unlock_snapshot = unlock_snapshot
    ElasticBlockStore.describe_locked_snapshots = describe_locked_snapshots

    delete = EC2Backend.delete_snapshot

    def delete_snapshot(self: Any, snapshot_id: str) -> Any:
        snapshot = self.snapshots.get(snapshot_id)
        lock = None if snapshot is None else _locked(snapshot)
        # "While a snapshot is locked, it can't be deleted by any user" (EBS User Guide).
        if lock is not None and lock["LockState"] != "expired":
            raise ec2_error(
                "SnapshotLocked", f"The snapshot '{snapshot_id}' is locked and can't be deleted."
            )
        return delete(self, snapshot_id)

    EC2Backend.delete_snapshot = delete_snapshot


def _refuse_lock(lock: dict[str, Any] | None, asked: dict[str, Any]) -> None:
    """Raise what LockSnapshot raises: its parameters' rules, and those of a lock that is there."""
    mode, cool_off = asked["LockMode"], asked["CoolOffPeriod"]
    if mode not in ("governance", "compliance"):
        raise ec2_error("InvalidParameterValue", f"Invalid lock mode '{mode}'.")
    if (asked["LockDuration"] is None) == (asked["ExpirationDate"] is None):
        raise ec2_error(
            "InvalidParameterCombination", "Specify either LockDuration or ExpirationDate."
        )
    if asked["LockDuration"] is not None and int(asked["LockDuration"]) not in _LOCK_DAYS:
        raise ec2_error("InvalidParameterValue", "LockDuration is 1 to 36500 days.")
    if cool_off is not None and (mode == "governance" or int(cool_off) not in _COOL_OFF_HOURS):
        raise ec2_error(
            "InvalidParameterValue", "CoolOffPeriod is 1 to 72 hours, in compliance mode only."
        )
    # "If the snapshot is locked in compliance mode and the cooling-off period has lapsed, you can
    # only increase the lock duration" (LockSnapshot).
    if lock is not None and lock["LockState"] == "compliance":
        shorter = asked["LockDuration"] is not None and int(asked["LockDuration"]) < (
            lock["LockDuration"] or 0
        )
        if mode != "compliance" or cool_off is not None or shorter:
            raise ec2_error(
                "InvalidParameterValue", "A lock in compliance mode can only be extended."
            )


def _new_lock(snapshot: Any, asked: dict[str, Any]) -> dict[str, Any]:
    now = simulated_time.now()
    expires = asked["ExpirationDate"]
    if isinstance(expires, str):
        expires = datetime.fromisoformat(expires)
    days = asked["LockDuration"]
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    return {
        "mode": asked["LockMode"],
        "created": now,
        "days": int(days) if days is not None else max(1, (expires - now).days),
        "expires": expires,
        "cool_off": None if asked["CoolOffPeriod"] is None else int(asked["CoolOffPeriod"]),
    }


def _locked(snapshot: Any) -> dict[str, Any] | None:
    """The lock of a snapshot as LockedSnapshotsInfo has it, or None where there is none."""
    lock, status = snapshot.lock, status_of(snapshot)
    # "If the snapshot creation fails, the lock is canceled" (EBS User Guide, snapshot lock).
    if lock is None or status == "error":
        return None
    now = simulated_time.now()
    info: dict[str, Any] = {
        "SnapshotId": snapshot.id,
        "OwnerId": snapshot.owner_id,
        "LockState": lock["mode"],
        "LockDuration": lock["days"],
        "LockCreatedOn": lock["created"],
    }
    if status == "completed":
        # "If you lock a snapshot that is in the pending state, the lock duration starts only once
        # the snapshot enters the completed state" (LockedSnapshotsInfo).
        start = max(lock["created"], snapshot.completed_at)
        info["LockDurationStartTime"] = start
        info["LockExpiresOn"] = lock["expires"] or start + timedelta(days=lock["days"])
        if info["LockExpiresOn"] <= now:
            info["LockState"] = "expired"
            return info
    if lock["cool_off"] is not None:
        ends = lock["created"] + timedelta(hours=lock["cool_off"])
        info |= {"CoolOffPeriod": lock["cool_off"], "CoolOffPeriodExpiresOn": ends}
        if now < ends:
            info["LockState"] = "compliance-cooloff"
    return info


def _one(response: Any) -> Any:
    return response.ec2_backend.get_snapshot(response._get_param("SnapshotId"))
