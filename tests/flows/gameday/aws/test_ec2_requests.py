from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds, state
from tests.flows.gameday.aws.answers import refused


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("modify_instance_metadata_options", {"InstanceId": "victim", "HttpEndpoint": "disabled"}),
        ("create_network_acl", {"VpcId": "vpc"}),
        ("create_volume", {"AvailabilityZone": "eu-west-1a", "Size": 1}),
        ("terminate_instances", {"InstanceIds": ["victim"]}),
    ],
)
def test_a_dry_run_changes_nothing(
    ec2: Any, world: WorldIds, operation: str, parameters: dict[str, Any]
) -> None:
    named = {
        key: [world.ids[item] for item in value]
        if isinstance(value, list)
        else world.ids.get(value, value)
        for key, value in parameters.items()
    }
    before = state(world.url, world.region), len(ec2.describe_volumes()["Volumes"])

    with refused("DryRunOperation"):
        getattr(ec2, operation)(DryRun=True, **named)

    assert (state(world.url, world.region), len(ec2.describe_volumes()["Volumes"])) == before


def test_a_client_token_makes_a_repeated_call_the_same_call(ec2: Any) -> None:
    request = {"AvailabilityZone": "eu-west-1a", "Size": 5, "ClientToken": "once"}

    first, second = ec2.create_volume(**request), ec2.create_volume(**request)

    assert first["VolumeId"] == second["VolumeId"]
    with refused("IdempotentParameterMismatch"):
        ec2.create_volume(**{**request, "Size": 6})


@pytest.mark.parametrize(
    ("operation", "member"),
    [
        ("describe_network_interfaces", "NetworkInterfaces"),
        ("describe_volumes", "Volumes"),
        ("describe_instances", "Reservations"),
        ("describe_tags", "Tags"),
    ],
)
def test_answers_come_in_pages(ec2: Any, world: WorldIds, operation: str, member: str) -> None:
    describe = getattr(ec2, operation)
    for _ in range(6):
        ec2.run_instances(
            ImageId=world.ids["image"], MinCount=1, MaxCount=1, SubnetId=world.ids["private_a"]
        )
    everything = describe()[member]

    pages = [
        page[member]
        for page in ec2.get_paginator(operation).paginate(PaginationConfig={"PageSize": 5})
    ]

    assert [item for page in pages for item in page] == everything
    assert len(pages) == -(-len(everything) // 5) > 1


def test_pages_and_ids_exclude_each_other(ec2: Any, world: WorldIds) -> None:
    with refused("InvalidParameterCombination"):
        ec2.describe_instances(InstanceIds=[world.victim], MaxResults=10)


def test_a_page_has_at_least_five(ec2: Any) -> None:
    with refused("InvalidParameterValue"):
        ec2.describe_volumes(MaxResults=4)


def test_an_unknown_token_is_refused(ec2: Any) -> None:
    with refused("InvalidNextToken"):
        ec2.describe_volumes(MaxResults=5, NextToken="elsewhere")
