"""EC2 instances: how they are launched, their metadata options, and what is left of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.errors import ec2_error
from flows.gameday.aws.instance_states import require_modifiable

_ID = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")


def correct() -> None:
    """Have instances be what their launch said, and refuse what AWS refuses."""
    _metadata_options()
    _ids()
    _launches()
    _life()


def _metadata_options() -> None:
    from moto.ec2.models import EC2Backend

    def modify(
        self: Any,
        instance_id: str,
        http_tokens: str | None = None,
        hop_limit: int | None = None,
        http_endpoint: str | None = None,
        dry_run: bool | None = False,
        http_protocol: str | None = None,
        metadata_tags: str | None = None,
    ) -> Any:
        # "If you don't specify a value, … the existing state is maintained"
        # (ModifyInstanceMetadataOptions); moto empties what isn't given.
        instance = self.get_instance(instance_id)
        require_modifiable(instance)
        options = instance.metadata_options
        given = {
            "http_tokens": http_tokens,
            "http_put_response_hop_limit": hop_limit,
            "http_endpoint": http_endpoint,
            "http_protocol_ipv6": http_protocol,
            "instance_metadata_tags": metadata_tags,
        }
        for name, value in given.items():
            if value is not None:
                setattr(options, name, value)
        # "pending: The metadata options are being updated" (InstanceMetadataOptionsResponse, State):
        # they are applied by the next call.
        answered = copy.copy(options)
        answered.state = "pending"
        return answered

    EC2Backend.modify_instance_metadata_options = modify


def _ids() -> None:
    from moto.ec2.exceptions import InvalidInstanceIdError
    from moto.ec2.models import EC2Backend

    # "InvalidInstanceID.Malformed: The specified instance ID is malformed" (EC2 error codes); moto
    # says of any unknown text that there is no such instance.
    several = EC2Backend.get_multi_instances_by_id
    reservations = EC2Backend.get_reservations_by_instance_ids

    def every(self: Any) -> Iterator[Any]:
        for reservation in self.reservations.values():
            yield from reservation.instances

    # Most calls look for an instance, several times. moto copies all reservations each time, which
    # in an account of 2,000 instances is most of what a call takes.
    def all_instances(self: Any, filters: Any = None) -> list[Any]:
        return [instance for instance in every(self) if instance.applies(filters)]

    def get_instance_by_id(self: Any, instance_id: str) -> Any:
        return next((instance for instance in every(self) if instance.id == instance_id), None)

    def get_instance(self: Any, instance_id: str) -> Any:
        _well_formed([instance_id])
        found = get_instance_by_id(self, instance_id)
        if found is None:
            raise InvalidInstanceIdError(instance_id)
        return found

    def get_multi_instances_by_id(self: Any, instance_ids: list[str], filters: Any = None) -> Any:
        _well_formed(instance_ids)
        return several(self, instance_ids, filters)

    def get_reservations_by_instance_ids(
        self: Any, instance_ids: list[str], filters: Any = None
    ) -> Any:
        _well_formed(instance_ids)
        return reservations(self, instance_ids, filters)

    EC2Backend.all_instances = all_instances
    EC2Backend.get_instance = get_instance
    EC2Backend.get_instance_by_id = get_instance_by_id
    EC2Backend.get_multi_instances_by_id = get_multi_instances_by_id
    EC2Backend.get_reservations_by_instance_ids = get_reservations_by_instance_ids


def _launches() -> None:
    from moto.ec2.models import EC2Backend
    from moto.ec2.responses.instances import InstanceResponse

    run = EC2Backend.run_instances

    def run_instances(self: Any, image_id: str, *arguments: Any, **named: Any) -> Any:
        template = named.get("launch_template")
        data = self._get_template_from_args(template).data if template else {}
        kind = named.get("instance_type")
        if named.get("is_instance_type_default"):
            kind = data.get("InstanceType", kind)
        if kind in settings.SETTINGS.no_capacity:
            # "InsufficientInstanceCapacity" (EC2 User Guide, "Troubleshoot instance launch issues").
            raise ec2_error(
                "InsufficientInstanceCapacity",
                f"We currently do not have sufficient {kind} capacity in the Availability Zone you "
                "requested.",
            )
        # An instance launched from a launch template has the template's instance profile and
        # metadata options (RequestLaunchTemplateData).
        if data.get("MetadataOptions"):
            options = {**data["MetadataOptions"], **(named.get("metadata_options") or {})}
            named["metadata_options"] = options
        reservation = run(self, image_id, *arguments, **named)
        profile = data.get("IamInstanceProfile") or {}
        own = named.get("iam_instance_profile_name") or named.get("iam_instance_profile_arn")
        for instance in reservation.instances:
            # Block devices are added to the image's own ones (RunInstances, BlockDeviceMappings).
            if instance.root_device_name not in instance.block_device_mapping:
                instance.setup_defaults()
            if profile and not own:
                self.associate_iam_instance_profile(
                    instance.id, profile.get("Name"), profile.get("Arn")
                )
        return reservation

    EC2Backend.run_instances = run_instances

    run_called = InstanceResponse.run_instances

    def run_instances_called(self: Any) -> Any:
        answer = run_called(self)
        protected = bool(self._get_bool_param("DisableApiTermination"))
        for instance in answer.result.instances:
            instance.disable_api_termination = protected
        return answer

    InstanceResponse.run_instances = run_instances_called


def _life() -> None:
    from moto.ec2.models.instances import Instance

    # DescribeInstances says InstanceLifecycle: spot of a Spot Instance.
    Instance.instance_lifecycle = property(lambda instance: instance.lifecycle)

    # The root volume is attached at the image's root device (Image.RootDeviceName).
    def setup_defaults(self: Any) -> None:
        volume = self.ec2_backend.create_volume(size=8, zone_name=self.availability_zone)
        self.ec2_backend.attach_volume(volume.id, self.id, self.root_device_name, True)

    Instance.setup_defaults = setup_defaults

    # An interface that isn't deleted on termination is available again afterwards.
    terminate = Instance.terminate

    def terminate_instance(self: Any) -> Any:
        result = terminate(self)
        for eni in self.nics.values():
            if eni.id in self.ec2_backend.enis and eni.instance is self:
                eni.instance, eni.attachment_id, eni.attach_time = None, None, None
                eni.status, eni.device_index = "available", None
        return result

    Instance.terminate = terminate_instance


def _well_formed(instance_ids: list[str]) -> None:
    for instance_id in instance_ids:
        if not _ID.fullmatch(str(instance_id)):
            raise ec2_error("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
