"""``elb.deregister``: have every load balancer stop sending traffic to an instance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Undo
from runbooks.errors import NotContained
from runbooks.step import NoParams, Permissions, Step
from runbooks.targets.instance import (
    ClassicRegistration,
    Ec2Instance,
    LoadBalancing,
    Membership,
    Scaling,
    TargetRegistration,
    departure,
)

# Of these, connections and flows that exist stay with their target (Network Load Balancers and
# Gateway Load Balancers User Guides, "Deregistration delay").
_KEPT_CONNECTIONS = ("TCP", "UDP", "TCP_UDP", "TLS", "QUIC", "TCP_QUIC", "GENEVE")


class DeregisterInstance(Step[Ec2Instance, NoParams]):
    """Deregister the instance from all target groups and Classic Load Balancers.

    Application, Network and Gateway Load Balancers know it by its id or by any private address of
    any of its interfaces, and may know it several times, by different ports: each registration is
    named with its port (API Reference, DeregisterTargets). Deregistering what isn't registered
    succeeds, so only DescribeTargetHealth, read afresh, tells that it worked. What is draining
    counts as gone: nobody waits for that, requests under way end by themselves within the
    deregistration delay. Connections through a Network or Gateway Load Balancer live on; only what
    cuts the instance off its network ends them.

    Where the instance has left its Auto Scaling group in this incident, the group has taken it out
    of its own target groups, by their own ports, and Classic Load Balancers: those are left to it.
    Whether it has, ``autoscaling.detach`` says through :func:`departure`, in the plan as in the
    run; a run that hasn't heard so asks AWS. The plan still allows these deregistrations, for the
    case that leaving the group fails.

    By address, the instance is found in target groups of its own VPC, and in those of another
    where the address is said to be from outside (zone "all"): elsewhere the same address may be
    another host's. Other ways in are not looked at: VPC Lattice, Global Accelerator, Cloud Map,
    DNS records, addresses that other proxies know.
    """

    name = "elb.deregister"
    facts = (LoadBalancing, Scaling)
    permissions = Permissions(
        read=("autoscaling:DescribeAutoScalingInstances",),
        change=(
            "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
            "elasticloadbalancing:DeregisterTargets",
            "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
            "elasticloadbalancing:RegisterTargets",
        ),
    )
    disruptive = True
    # A load balancer never stands in the way of the isolation, which ends its traffic as well.
    on_failure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        membership = target.fact(Scaling).membership
        targets = [item for item in target.fact(LoadBalancing).targets if item.active]
        classic = target.fact(LoadBalancing).classic
        _warn(aws, target, targets, classic)
        if membership is None or not _has_left(aws, target, membership):
            aws.change_all([*_from_target_groups(targets), *_from_classic(target, classic)])
            return
        mine = [item for item in targets if not _of_group(membership, item)]
        theirs = [item for item in targets if _of_group(membership, item)]
        names = membership.load_balancer_names
        aws.change_all(
            [
                *_from_target_groups(mine),
                *_from_classic(target, [c for c in classic if c.load_balancer not in names]),
            ]
        )
        for change in (
            *_from_target_groups(theirs),
            *_from_classic(target, [c for c in classic if c.load_balancer in names]),
        ):
            aws.foresee(change)

    def verify(self, aws: Aws, target: Ec2Instance, params: NoParams) -> None:
        balancing = target.fact(LoadBalancing)
        left = [
            *(
                f"target group {_name(item)} ({item.target_id}:{item.port}, {item.state})"
                for item in balancing.targets
                if item.active
            ),
            *(f"Classic Load Balancer {item.load_balancer}" for item in balancing.classic),
        ]
        if left:
            raise NotContained(f"{target.id} is still registered: {', '.join(left)}.")


def _has_left(aws: Aws, target: Ec2Instance, membership: Membership) -> bool:
    """Whether the instance has left its group since the facts were read."""
    if membership.lifecycle_state != "InService":
        return False
    left = aws.once(departure(target.ref), lambda: not _in_service(aws, target))
    if not left:
        aws.warn(
            f"{target.id} is still in the Auto Scaling group {membership.group} (health checks: "
            f"{membership.health_check_type}), which may replace, and so terminate, what no load "
            "balancer finds healthy. Put autoscaling.detach before elb.deregister."
        )
    return left


def _in_service(aws: Aws, target: Ec2Instance) -> bool:
    answer = aws.read(
        Call("autoscaling", "describe_auto_scaling_instances", InstanceIds=[target.id])
    )
    return any(item["LifecycleState"] == "InService" for item in answer["AutoScalingInstances"])


def _of_group(membership: Membership, registration: TargetRegistration) -> bool:
    """Whether the Auto Scaling group has made the registration, and takes it away again."""
    return (
        registration.target_group_arn in membership.target_group_arns
        and not registration.overrides_port
    )


def _from_target_groups(registrations: Sequence[TargetRegistration]) -> Iterator[Change]:
    """One call for each target group."""
    for arn in dict.fromkeys(item.target_group_arn for item in registrations):
        there = [item for item in registrations if item.target_group_arn == arn]

        def call(operation: str, there: Sequence[TargetRegistration] = there) -> Call:
            return Call(
                "elbv2",
                operation,
                TargetGroupArn=there[0].target_group_arn,
                Targets=[_description(item) for item in there],
            )

        targets = ", ".join(f"{item.target_id}:{item.port}" for item in there)
        yield Change(
            call("deregister_targets"),
            there[0].resource,
            Undo(call("register_targets"), unless=("TargetGroupNotFound",)),
            f"take {targets} out of the target group {_name(there[0])}",
            accept=("TargetGroupNotFound",),
        )


def _description(registration: TargetRegistration) -> dict[str, object]:
    description = {
        "Id": registration.target_id,
        "Port": registration.port,
        "AvailabilityZone": registration.zone,
        "QuicServerId": registration.server_id,
    }
    return {key: value for key, value in description.items() if value is not None}


def _from_classic(
    target: Ec2Instance, registrations: Sequence[ClassicRegistration]
) -> Iterator[Change]:
    for item in registrations:

        def call(operation: str, name: str = item.load_balancer) -> Call:
            instances = [{"InstanceId": target.id}]
            return Call("elb", operation, LoadBalancerName=name, Instances=instances)

        yield Change(
            call("deregister_instances_from_load_balancer"),
            item.resource,
            Undo(call("register_instances_with_load_balancer"), unless=("LoadBalancerNotFound",)),
            f"take the instance out of the Classic Load Balancer {item.load_balancer}",
            # It is gone, or no longer knows the instance.
            accept=("LoadBalancerNotFound", "InvalidInstance"),
        )


def _name(registration: TargetRegistration) -> str:
    # arn:…:targetgroup/name/hash
    return registration.target_group_arn.split("/")[1]


def _warn(
    aws: Aws,
    target: Ec2Instance,
    targets: Sequence[TargetRegistration],
    classic: Sequence[ClassicRegistration],
) -> None:
    emptied = {
        f"target group {_name(item)}"
        for item in targets
        if item.state == "healthy" and not item.others_healthy
    }
    emptied |= {
        f"Classic Load Balancer {item.load_balancer}" for item in classic if not item.others
    }
    for last in sorted(emptied):
        aws.warn(f"{target.id} is the last that serves the {last}: behind it nothing is left.")
    if lasting := {_name(item) for item in targets if item.protocol in _KEPT_CONNECTIONS}:
        aws.warn(
            f"Connections that exist through {', '.join(sorted(lasting))} stay open until they end "
            "or are cut, unless its deregistration_delay.connection_termination.enabled is on."
        )
    if foreign := {_name(item) for item in targets if item.vpc_id != target.vpc_id}:
        aws.warn(
            f"{', '.join(sorted(foreign))} belongs to another VPC and knows the instance by "
            "address only: make sure that the address is this instance's."
        )
    aws.warn(
        "Not looked at: VPC Lattice, Global Accelerator, Cloud Map, DNS records, and addresses in "
        "target groups of other VPCs that name a zone. What they send on ends with ec2.isolate."
    )
