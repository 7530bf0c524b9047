"""The peer: a containment as a plain Prefect flow, and a consumer that starts one run per finding.

It is what Prefect's documentation leads to: a flow with a task for each step, ``flow.serve`` with a
limit, ``run_deployment`` that waits for nothing. It knows plain instances only, makes the changes
that Clampdown makes of them, and records, asks, verifies and undoes nothing; a finding that comes
twice is contained twice.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import boto3
from prefect import flow, task
from prefect.deployments import run_deployment

NAME = "contain-instance/peer"
LIMIT = 10
_GROUP = "isolation"


@cache
def _client(url: str, region: str, service: str) -> Any:
    session = boto3.Session("AKIASIMULATED0000000", "simulated", region_name=region)
    return session.client(service, endpoint_url=url)


@flow(name="contain-instance")
def contain_instance(url: str, region: str, instance: str, remote: str) -> None:
    found = facts(url, region, instance)
    protect(url, region, instance, found)
    snapshot(url, region, found)
    isolate(url, region, found)
    deny(url, region, found, remote)


@task
def facts(url: str, region: str, instance: str) -> dict[str, Any]:
    ec2 = _client(url, region, "ec2")
    attached = [{"Name": "attachment.instance-id", "Values": [instance]}]
    described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    interfaces = ec2.describe_network_interfaces(Filters=attached)["NetworkInterfaces"]
    volumes = ec2.describe_volumes(Filters=attached)["Volumes"]
    subnets = [interface["SubnetId"] for interface in interfaces]
    by_subnet = [{"Name": "association.subnet-id", "Values": subnets}]
    acls = ec2.describe_network_acls(Filters=by_subnet)["NetworkAcls"]
    return {
        "vpc": described["VpcId"],
        "interfaces": {
            interface["NetworkInterfaceId"]: interface["Attachment"]["AttachmentId"]
            for interface in interfaces
        },
        "volumes": {item["VolumeId"]: item["Attachments"][0]["Device"] for item in volumes},
        "acls": {
            acl["NetworkAclId"]: [entry["RuleNumber"] for entry in acl["Entries"]] for acl in acls
        },
    }


@task
def protect(url: str, region: str, instance: str, found: dict[str, Any]) -> None:
    ec2 = _client(url, region, "ec2")
    yes = {"Value": True}
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination=yes)
    ec2.modify_instance_attribute(InstanceId=instance, DisableApiStop=yes)
    ec2.modify_instance_attribute(
        InstanceId=instance,
        BlockDeviceMappings=[
            {"DeviceName": device, "Ebs": {"DeleteOnTermination": False}}
            for device in found["volumes"].values()
        ],
    )
    for interface, attachment in found["interfaces"].items():
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface,
            Attachment={"AttachmentId": attachment, "DeleteOnTermination": False},
        )


@task
def snapshot(url: str, region: str, found: dict[str, Any]) -> None:
    for volume in found["volumes"]:
        _client(url, region, "ec2").create_snapshot(VolumeId=volume, Description="incident")


@task
def isolate(url: str, region: str, found: dict[str, Any]) -> None:
    ec2 = _client(url, region, "ec2")
    group = _isolation_group(ec2, found["vpc"])
    for interface in found["interfaces"]:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group])


@task
def deny(url: str, region: str, found: dict[str, Any], remote: str) -> None:
    ec2 = _client(url, region, "ec2")
    for acl, taken in found["acls"].items():
        # Of two runs that choose the same number, one does without.
        number = next(number for number in range(1, 100) if number not in taken)
        for egress in (True, False):
            try:
                ec2.create_network_acl_entry(
                    NetworkAclId=acl,
                    RuleNumber=number,
                    Protocol="-1",
                    RuleAction="deny",
                    Egress=egress,
                    CidrBlock=f"{remote}/32",
                )
            except ec2.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in (
                    "NetworkAclEntryAlreadyExists",
                    "NetworkAclEntryLimitExceeded",
                ):
                    raise


def _isolation_group(ec2: Any, vpc: str) -> str:
    try:
        group: str = ec2.create_security_group(
            GroupName=_GROUP, Description="isolation", VpcId=vpc
        )["GroupId"]
    except ec2.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "InvalidGroup.Duplicate":
            raise
        named = [
            {"Name": "group-name", "Values": [_GROUP]},
            {"Name": "vpc-id", "Values": [vpc]},
        ]
        return str(ec2.describe_security_groups(Filters=named)["SecurityGroups"][0]["GroupId"])
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    ids = [rule["SecurityGroupRuleId"] for rule in rules["SecurityGroupRules"]]
    ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=ids)
    return group


def consume(url: str, region: str, queue: str) -> None:
    """Start a run for each finding in the queue, for as long as the process lives."""
    sqs = _client(url, region, "sqs")
    while True:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", ()):
            detail = json.loads(message["Body"])["detail"]
            parameters = {
                "url": url,
                "region": region,
                "instance": detail["resource"]["instanceDetails"]["instanceId"],
                "remote": _remote(detail["service"]["action"]),
            }
            run_deployment(NAME, parameters=parameters, timeout=0)
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def _remote(action: dict[str, Any]) -> str:
    connection: dict[str, Any] = action["networkConnectionAction"]
    return str(connection["remoteIpDetails"]["ipAddressV4"])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        contain_instance.serve(name=NAME.split("/")[1], limit=LIMIT)
    else:
        consume(*sys.argv[2:5])
