"""ECS: services, tasks and container instances."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check
from benchmarks.fidelity.waiting import LONG, SHORT, until


class _Cluster:
    """A cluster ``c`` with a task definition ``td``, for Fargate or for container instances."""

    def __init__(self, account: Account, launch_type: str = "FARGATE") -> None:
        self.api, self._ids, self._launch_type = account("ecs"), account.ids, launch_type
        self.api.create_cluster(clusterName="c")
        fargate = {
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
        }
        self.api.register_task_definition(
            family="td",
            containerDefinitions=[{"name": "a", "image": "i", "memory": 128}],
            **(fargate if launch_type == "FARGATE" else {}),
        )

    def placed(self) -> dict[str, Any]:
        """How its tasks are launched."""
        if self._launch_type == "EC2":
            return {"launchType": "EC2"}
        network = self.network(self._ids.app_group)
        return {"launchType": "FARGATE", "networkConfiguration": network}

    def network(self, group: str) -> dict[str, Any]:
        placed = {"subnets": [self._ids.subnets[0]], "securityGroups": [group]}
        return {"awsvpcConfiguration": placed}

    def serve(self, desired: int, **more: Any) -> dict[str, Any]:
        """Create the service ``s``."""
        service: dict[str, Any] = self.api.create_service(
            cluster="c",
            serviceName="s",
            taskDefinition="td",
            desiredCount=desired,
            **self.placed(),
            **more,
        )["service"]
        return service

    def update(self, **changes: Any) -> dict[str, Any]:
        updated: dict[str, Any] = self.api.update_service(cluster="c", service="s", **changes)
        service: dict[str, Any] = updated["service"]
        return service

    @property
    def service(self) -> dict[str, Any]:
        described = self.api.describe_services(cluster="c", services=["s"])
        service: dict[str, Any] = described["services"][0]
        return service

    def tasks(self, **filters: Any) -> list[str]:
        """The tasks that are to run."""
        arns: list[str] = self.api.list_tasks(cluster="c", **filters)["taskArns"]
        return arns

    def run(self, **more: Any) -> str:
        """Run a task that belongs to no service."""
        answer = self.api.run_task(cluster="c", taskDefinition="td", **self.placed(), **more)
        return str(answer["tasks"][0]["taskArn"])

    def task(self, arn: str) -> dict[str, Any]:
        described: dict[str, Any] = self.api.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]
        return described

    def stop(self, arn: str) -> dict[str, Any]:
        stopped: dict[str, Any] = self.api.stop_task(cluster="c", task=arn, reason="incident")
        task: dict[str, Any] = stopped["task"]
        return task

    def add_instance(self, instance: str) -> str:
        """Register an EC2 instance; the ARN of the container instance."""
        answer = self.api.register_container_instance(
            cluster="c", instanceIdentityDocument=json.dumps({"instanceId": instance})
        )
        return str(answer["containerInstance"]["containerInstanceArn"])


@check("ecs", "tasks")
def _tasks(account: Account, seen: Verdicts) -> None:
    account.configure(provision_seconds=LONG)
    cluster = _Cluster(account)
    arn = seen.done("a task is run on Fargate", cluster.run)
    if arn is None:
        return
    status = cluster.task(arn)["lastStatus"]
    seen.holds("it is being provisioned", status == "PROVISIONING", status)
    account.configure(provision_seconds=SHORT)
    arn = cluster.run()
    seen.holds("then it runs", until(lambda: cluster.task(arn)["lastStatus"] == "RUNNING"))
    seen.holds("it goes on running", cluster.task(arn)["lastStatus"] == "RUNNING")
    attachments = cluster.task(arn).get("attachments", [])
    seen.holds("an interface is attached to it", len(attachments) == 1, attachments)
    details = {item["name"]: item["value"] for item in attachments[0]["details"]}
    (interface,) = account("ec2").describe_network_interfaces(
        NetworkInterfaceIds=[details["networkInterfaceId"]]
    )["NetworkInterfaces"]
    groups = [group["GroupId"] for group in interface["Groups"]]
    seen.holds("the interface has its groups", groups == [account.ids.app_group], groups)
    seen.refused(
        "changing the groups of that interface",
        ("OperationNotPermitted", "AuthFailure"),
        lambda: account("ec2").modify_network_interface_attribute(
            NetworkInterfaceId=details["networkInterfaceId"], Groups=[account.ids.web_group]
        ),
    )
    stopped = cluster.stop(arn)
    seen.holds("it is to be stopped", stopped["desiredStatus"] == "STOPPED", stopped)
    status = cluster.task(arn)["lastStatus"]
    seen.holds("it runs no more", status != "RUNNING", status)
    seen.holds("then it is stopped", until(lambda: cluster.task(arn)["lastStatus"] == "STOPPED"))
    task = cluster.task(arn)
    why = task.get("stopCode"), task.get("stoppedReason")
    seen.holds("it says who stopped it and why", why == ("UserInitiated", "incident"), why)
    seen.holds("it isn't listed among those that are to run", arn not in cluster.tasks())
    missing = cluster.api.describe_tasks(cluster="c", tasks=["0" * 32])["failures"]
    seen.holds("an unknown task is missing", [item["reason"] for item in missing] == ["MISSING"])
    seen.refused(
        "stopping an unknown task", "InvalidParameterException", lambda: cluster.stop("0" * 32)
    )
    seen.refused(
        "a task of an unknown cluster",
        "ClusterNotFoundException",
        lambda: cluster.api.stop_task(cluster="gone", task=arn),
    )


@check("ecs", "services")
def _services(account: Account, seen: Verdicts) -> None:
    account.configure(provision_seconds=SHORT)
    cluster, web = _Cluster(account), account.ids.web_group
    cluster.serve(2)

    def steady(count: int) -> bool:
        return until(lambda: cluster.service["runningCount"] == count)

    seen.holds("it comes to run the tasks that it is to run", steady(2), cluster.service)
    first = cluster.tasks(serviceName="s")
    seen.holds("its tasks are listed", len(first) == 2, first)
    cluster.stop(first[0])
    replaced = until(lambda: len(set(cluster.tasks(serviceName="s")) - {first[0]}) == 2)
    seen.holds("a task that is stopped is replaced", replaced, cluster.tasks())
    until(lambda: cluster.service["deployments"][0]["rolloutState"] == "COMPLETED")
    before = set(cluster.tasks(serviceName="s"))
    updated = cluster.update(networkConfiguration=cluster.network(web))
    found = updated.get("networkConfiguration", {}).get("awsvpcConfiguration", {})
    seen.holds("its network is changed", found.get("securityGroups") == [web], found)
    states = [item["status"] for item in updated["deployments"]]
    seen.holds("that is a deployment of its own", states == ["PRIMARY", "ACTIVE"], states)
    seen.holds(
        "it replaces all tasks",
        until(lambda: len(cluster.service["deployments"]) == 1)
        and not before & set(cluster.tasks(serviceName="s")),
        cluster.tasks(),
    )
    after = cluster.service
    seen.holds("meanwhile none is missing", after["runningCount"] == 2, after["runningCount"])
    updated = cluster.update(desiredCount=0)
    seen.holds("none is to run", updated["desiredCount"] == 0, updated["desiredCount"])
    seen.holds("then none runs", steady(0) and not cluster.tasks(), cluster.service)
    seen.refused(
        "an unknown security group",
        "InvalidParameterException",
        lambda: cluster.update(networkConfiguration=cluster.network("sg-00000000000000000")),
    )
    seen.refused(
        "an unknown service",
        "ServiceNotFoundException",
        lambda: cluster.api.update_service(cluster="c", service="gone", desiredCount=0),
    )
    gone = cluster.api.describe_services(cluster="c", services=["gone"])["failures"]
    seen.holds("an unknown service is missing", [item["reason"] for item in gone] == ["MISSING"])
    cluster.api.delete_service(cluster="c", service="s")
    seen.refused(
        "a service that was deleted",
        "ServiceNotActiveException",
        lambda: cluster.update(desiredCount=1),
    )


@check("ecs", "container instances")
def _instances(account: Account, seen: Verdicts) -> None:
    cluster = _Cluster(account, "EC2")
    seen.refused(
        "a task where there is no container instance", "InvalidParameterException", cluster.run
    )

    def drain(instance: str) -> Any:
        return cluster.api.update_container_instances_state(
            cluster="c", containerInstances=[instance], status="DRAINING"
        )

    unknown = seen.done("draining what isn't there", lambda: drain("0" * 32))
    reasons = [item["reason"] for item in (unknown or {}).get("failures", [])]
    seen.holds("what isn't there is missing", reasons == ["MISSING"], unknown)
    first = cluster.add_instance(account.ids.victim)
    cluster.serve(2)
    alone = cluster.run()
    on_first = cluster.tasks(containerInstance=first)
    seen.holds("tasks are placed on it", len(on_first) == 3, on_first)
    drained = drain(first)
    states = [item["status"] for item in drained["containerInstances"]]
    seen.holds("it drains", states == ["DRAINING"] and not drained["failures"], drained)
    seen.holds(
        "without another one its tasks stay", len(cluster.tasks(containerInstance=first)) == 3
    )
    second = cluster.add_instance(account.ids.members[0])
    seen.holds(
        "a service's tasks move to another one",
        until(lambda: len(cluster.tasks(containerInstance=second)) == 2),
        cluster.tasks(containerInstance=second),
    )
    left = cluster.tasks(containerInstance=first)
    seen.holds("a task of no service stays", left == [alone], left)
    seen.holds(
        "nothing new is placed on it", cluster.task(cluster.run())["containerInstanceArn"] == second
    )
    cluster.stop(alone)
    (described,) = cluster.api.describe_container_instances(
        cluster="c", containerInstances=[first]
    )["containerInstances"]
    seen.holds("in the end it runs none", described["runningTasksCount"] == 0, described)


@check("ecs", "commands in containers")
def _commands(account: Account, seen: Verdicts) -> None:
    cluster = _Cluster(account)

    def execute(task: str) -> Any:
        return cluster.api.execute_command(cluster="c", task=task, command="id", interactive=True)

    seen.refused(
        "where that wasn't enabled", "InvalidParameterException", lambda: execute(cluster.run())
    )
    enabled = cluster.run(enableExecuteCommand=True)
    answer = seen.done("where it was enabled", lambda: execute(enabled))
    session = (answer or {}).get("session", {})
    seen.holds(
        "there is a session", session.keys() == {"sessionId", "streamUrl", "tokenValue"}, session
    )
