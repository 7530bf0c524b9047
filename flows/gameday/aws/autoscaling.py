"""Auto Scaling: a group keeps its size and its members' health, whatever is done to its members."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.errors import autoscaling_error
from flows.gameday.aws.load_balancers import reached_by_classic, reaches_target
from flows.gameday.aws.settings import Taking

_TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
_LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"


def correct() -> None:
    """Have detach, attach and standby respect sizes, membership, load balancers and hooks."""
    _groups()
    _size()
    _detach()
    _attach()
    _standby()
    _protection()
    _hooks()
    _registrations()


class Groups(dict[str, Any]):
    """The groups by name; AWS has one error for those that aren't there."""

    def __missing__(self, name: str) -> Any:
        raise autoscaling_error("AutoScalingGroup name not found - null")


def keep_up() -> None:
    """Do what Auto Scaling does by itself between two calls, in all accounts and Regions.

    Hooks whose time is over let go; what is unhealthy is terminated and replaced; what has drained
    has left.
    """
    from moto.autoscaling.models import autoscaling_backends

    for _, _, backend in list(autoscaling_backends.iter_backends()):
        for group in list(backend.autoscaling_groups.values()):
            group.leaving = [item for item in group.leaving if not item[1].over]
            for state in list(group.instance_states):
                held = getattr(state, "held", None)
                if held is not None and held.over:
                    _let_go(backend, group, state, hook_of(backend, group, state).default_result)
            _replace_unhealthy(backend, group)


def _groups() -> None:
    from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

    make_backend = AutoScalingBackend.__init__

    def make(self: Any, *arguments: Any, **named: Any) -> None:
        make_backend(self, *arguments, **named)
        self.autoscaling_groups = Groups()

    AutoScalingBackend.__init__ = make

    make_group = FakeAutoScalingGroup.__init__

    def make_one(self: Any, *arguments: Any, **named: Any) -> None:
        self.leaving = []
        make_group(self, *arguments, **named)

    FakeAutoScalingGroup.__init__ = make_one
    FakeAutoScalingGroup.instances = property(
        lambda group: [*group.instance_states, *(state for state, _ in group.leaving)]
    )

    described = AutoScalingBackend.describe_auto_scaling_instances

    def describe_auto_scaling_instances(self: Any, instance_ids: list[str]) -> list[Any]:
        leaving = [
            state for group in self.autoscaling_groups.values() for state, _ in group.leaving
        ]
        wanted = [item for item in leaving if not instance_ids or item.instance.id in instance_ids]
        return [*described(self, instance_ids), *wanted]

    AutoScalingBackend.describe_auto_scaling_instances = describe_auto_scaling_instances


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


def converge(group: Any) -> None:
    """Launch what is missing and terminate what is too much, unless that is suspended.

    Standby instances and those that are terminating don't count (EC2 Auto Scaling User Guide,
    "Temporarily remove instances").
    """
    backend = group.autoscaling_backend
    missing = group.desired_capacity - len(_counting(group))
    if missing > 0 and not _suspended(group, "Launch"):
        for _ in range(missing):
            _launch(group)
    if missing < 0 and not _suspended(group, "Terminate"):
        # "Scale-in protection … prevent[s] that instance from being terminated during scale in".
        removable = [item for item in _counting(group) if not item.protected_from_scale_in]
        for state in removable[:-missing]:
            _end(backend, group, state)
    if dict.__contains__(backend.autoscaling_groups, group.name):
        backend.update_attached_elbs(group.name)
        backend.update_attached_target_groups(group.name)


def _counting(group: Any) -> list[Any]:
    return [
        state
        for state in group.instance_states
        if not state.lifecycle_state.startswith(("Standby", "Terminating"))
    ]


def _suspended(group: Any, *processes: str) -> bool:
    return any(process["ProcessName"] in processes for process in group.suspended_processes)


def _launch(group: Any) -> None:
    """Launch one instance, where the fewest are: "attempts to launch instances evenly across
    Availability Zones" (EC2 Auto Scaling User Guide)."""
    subnets = group.vpc_zone_identifier.split(",") if group.vpc_zone_identifier else [None]
    members = Counter(state.instance.subnet_id for state in group.instance_states)
    given = group.vpc_zone_identifier
    group.vpc_zone_identifier = min(subnets, key=lambda subnet: members[subnet])
    try:
        group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
    finally:
        group.vpc_zone_identifier = given
    state = group.instance_states[-1]
    hooks = _hooks_of(group.autoscaling_backend, group, _LAUNCHING)
    if hooks:
        state.lifecycle_state = "Pending:Wait"
        state.held = Taking.now(hooks[0].heartbeat_timeout)


def _end(backend: Any, group: Any, state: Any) -> None:
    """Take a member out of its load balancers and terminate it, once no hook holds it."""
    state.lifecycle_state = "Terminating"
    _leave_load_balancers(backend, group, [state.instance.id])
    hooks = _hooks_of(backend, group, _TERMINATING)
    # "The instance is put into a wait state (Terminating:Wait)" (Lifecycle hooks).
    if hooks:
        state.lifecycle_state = "Terminating:Wait"
        state.held = Taking.now(hooks[0].heartbeat_timeout)
    else:
        _terminate(backend, group, state)


def _terminate(backend: Any, group: Any, state: Any) -> None:
    group.instance_states = [item for item in group.instance_states if item is not state]
    # Termination protection doesn't keep Auto Scaling from it (EC2 User Guide, "Terminate
    # instances").
    if state.instance.state != "terminated":
        state.instance.terminate()
    backend.elbv2_backend.notify_terminate_instances([state.instance.id])


def _replace_unhealthy(backend: Any, group: Any) -> None:
    """ "Auto Scaling terminates an unhealthy instance and launches a new one" (Health checks).

    The load balancers' health checks count where the group says so. Instances here have always
    been in service for longer than any grace period.
    """
    if not settings.SETTINGS.health_seconds or _suspended(group, "HealthCheck", "ReplaceUnhealthy"):
        return
    for state in list(group.instance_states):
        if state.lifecycle_state != "InService":
            continue
        if _healthy(backend, group, state.instance):
            state.failing = None
            continue
        failing = getattr(state, "failing", None)
        if failing is None:
            state.failing = Taking.now(settings.SETTINGS.health_seconds)
        elif failing.over:
            state.health_status = "Unhealthy"
            _end(backend, group, state)
            converge(group)


def _healthy(backend: Any, group: Any, instance: Any) -> bool:
    if instance.state != "running":
        return False
    if "ELB" not in group.health_check_type:
        return True
    elbv2, ec2 = backend.elbv2_backend, backend.ec2_backend
    target_groups = [
        elbv2.target_groups[arn] for arn in group.target_group_arns if arn in elbv2.target_groups
    ]
    balancers = [
        backend.elb_backend.load_balancers[name]
        for name in group.load_balancer_names or []
        if name in backend.elb_backend.load_balancers
    ]
    return all(
        reaches_target(elbv2, item, (instance.id, int(item.port))) for item in target_groups
    ) and all(reached_by_classic(ec2, item, instance) for item in balancers)


def _detach() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    def detach_instances(
        self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> Any:
        from moto.autoscaling.models import ASG_NAME_TAG, DetachInstanceActivity

        group = self.autoscaling_groups[group_name]
        states = _members(group, instance_ids)
        for state in states:
            _require_state(state, "InService", "Standby")
        counted = [state for state in states if state in _counting(group)]
        if should_decrement:
            _not_below_minimum(group, len(counted))
        activities = []
        for state in states:
            self.ec2_backend.delete_tags([state.instance.id], {ASG_NAME_TAG: group.name})
            activities.append(DetachInstanceActivity(state.instance))
        group.instance_states = [item for item in group.instance_states if item not in states]
        _leave_load_balancers(self, group, instance_ids)
        # "If … connection draining … is enabled, Auto Scaling waits": Detaching until it is over.
        draining = settings.SETTINGS.drain_seconds
        for state in counted if draining and _balanced(group) else []:
            state.lifecycle_state = "Detaching"
            group.leaving.append((state, Taking.now(draining)))
        # Who comes back is another member, with nothing of what this one had.
        for state in states:
            del state.instance.autoscaling_group
        group.desired_capacity -= len(counted) if should_decrement else 0
        converge(group)
        return activities

    AutoScalingBackend.detach_instances = detach_instances

    def terminate_instance(self: Any, instance_id: str, should_decrement: bool) -> Any:
        from moto.autoscaling.models import TerminateInstanceActivity

        for group in self.autoscaling_groups.values():
            for state in group.instance_states:
                if state.instance.id == instance_id:
                    before = group.desired_capacity
                    if should_decrement:
                        _not_below_minimum(group, 1)
                        group.desired_capacity -= 1
                    activity = TerminateInstanceActivity(state.instance, before)
                    _end(self, group, state)
                    converge(group)
                    return activity
        raise autoscaling_error(f"Instance Id not found - No managed instance found: {instance_id}")

    AutoScalingBackend.terminate_instance = terminate_instance


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
            group.instance_states.append(
                InstanceState(
                    instance,
                    protected_from_scale_in=group.new_instances_protected_from_scale_in,
                    autoscaling_group=group,
                )
            )
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
        from moto.autoscaling.models import EnterStandbyActivity

        group = self.autoscaling_groups[group_name]
        states = _members(group, instance_ids)
        for state in states:
            _require_state(state, "InService")
        before = group.desired_capacity
        if should_decrement:
            _not_below_minimum(group, len(states))
            group.desired_capacity -= len(states)
        for state in states:
            state.lifecycle_state = "Standby"
        _leave_load_balancers(self, group, instance_ids)
        converge(group)
        return [EnterStandbyActivity(state.instance, before) for state in states]

    AutoScalingBackend.enter_standby_instances = enter_standby_instances

    # "When you take an instance out of standby, the desired capacity is incremented"
    # (ExitStandby).
    def exit_standby_instances(self: Any, group_name: str, instance_ids: list[str]) -> Any:
        from moto.autoscaling.models import ExitStandbyActivity

        group = self.autoscaling_groups[group_name]
        states = _members(group, instance_ids)
        for state in states:
            _require_state(state, "Standby")
        _not_above_maximum(group, len(states))
        before = group.desired_capacity
        group.desired_capacity += len(states)
        for state in states:
            state.lifecycle_state = "InService"
        converge(group)
        return [ExitStandbyActivity(state.instance, before) for state in states]

    AutoScalingBackend.exit_standby_instances = exit_standby_instances


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


def _hooks() -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import EmptyResult

    def held(response: Any) -> tuple[Any, Any, Any]:
        backend = response.autoscaling_backend
        group = backend.autoscaling_groups[response._get_param("AutoScalingGroupName")]
        instance_id = response._get_param("InstanceId")
        for state in group.instance_states:
            if state.instance.id == instance_id and getattr(state, "held", None) is not None:
                hook = hook_of(backend, group, state)
                if hook.name == response._get_param("LifecycleHookName"):
                    return group, state, hook
        raise autoscaling_error(f"No active Lifecycle Action found with instance ID {instance_id}")

    # "By default, … extends the timeout by the length of time defined using the HeartbeatTimeout
    # parameter" (RecordLifecycleActionHeartbeat).
    def record_lifecycle_action_heartbeat(self: Any) -> Any:
        _, state, hook = held(self)
        state.held = Taking.now(hook.heartbeat_timeout)
        return EmptyResult()

    def complete_lifecycle_action(self: Any) -> Any:
        group, state, _ = held(self)
        result = self._get_param("LifecycleActionResult")
        _let_go(self.autoscaling_backend, group, state, result)
        return EmptyResult()

    AutoScalingResponse.record_lifecycle_action_heartbeat = record_lifecycle_action_heartbeat
    AutoScalingResponse.complete_lifecycle_action = complete_lifecycle_action


def _hooks_of(backend: Any, group: Any, transition: str) -> list[Any]:
    return [
        hook
        for hook in backend.describe_lifecycle_hooks(group.name)
        if hook.lifecycle_transition == transition
    ]


def hook_of(backend: Any, group: Any, state: Any) -> Any:
    """The hook that holds a member in a wait state."""
    terminating = state.lifecycle_state.startswith("Terminating")
    return _hooks_of(backend, group, _TERMINATING if terminating else _LAUNCHING)[0]


def _let_go(backend: Any, group: Any, state: Any, result: str) -> None:
    """End a hook's wait. A launch goes on only with CONTINUE; a termination goes on either way."""
    state.held = None
    if state.lifecycle_state.startswith("Pending") and result == "CONTINUE":
        state.lifecycle_state = "InService"
    else:
        _terminate(backend, group, state)
    converge(group)


def _registrations() -> None:
    from moto.autoscaling.models import AutoScalingBackend

    # Only members in service are registered with the group's load balancers, and none while
    # AddToLoadBalancer is suspended ("Suspend and resume processes").
    def update_attached_target_groups(self: Any, group_name: str) -> None:
        group = self.autoscaling_groups[group_name]
        if _suspended(group, "AddToLoadBalancer"):
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
        if _suspended(group, "AddToLoadBalancer"):
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
            gone = [item for item in group.instance_states if item.instance.id in instance_ids]
            if gone:
                group.instance_states = [i for i in group.instance_states if i not in gone]
                _leave_load_balancers(self, group, [item.instance.id for item in gone])
                converge(group)
        notify(self, instance_ids)

    AutoScalingBackend.notify_terminate_instances = notify_terminate_instances


def _leave_load_balancers(backend: Any, group: Any, instance_ids: list[str]) -> None:
    """A group takes its members out of its own load balancers, by the target group's own port."""
    for arn in group.target_group_arns or []:
        target_group = backend.elbv2_backend.target_groups.get(arn)
        if target_group is not None:
            port = target_group.port
            target_group.deregister([{"Id": leaving, "Port": port} for leaving in instance_ids])
    for name in group.load_balancer_names or []:
        if name in backend.elb_backend.load_balancers:
            balancer = backend.elb_backend.load_balancers[name]
            for attribute in ("instance_sparse_ids", "instance_autoscaling_ids"):
                known = getattr(balancer, attribute)
                setattr(balancer, attribute, [item for item in known if item not in instance_ids])
