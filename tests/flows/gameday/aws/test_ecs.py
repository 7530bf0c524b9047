from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import interface, refused, until

Client = Callable[[str], Any]


class Cluster:
    """A cluster of ECS whose tasks run on Fargate, or on container instances."""

    def __init__(self, aws: Client, world: WorldIds) -> None:
        self.ecs, self.ids = aws("ecs"), world.ids
        [subnet] = {
            item["SubnetId"]
            for item in aws("ec2").describe_network_interfaces(
                NetworkInterfaceIds=[world.ids["victim_eni"]]
            )["NetworkInterfaces"]
        }
        self.subnet = subnet
        self.ecs.create_cluster(clusterName="c")
        container = {"name": "a", "image": "i", "memory": 128}
        self.ecs.register_task_definition(
            family="fargate",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[container],
        )
        self.ecs.register_task_definition(family="ec2", containerDefinitions=[container])

    def network(self, *groups: str) -> dict[str, Any]:
        named = {"securityGroups": list(groups)} if groups else {}
        return {"awsvpcConfiguration": {"subnets": [self.subnet], **named}}

    def placed(self, kind: str) -> dict[str, Any]:
        network = {"networkConfiguration": self.network()} if kind == "fargate" else {}
        return {"taskDefinition": kind, "launchType": kind.upper(), **network}

    def run(self, kind: str = "fargate", **more: Any) -> str:
        answer = self.ecs.run_task(cluster="c", **self.placed(kind), **more)
        return str(answer["tasks"][0]["taskArn"])

    def serve(self, desired: int, kind: str = "fargate", **more: Any) -> None:
        self.ecs.create_service(
            cluster="c", serviceName="s", desiredCount=desired, **self.placed(kind), **more
        )

    def update(self, **changes: Any) -> dict[str, Any]:
        answer = self.ecs.update_service(cluster="c", service="s", **changes)
        service: dict[str, Any] = answer["service"]
        return service

    def task(self, arn: str) -> dict[str, Any]:
        described: dict[str, Any] = self.ecs.describe_tasks(cluster="c", tasks=[arn])["tasks"][0]
        return described

    def status(self, arn: str) -> str:
        return str(self.task(arn)["lastStatus"])

    def stop(self, arn: str) -> dict[str, Any]:
        answer = self.ecs.stop_task(cluster="c", task=arn, reason="incident")
        task: dict[str, Any] = answer["task"]
        return task

    def tasks(self, **filters: Any) -> set[str]:
        return set(self.ecs.list_tasks(cluster="c", **filters)["taskArns"])

    @property
    def service(self) -> dict[str, Any]:
        answer = self.ecs.describe_services(cluster="c", services=["s"])
        service: dict[str, Any] = answer["services"][0]
        return service

    @property
    def described(self) -> dict[str, Any]:
        described: dict[str, Any] = self.ecs.describe_clusters(clusters=["c"])["clusters"][0]
        return described

    def add_instance(self, instance: str) -> str:
        document = json.dumps({"instanceId": instance})
        answer = self.ecs.register_container_instance(
            cluster="c", instanceIdentityDocument=document
        )
        return str(answer["containerInstance"]["containerInstanceArn"])

    def drain(self, instance: str) -> Any:
        return self.ecs.update_container_instances_state(
            cluster="c", containerInstances=[instance], status="DRAINING"
        )


@pytest.fixture
def cluster(aws: Client, world: WorldIds) -> Cluster:
    return Cluster(aws, world)


def test_a_task_runs_until_it_is_stopped(
    cluster: Cluster, ec2: Any, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(provision_seconds=60)
    assert cluster.status(cluster.run()) == "PROVISIONING"
    simulated_aws.configure(provision_seconds=0.1)
    task = cluster.run()
    until(lambda: cluster.status(task) == "RUNNING")
    for _ in range(3):
        assert cluster.status(task) == "RUNNING"

    stopping = cluster.stop(task)

    assert (stopping["desiredStatus"], stopping["lastStatus"]) == ("STOPPED", "DEACTIVATING")
    until(lambda: cluster.status(task) == "STOPPED")
    described = cluster.task(task)
    assert (described["stopCode"], described["stoppedReason"]) == ("UserInitiated", "incident")
    assert described["containers"][0]["lastStatus"] == "STOPPED"
    assert described["createdAt"] < described["startedAt"] < described["stoppedAt"]


def test_the_interface_of_a_task_is_in_its_subnet_and_goes_with_it(
    cluster: Cluster, ec2: Any
) -> None:
    task = cluster.run()
    [attachment] = cluster.task(task)["attachments"]
    details = {item["name"]: item["value"] for item in attachment["details"]}
    eni = interface(ec2, details["networkInterfaceId"])
    assert (eni["SubnetId"], eni["RequesterManaged"]) == (cluster.subnet, True)
    assert [group["GroupName"] for group in eni["Groups"]] == ["default"]
    with refused("OperationNotPermitted"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=eni["NetworkInterfaceId"], Groups=[cluster.ids["web_group"]]
        )

    cluster.stop(task)

    with refused("InvalidNetworkInterfaceID.NotFound"):
        interface(ec2, eni["NetworkInterfaceId"])


def test_what_is_not_there_is_missing_or_refused(cluster: Cluster) -> None:
    answer = cluster.ecs.describe_tasks(cluster="c", tasks=["0" * 32])
    assert [item["reason"] for item in answer["failures"]] == ["MISSING"]
    with refused("InvalidParameterException", "not found"):
        cluster.stop("0" * 32)
    with refused("InvalidParameterException", "No Container Instances"):
        cluster.run("ec2")
    with refused("InvalidParameterException", "InvalidGroup.NotFound"):
        cluster.ecs.run_task(
            cluster="c",
            taskDefinition="fargate",
            launchType="FARGATE",
            networkConfiguration=cluster.network("sg-00000000000000000"),
        )
    assert cluster.drain("0" * 32)["failures"][0]["reason"] == "MISSING"


def test_a_service_keeps_as_many_tasks_as_it_is_to(cluster: Cluster) -> None:
    cluster.serve(2)
    first, _ = sorted(cluster.tasks(serviceName="s"))
    assert cluster.service["runningCount"] == 2
    assert cluster.described["runningTasksCount"] == 2

    cluster.stop(first)
    assert len(cluster.tasks(serviceName="s") - {first}) == 2
    assert cluster.tasks(desiredStatus="STOPPED") == {first}

    cluster.update(desiredCount=0)
    assert cluster.tasks() == set()
    assert (cluster.service["desiredCount"], cluster.service["runningCount"]) == (0, 0)


def test_a_deployment_replaces_tasks_without_one_missing(
    cluster: Cluster, simulated_aws: SimulatedAws
) -> None:
    cluster.serve(2)
    before = cluster.tasks()
    simulated_aws.configure(provision_seconds=0.3)

    updated = cluster.update(networkConfiguration=cluster.network(cluster.ids["web_group"]))

    assert [item["status"] for item in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert before < cluster.tasks()
    assert cluster.service["runningCount"] == 2
    until(lambda: len(cluster.service["deployments"]) == 1)
    assert not before & cluster.tasks()
    [deployment] = cluster.service["deployments"]
    assert (deployment["rolloutState"], deployment["runningCount"]) == ("COMPLETED", 2)


def test_a_service_without_a_container_instance_says_so_once(cluster: Cluster) -> None:
    cluster.serve(1, "ec2")

    for _ in range(3):
        [event] = cluster.service["events"]

    assert "unable to place a task" in event["message"]
    assert cluster.service["runningCount"] == 0


def test_what_drains_loses_the_tasks_of_services_once_they_run_elsewhere(
    cluster: Cluster, world: WorldIds
) -> None:
    first = cluster.add_instance(world.victim)
    cluster.serve(2, "ec2")
    alone = cluster.run("ec2")
    cluster.drain(first)
    assert len(cluster.tasks(containerInstance=first)) == 3

    second = cluster.add_instance(world.ids["member_1"])

    assert len(cluster.tasks(containerInstance=second)) == 2
    assert cluster.tasks(containerInstance=first) == {alone}
    cluster.stop(alone)
    [drained] = cluster.ecs.describe_container_instances(cluster="c", containerInstances=[first])[
        "containerInstances"
    ]
    assert (drained["status"], drained["runningTasksCount"]) == ("DRAINING", 0)
    remaining = {item["name"]: item.get("integerValue") for item in drained["remainingResources"]}
    registered = {item["name"]: item.get("integerValue") for item in drained["registeredResources"]}
    assert remaining == registered


def test_services_know_their_errors(cluster: Cluster) -> None:
    cluster.serve(1)
    with refused("InvalidParameterException", "idempotent"):
        cluster.serve(1)
    with refused("ServiceNotFoundException"):
        cluster.ecs.update_service(cluster="c", service="gone", desiredCount=0)
    with refused("InvalidParameterException", "InvalidSubnetID.NotFound"):
        cluster.update(
            networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-00000000"]}}
        )

    cluster.ecs.delete_service(cluster="c", service="s", force=True)

    assert cluster.tasks() == set()
    with refused("ServiceNotActiveException"):
        cluster.update(desiredCount=1)


def test_commands_are_executed_where_that_is_enabled(cluster: Cluster) -> None:
    def execute(task: str) -> Any:
        return cluster.ecs.execute_command(cluster="c", task=task, command="id", interactive=True)

    with refused("InvalidParameterException", "was not enabled"):
        execute(cluster.run())
    cluster.serve(1, enableExecuteCommand=True)
    [task] = cluster.tasks(serviceName="s")

    assert execute(task)["session"]["sessionId"].startswith("ecs-execute-command-")


def test_tasks_come_back_with_what_is_remembered(
    cluster: Cluster, simulated_aws: SimulatedAws
) -> None:
    cluster.serve(1)
    [task] = cluster.tasks()
    memory = simulated_aws.remember()
    cluster.stop(task)

    simulated_aws.recall(memory)

    assert cluster.tasks() == {task}
    assert cluster.status(task) == "RUNNING"
