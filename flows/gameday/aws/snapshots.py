"""EBS snapshots: they take time and can fail, and keep what their volume had."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flows.gameday.aws import ebs_encryption, settings, simulated_time
from flows.gameday.aws.errors import ec2_error
from flows.gameday.aws.settings import Taking

# "Concurrent snapshots per Amazon EBS General Purpose SSD … volume: 5", and so forth; of HDD volumes
# 1 (Amazon EBS quotas).
_AT_ONCE = 5
_AT_ONCE_OF = {"sc1": 1, "st1": 1}
# "Wait at least 15 seconds between concurrent volume snapshots"
# (SnapshotCreationPerVolumeRateExceeded, EC2 error codes).
_SECONDS_BETWEEN = 15


def correct() -> None:
    """Have snapshots be pending first, too many at once refused, and exclusions, tag copies and
    owners honoured."""
    _progress()
    _limits()
    _sets()
    _described()


def status_of(snapshot: Any) -> str:
    """Its state at this moment."""
    if not snapshot.taking.over:
        return "pending"
    return "error" if snapshot.fails else "completed"


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
        self.completed_at = simulated_time.now() + timedelta(seconds=seconds)

    Snapshot.__init__ = __init__
    # "The snapshot occurs immediately … the status of the snapshot is pending until the snapshot is
    # complete" (EBS User Guide, "How snapshots work").
    Snapshot.status = property(status_of, lambda snapshot, value: None)
    Snapshot.state = property(status_of)
    Snapshot.progress = property(lambda snapshot: f"{int(100 * snapshot.taking.share)}%")
    Snapshot.state_message = property(
        lambda snapshot: (
            "Given key ID is not accessible" if status_of(snapshot) == "error" else None
        )
    )
    Snapshot.volume_id = property(lambda snapshot: snapshot.of_volume)
    Snapshot.volume_size = property(lambda snapshot: snapshot.of_size)

    values = Snapshot.get_filter_value

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        match filter_name:
            case "volume-id":
                return self.of_volume
            case "volume-size":
                return self.of_size
        return values(self, filter_name, method_name)

    Snapshot.get_filter_value = get_filter_value


def _limits() -> None:
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.elastic_block_store import Volume

    Volume.unfinished_snapshots = ()

    create = EC2Backend.create_snapshot

    def create_snapshot(self: Any, volume_id: str, *rest: Any, **named: Any) -> Any:
        volume = self.get_volume(volume_id)
        _refuse_more(self, volume)
        snapshot = create(self, volume_id, *rest, **named)
        volume.unfinished_snapshots = (*volume.unfinished_snapshots, snapshot)
        return snapshot

    EC2Backend.create_snapshot = create_snapshot


def _refuse_more(backend: Any, volume: Any) -> None:
    volume.unfinished_snapshots = tuple(
        snapshot
        for snapshot in volume.unfinished_snapshots
        if snapshot.id in backend.snapshots and status_of(snapshot) != "completed"
    )
    # Those "that are in an incomplete state, such as 'error', … count against your concurrent
    # snapshot limit" (ConcurrentSnapshotLimitExceeded, EC2 error codes).
    if len(volume.unfinished_snapshots) >= _AT_ONCE_OF.get(volume.volume_type, _AT_ONCE):
        raise ec2_error(
            "ConcurrentSnapshotLimitExceeded",
            f"Maximum allowed in-progress snapshots for a single volume exceeded: {volume.id}.",
        )
    since = simulated_time.monotonic() - _SECONDS_BETWEEN
    if any(
        status_of(snapshot) == "pending" and snapshot.taking.began > since
        for snapshot in volume.unfinished_snapshots
    ):
        raise ec2_error(
            "SnapshotCreationPerVolumeRateExceeded",
            "The maximum per volume CreateSnapshot request rate has been exceeded. Use an "
            "increasing or variable sleep interval between requests.",
        )


def _sets() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    def create_snapshots(self: Any) -> Any:
        wanted = self._get_param("InstanceSpecification", {})
        instance = self.ec2_backend.get_instance(wanted.get("InstanceId"))
        volumes = _volumes(self.ec2_backend, instance, wanted)
        for volume in volumes:
            _refuse_more(self.ec2_backend, volume)
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


def _usable(snapshot: Any) -> bool:
    """Whether the key of an encrypted snapshot can be used: a disabled one fails it."""
    if not snapshot.encrypted or snapshot.kms_key_id is None:
        return True
    key = ebs_encryption.find_key(snapshot.kms_key_id)
    return key is None or key.key_state == "Enabled"
