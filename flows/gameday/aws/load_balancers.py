"""Load balancers: targets by id and port, draining, and deregistrations that never fail."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.reachability import Source, interface_of
from flows.gameday.aws.settings import Taking

_NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered")
_DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
_NOT_IN_USE = ("unused", "Target.NotInUse", "Target group is not configured to receive traffic")
_REGISTERING = (
    "initial",
    "Elb.RegistrationInProgress",
    "Target registration is in progress",
)
_NOT_RUNNING = ("unused", "Target.InvalidState", "Target is in the stopped state")
_UNREACHABLE = ("unhealthy", "Target.Timeout", "Request timed out")


def correct() -> None:
    """Have target groups keep one target per id and port, and drain what leaves."""
    _targets()
    _health()


class Targets(dict[Any, Any]):
    """Targets by id and port. moto itself asks for them by id alone."""

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or any(known[0] == key for known in self)


def _targets() -> None:
    from moto.elbv2.models import FakeTargetGroup

    make = FakeTargetGroup.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.targets = Targets()
        self.coming = {}
        self.leaving = {}

    FakeTargetGroup.__init__ = __init__

    # "You can register the same instance multiple times using different ports" (RegisterTargets).
    def register(self: Any, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            _registrable(self, target)
        for target in targets:
            key = _key(self, target)
            known = {"Id": key[0], "Port": key[1]}
            if target.get("AvailabilityZone"):
                known["AvailabilityZone"] = target["AvailabilityZone"]
            if not dict.__contains__(self.targets, key):
                self.coming[key] = Taking.now(settings.SETTINGS.register_seconds)
            self.targets[key] = known
            self.leaving.pop(key, None)

    # "If the specified target does not exist, the action returns successfully" (DeregisterTargets).
    # Without a port it is the target group's own.
    def deregister(self: Any, targets: list[dict[str, Any]]) -> None:
        _leave(self, [_key(self, target) for target in targets])

    def deregister_terminated_instances(self: Any, instance_ids: list[str]) -> None:
        _leave(self, [key for key in self.targets if key[0] in instance_ids])

    FakeTargetGroup.register = register
    FakeTargetGroup.deregister = deregister
    FakeTargetGroup.deregister_terminated_instances = deregister_terminated_instances


def _leave(group: Any, keys: Iterable[Any]) -> None:
    # "The amount of time … to wait before changing the state of a deregistering target from
    # draining to unused" (TargetGroupAttribute).
    delay = float(group.attributes["deregistration_delay.timeout_seconds"])
    for key in list(keys):
        if dict.__contains__(group.targets, key):
            group.targets.pop(key)
            group.coming.pop(key, None)
            group.leaving[key] = Taking.now(min(delay, settings.SETTINGS.drain_seconds))


def _key(group: Any, target: dict[str, Any]) -> tuple[str, int]:
    """A target's id, addresses in one spelling, and its port, the group's where it has none."""
    identity = str(target["Id"])
    if group.target_type == "ip":
        identity = str(ipaddress.ip_address(identity))
    return identity, int(target.get("Port") or group.port)


def _registrable(group: Any, target: dict[str, Any]) -> None:
    """Raise what RegisterTargets raises, of instances and of addresses."""
    from moto.elbv2.exceptions import InvalidTargetError, TargetNotRunning, ValidationError

    identity = str(target["Id"])
    if group.target_type == "instance":
        if not identity.startswith("i-"):
            raise ValidationError(f"Instance ID '{identity}' is not valid")
        instance = group.ec2_backend.get_instance_by_id(identity)
        if instance is None or instance.vpc_id != group.vpc_id:
            raise InvalidTargetError()
        # "The EC2 instance must be in the running state when you register it" (RegisterTargets).
        if instance.state != "running":
            raise TargetNotRunning(instance_id=identity)
    if group.target_type == "ip":
        try:
            address = ipaddress.ip_address(identity)
        except ValueError:
            raise ValidationError(f"The IP address '{identity}' is not valid") from None
        if f"ipv{address.version}" != (group.ip_address_type or "ipv4"):
            raise ValidationError(
                f"The IP address '{identity}' is not of the target group's address type"
            )
        # "If the IP address is outside the VPC, … AvailabilityZone … all" (TargetDescription).
        outside = target.get("AvailabilityZone") == "all"
        if not outside and not any(address in network for network in _networks(group)):
            raise InvalidTargetError()


def _networks(group: Any) -> list[Any]:
    vpc = group.ec2_backend.get_vpc(group.vpc_id)
    blocks = [vpc.cidr_block] + [
        item.get("ipv6CidrBlock") or item.get("cidr_block")
        for item in vpc.get_cidr_block_association_set(ipv6=True)
    ]
    return [ipaddress.ip_network(block) for block in blocks if block]


def _health() -> None:
    from moto.elbv2.exceptions import TargetGroupNotFoundError
    from moto.elbv2.models import ELBv2Backend, FakeHealthStatus

    def describe_target_health(self: Any, arn: str, targets: list[dict[str, Any]]) -> list[Any]:
        group = self.target_groups.get(arn)
        if group is None:
            raise TargetGroupNotFoundError()
        draining = [key for key, taking in group.leaving.items() if not taking.over]
        asked = [_key(group, target) for target in targets]
        found = []
        for key in asked or [*group.targets, *draining]:
            state, reason, text = _state(self, group, key, draining)
            status = FakeHealthStatus(*key, group.health_check_port, state, reason, text)
            status.zone = dict.get(group.targets, key, {}).get("AvailabilityZone")
            found.append(status)
        return found

    ELBv2Backend.describe_target_health = describe_target_health
    FakeHealthStatus.target = property(
        lambda status: {
            "Id": status.instance_id,
            "Port": status.port,
            **({"AvailabilityZone": status.zone} if status.zone else {}),
        }
    )


def _state(
    backend: Any, group: Any, key: tuple[str, int], draining: list[Any]
) -> tuple[str, str | None, str | None]:
    """State, reason and description as in TargetHealth."""
    if not dict.__contains__(group.targets, key):
        return _DRAINING if key in draining else _NOT_REGISTERED
    if not group.load_balancer_arns:
        return _NOT_IN_USE
    eni = interface_of(backend.ec2_backend, key[0])
    if eni is not None and eni.instance is not None and eni.instance.state != "running":
        return _NOT_RUNNING
    if not group.coming[key].over:
        return _REGISTERING
    if settings.SETTINGS.health_seconds and not reaches_target(backend, group, key):
        return _UNREACHABLE
    return "healthy", None, None


def reaches_target(elbv2: Any, group: Any, key: tuple[str, int]) -> bool:
    """Whether the load balancers of a target group reach a target. Without any, nothing says no."""
    eni = interface_of(elbv2.ec2_backend, key[0])
    if eni is None:
        return True
    balancers = [elbv2.load_balancers[arn] for arn in group.load_balancer_arns]
    return all(Source.of(elbv2.ec2_backend, item).reaches(eni, key[1]) for item in balancers)
