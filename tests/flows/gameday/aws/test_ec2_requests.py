from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws import ec2_requests
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


def test_a_page_of_instances_counts_instances(ec2: Any, world: WorldIds) -> None:
    launched = ec2.run_instances(
        ImageId=world.ids["image"], MinCount=7, MaxCount=7, SubnetId=world.ids["private_a"]
    )
    reservation = launched["ReservationId"]
    filters = [{"Name": "image-id", "Values": [world.ids["image"]]}]

    first = ec2.describe_instances(MaxResults=5, Filters=filters)
    rest = ec2.describe_instances(MaxResults=100, NextToken=first["NextToken"], Filters=filters)

    assert sum(len(item["Instances"]) for item in first["Reservations"]) == 5
    found = [
        item["InstanceId"]
        for page in (first, rest)
        for part in page["Reservations"]
        if part["ReservationId"] == reservation
        for item in part["Instances"]
    ]
    assert found == [item["InstanceId"] for item in launched["Instances"]]


def test_a_page_of_instances_has_an_end_without_being_asked(
    ec2: Any, world: WorldIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ec2_requests, "MOST_INSTANCES", 2)

    answer = ec2.describe_instances()

    assert sum(len(item["Instances"]) for item in answer["Reservations"]) == 2
    assert "NextToken" in answer
    asked = [world.victim, world.ids["standalone"], world.ids["bystander"]]
    assert len(ec2.describe_instances(InstanceIds=asked)["Reservations"]) == 3


def test_there_may_be_more_than_a_hundred_reservations(ec2: Any, world: WorldIds) -> None:
    for number in range(101):
        subnet = world.ids["private_a" if number % 2 else "private_b"]
        ec2.run_instances(ImageId=world.ids["image"], MinCount=1, MaxCount=1, SubnetId=subnet)

    answer = ec2.describe_instances()

    assert len(answer["Reservations"]) > 101
    assert "NextToken" not in answer


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("describe_security_groups", "no-such-filter"),
        ("describe_instances", "public-ip"),
        ("describe_instance_status", "tag:Name"),
        ("describe_flow_logs", "vpc-id"),
        ("describe_snapshots", "Owner-Id"),
    ],
)
def test_filters_that_an_operation_does_not_have_are_refused(
    ec2: Any, operation: str, name: str
) -> None:
    with refused("InvalidParameterValue", f"The filter '{name}' is invalid"):
        parameter = "Filter" if operation == "describe_flow_logs" else "Filters"
        getattr(ec2, operation)(**{parameter: [{"Name": name, "Values": ["x"]}]})


@pytest.mark.parametrize("name", ["tag:Name", "tag-key", "tag-value", "vpc-id"])
def test_filters_that_an_operation_has_are_taken(ec2: Any, name: str) -> None:
    filters = [{"Name": name, "Values": ["nothing has this"]}]

    assert ec2.describe_security_groups(Filters=filters)["SecurityGroups"] == []
