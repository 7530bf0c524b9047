from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused


@pytest.fixture
def acl(ec2: Any, world: WorldIds) -> str:
    """The default ACL of the world's VPC."""
    [found] = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [world.ids["vpc"]]}])[
        "NetworkAcls"
    ]
    identity: str = found["NetworkAclId"]
    return identity


def deny(ec2: Any, acl: str, number: int, **more: Any) -> None:
    peer = {} if "Ipv6CidrBlock" in more else {"CidrBlock": "198.51.100.7/32"}
    ec2.create_network_acl_entry(
        **{
            "NetworkAclId": acl,
            "RuleNumber": number,
            "Protocol": "-1",
            "RuleAction": "deny",
            "Egress": False,
            **peer,
            **more,
        }
    )


def entries(ec2: Any, acl: str) -> list[tuple[int, bool, str]]:
    [found] = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    return sorted((e["RuleNumber"], e["Egress"], e["RuleAction"]) for e in found["Entries"])


def test_a_default_acl_allows_everything_and_ends_in_a_deny(ec2: Any, acl: str) -> None:
    assert entries(ec2, acl) == [
        (100, False, "allow"),
        (100, True, "allow"),
        (32767, False, "deny"),
        (32767, True, "deny"),
    ]


def test_a_new_acl_denies_everything(ec2: Any, world: WorldIds) -> None:
    made = ec2.create_network_acl(VpcId=world.ids["vpc"])["NetworkAcl"]["NetworkAclId"]

    assert entries(ec2, made) == [(32767, False, "deny"), (32767, True, "deny")]


def test_a_number_is_taken_once_in_each_direction(ec2: Any, acl: str) -> None:
    deny(ec2, acl, 1)
    deny(ec2, acl, 1, Egress=True)

    with refused("NetworkAclEntryAlreadyExists"):
        deny(ec2, acl, 1)


@pytest.mark.parametrize("number", [0, 32767, 40000])
def test_numbers_are_from_1_to_32766(ec2: Any, acl: str, number: int) -> None:
    with refused("NetworkAclEntryAlreadyExists" if number == 32767 else "InvalidParameterValue"):
        deny(ec2, acl, number)


def test_an_entry_can_be_of_ipv6(ec2: Any, acl: str) -> None:
    deny(ec2, acl, 1, Ipv6CidrBlock="2001:db8::7/128")

    [found] = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    [entry] = [item for item in found["Entries"] if item["RuleNumber"] == 1]
    assert entry["Ipv6CidrBlock"] == "2001:db8::7/128"
    assert "CidrBlock" not in entry


def test_there_are_at_most_20_entries_in_each_direction(ec2: Any, acl: str) -> None:
    for number in range(1, 20):
        deny(ec2, acl, number)

    with refused("NetworkAclEntryLimitExceeded"):
        deny(ec2, acl, 20)
    deny(ec2, acl, 20, Egress=True)


def test_what_is_not_there_cannot_be_deleted_or_replaced(ec2: Any, acl: str) -> None:
    with refused("InvalidNetworkAclEntry.NotFound"):
        ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=7, Egress=False)
    with refused("InvalidAssociationID.NotFound"):
        ec2.replace_network_acl_association(AssociationId="aclassoc-0000", NetworkAclId=acl)
    with refused("InvalidNetworkAclID.NotFound"):
        ec2.describe_network_acls(NetworkAclIds=["acl-00000000000000000"])
