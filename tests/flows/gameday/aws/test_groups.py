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


def test_the_default_group_lets_in_what_comes_from_itself(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]

    [default] = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
        "SecurityGroups"
    ]

    [let_in] = default["IpPermissions"]
    assert let_in["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in let_in["UserIdGroupPairs"]] == [default["GroupId"]]
    ec2.delete_vpc(VpcId=vpc)


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


def test_revoked_rules_are_named(ec2: Any, world: WorldIds) -> None:
    group = ec2.create_security_group(GroupName="new", Description="new", VpcId=world.ids["vpc"])[
        "GroupId"
    ]
    let_in = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "UserIdGroupPairs": [{"GroupId": world.ids["web_group"], "Description": "forensics"}],
        "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
    }
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[let_in])

    inward = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[let_in])
    [outward] = ec2.revoke_security_group_egress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )["RevokedSecurityGroupRules"]

    revoked = {rule["SecurityGroupRuleId"]: rule for rule in inward["RevokedSecurityGroupRules"]}
    assert revoked.keys() == {rule["SecurityGroupRuleId"] for rule in made["SecurityGroupRules"]}
    [by_group] = [rule for rule in revoked.values() if "ReferencedGroupId" in rule]
    assert by_group["ReferencedGroupId"] == world.ids["web_group"]
    assert (by_group["FromPort"], by_group["Description"]) == (22, "forensics")
    assert (outward["IsEgress"], outward["CidrIpv4"], outward["FromPort"]) == (
        True,
        "0.0.0.0/0",
        -1,
    )


def test_an_unknown_group_has_no_rules_to_revoke(ec2: Any) -> None:
    with refused("InvalidGroup.NotFound"):
        ec2.revoke_security_group_egress(
            GroupId="sg-00000000000000000", IpPermissions=[{"IpProtocol": "-1"}]
        )
