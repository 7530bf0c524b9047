"""What an Auto Scaling group does with its members by itself: it keeps their number and health."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flows.gameday.aws import classic_balancers, scaling_activities, settings
from flows.gameday.aws.load_balancers import reaches_target
from flows.gameday.aws.scaling_activities import Activity
from flows.gameday.aws.settings import Taking

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
# A launch that failed is tried again; AWS lets minutes pass.
_RETRY_SECONDS = 5.0
_NOT_RUNNING = "an EC2 health check indicating it has been terminated or stopped"
_SAID = "a user health-check"
_NOT_REACHED = "an ELB system health check failure"


def converge(group: Any) -> None:
    """Launch what is missing and terminate what is too much, unless that is suspended.

    Standby instances and those that are terminating don't count (EC2 Auto Scaling User Guide,
    "Temporarily remove instances").
    """
    backend = group.autoscaling_backend
    group.retry = None
    missing = group.desired_capacity - len(counting(group))
    if missing > 0 and not suspended(group, "Launch"):
        for _ in range(missing):
            if not _launch(group):
                group.retry = Taking.now(_RETRY_SECONDS)
                break
    if missing < 0 and not suspended(group, "Terminate"):
        # "Scale-in protection … prevent[s] that instance from being terminated during scale in".
        removable = [item for item in counting(group) if not item.protected_from_scale_in]
        for state in removable[:-missing]:
            size = len(counting(group))
            end(
                group,
                state,
                "an instance was taken out of service in response to a difference between desired "
                f"and actual capacity, shrinking the capacity from {size} to {size - 1}.",
            )
    if dict.__contains__(backend.autoscaling_groups, group.name):
        backend.update_attached_elbs(group.name)
        backend.update_attached_target_groups(group.name)


def counting(group: Any) -> list[Any]:
    """The members that count towards the desired capacity."""
    return [
        state
        for state in group.instance_states
        if not state.lifecycle_state.startswith(("Standby", "Terminating"))
    ]


def suspended(group: Any, *processes: str) -> bool:
    return any(process["ProcessName"] in processes for process in group.suspended_processes)


def hooks_of(group: Any, transition: str) -> list[Any]:
    """The group's lifecycle hooks for instances that are being launched, or terminated."""
    return [
        hook
        for hook in group.autoscaling_backend.describe_lifecycle_hooks(group.name)
        if hook.lifecycle_transition == transition
    ]


def come_into_service(group: Any, state: Any) -> None:
    """ "The grace period applies to … newly launched instances, instances that are put back into
    service after being in standby, instances that you manually attach" (Health check grace period).
    """
    state.lifecycle_state = "InService"
    state.grace = Taking.now(
        min(group.health_check_grace_period or 0, settings.SETTINGS.grace_seconds)
    )


def in_grace(state: Any) -> bool:
    grace = getattr(state, "grace", None)
    return grace is not None and not grace.over


def _launch(group: Any) -> bool:
    """Launch one instance, where the fewest are: "attempts to launch instances evenly across
    Availability Zones" (EC2 Auto Scaling User Guide). False where it can't be, as an activity of
    the group then says: "If an attempt to launch instances failed, the StatusCode value is Failed"
    (DescribeScalingActivities)."""
    from moto.ec2.exceptions import EC2ClientError

    size = len(counting(group))
    activity = scaling_activities.begin(
        group,
        "Launching a new EC2 instance",
        "an instance was started in response to a difference between desired and actual capacity, "
        f"increasing the capacity from {size} to {size + 1}.",
    )
    subnets = group.vpc_zone_identifier.split(",") if group.vpc_zone_identifier else [None]
    members = Counter(state.instance.subnet_id for state in group.instance_states)
    given = group.vpc_zone_identifier
    group.vpc_zone_identifier = min(subnets, key=lambda subnet: members[subnet])
    try:
        group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
    except EC2ClientError as error:
        group.launch_error = error
        why = f"{error.message} Launching EC2 instance failed."
        activity.description += f".  Status Reason: {why}"
        activity.finish("Failed", why)
        return False
    finally:
        group.vpc_zone_identifier = given
    state = group.instance_states[-1]
    activity.description += f": {state.instance.id}"
    activity.details = scaling_activities.where(state.instance)
    if not _held(group, state, activity, LAUNCHING, "Pending:Wait"):
        come_into_service(group, state)
        activity.finish()
    return True


def end(group: Any, state: Any, why: str) -> Activity:
    """Take a member out of its load balancers and terminate it, once no hook holds it."""
    activity = scaling_activities.begin(
        group, f"Terminating EC2 instance: {state.instance.id}", why, state.instance
    )
    state.lifecycle_state = "Terminating"
    leave_load_balancers(group, [state.instance.id])
    if not _held(group, state, activity, TERMINATING, "Terminating:Wait"):
        terminate(group, state)
        activity.finish()
    return activity


def _held(group: Any, state: Any, activity: Activity, transition: str, waiting: str) -> bool:
    """Whether a hook puts the instance "into a wait state" (Lifecycle hooks)."""
    hooks = hooks_of(group, transition)
    if hooks:
        state.lifecycle_state = waiting
        state.held, state.activity = Taking.now(hooks[0].heartbeat_timeout), activity
        activity.status, group.has_waiting = "MidLifecycleAction", True
    return bool(hooks)


def terminate(group: Any, state: Any) -> None:
    """Terminate a member for good."""
    group.instance_states = [item for item in group.instance_states if item is not state]
    # Termination protection doesn't keep Auto Scaling from it (EC2 User Guide, "Terminate
    # instances").
    if state.instance.state != "terminated":
        state.instance.terminate()
    group.autoscaling_backend.elbv2_backend.notify_terminate_instances([state.instance.id])


def leave_load_balancers(group: Any, instance_ids: list[str]) -> None:
    """A group takes its members out of its own load balancers, by the target group's own port."""
    backend = group.autoscaling_backend
    for arn in group.target_group_arns or []:
        target_group = backend.elbv2_backend.target_groups.get(arn)
        if target_group is not None:
            port = target_group.port
            target_group.deregister([{"Id": leaving, "Port": port} for leaving in instance_ids])
    for name in group.load_balancer_names or []:
        if name in backend.elb_backend.load_balancers:
            classic_balancers.leave(backend.elb_backend.load_balancers[name], instance_ids)


def gone(group: Any, instance_ids: list[str]) -> None:
    """Let go of members that somebody terminated, and replace them."""
    lost = [item for item in group.instance_states if item.instance.id in instance_ids]
    if not lost:
        return
    group.instance_states = [item for item in group.instance_states if item not in lost]
    leave_load_balancers(group, [item.instance.id for item in lost])
    for state in lost:
        scaling_activities.begin(
            group,
            f"Terminating EC2 instance: {state.instance.id}",
            f"an instance was taken out of service in response to {_NOT_RUNNING}.",
            state.instance,
        ).finish()
    converge(group)


def replace_unhealthy(group: Any) -> None:
    """ "Auto Scaling terminates an unhealthy instance and launches a new one" (Health checks)."""
    if suspended(group, "ReplaceUnhealthy"):
        return
    seconds = settings.SETTINGS.health_seconds
    checked = bool(seconds) and not suspended(group, "HealthCheck")
    if not checked and not group.has_unhealthy:
        return
    group.has_unhealthy = False
    for state in list(group.instance_states):
        if state.lifecycle_state != "InService":
            continue
        # Whoever says that it is unhealthy is believed at once (SetInstanceHealth).
        why = _SAID if state.health_status == "Unhealthy" else None
        if why is None and checked:
            why = _failed(group, state)
            if why is None:
                state.failing = None
            elif getattr(state, "failing", None) is None:
                state.failing = Taking.now(seconds)
        if why is not None and (why == _SAID or state.failing.over):
            state.health_status = "Unhealthy"
            end(group, state, f"an instance was taken out of service in response to {why}.")
            converge(group)


def _failed(group: Any, state: Any) -> str | None:
    """The health check that a member fails, if any.

    The load balancers' checks count where the group says so, and not during the grace period: only
    what "is no longer in the Amazon EC2 running state" is replaced then, too (Health check grace
    period).
    """
    if state.instance.state != "running":
        return _NOT_RUNNING
    if "ELB" not in group.health_check_type or in_grace(state):
        return None
    return None if _reached(group.autoscaling_backend, group, state.instance) else _NOT_REACHED


def _reached(backend: Any, group: Any, instance: Any) -> bool:
    elbv2, classic = backend.elbv2_backend, backend.elb_backend.load_balancers
    target_groups = [
        elbv2.target_groups[arn] for arn in group.target_group_arns if arn in elbv2.target_groups
    ]
    balancers = [classic[name] for name in group.load_balancer_names or [] if name in classic]
    return all(
        reaches_target(elbv2, item, (instance.id, int(item.port))) for item in target_groups
    ) and all(classic_balancers.reaches(backend.ec2_backend, item, instance) for item in balancers)
