"""What calls do, and to which resources: the part of a plan that somebody else may notice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runbooks.calls import Change, Plan

_ADDRESS = re.compile(r"\d+(\.\d+){3}", re.ASCII)
_PENDING = re.compile(r"<pending:([^<>]*)>")
_EVERYWHERE = ("0.0.0.0/0", "::/0")
_Effect = tuple[str, str]
# Nobody else notices these.
QUIET_CALLS = {
    "modify_instance_attribute",
    "set_instance_protection",
    "create_tags",
    "create_security_group",
    "revoke_security_group_egress",
    "revoke_security_group_ingress",
    "authorize_security_group_egress",
    "record_lifecycle_action_heartbeat",
    "create_role",
    "tag_role",
    "create_instance_profile",
    "add_role_to_instance_profile",
    "remove_role_from_instance_profile",
    "delete_stack",
}


def effects(plan: Plan) -> dict[str, list[str]]:
    """What the plan does, to which resources: names by effect, in the order of the calls."""
    found: dict[str, list[str]] = {}
    for effect, name in _all_effects(plan):
        found.setdefault(effect, []).append(name)
    return found


def readable(why: str) -> str:
    """The sentence, with words for what AWS will choose."""
    return _PENDING.sub(lambda match: match[1] if " " in match[1] else "a new one", why)


def _all_effects(plan: Plan) -> Iterator[_Effect]:
    for step in plan.steps:
        yield from _of(step.changes)
        # Leaving its group takes an instance out of the group's load balancers: these calls stand
        # in the plan only as ones that may be needed, and what they do happens all the same. So do
        # the locks of snapshots that are not there yet.
        for effect, name in _of(step.contingent):
            if effect in ("target-group", "classic", "locked"):
                yield effect, name


def _of(changes: Iterable[Change]) -> Iterator[_Effect]:
    for change in changes:
        yield from _of_one(change)


def _of_one(change: Change) -> Iterator[_Effect]:
    call, params = change.call, change.call.params
    match call.operation:
        case "detach_instances":
            smaller = params.get("ShouldDecrementDesiredCapacity")
            yield "leaves" if smaller else "leaves-replaced", _name(params, "AutoScalingGroupName")
        case "enter_standby":
            yield "standby", _name(params, "AutoScalingGroupName")
        case "update_auto_scaling_group":
            yield "smaller", _name(params, "AutoScalingGroupName")
        case "deregister_targets":
            # arn:…:targetgroup/name/hash
            yield "target-group", _name(params, "TargetGroupArn").rsplit("/", 2)[-2:][0]
        case "deregister_instances_from_load_balancer":
            yield "classic", _name(params, "LoadBalancerName")
        case "modify_network_interface_attribute":
            if "Groups" in params:
                yield "interface", _name(params, "NetworkInterfaceId")
        case "authorize_security_group_ingress":
            if any(cidr in str(params) for cidr in _EVERYWHERE):
                yield "opened", ""
        case "create_network_acl_entry":
            yield "subnet", _name(params, "NetworkAclId")
        case "disassociate_address":
            address = _ADDRESS.search(change.why)
            yield "address", address[0] if address else _name(params, "AssociationId")
        case "modify_instance_metadata_options":
            yield "metadata", _name(params, "InstanceId")
        case "replace_iam_instance_profile_association" | "disassociate_iam_instance_profile":
            yield "profile", change.on.arn.rsplit("/", 1)[-1]
        case "put_role_policy":
            yield _denial(params), _name(params, "RoleName")
        case "create_snapshots" | "create_snapshot":
            yield "snapshot", change.on.arn.rsplit("/", 1)[-1]
        case "lock_snapshot":
            yield "locked", f"{params.get('LockDuration')} days ({params.get('LockMode')})"
        case "create_stack":
            yield "room", _name(params, "StackName")
        case operation if operation not in QUIET_CALLS:
            yield "other", f"{call.service}.{operation}"


def _denial(params: Mapping[str, Any]) -> str:
    """Whom a policy on a role denies: by the conditions, as runbooks.ec2.denial writes them."""
    document = str(params.get("PolicyDocument", ""))
    if "ClampdownDenyAll" in document:
        return "own-role"
    if "aws:TokenIssueTime" in document:
        return "role-everybody"
    return "role-instance" if "ec2:SourceInstanceARN" in document else "role-other"


def _name(params: Mapping[str, Any], key: str) -> str:
    return readable(str(params.get(key, "")))
