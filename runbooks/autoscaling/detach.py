"""``autoscaling.detach``: take an instance out of its Auto Scaling group."""

from __future__ import annotations

from functools import partial
from typing import Literal

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Found, Keep, Undo
from runbooks.errors import NotContained
from runbooks.step import Permissions, Step, StepParams
from runbooks.targets.instance import Ec2Instance, Membership, Scaling, departure

Replacement = Literal["launch", "none", "standby"]

_STANDBY = ("EnteringStandby", "Standby")
_LEAVING = ("Detaching", "Detached")
# Tags of what else launches, terminates or replaces instances, by the beginnings of their keys.
_CONTROLLERS = {
    "aws:ec2spot:fleet-request-id": "a Spot Fleet",
    "aws:ec2:fleet-id": "an EC2 Fleet",
    "karpenter.sh/": "Karpenter",
    "aws:elasticmapreduce:": "Amazon EMR",
    "elasticbeanstalk:": "Elastic Beanstalk",
    "aws:eks:": "Amazon EKS",
    "eks:": "Amazon EKS",
    "kubernetes.io/cluster/": "a Kubernetes cluster",
    "aws:batch": "AWS Batch",
    "AWSBatchServiceTag": "AWS Batch",
    "AmazonECSManaged": "Amazon ECS",
    "opsworks:": "OpsWorks",
}
# An Auto Scaling group with several instance types launches through an EC2 Fleet of type instant,
# which keeps no capacity up.
_ALSO_OF_GROUPS = "aws:ec2:fleet-id"


class Detachment(StepParams):
    """What becomes of the instance's place in its group.

    ``replacement``: with ``launch`` the group launches another instance from its own template;
    with ``none`` it goes without, and its MinSize is lowered where that is in the way; with
    ``standby`` the same, and the instance stays in the group out of service, which is the easiest
    to undo.
    """

    replacement: Replacement = "launch"


class DetachInstance(Step[Ec2Instance, Detachment]):
    """Take the instance out of its Auto Scaling group, before failed health checks end it.

    Neither termination nor scale-in protection keeps a group from replacing, and so terminating,
    an instance that fails its health checks, and an isolated one fails them (EC2 User Guide,
    "Terminate instances"; EC2 Auto Scaling User Guide, "Use instance scale-in protection"). Leaving
    the group also takes it out of the group's own load balancers (API Reference, DetachInstances);
    nobody waits for their draining, during which it is ``Detaching``. No process of the group is
    suspended or resumed: ``ReplaceUnhealthy`` would catch up on everything once it is resumed.

    ``launch`` leaves the group's capacity as it is. ``none`` and ``standby`` lower the desired
    capacity by one: left as it is, standby would bring a replacement, and leaving standby a group
    that is too large by one, out of which the termination policy picks a victim. The desired
    capacity must not fall below MinSize (API Reference, EnterStandby), so MinSize is lowered once,
    by as much as all targets of the incident need; where instances count with weights, AWS may
    still refuse. A standby instance gets no health checks; deleting the group ends it, and so does
    an instance refresh with ``StandbyInstances=Terminate``: for evidence rather detach.

    An instance that is not in service can't be detached. One that is still starting is left, and
    detached if it has come into service when it is looked at again. One that a lifecycle hook
    holds on its way to termination gets one heartbeat more a run; for any other that terminates
    it is too late. Standby by somebody else's hand is left as it is. What else may replace or end
    the instance (fleets, Karpenter, EMR, Batch, Beanstalk, EKS) is named by its tags and left.

    Undo attaches the instance again, or ends its standby, after everything that came later is
    undone: with its security groups back it passes the health checks. MinSize is put back if it
    still is what it was lowered to. After ``launch`` the replacement stays, and the desired
    capacity is higher by one, MaxSize too where there is no room otherwise: putting it back would
    have the termination policy choose an instance to end, and what was just attached can't be
    protected from that until it is in service. People choose that instance, not an undo.
    """

    name = "autoscaling.detach"
    facts = (Scaling,)
    permissions = Permissions(
        read=("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeLifecycleHooks"),
        change=(
            "autoscaling:AttachInstances",
            "autoscaling:DetachInstances",
            "autoscaling:EnterStandby",
            "autoscaling:ExitStandby",
            "autoscaling:RecordLifecycleActionHeartbeat",
            "autoscaling:SetInstanceProtection",
            "autoscaling:UpdateAutoScalingGroup",
        ),
    )
    Params = Detachment
    disruptive = True
    # It keeps evidence. Where it fails, the group may end the instance once it is isolated, but an
    # intruder who stays connected meanwhile is worse; a playbook that lives by memory says "stop".
    on_failure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: Detachment) -> None:
        membership = target.fact(Scaling).membership
        _warn_of_other_controllers(aws, target)
        if membership is None or membership.lifecycle_state in _LEAVING:
            return
        if membership.lifecycle_state in _STANDBY:
            _warn_of_standby(aws, target, membership)
        elif "Terminating" in membership.lifecycle_state:
            _buy_time(aws, target, membership)
        elif membership.lifecycle_state == "InService":
            _warn_of_consequences(aws, target, membership, params.replacement)
            _lower_minimum(aws, membership, params.replacement)
            aws.change_all([_leave(target, membership, params.replacement)])
            aws.once(departure(target.ref), lambda: True)
        else:
            _expect_service(aws, target, membership, params.replacement)

    def verify(self, aws: Aws, target: Ec2Instance, params: Detachment) -> None:
        membership = target.fact(Scaling).membership
        if membership is None or membership.lifecycle_state in (*_LEAVING, *_STANDBY):
            return
        raise NotContained(
            f"{target.id} is {membership.lifecycle_state} in the Auto Scaling group "
            f"{membership.group}, which may terminate it."
        )


def _leave(target: Ec2Instance, membership: Membership, replacement: Replacement) -> Change:
    def call(operation: str, **params: object) -> Call:
        ids = {"InstanceIds": [target.id]}
        return Call(
            "autoscaling", operation, AutoScalingGroupName=membership.group, **{**ids, **params}
        )

    if replacement == "standby":
        return Change(
            call("enter_standby", ShouldDecrementDesiredCapacity=True),
            membership.resource,
            Undo(call("exit_standby", InstanceIds=_if_in_standby(target, membership))),
            f"put the instance into standby in {membership.group}",
        )
    undos = [Undo(call("attach_instances", InstanceIds=_if_no_member(target, membership)))]
    if replacement == "launch":
        undos.insert(0, Undo(_room_for_one_more(target, membership)))
    if membership.protected_from_scale_in:
        # AWS refuses this until the instance is in service, and an undo waits for nothing.
        protect = call("set_instance_protection", ProtectedFromScaleIn=True)
        undos.append(Undo(protect, unless=("ValidationError",)))
    return Change(
        call("detach_instances", ShouldDecrementDesiredCapacity=replacement == "none"),
        membership.resource,
        tuple(undos),
        f"take the instance out of {membership.group}",
    )


def _lower_minimum(aws: Aws, membership: Membership, replacement: Replacement) -> None:
    change = _minimum(membership, replacement, membership.targets_in_group)
    if change is None:
        return
    made: list[Change] = []
    aws.once(("minimum size", membership.resource.arn), partial(_make, aws, change, made))
    if not made:
        # Carried out side by side, any target may be the first that needs it.
        aws.foresee(change)


def _make(aws: Aws, change: Change, made: list[Change]) -> None:
    aws.change_all([change])
    made.append(change)


def _minimum(membership: Membership, replacement: Replacement, leaving: int) -> Change | None:
    """The change that has MinSize allow ``leaving`` instances less, where it doesn't."""
    size = max(membership.desired_capacity - leaving, 0)
    if replacement == "launch" or membership.min_size <= size:
        return None

    def update(group: str | Found, minimum: int) -> Call:
        return Call(
            "autoscaling", "update_auto_scaling_group", AutoScalingGroupName=group, MinSize=minimum
        )

    as_we_left_it = f"AutoScalingGroups[?MinSize == `{size}`].AutoScalingGroupName"
    return Change(
        update(membership.group, size),
        membership.resource,
        Undo(update(Found(_describe(membership), as_we_left_it), membership.min_size)),
        f"let {membership.group} go down to {size}, from {membership.min_size}",
    )


def _expect_service(
    aws: Aws, target: Ec2Instance, membership: Membership, replacement: Replacement
) -> None:
    """Have the plan allow what is to be done once the instance has come into service."""
    state = membership.lifecycle_state
    if state.startswith("Warmed"):
        aws.warn(
            f"Evidence at risk: {target.id} is in the warm pool of {membership.group} ({state}), "
            "out of which nothing can be detached. It gets no traffic, but a scale-out puts it "
            "into service, and a smaller or deleted pool terminates it."
        )
    else:
        aws.warn(
            f"{target.id} is not in service in {membership.group} ({state}), so it can't be "
            "detached now. It is if it has come into service by the time it is looked at again; "
            "until then failed health checks may terminate it."
        )
    minimum = _minimum(membership, replacement, membership.targets_in_group + 1)
    for change in (minimum, _leave(target, membership, replacement)):
        if change:
            aws.foresee(change)


def _buy_time(aws: Aws, target: Ec2Instance, membership: Membership) -> None:
    """A terminating hook holds the instance: a heartbeat has it wait for as long once more."""
    state = membership.lifecycle_state
    if state.endswith("Retained"):
        aws.warn(
            f"{membership.group} has given {target.id} up and retains it ({state}): it can't be "
            "detached any more, and stays until somebody terminates it."
        )
        return
    aws.warn(
        f"Evidence at risk: {membership.group} is already terminating {target.id} ({state}): it "
        "can't be detached any more, and nothing stops that. Its snapshots and the volumes that "
        "are kept stay."
    )
    if not state.endswith("Wait"):
        return
    aws.warn(
        "A heartbeat has its lifecycle hook wait for one more timeout, so that snapshots can be "
        "taken. Whatever the hook runs may itself be an intruder's."
    )
    hooks = aws.read(
        Call("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=membership.group)
    )
    aws.change_all(
        [
            Change(
                Call(
                    "autoscaling",
                    "record_lifecycle_action_heartbeat",
                    AutoScalingGroupName=membership.group,
                    LifecycleHookName=hook["LifecycleHookName"],
                    InstanceId=target.id,
                ),
                membership.resource,
                Keep("it only bought time"),
                f"have {hook['LifecycleHookName']} hold the instance for longer",
                # Of several hooks only those that hold the instance now take one.
                accept=("ValidationError",),
            )
            for hook in hooks["LifecycleHooks"]
            if hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
        ]
    )


# What an undo looks up. Ids only are put into an expression: groups have names of any characters.


def _describe(membership: Membership) -> Call:
    names = [membership.group]
    return Call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=names)


def _no_member(target: Ec2Instance) -> str:
    """True of a group without the instance. While it is Detaching, AWS must say so itself."""
    here = f"InstanceId == '{target.id}' && !starts_with(LifecycleState, 'Detach')"
    return f"!(Instances[?{here}])"


def _if_no_member(target: Ec2Instance, membership: Membership) -> Found:
    path = f"AutoScalingGroups[?{_no_member(target)}].['{target.id}']"
    return Found(_describe(membership), path)


def _if_in_standby(target: Ec2Instance, membership: Membership) -> Found:
    there = f"InstanceId == '{target.id}' && contains(LifecycleState, 'Standby')"
    return Found(_describe(membership), f"AutoScalingGroups[].Instances[?{there}][].[InstanceId]")


def _room_for_one_more(target: Ec2Instance, membership: Membership) -> Call:
    full = f"DesiredCapacity >= MaxSize && {_no_member(target)}"
    return Call(
        "autoscaling",
        "update_auto_scaling_group",
        AutoScalingGroupName=Found(
            _describe(membership), f"AutoScalingGroups[?{full}].AutoScalingGroupName"
        ),
        MaxSize=Found(_describe(membership), "AutoScalingGroups[].sum([DesiredCapacity, `1`])"),
    )


def _warn_of_consequences(
    aws: Aws, target: Ec2Instance, membership: Membership, replacement: Replacement
) -> None:
    group, suspended = membership.group, membership.suspended_processes
    if replacement == "launch":
        aws.warn(
            f"{group} launches a replacement from the {membership.launch_source}: the same image, "
            "user data and security groups, and perhaps the same hole. Look at them first."
        )
        if "Launch" in suspended:
            aws.warn(f"No replacement comes while Launch is suspended in {group}.")
        aws.warn(
            f"An undo attaches {target.id} beside its replacement: the desired capacity of {group} "
            f"is then higher by one, and MaxSize ({membership.max_size}) where there is no room. "
            "Choose yourself which instance goes."
        )
    else:
        aws.warn(f"{group} goes without a replacement until this is undone.")
        if membership.desired_capacity <= membership.targets_in_group:
            aws.warn(f"Nothing is left in service in {group}.")
        if "AZRebalance" not in suspended:
            aws.warn(
                f"Where that leaves the zones of {group} unbalanced, AZRebalance may terminate "
                "other instances."
            )
    if replacement == "standby":
        _warn_of_standby(aws, target, membership)
        return
    if membership.protected_from_scale_in:
        aws.warn(
            f"Leaving {group} ends the scale-in protection of {target.id}; an undo gives it back "
            "only if the instance is in service again by then."
        )
    if "AddToLoadBalancer" in suspended:
        aws.warn(
            f"AddToLoadBalancer is suspended in {group}: an undo may leave {target.id} out of the "
            "group's load balancers."
        )


def _warn_of_standby(aws: Aws, target: Ec2Instance, membership: Membership) -> None:
    aws.warn(
        f"{target.id} stays in {membership.group} in standby: deleting the group terminates it, "
        "and so does an instance refresh with StandbyInstances=Terminate."
    )
    if "Launch" in membership.suspended_processes:
        aws.warn(f"Nothing leaves standby while Launch is suspended in {membership.group}.")


def _warn_of_other_controllers(aws: Aws, target: Ec2Instance) -> None:
    in_group = target.fact(Scaling).membership is not None
    found: dict[str, str] = {}
    for key in target.tags:
        for beginning, controller in _CONTROLLERS.items():
            if key.startswith(beginning) and not (in_group and beginning == _ALSO_OF_GROUPS):
                found.setdefault(controller, key)
    for controller, key in found.items():
        aws.warn(
            f"Evidence at risk: by its tag {key}, {target.id} belongs to {controller}, which may "
            "terminate or replace it whatever is done here."
        )
