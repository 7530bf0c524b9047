"""What all of EC2's calls have in common: dry runs and client tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from benchmarks.fidelity.account import REGION, Account
from benchmarks.fidelity.verdicts import Verdicts, check


@check("ec2", "dry runs of every call that contains")
def _dry_runs(account: Account, seen: Verdicts) -> None:
    ec2, victim = account("ec2"), account.ids.victim
    before = account.instance(victim)
    for operation, parameters in _calls(account).items():
        method = operation.partition(" ")[0]
        seen.refused(
            f"a dry run of {operation}",
            "DryRunOperation",
            lambda method=method, parameters=parameters: getattr(ec2, method)(
                **parameters, DryRun=True
            ),
        )
    seen.holds("the instance is as it was", account.instance(victim) == before)


@check("ec2", "how a dry run is answered")
def _answered(account: Account, seen: Verdicts) -> None:
    ec2, victim = account("ec2"), account.ids.victim
    status = _status(lambda: ec2.describe_instances(DryRun=True))
    seen.holds("with HTTP status 412", status == 412, status)
    # Which is checked first isn't documented.
    seen.refused(
        "a dry run of an unknown instance",
        ("InvalidInstanceID.NotFound", "DryRunOperation"),
        lambda: ec2.stop_instances(InstanceIds=["i-00000000000000000"], DryRun=True),
    )
    seen.done("a call that says it is no dry run", lambda: ec2.describe_instances(DryRun=False))
    seen.done(
        "a change that says it is no dry run",
        lambda: ec2.stop_instances(InstanceIds=[victim], DryRun=False),
    )


@check("ec2", "client tokens")
def _client_tokens(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    launch = {"ImageId": ids.image, "MinCount": 1, "MaxCount": 1, "ClientToken": "ct-1"}
    calls: dict[str, Callable[[], str]] = {
        "RunInstances": lambda: ec2.run_instances(**launch)["Instances"][0]["InstanceId"],
        "CreateNetworkInterface": lambda: ec2.create_network_interface(
            SubnetId=ids.subnets[0], ClientToken="ct-2"
        )["NetworkInterface"]["NetworkInterfaceId"],
        "CreateNetworkAcl": lambda: ec2.create_network_acl(VpcId=ids.vpc, ClientToken="ct-3")[
            "NetworkAcl"
        ]["NetworkAclId"],
    }
    for operation, call in calls.items():
        made = {call(), call()}
        seen.holds(f"{operation} makes one thing of a token", len(made) == 1, made)
    seen.refused(
        "a token with other parameters",
        "IdempotentParameterMismatch",
        lambda: ec2.run_instances(**{**launch, "MinCount": 2, "MaxCount": 2}),
    )


def _calls(account: Account) -> dict[str, dict[str, Any]]:
    """What containment calls; where an operation stands more than once, what for is added."""
    ec2, ids, instance = account("ec2"), account.ids, account.instance(account.ids.victim)
    volume = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    acl = ec2.create_network_acl(VpcId=ids.vpc)["NetworkAcl"]["NetworkAclId"]
    [current] = ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [ids.subnets[1]]}]
    )["NetworkAcls"]
    [association] = [
        item["NetworkAclAssociationId"]
        for item in current["Associations"]
        if item["SubnetId"] == ids.subnets[1]
    ]
    of_victim: dict[str, Any] = {"InstanceId": ids.victim}
    these: dict[str, Any] = {"InstanceIds": [ids.victim]}
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    from_one = {
        "IpProtocol": "tcp",
        "FromPort": 9,
        "ToPort": 9,
        "IpRanges": [{"CidrIp": "1.1.1.1/32"}],
    }
    kept = {"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": False}}
    group = {"GroupId": ids.app_group}
    return {
        "describe_instances": {},
        "create_security_group": {"GroupName": "dry", "Description": "d", "VpcId": ids.vpc},
        "authorize_security_group_ingress": {**group, "IpPermissions": [from_one]},
        "revoke_security_group_egress": {**group, "IpPermissions": [everything]},
        "create_tags": {"Resources": [ids.victim], "Tags": [{"Key": "dry", "Value": "1"}]},
        "modify_instance_attribute Groups": {**of_victim, "Groups": [ids.web_group]},
        "modify_instance_attribute DisableApiTermination": {
            **of_victim,
            "DisableApiTermination": {"Value": True},
        },
        "modify_instance_attribute BlockDeviceMappings": {
            **of_victim,
            "BlockDeviceMappings": [kept],
        },
        "modify_network_interface_attribute": {
            "NetworkInterfaceId": instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
            "Groups": [ids.web_group],
        },
        "create_snapshot": {"VolumeId": volume},
        "create_snapshots": {"InstanceSpecification": of_victim},
        "copy_snapshot": {"SourceRegion": REGION, "SourceSnapshotId": snapshot},
        "modify_snapshot_attribute": {
            "SnapshotId": snapshot,
            "Attribute": "createVolumePermission",
            "OperationType": "add",
            "UserIds": ["222222222222"],
        },
        "create_volume": {"AvailabilityZone": f"{REGION}a", "Size": 1},
        "stop_instances": these,
        "modify_instance_metadata_options": {**of_victim, "HttpEndpoint": "disabled"},
        "create_network_acl": {"VpcId": ids.vpc},
        "create_network_acl_entry": {
            "NetworkAclId": acl,
            "RuleNumber": 7,
            "Protocol": "-1",
            "RuleAction": "deny",
            "Egress": True,
            "CidrBlock": "0.0.0.0/0",
        },
        "replace_network_acl_association": {"AssociationId": association, "NetworkAclId": acl},
        "detach_volume": {"VolumeId": volume},
        "delete_snapshot": {"SnapshotId": snapshot},
        "run_instances": {"ImageId": ids.image, "MinCount": 1, "MaxCount": 1},
        "reboot_instances": these,
        "start_instances": these,
        "terminate_instances": these,
    }


def _status(call: Callable[[], object]) -> int:
    """The HTTP status of what is refused, 200 where it isn't."""
    try:
        call()
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return 200
