"""What else is called while containing, or before: each of it exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.fidelity.account import REGION, Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check

_NOT_YET = "moto hasn't got it, and nothing calls it"


@check("ec2", "other calls that contain")
def _containing(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    interfaces = account.instance(ids.victim)["NetworkInterfaces"]
    primary = interfaces[0]["NetworkInterfaceId"]

    def of_interface() -> Any:
        return ec2.describe_addresses(
            Filters=[{"Name": "network-interface-id", "Values": [primary]}]
        )["Addresses"]

    [table, *_] = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [ids.vpc]}])[
        "RouteTables"
    ]
    calls: dict[str, Callable[[], Any]] = {
        "CreateImage without a reboot": lambda: ec2.create_image(
            InstanceId=ids.victim, Name="evidence", NoReboot=True
        ),
        "AssociateAddress": lambda: ec2.associate_address(
            AllocationId=ec2.allocate_address(Domain="vpc")["AllocationId"],
            NetworkInterfaceId=primary,
        ),
        "DescribeAddresses by instance": lambda: ec2.describe_addresses(
            Filters=[{"Name": "instance-id", "Values": [ids.victim]}]
        )["Addresses"][0],
        "DisassociateAddress": lambda: ec2.disassociate_address(
            AssociationId=of_interface()[0]["AssociationId"]
        ),
        "DetachNetworkInterface": lambda: ec2.detach_network_interface(
            AttachmentId=interfaces[1]["Attachment"]["AttachmentId"]
        ),
        "EnableEbsEncryptionByDefault": ec2.enable_ebs_encryption_by_default,
        "DisableEbsEncryptionByDefault": ec2.disable_ebs_encryption_by_default,
        "CreateRoute": lambda: ec2.create_route(
            RouteTableId=table["RouteTableId"],
            DestinationCidrBlock="9.9.9.9/32",
            GatewayId=ids.internet_gateway,
        ),
        "CreateVpcEndpoint": lambda: ec2.create_vpc_endpoint(
            VpcId=ids.vpc,
            ServiceName=f"com.amazonaws.{REGION}.ssm",
            VpcEndpointType="Interface",
            # It takes DNS hostnames in the VPC (CreateVpcEndpoint).
            PrivateDnsEnabled=False,
            SubnetIds=list(ids.subnets),
        ),
    }
    for rule, call in calls.items():
        seen.done(rule, call)


@check("ec2", "other calls that look")
def _looking(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    [volume, *_] = ec2.describe_volumes()["Volumes"]
    calls: dict[str, Callable[[], Any]] = {
        "DescribeRouteTables": ec2.describe_route_tables,
        "DescribeInstanceTypes": lambda: ec2.describe_instance_types(InstanceTypes=["t3.micro"]),
        "DescribeVolumeStatus": ec2.describe_volume_status,
        "DescribeVolumeAttribute": lambda: ec2.describe_volume_attribute(
            VolumeId=volume["VolumeId"], Attribute="autoEnableIO"
        ),
        "DescribeVpcAttribute": lambda: ec2.describe_vpc_attribute(
            VpcId=ids.vpc, Attribute="enableDnsSupport"
        ),
        "DescribeSpotInstanceRequests": ec2.describe_spot_instance_requests,
        "DescribeSpotFleetRequests": ec2.describe_spot_fleet_requests,
        "DescribeAvailabilityZones": ec2.describe_availability_zones,
        "DescribeRegions": ec2.describe_regions,
    }
    for rule, call in calls.items():
        seen.done(rule, call)


@check(
    "ec2",
    "calls that nothing needs yet",
    known={
        "a running instance is moved to other hardware": Known(
            "ec2:ModifyInstancePlacement", _NOT_YET
        ),
        "CreateReplaceRootVolumeTask": Known("ec2:CreateReplaceRootVolumeTask", _NOT_YET),
        "CreateNetworkInsightsPath": Known("ec2:CreateNetworkInsightsPath", _NOT_YET),
        "DescribeSecurityGroupReferences": Known("ec2:DescribeSecurityGroupReferences", _NOT_YET),
        "DescribeStaleSecurityGroups": Known("ec2:DescribeStaleSecurityGroups", _NOT_YET),
        "DescribeInstanceConnectEndpoints": Known("ec2:DescribeInstanceConnectEndpoints", _NOT_YET),
        "ListSnapshotBlocks of a snapshot": Known(
            "ebs:ListSnapshotBlocks", "simulated volumes hold no data"
        ),
        "ListRules of the recycle bin": Known("rbin:ListRules", _NOT_YET),
    },
)
def _not_needed(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    # "If you're modifying the instance placement, the instance must be in the stopped state"
    # (EC2 error codes).
    seen.refused(
        "a running instance is moved to other hardware",
        ("InvalidInstanceState", "IncorrectInstanceState", "InvalidTenancy"),
        lambda: ec2.modify_instance_placement(InstanceId=ids.victim, Tenancy="dedicated"),
    )
    [volume, *_] = ec2.describe_volumes()["Volumes"]
    snapshot = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
    calls: dict[str, Callable[[], Any]] = {
        "CreateReplaceRootVolumeTask": lambda: ec2.create_replace_root_volume_task(
            InstanceId=ids.victim
        ),
        "CreateNetworkInsightsPath": lambda: ec2.create_network_insights_path(
            Source=ids.victim, Protocol="tcp"
        ),
        "DescribeSecurityGroupReferences": lambda: ec2.describe_security_group_references(
            GroupId=[ids.app_group]
        ),
        "DescribeStaleSecurityGroups": lambda: ec2.describe_stale_security_groups(VpcId=ids.vpc),
        "DescribeInstanceConnectEndpoints": ec2.describe_instance_connect_endpoints,
        "ListSnapshotBlocks of a snapshot": lambda: account("ebs").list_snapshot_blocks(
            SnapshotId=snapshot
        ),
        "ListRules of the recycle bin": lambda: account("rbin").list_rules(
            ResourceType="EBS_SNAPSHOT"
        ),
    }
    for rule, call in calls.items():
        seen.done(rule, call)
