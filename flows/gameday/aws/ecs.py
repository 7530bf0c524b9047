"""ECS: services keep their tasks running, wherever they are stopped, and container instances drain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flows.gameday.aws import ecs_services, ecs_tasks, operations


def correct() -> None:
    """Have services run as many tasks as they are to, and calls find what they name."""
    ecs_tasks.correct()
    _settled()
    _tasks()
    _running()
    _services()
    _answers()


def _settled() -> None:
    from moto.ecs.models import ecs_backends
    from moto.ecs.responses import EC2ContainerServiceResponse

    # What ECS does by itself between two calls is done when the next one comes.
    def ecs_backend(self: Any) -> Any:
        backend = ecs_backends[self.current_account][self.region]
        ecs_services.settle(backend)
        return backend

    EC2ContainerServiceResponse.ecs_backend = property(ecs_backend)


def _invalid(message: str) -> Exception:
    from moto.ecs.exceptions import InvalidParameterException

    refusal: Exception = InvalidParameterException(message)
    return refusal


def _tasks() -> None:
    from moto.ecs.models import EC2ContainerServiceBackend

    def describe_tasks(self: Any, cluster_str: str, tasks: list[str]) -> list[Any]:
        if not tasks:
            raise _invalid("Tasks cannot be empty.")
        cluster = self._get_cluster(cluster_str)
        known = _by_id(self, cluster.name)
        asked = dict.fromkeys(_id(task) for task in tasks)
        return [known[name] for name in asked if name in known]

    def stop_task(self: Any, cluster_str: str, task_str: str, reason: str | None) -> Any:
        task = _by_id(self, self._get_cluster(cluster_str).name).get(_id(task_str))
        if task is None:
            raise _invalid("The referenced task was not found.")
        ecs_tasks.stop(task, "UserInitiated", reason or "Task stopped by user")
        return task

    def list_tasks(
        self: Any,
        cluster_str: str,
        container_instance: str | None = None,
        family: str | None = None,
        started_by: str | None = None,
        service_name: str | None = None,
        desired_status: str | None = None,
    ) -> list[Any]:
        cluster = self._get_cluster(cluster_str)
        group = None
        if service_name:
            group = f"service:{self._get_service(cluster.name, _id(service_name)).name}"
        return [
            task
            for task in _by_id(self, cluster.name).values()
            # "The default status filter is RUNNING" (ListTasks, desiredStatus).
            if task.desired_status == (desired_status or "RUNNING")
            and (not container_instance or _on(task, container_instance))
            and (not family or f"task-definition/{family}:" in task.task_definition_arn)
            and started_by in (None, task.started_by)
            and group in (None, task.group)
        ]

    EC2ContainerServiceBackend.describe_tasks = describe_tasks
    EC2ContainerServiceBackend.stop_task = stop_task
    EC2ContainerServiceBackend.list_tasks = list_tasks


def _by_id(backend: Any, cluster: str) -> dict[str, Any]:
    return {task.id: task for task in backend.tasks.get(cluster, {}).values()}


def _id(name_or_arn: str) -> str:
    return name_or_arn.rsplit("/", 1)[-1]


def _on(task: Any, container_instance: str) -> bool:
    return _id(task.container_instance_arn or "") == _id(container_instance)


def _running() -> None:
    from moto.ecs.models import EC2ContainerServiceBackend

    run = EC2ContainerServiceBackend.run_task

    def run_task(
        self: Any,
        cluster_str: str,
        task_definition_str: str,
        count: int,
        overrides: Any,
        started_by: Any,
        tags: Any,
        launch_type: str | None,
        networking_configuration: Mapping[str, Any] | None = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        cluster = self._get_cluster(cluster_str)
        _require_network(self, task_definition_str, networking_configuration)
        strategy = more.get("capacity_provider_strategy") or (rest[2] if len(rest) > 2 else None)
        on_instances = launch_type == "EC2" or not (
            launch_type or strategy or cluster.default_capacity_provider_strategy
        )
        if on_instances and not self.container_instances.get(cluster.name):
            raise _invalid("No Container Instances were found in your cluster.")
        return run(
            self,
            cluster_str,
            task_definition_str,
            count,
            overrides,
            started_by,
            tags,
            launch_type,
            networking_configuration,
            *rest,
            **more,
        )

    EC2ContainerServiceBackend.run_task = run_task


def _require_network(backend: Any, task_definition: str, network: Mapping[str, Any] | None) -> None:
    """Refuse a network configuration that is missing, or that names what isn't there."""
    from moto.ec2.models import ec2_backends

    definition = backend.describe_task_definition(task_definition)
    if definition.network_mode == "awsvpc" and not network:
        raise _invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    wanted = (network or {}).get("awsvpcConfiguration", {})
    for group in wanted.get("securityGroups", []):
        if ec2.get_security_group_from_id(group) is None:
            raise _invalid(
                f"Error retrieving security group information for [{group}]: The security group "
                f"'{group}' does not exist (ErrorCode: InvalidGroup.NotFound)"
            )
    for subnet in wanted.get("subnets", []):
        if not any(subnet in zone for zone in ec2.subnets.values()):
            raise _invalid(
                f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' "
                "does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )


def _services() -> None:
    from moto.ecs.models import EC2ContainerServiceBackend, Service

    # Both are checked before a service is made or changed.
    Service._validate_network = lambda service, network: network
    Service.running_count = property(ecs_services.running, lambda service, count: None)
    Service.pending_count = property(ecs_services.pending, lambda service, count: None)
    Service.enable_execute_command = False

    create = EC2ContainerServiceBackend.create_service

    def create_service(
        self: Any,
        cluster_str: str,
        service_name: str,
        desired_count: int,
        task_definition_str: str | None = None,
        *rest: Any,
        **named: Any,
    ) -> Any:
        cluster = self._get_cluster(cluster_str)
        known = self.services.get(f"{cluster.name}:{service_name}")
        if known is not None and known.status == "ACTIVE":
            raise _invalid("Creation of service was not idempotent.")
        if task_definition_str:
            _require_network(self, task_definition_str, named.get("network_configuration"))
        return create(
            self, cluster_str, service_name, desired_count, task_definition_str, *rest, **named
        )

    def update_service(self: Any, service_properties: dict[str, Any]) -> Any:
        wanted = dict(service_properties)
        cluster = self._get_cluster(wanted.pop("cluster", None) or "default")
        service = self._get_service(cluster.name, _id(wanted.pop("service")))
        if service.status != "ACTIVE":
            raise operations.error("ServiceNotActiveException", "Service was not ACTIVE.")
        definition = wanted.pop("task_definition", None)
        network = wanted.get("network_configuration")
        if definition or network:
            _require_network(
                self,
                definition or service.task_definition,
                network or service.network_configuration,
            )
        if definition:
            wanted["task_definition"] = self.describe_task_definition(definition).arn
        anew = bool(wanted.pop("force_new_deployment", False))
        given = {name: value for name, value in wanted.items() if value is not None}
        # "When you update any of these parameters, Amazon ECS starts new tasks with the new
        # configuration" (UpdateService); not so the number of tasks.
        anew |= any(
            getattr(service, name, None) != value
            for name, value in given.items()
            if name in ("network_configuration", "platform_version", "task_definition")
        )
        for name, value in given.items():
            setattr(service, name, value)
        ecs_services.deploy(service, anew=anew)
        return service

    EC2ContainerServiceBackend.create_service = create_service
    EC2ContainerServiceBackend.update_service = update_service


def _answers() -> None:
    from moto.ecs.responses import EC2ContainerServiceResponse

    describe, run, create = (
        getattr(EC2ContainerServiceResponse, name)
        for name in ("describe_tasks", "run_task", "create_service")
    )

    def describe_tasks(self: Any) -> Any:
        answer = describe(self)
        found = {task.id for task in answer.result["tasks"]}
        home = f"arn:{self.partition}:ecs:{self.region}:{self.current_account}"
        cluster = _id(self._get_param("cluster", "default"))
        answer.result["failures"] = _missing(
            self._get_param("tasks", []), found, f"{home}:task/{cluster}"
        )
        return answer

    def run_task(self: Any) -> Any:
        answer = run(self)
        for task in answer.result["tasks"]:
            task.enable_execute_command = bool(self._get_param("enableExecuteCommand"))
        return answer

    def create_service(self: Any) -> Any:
        answer = create(self)
        enabled = bool(self._get_param("enableExecuteCommand"))
        answer.result["service"].enable_execute_command = enabled
        return answer

    EC2ContainerServiceResponse.describe_tasks = describe_tasks
    EC2ContainerServiceResponse.run_task = run_task
    EC2ContainerServiceResponse.create_service = create_service
    operations.add(EC2ContainerServiceResponse, {"ExecuteCommand": _execute_command})


def _missing(asked: Iterable[str], found: set[str], home: str) -> list[dict[str, str]]:
    """What was asked for and isn't there ("API failure reasons", ECS Developer Guide)."""
    return [
        {"arn": name if name.startswith("arn:") else f"{home}/{name}", "reason": "MISSING"}
        for name in dict.fromkeys(asked)
        if _id(name) not in found
    ]


def _execute_command(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    backend = response.ecs_backend
    cluster = backend._get_cluster(asked.get("cluster") or "default")
    task = _by_id(backend, cluster.name).get(_id(asked["task"]))
    if task is None or task.status != "RUNNING":
        raise _invalid("The execute command failed because the task was not running.")
    if not task.enable_execute_command:
        # "… was not enabled when the task was run" (ECS Exec, troubleshooting).
        raise _invalid(
            "The execute command failed because execute command was not enabled when the task was "
            "run or the execute command agent isn't running. Wait and try again or run a new task "
            "with execute command enabled and try again."
        )
    container = asked.get("container") or task.containers[0].name
    session = f"ecs-execute-command-{mock_random.get_random_hex(17)}"
    return {
        "clusterArn": cluster.arn,
        "taskArn": task.task_arn,
        "containerArn": task.containers[0].container_arn,
        "containerName": container,
        "interactive": asked["interactive"],
        "session": {
            "sessionId": session,
            "streamUrl": f"wss://ssmmessages.{response.region}.amazonaws.com/v1/data-channel/{session}",
            "tokenValue": mock_random.get_random_hex(64),
        },
    }
