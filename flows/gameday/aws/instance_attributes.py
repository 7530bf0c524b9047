"""Attributes of EC2 instances, one at a time: what is described, and what is modified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.gameday.aws.errors import ec2_error
from flows.gameday.aws.instance_states import require_modifiable, require_stopped

_MODIFIED = (
    "DisableApiStop",
    "DisableApiTermination",
    "EbsOptimized",
    "EnaSupport",
    "Groups",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "Kernel",
    "Ramdisk",
    "SourceDestCheck",
    "SriovNetSupport",
    "UserData",
)
# ModifyInstanceAttribute and "Change the instance type", "Work with instance user data" (EC2 User
# Guide).
_MODIFIED_WHEN_STOPPED = frozenset({"InstanceType", "Kernel", "Ramdisk", "UserData"})
_PROTECTIONS = {
    "DisableApiTermination": "disableApiTermination",
    "DisableApiStop": "disableApiStop",
}
# DescribeInstanceAttribute: those that moto doesn't know, or answers in another form, each with the
# member of the answer.
_DESCRIBED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "blockDeviceMapping": ("BlockDeviceMappings", lambda instance: instance.block_device_mappings),
    # All current types are built for enhanced networking.
    "enaSupport": ("EnaSupport", lambda instance: {"Value": True}),
    "enclaveOptions": ("EnclaveOptions", lambda instance: {"Enabled": False}),
    "kernel": ("KernelId", lambda instance: _value(instance.kernel)),
    "productCodes": ("ProductCodes", lambda instance: instance.product_codes),
    "ramdisk": ("RamdiskId", lambda instance: _value(instance.ramdisk)),
}


def correct() -> None:
    """Have instances keep exactly what was set on them, and describe it as AWS does."""
    _described()
    _modified()


def _described() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.responses.instances import InstanceResponse

    describe = InstanceResponse.describe_instance_attribute

    def describe_instance_attribute(self: Any) -> Any:
        attribute = self._get_param("Attribute")
        if attribute not in _DESCRIBED:
            return describe(self)
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        member, value = _DESCRIBED[attribute]
        return ActionResult({"InstanceId": instance.id, member: value(instance)})

    InstanceResponse.describe_instance_attribute = describe_instance_attribute


def _modified() -> None:
    from moto.core.responses import EmptyResult
    from moto.ec2.responses.instances import InstanceResponse

    modify = InstanceResponse.modify_instance_attribute

    def modify_instance_attribute(self: Any) -> Any:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        require_modifiable(instance)
        given = _given(self)
        # "You can specify only one attribute at a time" (ModifyInstanceAttribute).
        if len(given) > 1 or (given and self._get_param("BlockDeviceMappings")):
            raise ec2_error(
                "InvalidParameterCombination",
                "Fields for multiple attribute types specified: " + ", ".join(sorted(given)),
            )
        for name, value in given.items():
            if name in _MODIFIED_WHEN_STOPPED:
                require_stopped(instance, name)
            if name == "InstanceInitiatedShutdownBehavior":
                return _shutdown_behavior(instance, value)
            if name in _PROTECTIONS:
                return _protection(instance, name, value)
        mappings = self._get_param("BlockDeviceMappings", [])
        if mappings:
            return _delete_on_termination(instance, mappings)
        # moto takes every attribute that it doesn't know for a change of groups to none.
        return modify(self)

    def _shutdown_behavior(instance: Any, value: Any) -> Any:
        if value not in ("stop", "terminate"):
            raise ec2_error(
                "InvalidParameterValue",
                f"Invalid value '{value}' for instanceInitiatedShutdownBehavior",
            )
        instance.instance_initiated_shutdown_behavior = value
        return EmptyResult()

    def _protection(instance: Any, name: str, value: Any) -> Any:
        on = str(value).lower() == "true"
        if on and instance.lifecycle == "spot":
            # "You can't enable termination protection for Spot Instances" and "… stop protection
            # for Spot Instances" (ModifyInstanceAttribute, DisableApiTermination, DisableApiStop).
            raise ec2_error(
                "UnsupportedOperation",
                f"You can't modify the attribute '{_PROTECTIONS[name]}' of a Spot Instance.",
            )
        attribute = "disable_api_stop" if name == "DisableApiStop" else "disable_api_termination"
        setattr(instance, attribute, on)
        return EmptyResult()

    def _delete_on_termination(instance: Any, mappings: list[dict[str, Any]]) -> Any:
        for mapping in mappings:
            if mapping.get("DeviceName") not in instance.block_device_mapping:
                raise ec2_error(
                    "InvalidInstanceAttributeValue",
                    f"No device is currently mapped at {mapping.get('DeviceName')}",
                )
        for mapping in mappings:
            # "DeleteOnTermination … Default: true" where it is left out (ModifyInstanceAttribute).
            wanted = mapping.get("Ebs", {}).get("DeleteOnTermination", True)
            instance.block_device_mapping[mapping["DeviceName"]].delete_on_termination = wanted
        return EmptyResult()

    InstanceResponse.modify_instance_attribute = modify_instance_attribute


def _given(response: Any) -> dict[str, Any]:
    """The attributes that a ModifyInstanceAttribute sets, by their names in the API."""
    attribute = response._get_param("Attribute")
    if attribute is not None:
        name = "Groups" if attribute == "groupSet" else attribute[0].upper() + attribute[1:]
        return {name: response._get_param("Value")}
    given = {name: response._get_param(name) for name in _MODIFIED}
    return {
        name: value.get("Value") if isinstance(value, dict) else value
        for name, value in given.items()
        if value is not None
    }


def _value(value: Any) -> dict[str, Any]:
    """A value in the form of an attribute; one that isn't set is an empty element."""
    return {} if value is None else {"Value": value}
