"""EBS snapshots: they take time, keep what their volume had, and can be locked."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.aws.clock import DURATIONS, share_of
from flows.gameday.aws.errors import ec2_error


def correct() -> None:
    """Have snapshots be pending first, honour exclusions and tag copies, and be lockable."""
    from moto.core.responses import ActionResult
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.elastic_block_store import Snapshot
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    make = Snapshot.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        self._born = time.monotonic()
        self._seconds = DURATIONS.snapshot
        make(self, *arguments, **named)
        volume = self.volume
        if self.kms_key_id is None and getattr(volume, "encrypted", False):
            self.kms_key_id = volume.kms_key_id

    Snapshot.__init__ = __init__
    # A snapshot is pending until its data is copied; its point in time is that of the call.
    Snapshot.status = property(_status, lambda snapshot, value: None)
    Snapshot.state = property(_status)
    Snapshot.progress = property(
        lambda snapshot: f"{int(100 * share_of(snapshot._born, snapshot._seconds))}%"
    )

    def create_snapshots(self: Any) -> Any:
        spec = self._get_param("InstanceSpecification", {})
        instance = self.ec2_backend.get_instance(spec["InstanceId"])
        self.error_on_dryrun()
        excluded = set(spec.get("ExcludeDataVolumeIds", []))
        boot = str(spec.get("ExcludeBootVolume", False)).lower() == "true"
        tags = self._parse_tag_specification().get("snapshot", {})
        copy = self._get_param("CopyTagsFromSource") == "volume"
        snapshots = []
        for device, mapping in instance.get_block_device_mapping:
            if mapping.volume_id in excluded or (boot and device == instance.root_device_name):
                continue
            snapshot = self.ec2_backend.create_snapshot(
                mapping.volume_id, self._get_param("Description", "")
            )
            volume = self.ec2_backend.get_volume(mapping.volume_id)
            copied = {tag["key"]: tag["value"] for tag in volume.get_tags()} if copy else {}
            own = {key: value for key, value in copied.items() if not key.startswith("aws:")}
            snapshot.add_tags({**own, **tags})
            snapshots.append(snapshot)
        return ActionResult({"Snapshots": snapshots})

    ElasticBlockStore.create_snapshots = create_snapshots

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

    # LockSnapshot works while pending; the duration starts at completion (EBS User Guide).
    def lock_snapshot(self: Any) -> Any:
        snapshot = _one(self)
        self.error_on_dryrun()
        mode = self._get_param("LockMode")
        known = getattr(snapshot, "lock", None)
        if known and known["LockState"] == "compliance" and mode != "compliance":
            raise ec2_error("SnapshotLock.InvalidMode", "A compliance lock can't be weakened")
        now = datetime.now(UTC)
        duration = self._get_int_param("LockDuration")
        expires = (
            now + timedelta(days=duration)
            if duration
            else datetime.fromisoformat(str(self._get_param("ExpirationDate")))
        )
        cool_off = self._get_int_param("CoolOffPeriod")
        snapshot.lock = {
            "SnapshotId": snapshot.id,
            "OwnerId": snapshot.owner_id,
            "LockState": "compliance-cooloff" if cool_off and mode == "compliance" else mode,
            "LockDuration": duration,
            "LockCreatedOn": now,
            "LockDurationStartTime": now,
            "LockExpiresOn": expires,
        }
        return ActionResult(snapshot.lock)

    def unlock_snapshot(self: Any) -> Any:
        snapshot = _one(self)
        self.error_on_dryrun()
        known = getattr(snapshot, "lock", None)
        if not known or known["LockState"] == "compliance":
            raise ec2_error("SnapshotLock.NotLocked", "The snapshot can't be unlocked")
        snapshot.lock = None
        return ActionResult({"SnapshotId": snapshot.id})

    def describe_locked_snapshots(self: Any) -> Any:
        ids = self._get_param("SnapshotIds", [])
        found = [
            snapshot.lock
            for snapshot in self.ec2_backend.snapshots.values()
            if getattr(snapshot, "lock", None) and (not ids or snapshot.id in ids)
        ]
        return ActionResult({"Snapshots": found})

    ElasticBlockStore.lock_snapshot = lock_snapshot
    ElasticBlockStore.unlock_snapshot = unlock_snapshot
    ElasticBlockStore.describe_locked_snapshots = describe_locked_snapshots

    delete = EC2Backend.delete_snapshot

    def delete_snapshot(self: Any, snapshot_id: str) -> Any:
        snapshot = self.snapshots.get(snapshot_id)
        if snapshot is not None and getattr(snapshot, "lock", None):
            raise ec2_error(
                "SnapshotLocked", f"The snapshot '{snapshot_id}' is locked and can't be deleted"
            )
        return delete(self, snapshot_id)

    EC2Backend.delete_snapshot = delete_snapshot

    # A volume restored from a snapshot has its size, and is encrypted as it is (CreateVolume).
    create_volume = EC2Backend.create_volume

    def create(self: Any, size: Any, zone_name: str, snapshot_id: str | None = None, **more: Any) -> Any:
        if snapshot_id:
            [snapshot] = self.describe_snapshots(snapshot_ids=[snapshot_id])
            if snapshot.status != "completed":
                raise ec2_error(
                    "IncorrectState", f"Snapshot {snapshot_id} is in state {snapshot.status}"
                )
            size = size or snapshot.volume.size
            if snapshot.encrypted:
                more["encrypted"] = True
                more["kms_key_id"] = more.get("kms_key_id") or snapshot.kms_key_id
        return create_volume(self, size, zone_name, snapshot_id=snapshot_id, **more)

    EC2Backend.create_volume = create


def _status(snapshot: Any) -> str:
    if snapshot.from_ami or share_of(snapshot._born, snapshot._seconds) >= 1:
        return "completed"
    return "pending"


def _one(response: Any) -> Any:
    snapshot_id = response._get_param("SnapshotId")
    snapshot = response.ec2_backend.snapshots.get(snapshot_id)
    if snapshot is None:
        raise ec2_error(
            "InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist."
        )
    return snapshot
