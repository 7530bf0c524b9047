"""Load balancers: targets by id and port, draining, and deregistrations that never fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flows.gameday.aws.clock import DURATIONS, share_of


def correct() -> None:
    """Have target groups keep one target per id and port, and drain what leaves."""
    from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup

    class Targets(dict[Any, Any]):
        """Targets by (id, port); moto itself asks for them by id alone."""

        def __contains__(self, key: object) -> bool:
            return dict.__contains__(self, key) or any(known[0] == key for known in self)

    make = FakeTargetGroup.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.targets = Targets()
        self.leaving = {}

    FakeTargetGroup.__init__ = __init__

    # "You can register the same instance multiple times using different ports" (RegisterTargets).
    def register(self: Any, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            port = int(target.get("Port") or self.port)
            key = (target["Id"], port)
            self.targets[key] = {"Id": target["Id"], "Port": port}
            if target.get("AvailabilityZone"):
                self.targets[key]["AvailabilityZone"] = target["AvailabilityZone"]
            self.leaving.pop(key, None)

    # "If the specified target does not exist, the action returns successfully" (DeregisterTargets).
    def deregister(self: Any, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            for key in list(_keys(self, target)):
                self.leaving[key] = (self.targets.pop(key), time.monotonic(), DURATIONS.draining)

    FakeTargetGroup.register = register
    FakeTargetGroup.deregister = deregister

    def deregister_terminated(self: Any, instance_ids: list[str]) -> None:
        deregister(self, [{"Id": instance_id} for instance_id in instance_ids])

    FakeTargetGroup.deregister_terminated_instances = deregister_terminated

    def health(self: Any, arn: str, targets: list[dict[str, Any]]) -> list[Any]:
        from moto.elbv2.exceptions import TargetGroupNotFoundError

        group = self.target_groups.get(arn)
        if group is None:
            raise TargetGroupNotFoundError()
        wanted = targets or [*group.targets.values(), *(item[0] for item in _draining(group))]
        return [_health(self, group, target, FakeHealthStatus) for target in wanted]

    ELBv2Backend.describe_target_health = health
    # The zone of a target outside the load balancer's VPC is "all" (TargetDescription).
    FakeHealthStatus.target = property(
        lambda status: {
            "Id": status.instance_id,
            "Port": status.port,
            **({"AvailabilityZone": status.zone} if getattr(status, "zone", None) else {}),
        }
    )


def _keys(group: Any, target: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for known in group.targets:
        if known[0] == target["Id"] and target.get("Port") in (None, known[1], str(known[1])):
            yield known


def _draining(group: Any) -> list[Any]:
    return [item for item in group.leaving.values() if share_of(item[1], item[2]) < 1]


def _health(backend: Any, group: Any, target: dict[str, Any], status: Any) -> Any:
    port = int(target.get("Port") or group.port)
    draining = [item[0] for item in _draining(group)]
    known = group.targets.get((target["Id"], port))
    if known is None and {"Id": target["Id"], "Port": port}.items() <= _first(draining, target, port).items():
        return status(
            target["Id"],
            port,
            group.health_check_port,
            "draining",
            "Target.DeregistrationInProgress",
            "Target deregistration is in progress",
        )
    if known is None:
        return status(
            target["Id"],
            port,
            group.health_check_port,
            "unused",
            "Target.NotRegistered",
            "Target is not registered to the target group",
        )
    instance = backend.ec2_backend.get_instance_by_id(target["Id"])
    if instance is not None and instance.state != "running":
        state, reason = "unused", "Target.InvalidState"
    else:
        state, reason = "healthy", None
    found = status(target["Id"], port, group.health_check_port, state, reason)
    found.zone = known.get("AvailabilityZone")
    return found


def _first(draining: list[dict[str, Any]], target: dict[str, Any], port: int) -> dict[str, Any]:
    for item in draining:
        if item["Id"] == target["Id"] and item["Port"] == port:
            return item
    return {}
