"""``ec2.protect``: keep an instance and its disks from being terminated, stopped or deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Undo
from runbooks.errors import NotContained
from runbooks.step import NoParams, Permissions, Step
from runbooks.targets.instance import (
    Ec2Instance,
    Membership,
    NetworkInterface,
    Protection,
    Scaling,
    Volume,
)

_GONE = ("InvalidInstanceID.NotFound",)


class ProtectInstance(Step[Ec2Instance, NoParams]):
    """Turn on termination, stop and scale-in protection; keep volumes and interfaces for good.

    Termination protection covers neither a shutdown from inside, hence the shutdown behaviour,
    nor Auto Scaling, hence the scale-in protection, which in turn covers no health check: only
    leaving the group does (EC2 User Guide, "Terminate instances"; EC2 Auto Scaling User Guide,
    "Use instance scale-in protection"). Nothing here keeps the memory from an intruder's
    ``shutdown``.

    Spot instances can have neither termination nor stop protection, and instances with an
    instance-store root can't be stopped at all: the plan says that such evidence is at risk, and
    everything else is still protected. Volumes and interfaces that an AWS service manages refuse
    changes and are named and left.
    """

    name = "ec2.protect"
    facts = (Protection, Scaling)
    permissions = Permissions(
        change=(
            "autoscaling:SetInstanceProtection",
            "ec2:ModifyInstanceAttribute",
            "ec2:ModifyNetworkInterfaceAttribute",
        )
    )
    # Evidence that can't be protected never blocks a containment.
    on_failure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        _warn_of_what_is_at_risk(aws, target)
        aws.change_all(
            [
                *_attributes(target),
                *_keep_volumes(target),
                *_keep_interfaces(target),
                *_scale_in_protection(target),
            ]
        )

    def verify(self, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        protection = target.fact(Protection)
        missing = [
            *(["termination protection"] if _terminable(target, protection) else []),
            *(["stop protection"] if _stoppable(target, protection) else []),
            *(["shutdown behaviour stop"] if _dies_on_shutdown(target, protection) else []),
            *(f"DeleteOnTermination off on {volume.id}" for volume in _volumes_to_keep(target)),
            *(f"DeleteOnTermination off on {eni.id}" for eni in _interfaces_to_keep(target)),
            *(["scale-in protection"] if _member_to_protect(target) else []),
        ]
        if missing:
            raise NotContained(f"{target.id} lacks {', '.join(missing)}.")


# One attribute a call: AWS takes no more (EC2 API Reference, ModifyInstanceAttribute).
def _attributes(target: Ec2Instance) -> Iterator[Change]:
    protection = target.fact(Protection)
    if _terminable(target, protection):
        yield _attribute(
            target, "DisableApiTermination", True, False, why="turn termination protection on"
        )
    if _stoppable(target, protection):
        yield _attribute(target, "DisableApiStop", True, False, why="turn stop protection on")
    if _dies_on_shutdown(target, protection):
        yield _attribute(
            target,
            "InstanceInitiatedShutdownBehavior",
            "stop",
            protection.shutdown_behavior,
            why="have a shutdown from inside stop the instance instead of terminating it",
        )


def _attribute(target: Ec2Instance, name: str, value: Any, before: Any, *, why: str) -> Change:
    def modify(to: Any) -> Call:
        return Call(
            "ec2", "modify_instance_attribute", InstanceId=target.id, **{name: {"Value": to}}
        )

    return Change(modify(value), target.resource, Undo(modify(before), unless=_GONE), why)


def _terminable(target: Ec2Instance, protection: Protection) -> bool:
    return not protection.termination and not target.spot


def _stoppable(target: Ec2Instance, protection: Protection) -> bool:
    return not protection.stop and not target.spot and not target.instance_store


def _dies_on_shutdown(target: Ec2Instance, protection: Protection) -> bool:
    return protection.shutdown_behavior != "stop" and not target.spot and not target.instance_store


def _keep_volumes(target: Ec2Instance) -> Iterator[Change]:
    volumes = _volumes_to_keep(target)
    if not volumes:
        return

    def modify(delete: bool) -> Call:
        # Left out, DeleteOnTermination means true (EC2 API Reference, ModifyInstanceAttribute).
        return Call(
            "ec2",
            "modify_instance_attribute",
            InstanceId=target.id,
            BlockDeviceMappings=[
                {"DeviceName": volume.device, "Ebs": {"DeleteOnTermination": delete}}
                for volume in volumes
            ],
        )

    yield Change(
        modify(False),
        target.resource,
        Undo(modify(True), unless=_GONE),
        f"keep {', '.join(volume.id for volume in volumes)} when the instance is terminated",
    )


def _volumes_to_keep(target: Ec2Instance) -> list[Volume]:
    return [v for v in target.volumes if v.delete_on_termination and not v.managed]


def _keep_interfaces(target: Ec2Instance) -> Iterator[Change]:
    for eni in _interfaces_to_keep(target):
        yield Change(
            _attachment(eni, delete=False),
            eni.resource,
            Undo(
                _attachment(eni, delete=True),
                unless=("InvalidNetworkInterfaceID.NotFound", "InvalidAttachmentID.NotFound"),
            ),
            f"keep {eni.id} when the instance is terminated",
        )


def _attachment(eni: NetworkInterface, *, delete: bool) -> Call:
    return Call(
        "ec2",
        "modify_network_interface_attribute",
        NetworkInterfaceId=eni.id,
        Attachment={"AttachmentId": eni.attachment_id, "DeleteOnTermination": delete},
    )


def _interfaces_to_keep(target: Ec2Instance) -> list[NetworkInterface]:
    return [
        eni for eni in target.network_interfaces if eni.delete_on_termination and not eni.managed
    ]


def _scale_in_protection(target: Ec2Instance) -> Iterator[Change]:
    membership = _member_to_protect(target)
    if membership is None:
        return

    def protect(protected: bool) -> Call:
        return Call(
            "autoscaling",
            "set_instance_protection",
            AutoScalingGroupName=membership.group,
            InstanceIds=[target.id],
            ProtectedFromScaleIn=protected,
        )

    yield Change(
        protect(True),
        membership.resource,
        # Leaving the group takes the protection away by itself.
        Undo(protect(False), unless=("ValidationError",)),
        f"protect the instance from scale-in of {membership.group}",
    )


def _member_to_protect(target: Ec2Instance) -> Membership | None:
    """The membership that lacks protection and can have it: of an instance in service."""
    membership = target.fact(Scaling).membership
    if membership is None or membership.protected_from_scale_in:
        return None
    return membership if membership.lifecycle_state == "InService" else None


def _warn_of_what_is_at_risk(aws: Aws, target: Ec2Instance) -> None:
    if target.spot:
        aws.warn(
            f"Evidence at risk: {target.id} is a Spot Instance, which can have neither termination "
            "nor stop protection; AWS may also take it at any time. Its volumes are kept."
        )
    if target.instance_store:
        aws.warn(
            f"Evidence at risk: the root of {target.id} is an instance store, which is lost when "
            "it is terminated; it can't be stopped, and no snapshot holds it."
        )
    for volume in target.volumes:
        if volume.managed and volume.delete_on_termination:
            aws.warn(
                f"Evidence at risk: {volume.id} ({volume.device}) is managed by an AWS service, "
                "which deletes it with the instance."
            )
    for eni in target.network_interfaces:
        if eni.managed and eni.delete_on_termination:
            aws.warn(f"{eni.id} is managed by an AWS service and goes with the instance.")
    membership = target.fact(Scaling).membership
    if membership is None or membership.lifecycle_state in {"InService", "Standby"}:
        return
    if membership.terminating:
        aws.warn(
            f"Evidence at risk: {membership.group} is already terminating {target.id} "
            f"({membership.lifecycle_state}); only its volumes can still be kept."
        )
    else:
        aws.warn(
            f"{target.id} is not in service in {membership.group} ({membership.lifecycle_state}), "
            "so it can't be protected from scale-in."
        )
