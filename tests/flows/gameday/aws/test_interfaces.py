from __future__ import annotations

from typing import Any

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import groups_of, instance, interface, refused


def a_group(ec2: Any, vpc: str, name: str) -> str:
    made: str = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    return made


def test_an_interface_has_exactly_the_groups_that_were_put_on_it(ec2: Any, world: WorldIds) -> None:
    isolation = a_group(ec2, world.ids["vpc"], "isolation")

    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=world.ids["victim_eni"], Groups=[isolation]
    )

    assert groups_of(ec2, world.ids["victim_eni"]) == [isolation]
    assert groups_of(ec2, world.ids["victim_second_eni"]) == [world.ids["web_group"]]
    found = instance(ec2, world.victim)
    assert [group["GroupId"] for group in found["SecurityGroups"]] == [isolation]


def test_an_instance_with_several_interfaces_has_no_groups_of_its_own_to_modify(
    ec2: Any, world: WorldIds
) -> None:
    with refused("InvalidInstanceID", "multiple interfaces"):
        ec2.modify_instance_attribute(InstanceId=world.victim, Groups=[world.ids["web_group"]])


def test_the_groups_of_an_instance_with_one_interface_are_that_interfaces(
    ec2: Any, world: WorldIds
) -> None:
    isolation = a_group(ec2, world.ids["vpc"], "isolation")

    ec2.modify_instance_attribute(InstanceId=world.ids["standalone"], Groups=[isolation])

    found = instance(ec2, world.ids["standalone"])
    eni = found["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert groups_of(ec2, eni) == [isolation]


def test_unknown_groups_are_refused_and_change_nothing(ec2: Any, world: WorldIds) -> None:
    with refused("InvalidGroup.NotFound"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=world.ids["victim_eni"], Groups=["sg-00000000000000000"]
        )

    assert groups_of(ec2, world.ids["victim_eni"]) == [world.ids["web_group"]]


def test_groups_of_another_vpc_are_refused(ec2: Any, world: WorldIds) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    foreign = a_group(ec2, vpc, "foreign")

    with refused("InvalidGroup.NotFound", "different networks"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=world.ids["victim_eni"], Groups=[foreign]
        )


def test_nothing_is_made_in_a_subnet_with_groups_of_another_vpc(ec2: Any, world: WorldIds) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    foreign, subnet = a_group(ec2, vpc, "foreign"), world.ids["private_a"]

    with refused("InvalidParameter", f"{foreign} and subnet {subnet} belong to different networks"):
        ec2.create_network_interface(SubnetId=subnet, Groups=[foreign])
    with refused("InvalidParameter", "different networks"):
        ec2.run_instances(
            ImageId=world.ids["image"],
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=[foreign],
        )


def test_an_interface_has_at_most_five_groups(ec2: Any, world: WorldIds) -> None:
    groups = [a_group(ec2, world.ids["vpc"], f"group-{number}") for number in range(6)]
    eni = world.ids["victim_eni"]

    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=groups[:5])
    with refused("SecurityGroupsPerInterfaceLimitExceeded"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=groups)


def test_only_one_attribute_is_modified_at_a_time(ec2: Any, world: WorldIds) -> None:
    with refused("InvalidParameterCombination"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=world.ids["victim_eni"],
            Groups=[world.ids["web_group"]],
            Description={"Value": "isolated"},
        )


def test_the_timeout_of_tracked_connections_is_kept(ec2: Any, world: WorldIds) -> None:
    eni = world.ids["victim_eni"]
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni, ConnectionTrackingSpecification={"TcpEstablishedTimeout": 60}
    )

    assert interface(ec2, eni)["ConnectionTrackingConfiguration"]["TcpEstablishedTimeout"] == 60


def test_the_primary_interface_cannot_be_detached(ec2: Any, world: WorldIds) -> None:
    attachment = interface(ec2, world.ids["victim_eni"])["Attachment"]["AttachmentId"]

    with refused("OperationNotPermitted"):
        ec2.detach_network_interface(AttachmentId=attachment)


def test_an_attached_interface_cannot_be_deleted(ec2: Any, world: WorldIds) -> None:
    with refused("InvalidParameterValue", "in use"):
        ec2.delete_network_interface(NetworkInterfaceId=world.ids["victim_second_eni"])


def test_interfaces_are_found_by_any_of_their_addresses(ec2: Any, world: WorldIds) -> None:
    second = interface(ec2, world.ids["victim_second_eni"])
    [address] = [a["PrivateIpAddress"] for a in second["PrivateIpAddresses"] if not a["Primary"]]

    found = ec2.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": [address]}]
    )

    assert [eni["NetworkInterfaceId"] for eni in found["NetworkInterfaces"]] == [
        world.ids["victim_second_eni"]
    ]


def test_interfaces_are_found_by_the_status_of_their_attachment(ec2: Any, world: WorldIds) -> None:
    free = ec2.create_network_interface(SubnetId=world.ids["private_a"])["NetworkInterface"]

    found = ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.status", "Values": ["attached"]}]
    )["NetworkInterfaces"]

    ids = {eni["NetworkInterfaceId"] for eni in found}
    assert world.ids["victim_eni"] in ids
    assert free["NetworkInterfaceId"] not in ids
