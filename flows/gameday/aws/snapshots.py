"""EBS snapshots: they take time and can fail, keep what their volume had, and can be locked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.errors import ec2_error
from flows.gameday.aws.settings import Taking

_COOL_OFF_HOURS = range(1, 73)
_LOCK_DAYS = range(1, 36_501)


def correct() -> None:
    """Have snapshots be pending first, honour exclusions and tag copies, and be lockable."""
    _progress()
    _sets()
    _described()
    _locks()


def _progress() -> None:
    from moto.ec2.models.elastic_block_store import Snapshot

    make = Snapshot.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        volume = self.volume
        # What was the volume's at the call: it may be changed or gone later.
        self.of_volume, self.of_size = volume.id, volume.size
        if self.kms_key_id is None and volume.encrypted:
            # "Snapshots that are taken from encrypted volumes are automatically encrypted", with
            # the volume's key (EBS User Guide).
            self.kms_key_id = volume.kms_key_id
        self.fails = settings.SETTINGS.snapshots_fail or not _usable(self)
        seconds = 0 if self.from_ami else settings.SETTINGS.snapshot_seconds
        self.taking = Taking.now(seconds)
        self.completed_at = datetime.now(UTC) + timedelta(seconds=seconds)
        self.lock = None

    Snapshot.__init__ = __init__
    # "The snapshot occurs immediately … the status of the snapshot is pending until the snapshot is
    # complete" (EBS User Guide, "How snapshots work").
    Snapshot.status = property(_status, lambda snapshot, value: None)
    Snapshot.state = property(_status)
    Snapshot.progress = property(lambda snapshot: f"{int(100 * snapshot.taking.share)}%")
    Snapshot.state_message = property(
        lambda snapshot: "Given key ID is not accessible" if _status(snapshot) == "error" else None
    )
    Snapshot.volume_id = property(lambda snapshot: snapshot.of_volume)
    Snapshot.volume_size = property(lambda snapshot: snapshot.of_size)


def _sets() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    def create_snapshots(self: Any) -> Any:
        wanted = self._get_param("InstanceSpecification", {})
        instance = self.ec2_backend.get_instance(wanted.get("InstanceId"))
        volumes = _volumes(self.ec2_backend, instance, wanted)
        tags = self._parse_tag_specification().get("snapshot", {})
        copy = self._get_param("CopyTagsFromSource") == "volume"
        made = []
        for volume in volumes:
            snapshot = self.ec2_backend.create_snapshot(
                volume.id, self._get_param("Description", "")
            )
            # Tags that AWS made are not copied ("aws:" is reserved, Tag restrictions).
            copied = {tag["key"]: tag["value"] for tag in volume.get_tags()} if copy else {}
            own = {key: value for key, value in copied.items() if not key.startswith("aws:")}
            snapshot.add_tags({**own, **tags})
            made.append(snapshot)
        # "If any one snapshot in the set fails, all … go to error" (CreateSnapshots: "multi-volume
        # snapshots … either all of the snapshots complete successfully or fail").
        if any(snapshot.fails for snapshot in made):
            for snapshot in made:
                snapshot.fails = True
        return ActionResult({"Snapshots": made})

    ElasticBlockStore.create_snapshots = create_snapshots


def _volumes(backend: Any, instance: Any, wanted: dict[str, Any]) -> list[Any]:
    """The volumes of which InstanceSpecification (CreateSnapshots) wants snapshots."""
    excluded = set(wanted.get("ExcludeDataVolumeIds", []))
    without_root = str(wanted.get("ExcludeBootVolume", False)).lower() == "true"
    attached = dict(instance.get_block_device_mapping)
    root = attached.get(instance.root_device_name)
    data = {item.volume_id for item in attached.values() if item is not root}
    if root is not None and root.volume_id in excluded:
        # "If you specify the ID of the root volume, the request fails. To exclude the root volume,
        # use ExcludeBootVolume" (InstanceSpecification).
        raise ec2_error(
            "InvalidParameterValue", f"{root.volume_id} is the root volume of {instance.id}."
        )
    if excluded - data:
        raise ec2_error(
            "InvalidParameterValue",
            f"Not attached to {instance.id}: {', '.join(sorted(excluded - data))}.",
        )
    volumes = [
        backend.get_volume(item.volume_id)
        for item in attached.values()
        if item.volume_id not in excluded and not (without_root and item is root)
    ]
    if not volumes:
        raise ec2_error("InvalidParameterCombination", "There are no volumes to snapshot.")
    return volumes


def _described() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    describe = ElasticBlockStore.describe_snapshots

    def describe_snapshots(self: Any) -> Any:
        owners = self._get_param("OwnerIds", [])
        if not owners:
            return describe(self)
        account = self.ec2_backend.account_id
        wanted = {account if owner == "self" else owner for owner in owners}
        found = self.ec2_backend.describe_snapshots(
            snapshot_ids=self._get_param("SnapshotIds", []),
            filters=self._filters_from_querystring(),
        )
        return ActionResult({"Snapshots": [item for item in found if item.owner_id in wanted]})

    ElasticBlockStore.describe_snapshots = describe_snapshots


def _locks() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.models import EC2Backend
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    def lock_snapshot(self: Any) -> Any:
        snapshot = _one(self)
        asked = {
            name: self._get_param(name)
            for name in ("LockMode", "CoolOffPeriod", "LockDuration", "ExpirationDate")
        }
        if _status(snapshot) == "error":
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
    now = datetime.now(UTC)
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
    lock, status = snapshot.lock, _status(snapshot)
    # "If the snapshot creation fails, the lock is canceled" (EBS User Guide, snapshot lock).
    if lock is None or status == "error":
        return None
    now = datetime.now(UTC)
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


def _status(snapshot: Any) -> str:
    if not snapshot.taking.over:
        return "pending"
    return "error" if snapshot.fails else "completed"


def _usable(snapshot: Any) -> bool:
    """Whether the key of an encrypted snapshot can be used: a disabled one fails it."""
    from moto.kms.models import kms_backends

    if not snapshot.encrypted or snapshot.kms_key_id is None:
        return True
    backend = snapshot.ec2_backend
    keys = kms_backends[backend.account_id][backend.region_name].keys
    key = keys.get(str(snapshot.kms_key_id).rsplit("/", 1)[-1])
    return key is None or key.key_state == "Enabled"


def _one(response: Any) -> Any:
    return response.ec2_backend.get_snapshot(response._get_param("SnapshotId"))
