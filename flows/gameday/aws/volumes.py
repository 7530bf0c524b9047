"""EBS volumes: what a snapshot hands on to them, where they can be attached, and as what."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import ebs_encryption, operations
from flows.gameday.aws.errors import ec2_error

_KINDS = frozenset({"gp2", "gp3", "io1", "io2", "sc1", "st1", "standard"})


def correct() -> None:
    """Have volumes keep what their snapshot had, and refuse attachments that AWS refuses."""
    _restored()
    _created()
    _attached()
    _deleted_on_termination()
    _status()


def require_zone(backend: Any, name: str) -> None:
    """Raise InvalidZone.NotFound where the Region has no Availability Zone of that name."""
    if backend.get_zone_by_name(name) is None:
        raise ec2_error("InvalidZone.NotFound", f"The zone '{name}' does not exist.")


def _restored() -> None:
    from moto.ec2.models import EC2Backend

    create = EC2Backend.create_volume

    def create_volume(
        self: Any, size: Any, zone_name: str, snapshot_id: str | None = None, **more: Any
    ) -> Any:
        kind = more.get("volume_type")
        if kind is not None and kind not in _KINDS:
            # "UnknownVolumeType: The specified volume type is unsupported" (EC2 error codes).
            raise ec2_error(
                "UnknownVolumeType", f"Unsupported volume type '{kind}' for volume creation."
            )
        if snapshot_id:
            size, more = _from_snapshot(self, self.get_snapshot(snapshot_id), size, more)
        key = more.get("kms_key_id")
        if key:
            # "The Amazon Resource Name (ARN) of the KMS key" (Volume), however it was named.
            more = {**more, "kms_key_id": ebs_encryption.key_arn(self, key) or key}
        return create(self, size, zone_name, snapshot_id=snapshot_id, **more)

    EC2Backend.create_volume = create_volume


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
    # another one is named; that of another account's snapshot with one's own default key (EBS User
    # Guide, "Encryption outcomes").
    if snapshot.encrypted:
        own = snapshot.owner_id == backend.account_id
        key = more.get("kms_key_id") or (snapshot.kms_key_id if own else None)
        more = {**more, "encrypted": True, "kms_key_id": key}
    return int(size) if size is not None else least, more


def _created() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.models.elastic_block_store import Volume
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    # Volume.State is "creating" in the answer of CreateVolume, and "available" afterwards.
    status = Volume.status.fget
    Volume.is_being_created = False
    Volume.status = property(
        lambda volume: "creating" if volume.is_being_created else status(volume)
    )

    create = ElasticBlockStore.create_volume

    def create_volume(self: Any) -> Any:
        backend = self.ec2_backend
        require_zone(backend, self._get_param("AvailabilityZone"))
        volume = create(self).result
        if not _keys_can_be_used(backend, volume):
            # "Amazon Web Services authenticates the KMS key asynchronously … the action can appear
            # to complete, but eventually fails" (CreateVolume): the volume is not there then
            # (kubernetes-sigs/aws-ebs-csi-driver, issue 3010).
            del backend.volumes[volume.id]
        answered = copy.copy(volume)
        answered.is_being_created = True
        return ActionResult(answered)

    ElasticBlockStore.create_volume = create_volume


def _keys_can_be_used(backend: Any, volume: Any) -> bool:
    """The volume's key, and that of the snapshot it is made from."""
    keys = {volume.kms_key_id} if volume.encrypted else set()
    if volume.snapshot_id:
        snapshot = backend.get_snapshot(volume.snapshot_id)
        keys |= {snapshot.kms_key_id} if snapshot.encrypted else set()
    return all(ebs_encryption.may_use(backend, key) for key in keys)


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
    if volume.encrypted and not ebs_encryption.is_enabled(volume.kms_key_id):
        # "CustomerKeyHasBeenRevoked: The KMS key cannot be accessed" (EC2 error codes).
        raise ec2_error(
            "CustomerKeyHasBeenRevoked", f"KMS Key {volume.kms_key_id} cannot be accessed."
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


def _status() -> None:
    from moto.ec2.responses import EC2Response

    operations.add(
        EC2Response,
        {
            "DescribeVolumeStatus": _describe_status,
            "DescribeVolumeAttribute": _describe_attribute,
        },
    )


def _describe_status(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    volumes = response.ec2_backend.describe_volumes(
        asked.get("VolumeIds"), response._filters_from_querystring()
    )
    details = [
        {"Name": "io-enabled", "Status": "passed"},
        {"Name": "io-performance", "Status": "not-applicable"},
    ]
    return {
        "VolumeStatuses": [
            {
                "VolumeId": volume.id,
                "AvailabilityZone": volume.availability_zone,
                "VolumeStatus": {"Status": "ok", "Details": details},
                "Events": [],
                "Actions": [],
            }
            for volume in volumes
        ]
    }


def _describe_attribute(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    volume = response.ec2_backend.get_volume(asked["VolumeId"])
    match asked["Attribute"]:
        case "autoEnableIO":
            # What a volume has that nobody changed (ModifyVolumeAttribute).
            return {"VolumeId": volume.id, "AutoEnableIO": {"Value": False}}
        case "productCodes":
            return {"VolumeId": volume.id, "ProductCodes": []}
    raise ec2_error("InvalidParameterValue", f"Invalid value '{asked['Attribute']}' for attribute.")
