"""The stack with which the checks of CloudFormation work: a room for a copy of a volume."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.fidelity.account import Account

Template = dict[str, Any]

NAME = "forensic"
CAPABILITIES = ["CAPABILITY_IAM"]
# Seldom and long enough for a stack that takes a fraction of a second.
WAITING: Any = {"Delay": 0.05, "MaxAttempts": 60}


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def _tag(key: str, value: Any) -> dict[str, Any]:
    return {"Key": key, "Value": value}


_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
_MAY_UPLOAD = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}],
}
TEMPLATE: Template = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Parameters": {
        "Snap": {"Type": "String"},
        "Ami": {"Type": "AWS::EC2::Image::Id"},
        "Key": {"Type": "String", "NoEcho": True, "Default": "x"},
        "Size": {
            "Type": "String",
            "AllowedValues": ["t3.micro", "m5.large"],
            "Default": "t3.micro",
        },
    },
    "Conditions": {"HasSnap": {"Fn::Not": [{"Fn::Equals": [ref("Snap"), ""]}]}},
    "Resources": {
        "Vpc": {
            "Type": "AWS::EC2::VPC",
            "Properties": {
                "CidrBlock": "10.77.0.0/16",
                "EnableDnsSupport": True,
                "Tags": [_tag("Name", {"Fn::Sub": "${AWS::StackName}-vpc"})],
            },
        },
        "Sub": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": ref("Vpc"),
                "CidrBlock": "10.77.1.0/24",
                "AvailabilityZone": "us-east-1a",
            },
        },
        "Sg": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": "forensic",
                "VpcId": ref("Vpc"),
                "SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "127.0.0.1/32"}],
                "SecurityGroupIngress": [],
            },
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": _TRUST,
                "Policies": [{"PolicyName": "p", "PolicyDocument": _MAY_UPLOAD}],
            },
        },
        "Prof": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [ref("Role")]}},
        "Inst": {
            "Type": "AWS::EC2::Instance",
            "Properties": {
                "ImageId": ref("Ami"),
                "InstanceType": ref("Size"),
                "SubnetId": ref("Sub"),
                "SecurityGroupIds": [ref("Sg")],
                "IamInstanceProfile": ref("Prof"),
                "UserData": {"Fn::Base64": "#!/bin/sh\necho"},
                "Tags": [_tag("case", "1")],
            },
        },
        "Vol": {
            "Type": "AWS::EC2::Volume",
            "Condition": "HasSnap",
            "Properties": {
                "SnapshotId": ref("Snap"),
                # It could be left out, for the snapshot has a size; plain moto wants it.
                "Size": 20,
                "AvailabilityZone": {"Fn::GetAtt": ["Inst", "AvailabilityZone"]},
                "VolumeType": "gp3",
                "Tags": [_tag("case", "1")],
            },
        },
        "Att": {
            "Type": "AWS::EC2::VolumeAttachment",
            "Condition": "HasSnap",
            "Properties": {
                "InstanceId": ref("Inst"),
                "VolumeId": ref("Vol"),
                "Device": "/dev/sdf",
            },
        },
    },
    "Outputs": {
        "InstanceId": {"Value": ref("Inst"), "Export": {"Name": "ForensicInst"}},
        "VolumeId": {"Condition": "HasSnap", "Value": ref("Vol")},
        "PrivIp": {"Value": {"Fn::GetAtt": ["Inst", "PrivateIp"]}},
        "RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}},
    },
}


def changed(**resources: Any) -> Template:
    """The template with these resources, too, or instead of those of the same name."""
    template = copy.deepcopy(TEMPLATE)
    template["Resources"].update(resources)
    return template


def exporting_nothing() -> Template:
    """The template without outputs: two stacks can't export under one name."""
    return {**changed(), "Outputs": {}}


def snapshot_of_the_data_volume(account: Account) -> str:
    """A completed snapshot of the victim's second volume."""
    ec2 = account("ec2")
    devices = account.instance(account.ids.victim)["BlockDeviceMappings"]
    [volume] = [item["Ebs"]["VolumeId"] for item in devices if item["DeviceName"] == "/dev/sdf"]
    snapshot: str = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig=WAITING)
    return snapshot


def parameters(account: Account, snapshot: str) -> list[dict[str, Any]]:
    return [
        {"ParameterKey": "Snap", "ParameterValue": snapshot},
        {"ParameterKey": "Ami", "ParameterValue": account.ids.image},
    ]


def create(
    account: Account,
    snapshot: str,
    name: str = NAME,
    template: Mapping[str, Any] = TEMPLATE,
    **more: Any,
) -> Any:
    """Create a stack of the template; ``more`` are parameters of CreateStack."""
    wanted = {
        "Parameters": parameters(account, snapshot),
        "Capabilities": CAPABILITIES,
        **more,
    }
    return account("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps(template), **wanted
    )


def created(account: Account, snapshot: str) -> dict[str, str]:
    """The outputs of the stack as it stands when it is made."""
    create(account, snapshot)
    account("cloudformation").get_waiter("stack_create_complete").wait(
        StackName=NAME, WaiterConfig=WAITING
    )
    return outputs(account)


def stack(account: Account, name: str = NAME) -> dict[str, Any]:
    """What DescribeStacks says of it."""
    found: dict[str, Any] = account("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return found


def outputs(account: Account) -> dict[str, str]:
    return {item["OutputKey"]: item["OutputValue"] for item in stack(account).get("Outputs", [])}
