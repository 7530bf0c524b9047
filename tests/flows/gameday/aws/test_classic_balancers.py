from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused, until

REGISTERING = "Instance registration is still in progress."
DRAINING = "Instance deregistration currently in progress."
ABSENT = "Instance is not currently registered with the LoadBalancer."


class Balancer:
    """The world's classic load balancer that no Auto Scaling group has; the victim is in it."""

    def __init__(self, aws: Any, world: WorldIds) -> None:
        self._elb, self._name = aws("elb"), world.ids["legacy_balancer"]

    def call(self, operation: str, **parameters: Any) -> Any:
        return getattr(self._elb, operation)(LoadBalancerName=self._name, **parameters)

    def register(self, instance: str) -> list[str]:
        return self._changed("register_instances_with_load_balancer", instance)

    def deregister(self, instance: str) -> list[str]:
        return self._changed("deregister_instances_from_load_balancer", instance)

    def _changed(self, operation: str, instance: str) -> list[str]:
        answer = self.call(operation, Instances=[{"InstanceId": instance}])
        return [item["InstanceId"] for item in answer["Instances"]]

    def health(self, *asked: str) -> dict[str, tuple[str, str]]:
        wanted = {"Instances": [{"InstanceId": name} for name in asked]} if asked else {}
        return {
            item["InstanceId"]: (item["State"], item["Description"])
            for item in self.call("describe_instance_health", **wanted)["InstanceStates"]
        }

    def drain(self) -> None:
        draining = {"ConnectionDraining": {"Enabled": True, "Timeout": 60}}
        self.call("modify_load_balancer_attributes", LoadBalancerAttributes=draining)


@pytest.fixture
def balancer(aws: Any, world: WorldIds) -> Balancer:
    return Balancer(aws, world)


def test_what_is_registered_comes_into_service(
    balancer: Balancer, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(register_seconds=60)
    new = world.ids["standalone"]

    assert balancer.register(new) == [world.victim, new]
    assert balancer.health()[new] == ("OutOfService", REGISTERING)

    simulated_aws.configure(register_seconds=0.05)
    balancer.deregister(new)
    balancer.register(new)
    until(lambda: balancer.health()[new] == ("InService", "N/A"))


def test_what_is_deregistered_is_gone_at_once(balancer: Balancer, world: WorldIds) -> None:
    assert balancer.deregister(world.victim) == []

    assert balancer.health() == {}
    assert balancer.health(world.victim)[world.victim] == ("OutOfService", ABSENT)


def test_what_is_deregistered_drains_where_that_is_on(
    balancer: Balancer, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(drain_seconds=60)
    balancer.drain()

    balancer.deregister(world.victim)
    assert balancer.health()[world.victim] == ("InService", DRAINING)

    simulated_aws.configure(drain_seconds=0.05)
    balancer.register(world.victim)
    balancer.deregister(world.victim)
    until(lambda: world.victim not in balancer.health())


def test_what_comes_back_while_it_drains_is_in_service(
    balancer: Balancer, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(drain_seconds=60)
    balancer.drain()
    balancer.deregister(world.victim)

    balancer.register(world.victim)

    assert balancer.health() == {world.victim: ("InService", "N/A")}


def test_what_is_stopped_or_not_reached_is_out_of_service(
    balancer: Balancer, ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(health_seconds=60)
    assert balancer.health()[world.victim][0] == "InService"
    isolation = ec2.create_security_group(
        GroupName="isolation", Description="none", VpcId=world.ids["vpc"]
    )["GroupId"]
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=world.ids["victim_eni"], Groups=[isolation]
    )
    state, why = balancer.health()[world.victim]
    assert (state, "UnhealthyThreshold" in why) == ("OutOfService", True)

    balancer.register(world.ids["standalone"])
    ec2.stop_instances(InstanceIds=[world.ids["standalone"]])

    state, why = balancer.health()[world.ids["standalone"]]
    assert (state, "stopped" in why) == ("OutOfService", True)


def test_terminated_instances_have_no_health(balancer: Balancer, ec2: Any, world: WorldIds) -> None:
    balancer.register(world.ids["standalone"])
    ec2.terminate_instances(InstanceIds=[world.ids["standalone"]])

    assert list(balancer.health()) == [world.victim]


def test_the_health_of_what_does_not_exist_is_refused(balancer: Balancer) -> None:
    with refused("InvalidInstance"):
        balancer.health("i-00000000000000000")


@pytest.fixture
def elb(aws: Any) -> Any:
    return aws("elb")


def registered(elb: Any, name: str) -> list[str]:
    [found] = elb.describe_load_balancers(LoadBalancerNames=[name])["LoadBalancerDescriptions"]
    return [item["InstanceId"] for item in found["Instances"]]


def test_a_classic_load_balancer_has_an_instance_once_whoever_registered_it(
    elb: Any, world: WorldIds
) -> None:
    name, victim = world.ids["classic_balancer"], [{"InstanceId": world.victim}]
    assert registered(elb, name).count(world.victim) == 1

    elb.register_instances_with_load_balancer(LoadBalancerName=name, Instances=victim)
    assert registered(elb, name).count(world.victim) == 1

    elb.deregister_instances_from_load_balancer(LoadBalancerName=name, Instances=victim)
    assert world.victim not in registered(elb, name)


def test_classic_load_balancers_know_their_errors(elb: Any, world: WorldIds) -> None:
    victim = [{"InstanceId": world.victim}]
    with refused("LoadBalancerNotFound"):
        elb.deregister_instances_from_load_balancer(LoadBalancerName="gone", Instances=victim)
    with refused("InvalidInstance"):
        elb.register_instances_with_load_balancer(
            LoadBalancerName=world.ids["legacy_balancer"],
            Instances=[{"InstanceId": "i-00000000000000000"}],
        )
