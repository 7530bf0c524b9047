"""What is read of moto's data when it is asked for is what moto would have read before."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

PARTITIONS = ("aws", "aws-us-gov", "aws-cn")


def test_the_regions_are_those_that_botocore_knows(ec2: Any) -> None:
    from moto.ec2.models import EC2Backend

    session = boto3.Session()
    assert [region.name for region in EC2Backend.regions] == [
        region
        for partition in PARTITIONS
        for region in session.get_available_regions("ec2", partition)
    ]


@pytest.mark.parametrize("service", ["elbv2", "iam", "kms", "config", "no-such-service"])
def test_services_are_where_botocore_knows_them_to_be(service: str, ec2: Any) -> None:
    from moto.core.base_backend import AccountSpecificBackend

    for partition in PARTITIONS:
        known = AccountSpecificBackend.get_session().get_available_regions(service, partition)
        assert known == boto3.Session().get_available_regions(service, partition)


@pytest.mark.parametrize(
    ("kind", "place"), [("region", "eu-west-1"), ("availability-zone", "eu-west-1b")]
)
def test_instance_types_are_offered_in_places(ec2: Any, kind: str, place: str) -> None:
    offered = ec2.describe_instance_type_offerings(
        LocationType=kind, Filters=[{"Name": "location", "Values": [place]}]
    )["InstanceTypeOfferings"]

    assert {"InstanceType": "m5.large", "LocationType": kind, "Location": place} in offered
