"""EBS volumes: what a snapshot hands on to them, where they can be attached, and as what."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import ec2_error

_KINDS = frozenset({"gp2", "gp3", "io1", "io2", "sc1", "st1", "standard"})


def correct() -> None:
    """Have volumes keep what their snapshot had, and refuse attachments that AWS refuses."""
    _restored()
    _attached()
    _deleted_on_termination()


def require_zone(backend: Any, name: str) -> None:
    """Raise InvalidZone.NotFound where the Region has no Availability Zone of that name."""
    if backend.get_zone_by_name(name) is None:
        raise ec2_error("InvalidZone.NotFound", f"The zone '{name}' does not exist.")


def _restored() -> None:
    from moto.ec2.models import EC2Backend
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    create = EC2Backend.create_volume

    def create_volume(
        self: Any, size: Any, zone_name: str, snapshot_id: str | None = None, **more: Any
    ) -> Any:
        kind = more.get("volume_type")
        if kind is not None and kind not in _KINDS:
            raise ec2_error("InvalidParameterValue", f"Unknown volume type '{kind}'.")
        if snapshot_id:
            size, more = _from_snapshot(self, self.get_snapshot(snapshot_id), size, more)
        return create(self, size, zone_name, snapshot_id=snapshot_id, **more)

    EC2Backend.create_volume = create_volume

    create_called = ElasticBlockStore.create_volume

    def create_volume_called(self: Any) -> Any:
        require_zone(self.ec2_backend, self._get_param("AvailabilityZone"))
        return create_called(self)

    ElasticBlockStore.create_volume = create_volume_called


def _from_snapshot(
    backend: Any, snapshot: Any, size: Any, more: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    # "IncorrectState: … a snapshot that is not completed" (EC2 error codes).
    if snapshot.status != "completed":
        raise ec2_error(
            "IncorrectState", f"Snapshot '{snapshot.id}' is in invalid state '{snapshot.status}'."
        )
    # "If you specify a snapshot, the default is the snapshot size, and you can specify a volume
    # size that is equal to or larger than the snapshot size" (CreateVolume, Size).
    least = snapshot.volume_size
    if size is not None and int(size) < least:
        raise ec2_error(
            "InvalidParameterValue", f"Volume of {size}GiB is smaller than snapshot, {least}GiB."
        )
    # "If the snapshot is encrypted, the volume is … encrypted", with the snapshot's key unless
    # another one is named (EBS User Guide, "Amazon EBS encryption").
    if snapshot.encrypted:
        key = more.get("kms_key_id") or snapshot.kms_key_id
        more = {**more, "encrypted": True, "kms_key_id": key}
    return int(size) if size is not None else least, more


def _attached() -> None:
    from moto.ec2.models import EC2Backend

    attach = EC2Backend.attach_volume

    def attach_volume(
        self: Any,
        volume_id: str,
        instance_id: str,
        device_path: str,
        delete_on_termination: bool = False,
    ) -> Any:
        _attachable(self.get_volume(volume_id), self.get_instance(instance_id), device_path)
        return attach(self, volume_id, instance_id, device_path, delete_on_termination)

    EC2Backend.attach_volume = attach_volume

    detach = EC2Backend.detach_volume

    def detach_volume(
        self: Any, volume_id: str, instance_id: str | None, device_path: str | None
    ) -> Any:
        # "InstanceId … Required if you are detaching a Multi-Attach enabled volume", and only then
        # (DetachVolume).
        volume = self.get_volume(volume_id)
        if volume.attachment is None:
            raise ec2_error("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
        holder = volume.attachment.instance.id
        if instance_id not in (None, holder):
            raise ec2_error(
                "InvalidAttachment.NotFound",
                f"The volume '{volume_id}' is not attached to instance '{instance_id}'.",
            )
        return detach(self, volume_id, holder, device_path)

    EC2Backend.detach_volume = detach_volume


def _attachable(volume: Any, instance: Any, device: str) -> None:
    # AttachVolume: an instance of the volume's zone, a free device; error codes as in "EC2 error
    # codes".
    if volume.attachment is not None:
        raise ec2_error(
            "VolumeInUse", f"{volume.id} is already attached to {volume.attachment.instance.id}"
        )
    if instance.state in ("terminated", "shutting-down"):
        raise ec2_error("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.availability_zone != instance.availability_zone:
        raise ec2_error(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as "
            f"instance '{instance.id}'.",
        )
    if device in instance.block_device_mapping:
        raise ec2_error(
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )


def _deleted_on_termination() -> None:
    from moto.ec2.models.elastic_block_store import VolumeAttachment

    def delete_on_termination(attachment: Any) -> bool:
        device = attachment.instance.block_device_mapping.get(attachment.device)
        return bool(device and device.delete_on_termination)

    # VolumeAttachment.DeleteOnTermination; moto has it in DescribeInstances only.
    VolumeAttachment.delete_on_termination = property(delete_on_termination)
