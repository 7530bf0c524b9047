from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused

# Of the 16 addresses of a /28, AWS keeps 5.
FREE = 11


@pytest.fixture
def subnet(ec2: Any, world: WorldIds) -> str:
    """A small one in a VPC of its own."""
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/24")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.0.0/28")["Subnet"]["SubnetId"]
    return str(made)


def launch(ec2: Any, world: WorldIds, subnet: str, count: int) -> list[str]:
    made = ec2.run_instances(
        ImageId=world.ids["image"], MinCount=count, MaxCount=count, SubnetId=subnet
    )["Instances"]
    return [item["InstanceId"] for item in made]


def interface(ec2: Any, subnet: str, **more: Any) -> dict[str, Any]:
    made = ec2.create_network_interface(SubnetId=subnet, **more)["NetworkInterface"]
    return dict(made)


def in_subnet(ec2: Any, subnet: str) -> list[Any]:
    found = ec2.describe_instances(Filters=[{"Name": "subnet-id", "Values": [subnet]}])
    return list(found["Reservations"])


def test_nothing_is_launched_where_there_are_too_few_addresses(
    ec2: Any, world: WorldIds, subnet: str
) -> None:
    with refused("InsufficientFreeAddressesInSubnet"):
        launch(ec2, world, subnet, FREE + 1)
    assert in_subnet(ec2, subnet) == []

    launch(ec2, world, subnet, FREE)
    with refused("InsufficientFreeAddressesInSubnet"):
        interface(ec2, subnet)


def test_interfaces_have_addresses_of_their_own(ec2: Any, world: WorldIds, subnet: str) -> None:
    chosen = interface(ec2, subnet, PrivateIpAddress="10.77.0.5")["PrivateIpAddress"]
    made = [interface(ec2, subnet)["PrivateIpAddress"] for _ in range(5)]
    launched = launch(ec2, world, subnet, 5)

    given = [chosen, *made, *(instance(ec2, item)["PrivateIpAddress"] for item in launched)]
    assert sorted(given) == sorted(f"10.77.0.{host}" for host in range(4, 15))


def test_a_deleted_interface_gives_its_address_back(ec2: Any, subnet: str) -> None:
    made = [interface(ec2, subnet) for _ in range(FREE)]

    ec2.delete_network_interface(NetworkInterfaceId=made[3]["NetworkInterfaceId"])

    assert interface(ec2, subnet)["PrivateIpAddress"] == made[3]["PrivateIpAddress"]


def test_an_interface_that_is_refused_takes_no_address(ec2: Any, subnet: str) -> None:
    for _ in range(FREE):
        with refused("InvalidGroup.NotFound"):
            interface(ec2, subnet, Groups=["sg-00000000000000000"])

    assert interface(ec2, subnet)["PrivateIpAddress"]


def test_an_elastic_address_knows_the_instance_of_its_interface(ec2: Any, world: WorldIds) -> None:
    victim = world.victim
    primary = instance(ec2, victim)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    allocated = ec2.allocate_address(Domain="vpc")["AllocationId"]
    associated = ec2.associate_address(AllocationId=allocated, NetworkInterfaceId=primary)
    by_instance = {"Filters": [{"Name": "instance-id", "Values": [victim]}]}

    [found] = ec2.describe_addresses(**by_instance)["Addresses"]
    assert (found["AllocationId"], found["InstanceId"]) == (allocated, victim)

    ec2.disassociate_address(AssociationId=associated["AssociationId"])
    assert ec2.describe_addresses(**by_instance)["Addresses"] == []
