"""Auto Scaling: a group keeps its size and its members' health, whatever is done to its members."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws import (
    lifecycle_hooks,
    operations,
    scaling,
    scaling_activities,
    settings,
)
from flows.gameday.aws.errors import autoscaling_error
from flows.gameday.aws.scaling import converge, counting, leave_load_balancers, suspended
from flows.gameday.aws.settings import Taking

_INSTANCES = 50
# Errors of EC2 that a group meets when it launches, and that it is created in spite of; others say
# that its launch template can't be used at all.
_OF_LAUNCHES = (
    "InsufficientInstanceCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InstanceLimitExceeded",
    "VcpuLimitExceeded",
)


def correct() -> None:
    """Have detach, attach and standby respect sizes, membership, load balancers and hooks."""
    _groups()
    _creation()
    _size()
    _processes()
    _detach()
    _attach()
    _standby()
    _protection()
    _health()
    _registrations()
    _traffic_sources()
    lifecycle_hooks.correct()
    scaling_activities.correct()


class Groups(dict[str, Any]):
    """The groups by name; AWS has one error for those that aren't there."""

    def __missing__(self, name: str) -> Any:
        raise autoscaling_error("AutoScalingGroup name not found - null")


def keep_up() -> None:
    """Do what Auto Scaling does by itself between two calls, in all accounts and Regions.

    Hooks whose time is over let go; what is unhealthy is terminated and replaced; what has drained
    has left; launches that failed are tried again.
    """
    from moto.autoscaling.models import autoscaling_backends

    for _, _, backend in list(autoscaling_backends.iter_backends()):
        for group in list(backend.autoscaling_groups.values()):
            if group.leaving:
                _let_leave(group)
            lifecycle_hooks.keep_up(group)
            scaling.replace_unhealthy(group)
            if group.retry is not None and group.retry.over:
                converge(group)


def _let_leave(group: Any) -> None:
    for state, taking in group.leaving:
        if taking.over:
            state.activity.finish()
    group.leaving = [item for item in group.leaving if not item[1].over]


def _groups() -> None:
    from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

    make_backend = AutoScalingBackend.__init__

    def make(self: Any, *arguments: Any, **named: Any) -> None:
        make_backend(self, *arguments, **named)
        self.autoscaling_groups = Groups()

    AutoScalingBackend.__init__ = make

    make_group = FakeAutoScalingGroup.__init__

    def make_one(self: Any, *arguments: Any, **named: Any) -> None:
        self.leaving, self.retry, self.launch_error = [], None, None
        self.has_waiting, self.has_unhealthy = False, False
        make_group(self, *arguments, **named)

    FakeAutoScalingGroup.__init__ = make_one
    FakeAutoScalingGroup.instances = property(
        lambda group: [*group.instance_states, *(state for state, _ in group.leaving)]
    )

    described = AutoScalingBackend.describe_auto_scaling_instances

    def describe_auto_scaling_instances(self: Any, instance_ids: list[str]) -> list[Any]:
        # "InstanceIds … Array Members: Maximum number of 50 items"
        # (DescribeAutoScalingInstancesType).
        if len(instance_ids) > _INSTANCES:
            raise autoscaling_error(
                "1 validation error detected: Value at 'instanceIds' failed to satisfy constraint: "
                f"Member must have length less than or equal to {_INSTANCES}"
            )
        leaving = [
            state for group in self.autoscaling_groups.values() for state, _ in group.leaving
        ]
        wanted = [item for item in leaving if not instance_ids or item.instance.id in instance_ids]
        return [*described(self, instance_ids), *wanted]

    AutoScalingBackend.describe_auto_scaling_instances = describe_auto_scaling_instances


def _creation() -> None:
    from moto.autoscaling.exceptions import AutoscalingClientError
    from moto.autoscaling.models import AutoScalingBackend

    create = AutoScalingBackend.create_auto_scaling_group

    def create_auto_scaling_group(self: Any, name: str, *arguments: Any, **named: Any) -> Any:
        if dict.__contains__(self.autoscaling_groups, name):
            # "You already have an Auto Scaling group or launch configuration with this name"
            # (AlreadyExistsFault); moto takes the new one for the old one.
            raise AutoscalingClientError(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} "
                "already exists",
            )
        # "HealthCheckGracePeriod … Default: 0 seconds" (CreateAutoScalingGroupType).
        named["health_check_period"] = str(named.get("health_check_period") or 0)
        group = create(self, name, *arguments, **named)
        error = group.launch_error
        if error is not None and error.code not in _OF_LAUNCHES:
            del self.autoscaling_groups[name]
            raise autoscaling_error(
                f"You must use a valid fully-formed launch template. {error.message}"
            )
        return group

    AutoScalingBackend.create_auto_scaling_group = create_auto_scaling_group


def _size() -> None:
    from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

    scale = FakeAutoScalingGroup.set_desired_capacity

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        if self.mixed_instances_policy:
            scale(self, new_capacity)
            return
        self.desired_capacity = self.min_size if new_capacity is None else new_capacity
        converge(self)

    FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity

    update = AutoScalingBackend.update_auto_scaling_group

    def update_auto_scaling_group(self: Any, name: str, **wanted: Any) -> Any:
        group = self.autoscaling_groups[name]
        least = _first(wanted.get("min_size"), group.min_size)
        most = _first(wanted.get("max_size"), group.max_size)
        desired = wanted.get("desired_capacity")
        if least > most:
            raise autoscaling_error(
                f"Max bound, {most}, must be greater than or equal to min bound, {least}"
            )
        _within(desired, least, most)
        # "If a new value for MinSize is specified without setting DesiredCapacity, and … is larger
        # than the current size of the group, this sets DesiredCapacity to the new MinSize"; the
        # same for a smaller MaxSize (UpdateAutoScalingGroup).
        if desired is None and not least <= group.desired_capacity <= most:
            wanted["desired_capacity"] = min(max(group.desired_capacity, least), most)
        if wanted.get("mixed_instances_policy") is None:
            wanted["mixed_instances_policy"] = group.mixed_instances_policy
        kept = group.desired_capacity
        update(self, name, **wanted)
        if wanted.get("desired_capacity") is None:
            group.set_desired_capacity(kept)
        return group

    AutoScalingBackend.update_auto_scaling_group = update_auto_scaling_group

    set_size = AutoScalingBackend.set_desired_capacity

    def set_group_capacity(self: Any, group_name: str, desired_capacity: int | None) -> None:
        group = self.autoscaling_groups[group_name]
        # A group that is being deleted goes down to 0 whatever its MinSize is.
        if desired_capacity:
            _within(desired_capacity, group.min_size, group.max_size)
        set_size(self, group_name, desired_capacity)

    AutoScalingBackend.set_desired_capacity = set_group_capacity


def _first(value: Any, otherwise: int) -> int:
    return int(otherwise if value is None else value)


def _within(desired: int | None, least: int, most: int) -> None:
    if desired is not None and desired < least:
        raise autoscaling_error(
            f"New SetDesiredCapacity value {desired} is below min value {least} for the "
            "AutoScalingGroup."
        )
    if desired is not None and desired > most:
        raise autoscaling_error(
            f"New SetDesiredCapacity value {desired} is above max value {most} for the "
            "AutoScalingGroup."
        )


def _processes() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    # A group makes up for what it didn't do meanwhile ("Suspend and resume processes").
    resume = AutoScalingBackend.resume_processes

    def resume_processes(self: Any, group_name: str, scaling_processes: list[str]) -> None:
        resume(self, group_name, scaling_processes)
        self.autoscaling_groups[group_name].set_desired_capacity(
            self.autoscaling_groups[group_name].desired_capacity
        )

    AutoScalingBackend.resume_processes = resume_processes


def _detach() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    def detach_instances(
        self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> Any:
        from moto.autoscaling.models import ASG_NAME_TAG

        group = self.autoscaling_groups[group_name]
        states = _members(group, instance_ids)
        for state in states:
            _require_state(state, "InService", "Standby")
        counted = [state for state in states if state in counting(group)]
        leaving = len(counted) if should_decrement else 0
        _not_below_minimum(group, leaving)
        for state in states:
            self.ec2_backend.delete_tags([state.instance.id], {ASG_NAME_TAG: group.name})
            state.activity = _begin(group, state, "Detaching EC2 instance", "detached", leaving)
        group.instance_states = [item for item in group.instance_states if item not in states]
        leave_load_balancers(group, instance_ids)
        # "If … connection draining … is enabled, Auto Scaling waits": Detaching until it is over.
        draining = settings.SETTINGS.drain_seconds if _balanced(group) else 0.0
        for state in states:
            if draining and state in counted:
                state.lifecycle_state = "Detaching"
                group.leaving.append((state, Taking.now(draining)))
            else:
                state.activity.finish()
            # Who comes back is another member, with nothing of what this one had.
            del state.instance.autoscaling_group
        group.desired_capacity -= leaving
        converge(group)
        return [state.activity.begun for state in states]

    AutoScalingBackend.detach_instances = detach_instances

    def terminate_instance(self: Any, instance_id: str, should_decrement: bool) -> Any:
        for group in self.autoscaling_groups.values():
            for state in group.instance_states:
                if state.instance.id == instance_id:
                    leaving = 1 if should_decrement else 0
                    _not_below_minimum(group, leaving)
                    size = group.desired_capacity
                    group.desired_capacity -= leaving
                    why = _asked(group, state, "taken out of service", size, leaving)
                    activity = scaling.end(group, state, why)
                    converge(group)
                    return activity.begun
        raise autoscaling_error(f"Instance Id not found - No managed instance found: {instance_id}")

    AutoScalingBackend.terminate_instance = terminate_instance


def _begin(group: Any, state: Any, what: str, done: str, leaving: int = 0) -> Any:
    """The activity of what somebody asked a group to do with a member."""
    return scaling_activities.begin(
        group,
        f"{what}: {state.instance.id}",
        _asked(group, state, done, group.desired_capacity, leaving),
        state.instance,
    )


def _asked(group: Any, state: Any, done: str, size: int, leaving: int) -> str:
    shrinking = f", shrinking the capacity from {size} to {size - leaving}" if leaving else ""
    return f"instance {state.instance.id} was {done} in response to a user request{shrinking}."


def _balanced(group: Any) -> bool:
    return bool(group.target_group_arns or group.load_balancer_names)


def _members(group: Any, instance_ids: list[str]) -> list[Any]:
    members = {state.instance.id: state for state in group.instance_states}
    for instance_id in instance_ids:
        if instance_id not in members:
            raise autoscaling_error(
                f"The instance {instance_id} is not part of Auto Scaling group {group.name}."
            )
    return [members[instance_id] for instance_id in dict.fromkeys(instance_ids)]


def _require_state(state: Any, *allowed: str) -> None:
    if state.lifecycle_state not in allowed:
        raise autoscaling_error(
            f"The instance {state.instance.id} is not in {' or '.join(allowed)}."
        )


def _not_below_minimum(group: Any, leaving: int) -> None:
    if group.desired_capacity - leaving < group.min_size:
        raise autoscaling_error(
            f"Currently, desiredSize equals {group.desired_capacity}. Terminating instance without "
            "replacement will violate group's min size constraint. Either set "
            "shouldDecrementDesiredCapacity flag to false or lower group's min size."
        )


def _not_above_maximum(group: Any, coming: int) -> None:
    if group.desired_capacity + coming > group.max_size:
        raise autoscaling_error(
            f"AutoScalingGroup {group.name} has min-size={group.min_size}, "
            f"max-size={group.max_size}, and desired-size={group.desired_capacity}. To attach "
            f"{coming} more instance(s), please update the AutoScalingGroup sizes appropriately."
        )


def _attach() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    # "Auto Scaling increases the desired capacity of the group by the number of instances being
    # attached. If [that] exceeds the maximum size of the group, the operation fails"
    # (AttachInstances); the conditions are those of "Attach instances to your group".
    def attach_instances(self: Any, group_name: str, instance_ids: list[str]) -> None:
        from moto.autoscaling.models import ASG_NAME_TAG, InstanceState

        group = self.autoscaling_groups[group_name]
        instances = [self.ec2_backend.get_instance_by_id(item) for item in instance_ids]
        for instance_id, instance in zip(instance_ids, instances, strict=True):
            _attachable(self, group, instance_id, instance)
        _not_above_maximum(group, len(instance_ids))
        group.desired_capacity += len(instance_ids)
        for instance in instances:
            state = InstanceState(
                instance,
                protected_from_scale_in=group.new_instances_protected_from_scale_in,
                autoscaling_group=group,
            )
            group.instance_states.append(state)
            scaling.come_into_service(group, state)
            _begin(group, state, "Attaching an existing EC2 instance", "attached").finish()
            self.ec2_backend.create_tags([instance.id], {ASG_NAME_TAG: group.name})
        self.update_attached_elbs(group.name)
        self.update_attached_target_groups(group.name)

    AutoScalingBackend.attach_instances = attach_instances


def _attachable(backend: Any, group: Any, instance_id: str, instance: Any) -> None:
    if instance is None or instance.state == "terminated":
        raise autoscaling_error(f"Invalid Instance ID(s): [{instance_id}]")
    for other in backend.autoscaling_groups.values():
        for state in other.instances:
            if state.instance is instance:
                raise autoscaling_error(
                    f"Instance {instance_id} is already part of AutoScalingGroup:{other.name}"
                )
    if instance.state != "running":
        raise autoscaling_error(f"Instance {instance_id} is not in correct state: running")
    if instance.availability_zone not in group.availability_zones:
        raise autoscaling_error(
            f"The availability zone of instance {instance_id} is not one of group {group.name}"
        )


def _standby() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    # "If you choose not to decrement the desired capacity …, Auto Scaling launches instances as
    # necessary to replace the instances on standby" (EnterStandby).
    def enter_standby_instances(
        self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> Any:
        group = self.autoscaling_groups[group_name]
        states = _members(group, instance_ids)
        for state in states:
            _require_state(state, "InService")
        leaving = len(states) if should_decrement else 0
        _not_below_minimum(group, leaving)
        begun = [
            _begin(group, state, "Moving EC2 instance to Standby", "moved to standby", leaving)
            for state in states
        ]
        group.desired_capacity -= leaving
        for state in states:
            state.lifecycle_state = "Standby"
        leave_load_balancers(group, instance_ids)
        _end_all(group, begun)
        return [activity.begun for activity in begun]

    AutoScalingBackend.enter_standby_instances = enter_standby_instances

    # "When you take an instance out of standby, the desired capacity is incremented"
    # (ExitStandby).
    def exit_standby_instances(self: Any, group_name: str, instance_ids: list[str]) -> Any:
        group = self.autoscaling_groups[group_name]
        states = _members(group, instance_ids)
        for state in states:
            _require_state(state, "Standby")
        _not_above_maximum(group, len(states))
        begun = [
            _begin(group, state, "Moving EC2 instance out of Standby", "moved out of standby")
            for state in states
        ]
        group.desired_capacity += len(states)
        for state in states:
            scaling.come_into_service(group, state)
        _end_all(group, begun)
        return [{**activity.begun, "StatusCode": "PreInService"} for activity in begun]

    AutoScalingBackend.exit_standby_instances = exit_standby_instances


def _end_all(group: Any, activities: list[Any]) -> None:
    for activity in activities:
        activity.finish()
    converge(group)


def _protection() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    # "The instance … is not in InService" (SetInstanceProtection).
    def set_instance_protection(
        self: Any, group_name: str, instance_ids: list[str], protected_from_scale_in: bool | None
    ) -> None:
        states = _members(self.autoscaling_groups[group_name], instance_ids)
        for state in states:
            _require_state(state, "InService")
        for state in states:
            state.protected_from_scale_in = bool(protected_from_scale_in)

    AutoScalingBackend.set_instance_protection = set_instance_protection


def _health() -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import EmptyResult

    def set_instance_health(self: Any) -> Any:
        instance_id, status = self._get_param("InstanceId"), self._get_param("HealthStatus")
        if status not in ("Healthy", "Unhealthy"):
            raise autoscaling_error("Valid instance health states are: [Healthy, Unhealthy].")
        for group in self.autoscaling_backend.autoscaling_groups.values():
            for state in group.instance_states:
                if state.instance.id == instance_id:
                    # "By default, this call respects the grace period" (SetInstanceHealth).
                    respected = self._get_bool_param("ShouldRespectGracePeriod", True)
                    if not (respected and scaling.in_grace(state)):
                        state.health_status = status
                        group.has_unhealthy = True
                    return EmptyResult()
        raise autoscaling_error(f"Instance Id not found - No managed instance found: {instance_id}")

    AutoScalingResponse.set_instance_health = set_instance_health


def _registrations() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    # Only members in service are registered with the group's load balancers, and none while
    # AddToLoadBalancer is suspended ("Suspend and resume processes").
    def update_attached_target_groups(self: Any, group_name: str) -> None:
        group = self.autoscaling_groups[group_name]
        if suspended(group, "AddToLoadBalancer"):
            return
        for arn in group.target_group_arns or []:
            target_group = self.elbv2_backend.target_groups.get(arn)
            for state in group.active_instances() if target_group is not None else []:
                key = (state.instance.id, int(target_group.port))
                if state.instance.state == "running" and not dict.__contains__(
                    target_group.targets, key
                ):
                    target_group.register([{"Id": key[0], "Port": key[1]}])

    AutoScalingBackend.update_attached_target_groups = update_attached_target_groups

    def update_attached_elbs(self: Any, group_name: str) -> None:
        group = self.autoscaling_groups[group_name]
        if suspended(group, "AddToLoadBalancer"):
            return
        running = [s.instance.id for s in group.active_instances() if s.instance.state == "running"]
        for name in group.load_balancer_names or []:
            if name in self.elb_backend.load_balancers:
                self.elb_backend.register_instances(name, running, from_autoscaling=True)

    AutoScalingBackend.update_attached_elbs = update_attached_elbs

    notify = AutoScalingBackend.notify_terminate_instances

    def notify_terminate_instances(self: Any, instance_ids: list[str]) -> None:
        # moto replaces them at once, also where Launch is suspended.
        for group in self.autoscaling_groups.values():
            scaling.gone(group, instance_ids)
        notify(self, instance_ids)

    AutoScalingBackend.notify_terminate_instances = notify_terminate_instances


def _traffic_sources() -> None:
    from moto.autoscaling.responses import AutoScalingResponse

    # "elb if the traffic source is a Classic Load Balancer", elbv2 for the target groups of the
    # others (DescribeTrafficSources).
    def describe(response: Any, asked: dict[str, Any]) -> dict[str, Any]:
        groups = response.autoscaling_backend.autoscaling_groups
        group = groups[asked["AutoScalingGroupName"]]
        sources = [
            *(("elbv2", arn) for arn in group.target_group_arns or []),
            *(("elb", name) for name in group.load_balancer_names or []),
        ]
        return {
            "TrafficSources": [
                {"TrafficSource": name, "Identifier": name, "Type": kind, "State": "InService"}
                for kind, name in sources
                if asked.get("TrafficSourceType") in (None, kind)
            ]
        }

    operations.add(AutoScalingResponse, {"DescribeTrafficSources": describe})
