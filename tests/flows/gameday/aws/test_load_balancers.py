from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused, until


@pytest.fixture
def elbv2(aws: Any) -> Any:
    return aws("elbv2")


def health(elbv2: Any, group: str, *targets: dict[str, Any]) -> dict[Any, tuple[str, Any]]:
    """Of each target, by id and port, its state and the reason for it."""
    asked = {"Targets": list(targets)} if targets else {}
    answer = elbv2.describe_target_health(TargetGroupArn=group, **asked)
    return {
        (item["Target"]["Id"], item["Target"]["Port"]): (
            item["TargetHealth"]["State"],
            item["TargetHealth"].get("Reason"),
        )
        for item in answer["TargetHealthDescriptions"]
    }


def test_a_target_is_registered_once_for_each_port(elbv2: Any, world: WorldIds) -> None:
    group = world.ids["ports_targets"]
    assert health(elbv2, group) == {
        (world.victim, 8081): ("healthy", None),
        (world.victim, 8082): ("healthy", None),
    }

    elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": world.victim, "Port": 8081}])

    assert list(health(elbv2, group)) == [(world.victim, 8082)]


def test_without_a_port_it_is_the_target_groups_own(elbv2: Any, world: WorldIds) -> None:
    group = world.ids["ports_targets"]
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": world.victim}])
    assert (world.victim, 8080) in health(elbv2, group)

    elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": world.victim}])

    assert set(health(elbv2, group)) == {(world.victim, 8081), (world.victim, 8082)}


def test_what_is_deregistered_drains(
    elbv2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(drain_seconds=0.3)
    group, key = world.ids["alb_targets"], (world.victim, 8080)

    elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": world.victim, "Port": 8080}])

    assert health(elbv2, group)[key] == ("draining", "Target.DeregistrationInProgress")
    until(lambda: key not in health(elbv2, group))
    asked = {"Id": world.victim, "Port": 8080}
    assert health(elbv2, group, asked)[key] == ("unused", "Target.NotRegistered")


def test_what_is_registered_is_initial_before_it_is_healthy(
    elbv2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    group, key = world.ids["alb_targets"], (world.ids["standalone"], 8080)
    target = {"TargetGroupArn": group, "Targets": [{"Id": key[0]}]}
    simulated_aws.configure(register_seconds=60)

    elbv2.register_targets(**target)
    assert health(elbv2, group)[key] == ("initial", "Elb.RegistrationInProgress")

    simulated_aws.configure(register_seconds=0.05)
    elbv2.deregister_targets(**target)
    elbv2.register_targets(**target)
    until(lambda: health(elbv2, group)[key] == ("healthy", None))


def test_who_is_registered_again_stays_healthy(
    elbv2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(register_seconds=60)
    group = world.ids["alb_targets"]

    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": world.victim}])

    assert health(elbv2, group)[world.victim, 8080] == ("healthy", None)


def test_nothing_drains_for_longer_than_the_target_group_says(
    elbv2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(drain_seconds=60)
    group = world.ids["alb_targets"]
    elbv2.modify_target_group_attributes(
        TargetGroupArn=group,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}],
    )

    elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": world.victim}])

    assert (world.victim, 8080) not in health(elbv2, group)


def test_deregistering_what_is_not_registered_succeeds(elbv2: Any, world: WorldIds) -> None:
    before = health(elbv2, world.ids["alb_targets"])

    elbv2.deregister_targets(
        TargetGroupArn=world.ids["alb_targets"], Targets=[{"Id": world.ids["standalone"]}]
    )

    assert health(elbv2, world.ids["alb_targets"]) == before


def test_only_running_instances_of_the_vpc_are_registered(
    ec2: Any, elbv2: Any, world: WorldIds
) -> None:
    def register(identity: str) -> None:
        elbv2.register_targets(TargetGroupArn=world.ids["alb_targets"], Targets=[{"Id": identity}])

    ec2.stop_instances(InstanceIds=[world.ids["standalone"]])

    with refused("InvalidTarget", "not in a running state"):
        register(world.ids["standalone"])
    with refused("InvalidTarget"):
        register("i-00000000000000000")
    with refused("ValidationError"):
        register(world.ids["victim_ip"])


def test_a_stopped_target_is_unused(ec2: Any, elbv2: Any, world: WorldIds) -> None:
    group = elbv2.create_target_group(
        Name="stopped", Protocol="HTTP", Port=80, VpcId=world.ids["vpc"]
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.create_listener(
        LoadBalancerArn=world.ids["alb_balancer"],
        Protocol="HTTP",
        Port=8090,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": world.ids["standalone"]}])
    ec2.stop_instances(InstanceIds=[world.ids["standalone"]])

    [found] = health(elbv2, group).values()
    assert found == ("unused", "Target.InvalidState")


def test_the_targets_of_a_group_without_a_load_balancer_are_not_in_use(
    elbv2: Any, world: WorldIds
) -> None:
    group = elbv2.create_target_group(
        Name="loose", Protocol="HTTP", Port=80, VpcId=world.ids["vpc"]
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": world.ids["standalone"]}])

    [found] = health(elbv2, group).values()
    assert found == ("unused", "Target.NotInUse")


def test_addresses_are_of_the_vpc_or_said_to_be_from_outside(elbv2: Any, world: WorldIds) -> None:
    def register(**target: str) -> None:
        elbv2.register_targets(TargetGroupArn=world.ids["nlb_targets"], Targets=[target])

    with refused("InvalidTarget"):
        register(Id="10.99.0.1")
    with refused("ValidationError"):
        register(Id="2001:db8::7")
    register(Id="10.99.0.1", AvailabilityZone="all")

    answer = elbv2.describe_target_health(TargetGroupArn=world.ids["nlb_targets"])
    zones = {
        item["Target"]["Id"]: item["Target"].get("AvailabilityZone")
        for item in answer["TargetHealthDescriptions"]
    }
    assert zones["10.99.0.1"] == "all"


def test_addresses_of_ipv6_are_the_same_in_any_spelling(elbv2: Any, world: WorldIds) -> None:
    group = elbv2.create_target_group(
        Name="six",
        Protocol="TCP",
        Port=80,
        VpcId=world.ids["vpc"],
        TargetType="ip",
        IpAddressType="ipv6",
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(
        TargetGroupArn=group, Targets=[{"Id": "2001:db8:0:0::7", "AvailabilityZone": "all"}]
    )

    assert list(health(elbv2, group)) == [("2001:db8::7", 80)]
    elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "2001:DB8::7"}])
    assert health(elbv2, group) == {}


def test_an_isolated_target_becomes_unhealthy(
    ec2: Any, elbv2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(health_seconds=60)
    assert health(elbv2, world.ids["alb_targets"])[world.victim, 8080] == ("healthy", None)
    isolation = ec2.create_security_group(
        GroupName="isolation", Description="none", VpcId=world.ids["vpc"]
    )["GroupId"]

    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=world.ids["victim_eni"], Groups=[isolation]
    )

    states = health(elbv2, world.ids["alb_targets"])
    assert states[world.victim, 8080] == ("unhealthy", "Target.Timeout")
    assert states[world.ids["member_1"], 8080] == ("healthy", None)
    address = (world.ids["victim_ip"], 8080)
    assert health(elbv2, world.ids["nlb_targets"])[address] == ("unhealthy", "Target.Timeout")


def test_terminated_instances_leave_their_target_groups(
    ec2: Any, elbv2: Any, world: WorldIds
) -> None:
    ec2.terminate_instances(InstanceIds=[world.victim])

    assert health(elbv2, world.ids["ports_targets"]) == {}


def test_the_members_of_the_group_are_spread_over_its_zones(ec2: Any, world: WorldIds) -> None:
    zones = {
        instance(ec2, world.ids[name])["Placement"]["AvailabilityZone"]
        for name in ("victim", "member_1", "member_2")
    }

    assert zones == {f"{world.region}a", f"{world.region}b"}
