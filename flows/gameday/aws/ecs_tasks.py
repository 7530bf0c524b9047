"""ECS: the life of a task, from its start until nothing is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import settings, simulated_time
from flows.gameday.aws.settings import Taking

# "Task lifecycle" (ECS Developer Guide).
_STARTING = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")
_STOPPING = ("DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED")


def correct() -> None:
    """Have tasks start and stop in their time, with an interface in their own subnet.

    moto's tasks go a step further each time that somebody looks at them.
    """
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ecs import models
    from moto.ecs.models import Container, Task

    # The interface of a task has an address of its subnet, not any private one.
    models.random_private_ip = lambda: None
    # An interface has such a name where the VPC gives them (NetworkInterface.PrivateDnsName).
    NetworkInterface.private_dns_name = None

    make = Task.__init__

    def __init__(
        self: Any,
        *arguments: Any,
        networking_configuration: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> None:
        self.taking, self.stopping = Taking.now(settings.SETTINGS.provision_seconds), None
        self.created_at, self.started_at = simulated_time.now(), None
        self.stopping_at, self.stopped_at, self.stop_code = None, None, None
        self.enable_execute_command = False
        make(self, *arguments, networking_configuration=_whole(networking_configuration), **named)
        for container in self.containers:
            container.task = self
        for attachment in self.attachments:
            _manage(self, attachment)

    Task.__init__ = __init__
    Task.status = property(_status, lambda task, value: None)
    Container.last_status = property(_of_container, lambda container, value: None)
    Container.task = None


def _whole(network: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """ "If you don't specify a security group, the default security group for the VPC is used"
    (AwsVpcConfiguration)."""
    if not network:
        return network
    return {"awsvpcConfiguration": {"securityGroups": [], **network["awsvpcConfiguration"]}}


def _manage(task: Any, attachment: dict[str, Any]) -> None:
    """The interface of a task is managed by ECS ("Fargate task networking")."""
    attachment["details"] = [item for item in attachment["details"] if item["value"]]
    eni = _interface(task, attachment)
    eni.requester_managed = True
    home = f"{task._backend.partition}:ecs:{task.region_name}:{task._account_id}"
    eni.description = f"arn:{home}:attachment/{attachment['id']}"


def _interface(task: Any, attachment: Mapping[str, Any]) -> Any:
    details = {item["name"]: item["value"] for item in attachment["details"]}
    return _ec2(task).enis.get(details["networkInterfaceId"])


def _ec2(task: Any) -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[task._account_id][task.region_name]


def _status(task: Any) -> str:
    taking, steps = task.taking, _STARTING
    if task.stopping is not None:
        taking, steps = task.stopping, _STOPPING
    return steps[int(taking.share * (len(steps) - 1))]


def _of_container(container: Any) -> str:
    status = "PENDING" if container.task is None else container.task.status
    return status if status in ("RUNNING", "STOPPED") else "PENDING"


def stop(task: Any, code: str, reason: str) -> None:
    """Begin to stop a task, once. ``code`` is one of TaskStopCode."""
    if task.stopping is None:
        task.stopping = Taking.now(settings.SETTINGS.provision_seconds)
        task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
        task.stopping_at = simulated_time.now()
        settle(task)


def settle(task: Any) -> None:
    """Note when it has started, and give back what it had when it has stopped."""
    if task.started_at is None and task.status == "RUNNING":
        task.started_at = simulated_time.now()
    if task.stopped_at is not None or task.status != "STOPPED":
        return
    task.stopped_at = simulated_time.now()
    for attachment in task.attachments:
        attachment["status"] = "DELETED"
        eni = _interface(task, attachment)
        if eni is not None:
            del _ec2(task).enis[eni.id]
    instance = instance_of(task)
    if instance is not None:
        task._backend.update_container_instance_resources(
            instance, task.resource_requirements, removing=True
        )


def instance_of(task: Any) -> Any:
    """The container instance that a task is on, or None."""
    if not task.container_instance_arn:
        return None
    instances = task._backend.container_instances.get(task.cluster_name, {})
    return instances.get(task.container_instance_arn.rsplit("/", 1)[-1])
