from __future__ import annotations

from typing import Any

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import groups_of, interface, refused


def endpoint(ec2: Any, world: WorldIds, **more: Any) -> dict[str, Any]:
    request = {
        "VpcId": world.ids["vpc"],
        "VpcEndpointType": "Interface",
        "ServiceName": f"com.amazonaws.{world.region}.ssm",
        "SubnetIds": [world.ids["private_a"]],
        "SecurityGroupIds": [world.ids["balancer_group"]],
        "PrivateDnsEnabled": False,
        **more,
    }
    made: dict[str, Any] = ec2.create_vpc_endpoint(**request)
    return dict(made["VpcEndpoint"])


def test_an_endpoints_interface_is_managed_and_has_the_endpoints_groups(
    ec2: Any, world: WorldIds
) -> None:
    [eni] = endpoint(ec2, world)["NetworkInterfaceIds"]

    found = interface(ec2, eni)
    assert groups_of(ec2, eni) == [world.ids["balancer_group"]]
    assert (found["RequesterManaged"], found["InterfaceType"]) == (True, "vpc_endpoint")
    with refused("OperationNotPermitted"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=eni, Groups=[world.ids["web_group"]]
        )


def test_a_deleted_endpoint_is_gone_with_its_interface(ec2: Any, world: WorldIds) -> None:
    made = endpoint(ec2, world)

    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])

    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    with refused("InvalidNetworkInterfaceID.NotFound"):
        interface(ec2, made["NetworkInterfaceIds"][0])


def test_private_names_need_the_dns_of_the_vpc(ec2: Any, world: WorldIds) -> None:
    with refused("InvalidParameter", "enableDnsHostnames"):
        endpoint(ec2, world, PrivateDnsEnabled=True)

    ec2.modify_vpc_attribute(VpcId=world.ids["vpc"], EnableDnsHostnames={"Value": True})
    endpoint(ec2, world, PrivateDnsEnabled=True)


def test_a_subnet_with_interfaces_cannot_be_deleted(ec2: Any, world: WorldIds) -> None:
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=world.ids["private_a"])


def test_a_vpc_goes_last(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="one", Description="one", VpcId=vpc)["GroupId"]

    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc)
