"""Auto Scaling's lifecycle hooks: what holds an instance on its way into a group, or out of it."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import autoscaling_error
from flows.gameday.aws.scaling import (
    LAUNCHING,
    TERMINATING,
    come_into_service,
    converge,
    hooks_of,
    terminate,
)
from flows.gameday.aws.settings import Taking


def correct() -> None:
    """Have the wait of an instance be prolonged and ended; moto can't."""
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import EmptyResult

    def held(response: Any) -> tuple[Any, Any, Any]:
        group = response.autoscaling_backend.autoscaling_groups[
            response._get_param("AutoScalingGroupName")
        ]
        instance_id = response._get_param("InstanceId")
        for state in group.instance_states:
            if state.instance.id == instance_id and getattr(state, "held", None) is not None:
                hook = _hook_of(group, state)
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
        _let_go(group, state, self._get_param("LifecycleActionResult"))
        return EmptyResult()

    AutoScalingResponse.record_lifecycle_action_heartbeat = record_lifecycle_action_heartbeat
    AutoScalingResponse.complete_lifecycle_action = complete_lifecycle_action


def keep_up(group: Any) -> None:
    """Let go of the instances whose hook's time is over."""
    if not group.has_waiting:
        return
    waiting = [item for item in group.instance_states if getattr(item, "held", None) is not None]
    group.has_waiting = bool(waiting)
    for state in waiting:
        if state.held.over:
            _let_go(group, state, _hook_of(group, state).default_result)


def _hook_of(group: Any, state: Any) -> Any:
    """The hook that holds a member in a wait state."""
    terminating = state.lifecycle_state.startswith("Terminating")
    return hooks_of(group, TERMINATING if terminating else LAUNCHING)[0]


def _let_go(group: Any, state: Any, result: str) -> None:
    """End a hook's wait. A launch goes on only with CONTINUE; a termination goes on either way."""
    state.held = None
    launching = state.lifecycle_state.startswith("Pending")
    if launching and result == "CONTINUE":
        come_into_service(group, state)
    else:
        terminate(group, state)
    state.activity.finish("Cancelled" if launching and result != "CONTINUE" else "Successful")
    converge(group)
