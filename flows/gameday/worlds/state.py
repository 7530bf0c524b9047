"""The state of a simulated account as far as containment touches it: for before and after."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from flows.gameday.worlds.export import all_of
from flows.gameday.worlds.world import client

# Each instance takes calls of its own; more side by side gain nothing, as one is answered at a time.
_SIDE_BY_SIDE = 4
_ASSOCIATIONS = ("describe_iam_instance_profile_associations", "IamInstanceProfileAssociations")


def state(url: str, region: str) -> dict[str, Any]:
    """A plain dict of instances, interfaces, groups, network ACLs, load balancing, roles, tags."""
    ec2, asg = client(url, region, "ec2"), client(url, region, "autoscaling")
    instances = [
        instance
        for reservation in all_of(ec2, "describe_instances", "Reservations")
        for instance in reservation["Instances"]
    ]
    there = [instance for instance in instances if instance["State"]["Name"] != "terminated"]
    gone = {instance["InstanceId"] for instance in instances} - {i["InstanceId"] for i in there}
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        told = list(threads.map(partial(_instance, ec2), there))
    return {
        "instances": {
            instance["InstanceId"]: facts for instance, facts in zip(there, told, strict=True)
        },
        "interfaces": _interfaces(ec2),
        "groups": _groups(ec2),
        "acls": _acls(ec2),
        "profiles": _profiles(ec2),
        "scaling": _scaling(asg),
        "targets": _targets(client(url, region, "elbv2")),
        "classic": _classic(client(url, region, "elb")),
        "iam": _iam(client(url, region, "iam")),
        "tags": _tags(ec2, gone),
        "snapshots": sorted(
            snapshot["SnapshotId"]
            for snapshot in all_of(ec2, "describe_snapshots", "Snapshots", OwnerIds=["self"])
        ),
        "stacks": sorted(
            stack["StackName"]
            for stack in all_of(client(url, region, "cloudformation"), "describe_stacks", "Stacks")
        ),
    }


def _instance(ec2: Any, instance: Any) -> dict[str, Any]:
    attributes = {}
    for name in ("disableApiTermination", "disableApiStop", "instanceInitiatedShutdownBehavior"):
        answer = ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute=name)
        attributes[name] = answer[name[0].upper() + name[1:]].get("Value")
    return {
        **attributes,
        "state": instance["State"]["Name"],
        "metadata": instance.get("MetadataOptions", {}).get("HttpEndpoint"),
        "volumes": {
            mapping["DeviceName"]: mapping["Ebs"]["DeleteOnTermination"]
            for mapping in instance["BlockDeviceMappings"]
        },
    }


def _interfaces(ec2: Any) -> dict[str, Any]:
    return {
        eni["NetworkInterfaceId"]: {
            "groups": sorted(group["GroupId"] for group in eni["Groups"]),
            "delete": eni.get("Attachment", {}).get("DeleteOnTermination"),
            "public": eni.get("Association", {}).get("PublicIp"),
        }
        for eni in all_of(ec2, "describe_network_interfaces", "NetworkInterfaces")
    }


def _groups(ec2: Any) -> dict[str, Any]:
    rules: dict[str, list[str]] = {}
    for rule in all_of(ec2, "describe_security_group_rules", "SecurityGroupRules"):
        peer = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("ReferencedGroupInfo")
        text = f"{rule['IsEgress']} {rule['IpProtocol']} {rule.get('FromPort')} {peer}"
        rules.setdefault(rule["GroupId"], []).append(text)
    return {
        group["GroupId"]: sorted(rules.get(group["GroupId"], []))
        for group in all_of(ec2, "describe_security_groups", "SecurityGroups")
    }


def _acls(ec2: Any) -> dict[str, Any]:
    return {
        acl["NetworkAclId"]: sorted(
            f"{e['RuleNumber']} {e['Egress']} {e['RuleAction']} {e.get('CidrBlock')}"
            f" {e.get('Ipv6CidrBlock')}"
            for e in acl["Entries"]
        )
        for acl in all_of(ec2, "describe_network_acls", "NetworkAcls")
    }


def _profiles(ec2: Any) -> dict[str, str]:
    operation, member = _ASSOCIATIONS
    return {
        item["InstanceId"]: item["IamInstanceProfile"]["Arn"]
        for item in all_of(ec2, operation, member)
        if item["State"] == "associated"
    }


def _scaling(asg: Any) -> dict[str, Any]:
    return {
        group["AutoScalingGroupName"]: {
            "sizes": (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]),
            "suspended": sorted(p["ProcessName"] for p in group.get("SuspendedProcesses", [])),
            "members": {
                item["InstanceId"]: (item["LifecycleState"], item["ProtectedFromScaleIn"])
                for item in group["Instances"]
            },
        }
        for group in all_of(asg, "describe_auto_scaling_groups", "AutoScalingGroups")
    }


def _targets(elbv2: Any) -> dict[str, Any]:
    found = {}
    for group in all_of(elbv2, "describe_target_groups", "TargetGroups"):
        health = elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        found[group["TargetGroupName"]] = sorted(
            (item["Target"]["Id"], item["Target"]["Port"])
            for item in health["TargetHealthDescriptions"]
            if item["TargetHealth"]["State"] != "draining"
        )
    return found


def _classic(elb: Any) -> dict[str, list[str]]:
    return {
        balancer["LoadBalancerName"]: sorted(item["InstanceId"] for item in balancer["Instances"])
        for balancer in all_of(elb, "describe_load_balancers", "LoadBalancerDescriptions")
    }


def _iam(iam: Any) -> dict[str, Any]:
    roles = [role["RoleName"] for role in all_of(iam, "list_roles", "Roles")]
    return {
        "roles": {
            name: sorted(iam.list_role_policies(RoleName=name)["PolicyNames"]) for name in roles
        },
        "profiles": {
            profile["InstanceProfileName"]: sorted(role["RoleName"] for role in profile["Roles"])
            for profile in all_of(iam, "list_instance_profiles", "InstanceProfiles")
        },
    }


def _tags(ec2: Any, terminated: Collection[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for tag in all_of(ec2, "describe_tags", "Tags"):
        if tag["ResourceId"] in terminated:
            continue
        # A group that lost and regained a member writes its own tag; it is AWS's, not ours.
        found.setdefault(tag["ResourceId"], {})[tag["Key"]] = tag["Value"]
    return found
