"""Classic load balancers: instances that come, are in service, drain and are gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.reachability import Source
from flows.gameday.aws.settings import Taking

# State, reason and description as in InstanceState; the descriptions are those listed there.
_IN_SERVICE = ("InService", "N/A", "N/A")
_REGISTERING = ("OutOfService", "ELB", "Instance registration is still in progress.")
_DRAINING = ("InService", "N/A", "Instance deregistration currently in progress.")
_FAILING = (
    "OutOfService",
    "Instance",
    "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.",
)
_STOPPED = ("OutOfService", "Instance", "Instance is in stopped state.")
_ABSENT = (
    "OutOfService",
    "Instance",
    "Instance is not currently registered with the LoadBalancer.",
)


def correct() -> None:
    """Have an instance be registered once or not at all, whoever registered it, and take its time.

    moto keeps those that a person and those that an Auto Scaling group has registered apart, and
    lists one that is registered again twice.
    """
    from moto.elb.models import ELBBackend, LoadBalancer
    from moto.elb.responses import ELBResponse

    make = LoadBalancer.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.coming = {}
        self.leaving = {}

    LoadBalancer.__init__ = __init__

    register = ELBBackend.register_instances

    def register_instances(
        self: Any, name: str, instance_ids: Iterable[str], from_autoscaling: bool = False
    ) -> Any:
        balancer = _balancer(self, name)
        _require_instances(self, instance_ids)
        new = [item for item in instance_ids if item not in balancer.instance_ids]
        for instance_id in new:
            balancer.coming[instance_id] = Taking.now(settings.SETTINGS.register_seconds)
            balancer.leaving.pop(instance_id, None)
        return register(self, name, new, from_autoscaling)

    def deregister_instances(
        self: Any, name: str, instance_ids: Iterable[str], from_autoscaling: bool = False
    ) -> Any:
        balancer = _balancer(self, name)
        if not from_autoscaling:
            _require_instances(self, instance_ids)
        leave(balancer, instance_ids)
        return balancer

    ELBBackend.register_instances = register_instances
    ELBBackend.deregister_instances = deregister_instances
    ELBBackend.describe_instance_health = _describe_instance_health

    def answering(operation: str) -> Any:
        carry_out = getattr(ELBResponse, operation)

        def answer(self: Any) -> Any:
            # "Instances: The remaining instances registered with the load balancer"
            # (DeregisterEndPointsOutput); moto puts a list into the list.
            answered = carry_out(self)
            [instance_ids] = answered.result["Instances"]
            answered.result["Instances"] = [{"InstanceId": item} for item in instance_ids]
            return answered

        return answer

    for operation in (
        "register_instances_with_load_balancer",
        "deregister_instances_from_load_balancer",
    ):
        setattr(ELBResponse, operation, answering(operation))

    def describe_instance_health(self: Any) -> Any:
        from moto.core.responses import ActionResult

        states = self.elb_backend.describe_instance_health(
            self._get_param("LoadBalancerName"), self._get_param("Instances", [])
        )
        return ActionResult({"InstanceStates": states})

    ELBResponse.describe_instance_health = describe_instance_health


def leave(balancer: Any, instance_ids: Iterable[str]) -> None:
    """Take instances out of a load balancer: at once, or when they have drained.

    "If enabled, the load balancer allows existing requests to complete before [it] shifts traffic
    away from a deregistered or unhealthy instance" (LoadBalancerAttributes, ConnectionDraining).
    """
    draining = balancer.attributes["connection_draining"]
    timeout = float(draining.get("timeout", draining.get("Timeout", 300)))
    enabled = str(draining.get("enabled", draining.get("Enabled"))).lower() == "true"
    seconds = min(timeout, settings.SETTINGS.drain_seconds) if enabled else 0.0
    gone = set(instance_ids)
    for instance_id in gone & set(balancer.instance_ids):
        balancer.coming.pop(instance_id, None)
        balancer.leaving[instance_id] = Taking.now(seconds)
    for attribute in ("instance_sparse_ids", "instance_autoscaling_ids"):
        known = getattr(balancer, attribute)
        setattr(balancer, attribute, [item for item in known if item not in gone])


def reaches(ec2: Any, balancer: Any, instance: Any) -> bool:
    """Whether a load balancer reaches an instance, on the ports of its listeners."""
    source, eni = Source.of(ec2, balancer), instance.nics.get(0)
    return eni is None or all(
        source.reaches(eni, int(item.instance_port)) for item in balancer.listeners
    )


def _balancer(backend: Any, name: str) -> Any:
    from moto.elb.exceptions import LoadBalancerNotFoundError

    found = backend.load_balancers.get(name)
    if found is None:
        raise LoadBalancerNotFoundError(name)
    return found


def _require_instances(backend: Any, instance_ids: Iterable[str]) -> None:
    # "InvalidInstance: The specified endpoint is not valid" (RegisterInstancesWithLoadBalancer and
    # DeregisterInstancesFromLoadBalancer).
    from moto.elb.exceptions import ELBClientError

    for instance_id in instance_ids:
        instance = _ec2(backend).get_instance_by_id(instance_id)
        if instance is None or instance.state == "terminated":
            raise ELBClientError("InvalidInstance", f"Could not find EC2 instance {instance_id}.")


def _describe_instance_health(
    backend: Any, name: str, instances: list[dict[str, str]]
) -> list[dict[str, Any]]:
    balancer, ec2 = _balancer(backend, name), _ec2(backend)
    draining = [item for item, taking in balancer.leaving.items() if not taking.over]
    asked = [item["InstanceId"] for item in instances]
    _require_instances(backend, asked)
    described = []
    for instance_id in dict.fromkeys(asked or [*balancer.instance_ids, *draining]):
        instance = ec2.get_instance_by_id(instance_id)
        # "The state of terminated instances is not returned" (DescribeInstanceHealth).
        if instance is not None and instance.state != "terminated":
            state, reason, text = _state(ec2, balancer, instance, draining)
            described.append(
                {
                    "InstanceId": instance_id,
                    "State": state,
                    "ReasonCode": reason,
                    "Description": text,
                }
            )
    return described


def _state(ec2: Any, balancer: Any, instance: Any, draining: list[str]) -> tuple[str, str, str]:
    if instance.id not in balancer.instance_ids:
        return _DRAINING if instance.id in draining else _ABSENT
    if instance.state != "running":
        return _STOPPED
    taking = balancer.coming.get(instance.id)
    if taking is not None and not taking.over:
        return _REGISTERING
    if settings.SETTINGS.health_seconds and not reaches(ec2, balancer, instance):
        return _FAILING
    return _IN_SERVICE


def _ec2(backend: Any) -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[backend.account_id][backend.region_name]
