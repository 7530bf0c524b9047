"""The script that a good engineer writes by hand: the same calls, in threads, and nothing else.

It records nothing, asks nobody, verifies nothing, undoes nothing, and knows one instance only.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

SERVICES = ("ec2", "autoscaling", "elb", "elbv2", "iam", "sts")


def clients(url: str, region: str) -> dict[str, Any]:
    session = boto3.Session("AKIASIMULATED0000000", "simulated", region_name=region)
    config = Config(max_pool_connections=32)
    return {name: session.client(name, endpoint_url=url, config=config) for name in SERVICES}


def contain(aws: dict[str, Any], instance: str, remote: str, pool: ThreadPoolExecutor) -> None:
    """Read, protect, snapshot, detach, deregister, isolate: in this order."""
    ec2, asg, elb, elbv2, iam = (aws[s] for s in ("ec2", "autoscaling", "elb", "elbv2", "iam"))
    by_id = [{"Name": "instance-id", "Values": [instance]}]
    attached = [{"Name": "attachment.instance-id", "Values": [instance]}]
    reads = [
        pool.submit(ec2.describe_instances, Filters=by_id),
        pool.submit(ec2.describe_network_interfaces, Filters=attached),
        pool.submit(ec2.describe_volumes, Filters=attached),
        pool.submit(asg.describe_auto_scaling_instances, InstanceIds=[instance]),
        pool.submit(elbv2.describe_target_groups),
        pool.submit(elb.describe_load_balancers),
        pool.submit(ec2.describe_iam_instance_profile_associations, Filters=by_id),
        pool.submit(
            ec2.describe_security_groups,
            Filters=[{"Name": "tag-key", "Values": ["clampdown:isolation"]}],
        ),
        pool.submit(aws["sts"].get_caller_identity),
        *(
            pool.submit(ec2.describe_instance_attribute, InstanceId=instance, Attribute=attribute)
            for attribute in (
                "disableApiTermination",
                "disableApiStop",
                "instanceInitiatedShutdownBehavior",
            )
        ),
    ]
    answers = [read.result() for read in reads]
    found = answers[0]["Reservations"][0]["Instances"][0]
    interfaces = answers[1]["NetworkInterfaces"]
    volumes = answers[2]["Volumes"]
    group = answers[3]["AutoScalingInstances"][0]["AutoScalingGroupName"]
    target_groups = answers[4]["TargetGroups"]
    profile = found["IamInstanceProfile"]["Arn"].rsplit("/", 1)[1]
    subnets = sorted({eni["SubnetId"] for eni in interfaces})
    by_subnet = [{"Name": "association.subnet-id", "Values": subnets}]
    more = [
        pool.submit(asg.describe_auto_scaling_groups, AutoScalingGroupNames=[group]),
        pool.submit(iam.get_instance_profile, InstanceProfileName=profile),
        pool.submit(ec2.describe_network_acls, Filters=by_subnet),
    ]
    health = [
        pool.submit(elbv2.describe_target_health, TargetGroupArn=item["TargetGroupArn"])
        for item in target_groups
    ]
    acls = more[2].result()["NetworkAcls"]
    for read in [*more, *health]:
        read.result()

    devices = [v["Attachments"][0]["Device"] for v in volumes]
    protect = [
        pool.submit(
            ec2.modify_instance_attribute,
            InstanceId=instance,
            DisableApiTermination={"Value": True},
        ),
        pool.submit(
            ec2.modify_instance_attribute, InstanceId=instance, DisableApiStop={"Value": True}
        ),
        pool.submit(
            ec2.modify_instance_attribute,
            InstanceId=instance,
            BlockDeviceMappings=[
                {"DeviceName": device, "Ebs": {"DeleteOnTermination": False}} for device in devices
            ],
        ),
        pool.submit(
            asg.set_instance_protection,
            InstanceIds=[instance],
            AutoScalingGroupName=group,
            ProtectedFromScaleIn=True,
        ),
        *(
            pool.submit(
                ec2.modify_network_interface_attribute,
                NetworkInterfaceId=eni["NetworkInterfaceId"],
                Attachment={
                    "AttachmentId": eni["Attachment"]["AttachmentId"],
                    "DeleteOnTermination": False,
                },
            )
            for eni in interfaces
        ),
    ]
    for call in protect:
        call.result()
    ec2.create_snapshots(InstanceSpecification={"InstanceId": instance}, Description="incident")
    asg.detach_instances(
        InstanceIds=[instance], AutoScalingGroupName=group, ShouldDecrementDesiredCapacity=False
    )
    addresses = {a["PrivateIpAddress"] for eni in interfaces for a in eni["PrivateIpAddresses"]}
    leaving = []
    for item, described in zip(target_groups, health, strict=True):
        targets = [
            {"Id": target["Target"]["Id"], "Port": target["Target"]["Port"]}
            for target in described.result()["TargetHealthDescriptions"]
            if target["Target"]["Id"] in {instance, *addresses}
        ]
        if targets:
            arn = item["TargetGroupArn"]
            leaving.append(
                pool.submit(elbv2.deregister_targets, TargetGroupArn=arn, Targets=targets)
            )
    for call in leaving:
        call.result()
    isolation = ec2.create_security_group(
        GroupName=f"isolation-{instance}", Description="isolation", VpcId=found["VpcId"]
    )["GroupId"]
    rules = ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [isolation]}]
    )["SecurityGroupRules"]
    ec2.revoke_security_group_egress(
        GroupId=isolation, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"] for rule in rules]
    )
    isolate = [
        pool.submit(
            ec2.modify_network_interface_attribute,
            NetworkInterfaceId=eni["NetworkInterfaceId"],
            Groups=[isolation],
        )
        for eni in interfaces
    ]
    cut = [
        pool.submit(
            ec2.create_network_acl_entry,
            NetworkAclId=acl["NetworkAclId"],
            RuleNumber=1,
            Protocol="-1",
            RuleAction="deny",
            Egress=egress,
            CidrBlock=f"{remote}/32",
        )
        for acl in acls
        for egress in (True, False)
    ]
    for call in [*isolate, *cut]:
        call.result()


if __name__ == "__main__":
    with ThreadPoolExecutor(32) as threads:
        contain(clients(sys.argv[1], sys.argv[2]), sys.argv[3], "198.51.100.7", threads)
