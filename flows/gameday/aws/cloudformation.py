"""CloudFormation: stacks that take time, say what failed, and roll back."""

from __future__ import annotations

import json
import time
from typing import Any

from flows.gameday.aws.clock import DURATIONS, share_of


def correct() -> None:
    """Have stacks be in progress first, volumes come from snapshots, and failures roll back."""
    from moto.cloudformation.models import CloudFormationBackend, Stack
    from moto.ec2.models.elastic_block_store import Volume
    from moto.ec2.models.instances import Instance

    # AWS::EC2::Volume takes SnapshotId, VolumeType, Encrypted and Tags (resource reference).
    def volume(
        cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Any:
        from moto.ec2.models import ec2_backends

        properties = cloudformation_json["Properties"]
        made = ec2_backends[account_id][region_name].create_volume(
            properties.get("Size"),
            properties["AvailabilityZone"],
            snapshot_id=properties.get("SnapshotId"),
            encrypted=_true(properties.get("Encrypted")),
            kms_key_id=properties.get("KmsKeyId"),
            volume_type=properties.get("VolumeType"),
        )
        made.add_tags({tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])})
        return made

    Volume.create_from_cloudformation_json = classmethod(volume)

    # AWS::EC2::Instance takes SecurityGroupIds; moto reads SecurityGroups only.
    instance = Instance.create_from_cloudformation_json.__func__

    def create_instance(
        cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **more: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        if "SecurityGroupIds" in properties:
            properties.setdefault("SecurityGroups", properties["SecurityGroupIds"])
        made = instance(cls, resource_name, cloudformation_json, account_id, region_name, **more)
        options = properties.get("MetadataOptions") or {}
        if options.get("HttpTokens"):
            made.metadata_options["HttpTokens"] = options["HttpTokens"]
        return made

    Instance.create_from_cloudformation_json = classmethod(create_instance)

    # CREATE_IN_PROGRESS first; a failing resource leads to ROLLBACK_COMPLETE, and CreateStack
    # itself does not raise (CloudFormation User Guide, "Stack status codes").
    def create_resources(self: Any) -> None:
        self._born, self._seconds = time.monotonic(), DURATIONS.stack
        self.status = "CREATE_IN_PROGRESS"
        try:
            self.resource_map.create(self.template_dict)
        except Exception as error:
            name = _failing(self)
            self._add_resource_event(name, "CREATE_FAILED", resource_status_reason=str(error))
            self.resource_map.delete()
            self._add_stack_event("ROLLBACK_COMPLETE")
            self.final_status = "ROLLBACK_COMPLETE"
            self.stack_status_reason = f"The following resource(s) failed to create: [{name}]."
            return
        self._add_stack_event("CREATE_COMPLETE")
        self.final_status = "CREATE_COMPLETE"

    Stack.create_resources = create_resources

    def status(stack: Any) -> str:
        final: str = stack.__dict__.get("final_status") or stack.__dict__.get("_said", "")
        if final.startswith(("CREATE_", "ROLLBACK_")) and hasattr(stack, "_born"):
            if share_of(stack._born, stack._seconds) < 1:
                return "CREATE_IN_PROGRESS"
        return final

    def say(stack: Any, value: str) -> None:
        stack.__dict__["_said"] = value
        stack.__dict__["final_status"] = None if value == "CREATE_IN_PROGRESS" else value

    Stack.status = property(status, say)

    create = CloudFormationBackend.create_stack

    def create_stack(self: Any, name: str, template: Any, *more: Any, **named: Any) -> Any:
        from moto.cloudformation.exceptions import ValidationError

        text = template if isinstance(template, str) else json.dumps(template)
        capabilities = named.pop("capabilities", None)
        if '"AWS::IAM::' in text and capabilities == []:
            raise ValidationError(message="Requires capabilities : [CAPABILITY_IAM]")
        return create(self, name, template, *more, **named)

    CloudFormationBackend.create_stack = create_stack


def _failing(stack: Any) -> str:
    """The first resource of the template that was not made."""
    made = set(stack.resource_map._parsed_resources)
    for name in stack.template_dict.get("Resources", {}):
        if name not in made:
            return str(name)
    return "?"


def _true(value: Any) -> bool:
    return str(value).lower() == "true"
