"""The CloudFormation template of a clean room: ``templates/clean_room.yaml`` and its volumes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from runbooks.calls import pending
from runbooks.targets.instance import EvidenceSnapshot
from runbooks.yaml_source import parse

BY_PARAMETER = "resolve:ssm:"
# The names that AWS recommends for EBS volumes, and further ones that it allows (EC2 User Guide,
# "Device names for volumes"). The root is on none of them.
DEVICES = (
    *(f"/dev/sd{letter}" for letter in "fghijklmnop"),
    *(f"/dev/xvdb{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
)
# What CloudFormation calls to make and delete it, in the name of whoever made the stack or of the
# service role (the handlers' permissions in the CloudFormation registry, for what is used here).
BY_CLOUDFORMATION = (
    "ec2:AssociateRouteTable",
    "ec2:AttachVolume",
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:CreateRouteTable",
    "ec2:CreateSecurityGroup",
    "ec2:CreateSubnet",
    "ec2:CreateTags",
    "ec2:CreateVolume",
    "ec2:CreateVpc",
    "ec2:CreateVpcEndpoint",
    "ec2:DeleteRouteTable",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteSubnet",
    "ec2:DeleteTags",
    "ec2:DeleteVolume",
    "ec2:DeleteVpc",
    "ec2:DeleteVpcEndpoints",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeIamInstanceProfileAssociations",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceCreditSpecifications",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeNetworkAcls",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeTags",
    "ec2:DescribeVolumeAttribute",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ec2:DisassociateRouteTable",
    "ec2:ModifySubnetAttribute",
    "ec2:ModifyVpcAttribute",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:RunInstances",
    "ec2:TerminateInstances",
    "iam:AddRoleToInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:CreateRole",
    "iam:DeleteInstanceProfile",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:GetInstanceProfile",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "iam:PassRole",
    "iam:PutRolePolicy",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:TagRole",
    "iam:UntagRole",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "route53:AssociateVPCWithHostedZone",
    "route53resolver:AssociateFirewallRuleGroup",
    "route53resolver:CreateFirewallDomainList",
    "route53resolver:CreateFirewallRule",
    "route53resolver:CreateFirewallRuleGroup",
    "route53resolver:DeleteFirewallDomainList",
    "route53resolver:DeleteFirewallRule",
    "route53resolver:DeleteFirewallRuleGroup",
    "route53resolver:DisassociateFirewallRuleGroup",
    "route53resolver:GetFirewallDomainList",
    "route53resolver:GetFirewallRuleGroup",
    "route53resolver:GetFirewallRuleGroupAssociation",
    "route53resolver:ListFirewallRules",
    "route53resolver:ListTagsForResource",
    "route53resolver:TagResource",
    "route53resolver:UntagResource",
    "route53resolver:UpdateFirewallDomains",
    "ssm:DescribeAssociation",
    "ssm:GetParameters",
    "ssm:ListAssociations",
)


@dataclass(frozen=True)
class Copy:
    """A volume of which the room gets a copy, attached to the workstation as ``device``.

    ``original`` is the device as which the volume itself is attached, ``size`` its size in GiB.
    ``snapshot`` is None while none has been taken.
    """

    volume_id: str
    original: str
    device: str
    size: int
    snapshot: EvidenceSnapshot | None

    @property
    def snapshot_id(self) -> str:
        return self.snapshot.id if self.snapshot else pending(f"the snapshot of {self.volume_id}")


def room_template(copies: Sequence[Copy], image: str) -> dict[str, Any]:
    """The template with a volume for each copy, from the parameters ``Snapshot1`` and so forth.

    ``image`` is an AMI id, or ``resolve:ssm:`` and the name of a parameter that holds one.
    """
    template: dict[str, Any] = json.loads(_without_volumes())
    parameters, resources = template["Parameters"], template["Resources"]
    image_id = "AWS::EC2::Image::Id"
    if image.startswith(BY_PARAMETER):
        image_id = f"AWS::SSM::Parameter::Value<{image_id}>"
    parameters["Image"] = {"Type": image_id}
    for number, copy in enumerate(copies, start=1):
        parameters[f"Snapshot{number}"] = {"Type": "String"}
        resources[f"Volume{number}"] = _volume(number, copy)
        resources[f"Attachment{number}"] = _attachment(number, copy)
        # Made before the workstation, and so deleted after it.
        resources["Workstation"]["DependsOn"].append(f"Volume{number}")
        template["Outputs"][f"Volume{number}"] = {"Value": {"Ref": f"Volume{number}"}}
    return template


@cache
def _without_volumes() -> str:
    file = files("runbooks") / "templates" / "clean_room.yaml"
    return json.dumps(parse(file.read_bytes()).data)


def _volume(number: int, copy: Copy) -> dict[str, Any]:
    name = f"copy of {copy.volume_id} ({copy.original})"
    return {
        "Type": "AWS::EC2::Volume",
        # A copy. The evidence is the snapshot.
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "AvailabilityZone": {"Ref": "Zone"},
            "SnapshotId": {"Ref": f"Snapshot{number}"},
            "VolumeType": "gp3",
            # That of an encrypted snapshot keeps its key; else it is the account's default key
            # (EBS User Guide, "Amazon EBS encryption examples").
            "Encrypted": True,
            "Tags": [{"Key": "Name", "Value": name}],
        },
    }


def _attachment(number: int, copy: Copy) -> dict[str, Any]:
    return {
        "Type": "AWS::EC2::VolumeAttachment",
        "DependsOn": ["DnsClosed"],
        # Detaching a volume that is mounted gets stuck; terminating the workstation detaches it.
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "Device": copy.device,
            "InstanceId": {"Ref": "Workstation"},
            "VolumeId": {"Ref": f"Volume{number}"},
        },
    }
