from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("i-nonsense", "InvalidID"),
        ("eni-0123456789abcdef0", "InvalidNetworkInterfaceID.NotFound"),
        ("acl-0123456789abcdef0", "InvalidNetworkAclID.NotFound"),
        ("vpce-0123456789abcdef0", "InvalidVpcEndpointId.NotFound"),
        ("sg-0123456789abcdef0", "InvalidGroup.NotFound"),
        ("snap-0123456789abcdef0", "InvalidSnapshot.NotFound"),
        ("vol-0123456789abcdef0", "InvalidVolume.NotFound"),
    ],
)
def test_what_is_not_there_cannot_be_tagged(
    ec2: Any, world: WorldIds, resource: str, code: str
) -> None:
    before = instance(ec2, world.victim)["Tags"]

    with refused(code):
        ec2.create_tags(Resources=[world.victim, resource], Tags=[{"Key": "case", "Value": "1"}])

    assert instance(ec2, world.victim)["Tags"] == before


def test_what_is_there_can_be_tagged(ec2: Any, world: WorldIds) -> None:
    ids = world.ids
    [acl, *_] = ec2.describe_network_acls()["NetworkAcls"]
    tagged = [world.victim, ids["victim_eni"], acl["NetworkAclId"], ids["web_group"], ids["vpc"]]

    ec2.create_tags(Resources=tagged, Tags=[{"Key": "case", "Value": "1"}])

    found = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["case"]}])["Tags"]
    assert sorted(tag["ResourceId"] for tag in found) == sorted(tagged)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("aws:case", "1", "reserved"),
        ("AWS:case", "1", "reserved"),
        ("k" * 129, "1", "128 characters"),
        ("case", "v" * 257, "256 characters"),
    ],
)
def test_no_resource_has_such_a_tag(
    ec2: Any, world: WorldIds, key: str, value: str, text: str
) -> None:
    tags = [{"Key": key, "Value": value}]

    with refused("InvalidParameterValue", text):
        ec2.create_tags(Resources=[world.victim], Tags=tags)
    with refused("InvalidParameterValue", text):
        ec2.create_volume(
            AvailabilityZone="eu-west-1a",
            Size=1,
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
        )


def test_keys_and_values_may_be_as_long_as_that(ec2: Any, world: WorldIds) -> None:
    longest = {"Key": "k" * 128, "Value": "v" * 256}

    ec2.create_tags(Resources=[world.victim], Tags=[longest])

    assert longest in instance(ec2, world.victim)["Tags"]
