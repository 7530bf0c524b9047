"""States of EC2 instances: each change takes its time, and not everything is done in every state."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.errors import ec2_error
from flows.gameday.aws.settings import Taking

# InstanceState, Code.
_CODES = {"pending": 0, "shutting-down": 32, "stopping": 64}
_GONE = ("shutting-down", "terminated")


@dataclass(frozen=True)
class _Passing:
    """A state that is followed by another one."""

    state: Any
    taking: Taking


def correct() -> None:
    """Have instances be pending, stopping and shutting down, and refuse what their state refuses."""
    _states()
    _changes()
    _launches()
    _refusals()
    _hibernation()
    _answers()


def require_modifiable(instance: Any) -> None:
    """Raise IncorrectInstanceState where nothing can be changed about an instance any more."""
    if instance.state in _GONE:
        raise _incorrect(
            f"The instance '{instance.id}' is in state '{instance.state}' and can't be modified."
        )


def require_stopped(instance: Any, attribute: str) -> None:
    """Raise IncorrectInstanceState: "some instance attributes, such as user data, can only be
    modified if the instance is in a 'stopped' state" (EC2 error codes)."""
    if instance.state != "stopped":
        raise _incorrect(
            f"The instance '{instance.id}' is not in the 'stopped' state: its {attribute} can't be "
            "modified."
        )


def _states() -> None:
    from moto.ec2.models.instances import Instance

    def state(instance: Any) -> Any:
        passing = instance.__dict__.get("passing")
        if passing is not None and not passing.taking.over:
            return passing.state
        return instance.lasting_state

    def last(instance: Any, state: Any) -> None:
        instance.lasting_state = state

    Instance._state = property(state, last)


def _pass_through(instance: Any, name: str) -> None:
    from moto.ec2.models.instances import InstanceState

    seconds = settings.SETTINGS.instance_seconds
    if seconds:
        instance.passing = _Passing(InstanceState(name, _CODES[name]), Taking.now(seconds))


def _changes() -> None:
    from moto.ec2.models.instances import Instance

    def changing(change: Any, passing: str, lasting: str) -> Any:
        def changed(self: Any) -> Any:
            before = copy.copy(self._state)
            # "If you terminate an instance more than once, each call succeeds" (TerminateInstances);
            # so does it of one that is stopped or runs already.
            if before.name in (passing, lasting):
                return before
            self.passing = None
            change(self)
            _pass_through(self, passing)
            return before

        return changed

    Instance.start = changing(Instance.start, "pending", "running")
    Instance.stop = changing(Instance.stop, "stopping", "stopped")
    Instance.terminate = changing(Instance.terminate, "shutting-down", "terminated")
    # "It only queues a request to reboot" (RebootInstances): the state stays. moto has terminated
    # instances run again.
    Instance.reboot = lambda instance: None


def _launches() -> None:
    from moto.ec2.responses.instances import InstanceResponse

    run = InstanceResponse.run_instances

    # Not those that Auto Scaling launches: its members are in service at once.
    def run_instances(self: Any) -> Any:
        answer = run(self)
        for instance in answer.result.instances:
            _pass_through(instance, "pending")
        return answer

    InstanceResponse.run_instances = run_instances


def _refusals() -> None:
    from moto.ec2.exceptions import (
        OperationDisableApiStopNotPermitted,
        OperationNotPermitted4,
    )
    from moto.ec2.models import EC2Backend

    # "IncorrectInstanceState: The instance is in an incorrect state, so the requested action can't
    # be completed" (EC2 error codes). If a request fails, it fails for all of its instances.
    start, stop = EC2Backend.start_instances, EC2Backend.stop_instances
    terminate = EC2Backend.terminate_instances

    def start_instances(self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.state in ("stopping", *_GONE):
                raise _incorrect(
                    f"The instance '{instance.id}' is not in a state from which it can be started."
                )
        return start(self, instance_ids)

    def stop_instances(self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.state in _GONE:
                raise _incorrect(
                    f"The instance '{instance.id}' is not in a state from which it can be stopped."
                )
            if instance.state == "pending":
                raise _incorrect(
                    f"Instance '{instance.id}' cannot be stopped as it has never reached the "
                    "'running' state."
                )
            if instance.disable_api_stop:
                raise OperationDisableApiStopNotPermitted(instance.id)
        return stop(self, instance_ids)

    def terminate_instances(self: Any, instance_ids: list[str]) -> Any:
        instances = self.get_multi_instances_by_id(instance_ids)
        protected = [instance for instance in instances if instance.disable_api_termination]
        if not protected:
            return terminate(self, instance_ids)
        # "The specified instances that are in the same Availability Zone as the protected instance
        # are not terminated", those in others are, and the request fails (TerminateInstances).
        zones = {instance.availability_zone for instance in protected}
        others = [item.id for item in instances if item.availability_zone not in zones]
        if others:
            terminate(self, others)
        raise OperationNotPermitted4(protected[0].id)

    EC2Backend.start_instances = start_instances
    EC2Backend.stop_instances = stop_instances
    EC2Backend.terminate_instances = terminate_instances


def _hibernation() -> None:
    from moto.ec2.responses.instances import InstanceResponse

    stop = InstanceResponse.stop_instances

    def stop_instances(self: Any) -> Any:
        if self._get_bool_param("Hibernate"):
            instance_ids = self._get_param("InstanceIds", [])
            _require_hibernation(self.ec2_backend.get_multi_instances_by_id(instance_ids))
        return stop(self)

    InstanceResponse.stop_instances = stop_instances


def _require_hibernation(instances: Iterable[Any]) -> None:
    for instance in instances:
        if not (instance.hibernation_options or {}).get("Configured"):
            # "… the instance could not be hibernated because it is not enabled for hibernation"
            # (EC2 error codes).
            raise ec2_error(
                "UnsupportedHibernationConfiguration",
                f"The instance '{instance.id}' is not enabled for hibernation.",
            )


def _answers() -> None:
    from moto.ec2.responses.instances import InstanceResponse

    # InstanceStateChange: an instance that was stopped already answers stopped, not stopping.
    def answered(call: Any, member: str, *already: str) -> Any:
        def changed(self: Any) -> Any:
            answer = call(self)
            for change in answer.result[member]:
                if change["PreviousState"].name in already:
                    change["CurrentState"] = change["PreviousState"]
            return answer

        return changed

    for operation, member, *already in (
        ("start_instances", "StartingInstances", "pending", "running"),
        ("stop_instances", "StoppingInstances", "stopping", "stopped"),
        ("terminate_instances", "TerminatingInstances", *_GONE),
    ):
        call = getattr(InstanceResponse, operation)
        setattr(InstanceResponse, operation, answered(call, member, *already))


def _incorrect(message: str) -> Exception:
    return ec2_error("IncorrectInstanceState", message)
