"""Templates of stacks, and CloudFormation with the small world's volume to make a stack of."""

from __future__ import annotations

import json
from typing import Any

from flows.gameday.worlds import WorldIds

Resources = dict[str, Any]


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def network() -> Resources:
    """A VPC with one subnet, out of which nothing leads."""
    return {
        "Vpc": {
            "Type": "AWS::EC2::VPC",
            "Properties": {
                "CidrBlock": "10.99.0.0/24",
                "EnableDnsSupport": True,
                "EnableDnsHostnames": True,
            },
        },
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": ref("Vpc"),
                "CidrBlock": "10.99.0.0/24",
                "AvailabilityZone": "eu-west-1a",
            },
        },
        "Routes": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": ref("Vpc")}},
        "SubnetRoutes": {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"SubnetId": ref("Subnet"), "RouteTableId": ref("Routes")},
        },
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": "within the VPC only",
                "VpcId": ref("Vpc"),
                "SecurityGroupIngress": [
                    {
                        "IpProtocol": "tcp",
                        "FromPort": 443,
                        "ToPort": 443,
                        "CidrIp": "10.99.0.0/24",
                    }
                ],
                "SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "127.0.0.1/32"}],
            },
        },
    }


def endpoints() -> Resources:
    return {
        "Ssm": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": ref("Vpc"),
                "VpcEndpointType": "Interface",
                "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.ssm"},
                "PrivateDnsEnabled": True,
                "SubnetIds": [ref("Subnet")],
                "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}],
            },
        },
        "S3": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {
                "VpcId": ref("Vpc"),
                "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
                "RouteTableIds": [ref("Routes")],
                "PolicyDocument": {"Version": "2012-10-17", "Statement": []},
            },
        },
    }


def role() -> Resources:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                "ManagedPolicyArns": ["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"],
            },
        },
        "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [ref("Role")]}},
    }


class Stacks:
    """CloudFormation, with the template of a room for a copy of the victim's volumes."""

    def __init__(self, aws: Any, world: WorldIds) -> None:
        self.api, self.ec2, self.world = aws("cloudformation"), aws("ec2"), world

    def room(self) -> Resources:
        snapshot = self.ec2.create_snapshot(VolumeId=self.world.ids["volume_2"])["SnapshotId"]
        return {
            **network(),
            **endpoints(),
            **role(),
            "Workstation": {
                "Type": "AWS::EC2::Instance",
                "Properties": {
                    "ImageId": self.world.ids["image"],
                    "InstanceType": "m5.large",
                    "SubnetId": ref("Subnet"),
                    "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}],
                    "IamInstanceProfile": ref("Profile"),
                    "MetadataOptions": {"HttpTokens": "required"},
                },
            },
            "Volume": {
                "Type": "AWS::EC2::Volume",
                "Properties": {
                    "SnapshotId": snapshot,
                    "AvailabilityZone": "eu-west-1a",
                    "VolumeType": "gp3",
                },
            },
            "Attachment": {
                "Type": "AWS::EC2::VolumeAttachment",
                "Properties": {
                    "VolumeId": ref("Volume"),
                    "InstanceId": ref("Workstation"),
                    "Device": "/dev/sdf",
                },
            },
        }

    def create(self, resources: Resources, name: str = "clean-room-7", **more: Any) -> str:
        request = {
            "StackName": name,
            "TemplateBody": json.dumps({"Resources": resources}),
            "Capabilities": ["CAPABILITY_IAM"],
            **more,
        }
        made: str = self.api.create_stack(**request)["StackId"]
        return made

    def stack(self, name: str = "clean-room-7") -> dict[str, Any]:
        found: dict[str, Any] = self.api.describe_stacks(StackName=name)["Stacks"][0]
        return found

    def status(self, name: str = "clean-room-7") -> str:
        return str(self.stack(name)["StackStatus"])

    def events(self, name: str = "clean-room-7") -> list[dict[str, Any]]:
        """Oldest first."""
        answer = self.api.describe_stack_events(StackName=name)["StackEvents"]
        return list(reversed(answer))

    def resources(self, name: str = "clean-room-7") -> dict[str, str]:
        """Physical ids by logical names, of what has one."""
        answer = self.api.describe_stack_resources(StackName=name)["StackResources"]
        return {
            item["LogicalResourceId"]: item["PhysicalResourceId"]
            for item in answer
            if "PhysicalResourceId" in item
        }
