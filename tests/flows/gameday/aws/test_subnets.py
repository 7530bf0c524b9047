from __future__ import annotations

from typing import Any

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused


def launch(ec2: Any, world: WorldIds, subnet: str, count: int = 1, **more: Any) -> list[str]:
    answer = ec2.run_instances(
        ImageId=world.ids["image"],
        InstanceType="t3.micro",
        SubnetId=subnet,
        MinCount=count,
        MaxCount=count,
        **more,
    )
    return [item["InstanceId"] for item in answer["Instances"]]


def a_subnet(ec2: Any, world: WorldIds) -> str:
    """A subnet of 16 addresses, of which AWS keeps five."""
    cidr = ec2.describe_vpcs(VpcIds=[world.ids["vpc"]])["Vpcs"][0]["CidrBlock"]
    network = cidr.rsplit(".", 2)[0]
    subnet = ec2.create_subnet(VpcId=world.ids["vpc"], CidrBlock=f"{network}.250.0/28")
    return str(subnet["Subnet"]["SubnetId"])


def test_a_subnet_gives_out_eleven_of_sixteen_addresses(ec2: Any, world: WorldIds) -> None:
    subnet = a_subnet(ec2, world)

    launched = launch(ec2, world, subnet, 11)

    addresses = {instance(ec2, name)["PrivateIpAddress"] for name in launched}
    assert {int(address.rsplit(".", 1)[1]) for address in addresses} == set(range(4, 15))
    with refused("InsufficientFreeAddressesInSubnet"):
        launch(ec2, world, subnet)


def test_the_address_of_a_terminated_instance_is_free_again(ec2: Any, world: WorldIds) -> None:
    subnet = a_subnet(ec2, world)
    first, *_ = launch(ec2, world, subnet, 11)
    address = instance(ec2, first)["PrivateIpAddress"]

    ec2.terminate_instances(InstanceIds=[first])

    [new] = launch(ec2, world, subnet)
    assert instance(ec2, new)["PrivateIpAddress"] == address


def test_an_address_that_was_asked_for_is_not_given_out_again(ec2: Any, world: WorldIds) -> None:
    subnet = a_subnet(ec2, world)
    [asked] = launch(ec2, world, subnet)
    following = instance(ec2, asked)["PrivateIpAddress"].replace(".250.4", ".250.5")
    launch(ec2, world, subnet, PrivateIpAddress=following)

    [new] = launch(ec2, world, subnet)

    assert instance(ec2, new)["PrivateIpAddress"].endswith(".250.6")


def test_what_is_recalled_goes_on_with_the_same_addresses(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    subnet, memory = a_subnet(ec2, world), simulated_aws.remember()
    simulated_aws.recall(memory)
    [first] = launch(ec2, world, subnet)
    address = instance(ec2, first)["PrivateIpAddress"]

    simulated_aws.recall(memory)

    [again] = launch(ec2, world, subnet)
    assert (again, instance(ec2, again)["PrivateIpAddress"]) == (first, address)
