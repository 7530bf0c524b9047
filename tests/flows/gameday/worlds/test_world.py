from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client, load_world, state
from runbooks.errors import InvalidInput


@pytest.fixture
def found(world: WorldIds) -> dict[str, Any]:
    return state(world.url, world.region)


def test_there_is_a_group_of_three_behind_a_load_balancer_of_every_kind(
    world: WorldIds, found: dict[str, Any]
) -> None:
    members = {world.victim, world.ids["member_1"], world.ids["member_2"]}
    group = found["scaling"][world.ids["group"]]

    assert set(group["members"]) == members
    assert group["sizes"] == (3, 6, 3)
    assert {target for target, _ in found["targets"]["payments-alb"]} == members
    assert (world.ids["victim_ip"], 8080) in found["targets"]["payments-nlb"]
    assert set(found["classic"][world.ids["classic_balancer"]]) == members
    kinds = client(world.url, world.region, "elbv2").describe_load_balancers()["LoadBalancers"]
    assert {item["Type"] for item in kinds} == {"application", "network"}


def test_the_victim_has_several_volumes_and_interfaces(
    world: WorldIds, found: dict[str, Any]
) -> None:
    victim = found["instances"][world.victim]
    answer = client(world.url, world.region, "ec2").describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [world.victim]}]
    )

    assert len(victim["volumes"]) == 3
    assert {item["NetworkInterfaceId"] for item in answer["NetworkInterfaces"]} == {
        world.ids["victim_eni"],
        world.ids["victim_second_eni"],
    }


def test_the_victims_role_is_not_its_own(world: WorldIds, found: dict[str, Any]) -> None:
    profiles = found["profiles"]

    assert profiles[world.victim] == profiles[world.ids["bystander"]]
    assert world.ids["standalone"] not in profiles
    assert found["iam"]["profiles"][world.ids["profile"]] == [world.ids["role"]]


def test_every_id_is_of_something(world: WorldIds) -> None:
    instances = {
        item["InstanceId"]
        for reservation in client(world.url, world.region, "ec2").describe_instances()[
            "Reservations"
        ]
        for item in reservation["Instances"]
    }

    named = {value for value in world.ids.values() if value.startswith("i-")}
    assert named == instances


def test_looking_changes_nothing(world: WorldIds, simulated_aws: SimulatedAws) -> None:
    before = state(world.url, world.region)

    assert state(world.url, world.region) == before
    assert simulated_aws.calls.changes == []


def test_a_world_that_is_not_there_is_said_so() -> None:
    with pytest.raises(InvalidInput, match="atlantis"):
        load_world("atlantis")
