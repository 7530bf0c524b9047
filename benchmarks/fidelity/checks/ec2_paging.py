"""Pages of EC2's answers, and what a call may ask for."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import REGION, Account
from benchmarks.fidelity.verdicts import Verdicts, check

# Enough of everything for more than one page.
_INSTANCES = 8
_PAGE = 6
_PAGED = (
    ("describe_network_interfaces", "NetworkInterfaces"),
    ("describe_volumes", "Volumes"),
    ("describe_snapshots", "Snapshots"),
    ("describe_security_groups", "SecurityGroups"),
    ("describe_instance_status", "InstanceStatuses"),
    ("describe_tags", "Tags"),
    ("describe_security_group_rules", "SecurityGroupRules"),
    ("describe_iam_instance_profile_associations", "IamInstanceProfileAssociations"),
)


@check("ec2", "pages of instances")
def _instances(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    # One reservation: what a page counts are instances.
    launched = [instance["InstanceId"] for instance in _launch(account)]
    answer = ec2.describe_instances(MaxResults=5)
    count = sum(len(reservation["Instances"]) for reservation in answer["Reservations"])
    seen.holds(
        "MaxResults counts instances, and there is a token for the rest",
        count == 5 and "NextToken" in answer,
        count,
    )
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag:bulk", "Values": ["1"]}], PaginationConfig={"PageSize": 5}
    )
    found = [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    seen.holds(
        "all pages together have each instance once", sorted(found) == sorted(launched), found
    )
    reservations = {
        reservation["ReservationId"] for page in pages for reservation in page["Reservations"]
    }
    seen.holds("a reservation may go on in the next page", len(reservations) == 1, reservations)


@check("ec2", "pages of everything else")
def _everything(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    _launch(account, IamInstanceProfile={"Name": "app-prof"})
    [volume, *_] = ec2.describe_volumes()["Volumes"]
    for number in range(_INSTANCES):
        ec2.create_snapshot(VolumeId=volume["VolumeId"])
        ec2.create_security_group(
            GroupName=f"more-{number}", Description="one more", VpcId=account.ids.vpc
        )
    for operation, member in _PAGED:
        answer = seen.done(
            f"{operation} takes MaxResults",
            lambda operation=operation: getattr(ec2, operation)(MaxResults=_PAGE),
        )
        items = (answer or {}).get(member, [])
        seen.holds(
            f"{operation} gives so many, and a token for the rest",
            len(items) == _PAGE and bool(answer.get("NextToken")),
            len(items),
        )


@check("ec2", "what can't be asked for")
def _refused(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    seen.refused(
        "a volume of an unknown type",
        ("UnknownVolumeType", "InvalidParameterValue"),
        lambda: ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a", VolumeType="nonsense"),
    )
    seen.refused(
        "pages of less than 5",
        "InvalidParameterValue",
        lambda: ec2.describe_instances(MaxResults=3),
    )
    small = ec2.create_subnet(VpcId=ids.vpc, CidrBlock="10.0.9.0/28")["Subnet"]["SubnetId"]
    # Of 16 addresses AWS keeps 5.
    seen.refused(
        "more instances than a subnet has addresses",
        "InsufficientFreeAddressesInSubnet",
        lambda: ec2.run_instances(ImageId=ids.image, MinCount=12, MaxCount=12, SubnetId=small),
    )
    left = ec2.describe_instances(Filters=[{"Name": "subnet-id", "Values": [small]}])
    seen.holds("then none is launched", left["Reservations"] == [], left["Reservations"])


def _launch(account: Account, **more: Any) -> Any:
    return account("ec2").run_instances(
        ImageId=account.ids.image,
        InstanceType="t3.micro",
        MinCount=_INSTANCES,
        MaxCount=_INSTANCES,
        SubnetId=account.ids.subnets[1],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "bulk", "Value": "1"}]}],
        **more,
    )["Instances"]
