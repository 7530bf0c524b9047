"""ECS: what a service does with its tasks by itself, in each deployment."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws import ecs_tasks, simulated_time


def settle(backend: Any) -> None:
    """Do what ECS does between two calls: tasks come and go, services converge, all is counted."""
    for tasks in backend.tasks.values():
        for task in tasks.values():
            ecs_tasks.settle(task)
    for service in backend.services.values():
        if service.deployments:
            _converge(backend, service)
    for cluster in backend.clusters.values():
        _count(backend, cluster)


def running(service: Any) -> int:
    """How many of a service's tasks run."""
    return len([task for task in _tasks(service) if task.status == "RUNNING"])


def pending(service: Any) -> int:
    """How many of a service's tasks are about to run."""
    return len([task for task in _tasks(service) if task.status != "RUNNING"])


def deploy(service: Any, *, anew: bool) -> None:
    """Have the service as it is now be deployed: by new tasks, or merely by more or fewer."""
    from moto.moto_api._internal import mock_random

    if not service.deployments:
        return
    now = simulated_time.now()
    primary = service.deployments[0]
    if anew:
        primary["status"] = "ACTIVE"
        name = f"ecs-svc/{mock_random.randint(10**18, 10**19 - 1)}"
        primary = {**primary, "id": name, "status": "PRIMARY", "createdAt": now}
        service.deployments.insert(0, primary)
    primary.update(
        desiredCount=service.desired_count,
        networkConfiguration=service.network_configuration or None,
        platformVersion=service.platform_version,
        taskDefinition=service.task_definition,
        updatedAt=now,
    )
    _describe(service, primary)


def _tasks(service: Any) -> list[Any]:
    """The tasks of a service that are to run."""
    tasks = service._backend.tasks.get(service.cluster_name, {}).values()
    group = f"service:{service.name}"
    return [task for task in tasks if task.group == group and task.desired_status == "RUNNING"]


def _converge(backend: Any, service: Any) -> None:
    """Start what is missing of the primary deployment, and stop what is too much or outdated.

    Tasks of an earlier deployment, and those on an instance that drains, go as soon as others run
    in their place: "If the minimum is 100%, the service scheduler can't remove existing tasks until
    the replacement tasks are considered healthy" (UpdateContainerInstancesState).
    """
    primary, wanted = service.deployments[0], service.desired_count
    if service.status != "ACTIVE":
        wanted = 0
    tasks = _tasks(service)
    current = [task for task in tasks if task.started_by == primary["id"] and not _drains(task)]
    outdated = [task for task in tasks if task not in current]
    for _ in range(wanted - len(current)):
        if not _start(backend, service, primary["id"]):
            break
    ready = len([task for task in current if task.status == "RUNNING"])
    why = f"Scaling activity initiated by (deployment {primary['id']})"
    for task in current[wanted:] + outdated[max(0, wanted - ready) :]:
        ecs_tasks.stop(task, "ServiceSchedulerInitiated", why)
    kept = {task.started_by for task in _tasks(service)}
    service.deployments[1:] = [item for item in service.deployments[1:] if item["id"] in kept]
    for deployment in service.deployments:
        _describe(service, deployment)


def _describe(service: Any, deployment: dict[str, Any]) -> None:
    tasks = [task for task in _tasks(service) if task.started_by == deployment["id"]]
    run = len([task for task in tasks if task.status == "RUNNING"])
    over = run == deployment["desiredCount"] and len(service.deployments) == 1
    name = deployment["id"]
    deployment.update(
        runningCount=run,
        pendingCount=len(tasks) - run,
        rolloutState="COMPLETED" if over else "IN_PROGRESS",
        rolloutStateReason=f"ECS deployment {name} {'completed' if over else 'in progress'}.",
    )


def _drains(task: Any) -> bool:
    instance = ecs_tasks.instance_of(task)
    return instance is not None and instance.status == "DRAINING"


def _start(backend: Any, service: Any, deployment: str) -> bool:
    """Start one more task. Where no container instance takes it, the service's events say so."""
    started = []
    if service.launch_type == "FARGATE" or backend.container_instances.get(service.cluster_name):
        started = backend.run_task(
            service.cluster_name,
            service.task_definition,
            1,
            None,
            deployment,
            None,
            service.launch_type,
            service.network_configuration or None,
            f"service:{service.name}",
        )
    for task in started:
        task.enable_execute_command = service.enable_execute_command
        ecs_tasks.settle(task)
    message = (
        f"(service {service.name}) was unable to place a task because no container instance met "
        "all of its requirements."
    )
    if not started and (not service.events or service.events[0]["message"] != message):
        from moto.moto_api._internal import mock_random

        event = {"id": str(mock_random.uuid4()), "createdAt": simulated_time.now()}
        service.events.insert(0, {**event, "message": message})
    return bool(started)


def _count(backend: Any, cluster: Any) -> None:
    tasks = [
        task
        for task in backend.tasks.get(cluster.name, {}).values()
        if task.desired_status == "RUNNING"
    ]
    cluster.running_tasks_count = len([task for task in tasks if task.status == "RUNNING"])
    cluster.pending_tasks_count = len(tasks) - cluster.running_tasks_count
    cluster.active_services_count = len(
        [
            service
            for service in backend.services.values()
            if service.cluster_name == cluster.name and service.status == "ACTIVE"
        ]
    )
    # A cluster without container instances has none, instead of failing over them.
    instances = backend.container_instances.setdefault(cluster.name, {})
    for instance in instances.values():
        arn = instance.container_instance_arn
        on_it = [task for task in tasks if task.container_instance_arn == arn]
        up = len([task for task in on_it if task.status == "RUNNING"])
        instance.running_tasks_count, instance.pending_tasks_count = up, len(on_it) - up
