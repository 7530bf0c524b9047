from __future__ import annotations

from typing import Any

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused


def test_a_group_on_an_interface_cannot_be_deleted(ec2: Any, world: WorldIds) -> None:
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=world.ids["web_group"])


def test_a_group_to_which_a_rule_refers_cannot_be_deleted(ec2: Any, world: WorldIds) -> None:
    vpc = world.ids["vpc"]
    one, other = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("one", "other")
    )
    ec2.authorize_security_group_ingress(
        GroupId=other, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": one}]}]
    )

    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=one)

    ec2.delete_security_group(GroupId=other)
    ec2.delete_security_group(GroupId=one)


def test_the_default_group_cannot_be_deleted(ec2: Any, world: WorldIds) -> None:
    [default] = ec2.describe_security_groups(
        Filters=[
            {"Name": "vpc-id", "Values": [world.ids["vpc"]]},
            {"Name": "group-name", "Values": ["default"]},
        ]
    )["SecurityGroups"]

    with refused("CannotDelete"):
        ec2.delete_security_group(GroupId=default["GroupId"])


def test_names_are_unique_in_a_vpc_whatever_their_case(ec2: Any, world: WorldIds) -> None:
    vpc = world.ids["vpc"]
    ec2.create_security_group(GroupName="isolation", Description="one", VpcId=vpc)

    with refused("InvalidGroup.Duplicate"):
        ec2.create_security_group(GroupName="Isolation", Description="two", VpcId=vpc)


def test_a_vpc_has_only_so_many_groups(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(groups_per_vpc=3)

    with refused("SecurityGroupLimitExceeded"):
        ec2.create_security_group(GroupName="more", Description="more", VpcId=world.ids["vpc"])


def test_a_new_group_lets_everything_out(ec2: Any, world: WorldIds) -> None:
    group = ec2.create_security_group(GroupName="new", Description="new", VpcId=world.ids["vpc"])[
        "GroupId"
    ]

    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])

    [rule] = rules["SecurityGroupRules"]
    assert (rule["IsEgress"], rule["IpProtocol"], rule["CidrIpv4"]) == (True, "-1", "0.0.0.0/0")
