"""Auto Scaling: leaving a group goes with leaving its load balancers, and not below its minimum."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import autoscaling_error


def correct() -> None:
    """Have detach, attach and standby respect MinSize and MaxSize, membership, and load balancers."""
    from moto.autoscaling.models import AutoScalingBackend

    detach = AutoScalingBackend.detach_instances

    def detach_instances(self: Any, group_name: str, instance_ids: list[str], should_decrement: bool) -> Any:
        group = _members(self, group_name, instance_ids)
        _not_terminating(group, instance_ids)
        standby = sum(
            state.lifecycle_state == "Standby"
            for state in group.instance_states
            if state.instance.id in instance_ids
        )
        _not_below_minimum(group, len(instance_ids) - standby, should_decrement)
        launching = "Launch" not in (group.suspended_processes or [])
        if standby and should_decrement:
            group.desired_capacity += standby
        before = group.set_desired_capacity
        if not should_decrement and not launching:
            # With Launch suspended there is no replacement (Auto Scaling, "Suspend processes").
            group.set_desired_capacity = lambda desired: None
        try:
            result = detach(self, group_name, instance_ids, should_decrement)
        finally:
            group.set_desired_capacity = before
        _leave_load_balancers(self, group, instance_ids)
        self.update_attached_target_groups(group_name)
        return result

    AutoScalingBackend.detach_instances = detach_instances

    # "The number of instances being attached plus the desired capacity … must not exceed the
    # maximum size" (AttachInstances); the desired capacity rises by as many.
    attach = AutoScalingBackend.attach_instances

    def attach_instances(self: Any, group_name: str, instance_ids: list[str]) -> None:
        group = _group(self, group_name)
        members = {state.instance.id for state in group.instance_states}
        for instance_id in instance_ids:
            if instance_id in members:
                raise autoscaling_error(
                    f"Instance {instance_id} is already part of AutoScalingGroup:{group_name}"
                )
        if group.desired_capacity + len(instance_ids) > group.max_size:
            raise autoscaling_error(
                f"AutoScalingGroup {group_name} has max-size={group.max_size}, "
                f"desired-size={group.desired_capacity}; attaching would exceed the maximum size"
            )
        attach(self, group_name, instance_ids)

    AutoScalingBackend.attach_instances = attach_instances

    # An instance in standby is in no load balancer and has no health checks.
    enter = AutoScalingBackend.enter_standby_instances

    def enter_standby(self: Any, group_name: str, instance_ids: list[str], should_decrement: bool) -> Any:
        group = _members(self, group_name, instance_ids)
        _not_terminating(group, instance_ids)
        _not_below_minimum(group, len(instance_ids), should_decrement)
        desired = group.desired_capacity
        replace = group.set_desired_capacity
        # moto counts standby instances as capacity and would terminate others to make up for it.
        group.set_desired_capacity = lambda count: None
        try:
            result = enter(self, group_name, instance_ids, should_decrement)
        finally:
            group.set_desired_capacity = replace
        if not should_decrement:
            group.desired_capacity = desired
        _leave_load_balancers(self, group, instance_ids)
        return result

    AutoScalingBackend.enter_standby_instances = enter_standby

    leave = AutoScalingBackend.exit_standby_instances

    def exit_standby(self: Any, group_name: str, instance_ids: list[str]) -> Any:
        group = _members(self, group_name, instance_ids)
        replace = group.set_desired_capacity
        group.set_desired_capacity = lambda count: None
        try:
            result = leave(self, group_name, instance_ids)
        finally:
            group.set_desired_capacity = replace
        self.update_attached_elbs(group_name)
        self.update_attached_target_groups(group_name)
        return result

    AutoScalingBackend.exit_standby_instances = exit_standby

    # What is in standby is not registered again with the group's load balancers.
    update = AutoScalingBackend.update_attached_target_groups

    def update_target_groups(self: Any, group_name: str) -> None:
        update(self, group_name)
        _leave_load_balancers(self, _group(self, group_name), _standby(self, group_name))

    AutoScalingBackend.update_attached_target_groups = update_target_groups


def _group(backend: Any, name: str) -> Any:
    group = backend.autoscaling_groups.get(name)
    if group is None:
        raise autoscaling_error("AutoScalingGroup name not found - null")
    return group


def _members(backend: Any, name: str, instance_ids: list[str]) -> Any:
    group = _group(backend, name)
    members = {state.instance.id for state in group.instance_states}
    for instance_id in instance_ids:
        if instance_id not in members:
            raise autoscaling_error(
                f"The instance {instance_id} is not part of Auto Scaling group {name}."
            )
    return group


def _not_terminating(group: Any, instance_ids: list[str]) -> None:
    for state in group.instance_states:
        if state.instance.id in instance_ids and state.lifecycle_state.startswith("Terminating"):
            raise autoscaling_error(
                f"The instance {state.instance.id} is not in InService or Standby."
            )


def _not_below_minimum(group: Any, leaving: int, decrement: bool) -> None:
    if decrement and group.desired_capacity - leaving < group.min_size:
        raise autoscaling_error(
            f"Currently, desiredSize equals {group.desired_capacity}. Terminating instance without "
            "replacement will violate group's min size constraint. Either set "
            "shouldDecrementDesiredCapacity flag to false or lower group's min size."
        )


def _standby(backend: Any, name: str) -> list[str]:
    states = _group(backend, name).instance_states
    return [state.instance.id for state in states if state.lifecycle_state == "Standby"]


def _leave_load_balancers(backend: Any, group: Any, instance_ids: list[str]) -> None:
    if not instance_ids:
        return
    for arn in group.target_group_arns or []:
        target_group = backend.elbv2_backend.target_groups.get(arn)
        if target_group is not None:
            target_group.deregister([{"Id": instance_id} for instance_id in instance_ids])
    for name in group.load_balancers or []:
        balancer = backend.elb_backend.load_balancers.get(name)
        if balancer is not None:
            balancer.instance_sparse_ids = [
                known for known in balancer.instance_sparse_ids if known not in instance_ids
            ]
            balancer.instance_autoscaling_ids = [
                known for known in balancer.instance_autoscaling_ids if known not in instance_ids
            ]
