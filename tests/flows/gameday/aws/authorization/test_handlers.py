"""What CloudFormation makes and deletes, it does in the name of whoever asks for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.authorization.conftest import Iam, Keys
from tests.flows.gameday.aws.authorization.documents import allow, trust

TEMPLATE = json.dumps(
    {
        "Resources": {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}},
            "Group": {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {
                    "GroupDescription": "room",
                    "VpcId": {"Ref": "Vpc"},
                    "SecurityGroupIngress": [
                        {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIp": "10.9.0.0/16"}
                    ],
                },
            },
        }
    }
)
VIA = {"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}}
STACKS = allow(["cloudformation:*"])


def make(iam: Iam, keys: Keys, **more: Any) -> str:
    cloudformation = iam.client("cloudformation", keys)
    stack = cloudformation.create_stack(StackName="room", TemplateBody=TEMPLATE, **more)
    return str(stack["StackId"])


def status(iam: Iam, stack: str) -> str:
    return str(
        iam.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    )


def reasons(iam: Iam, stack: str) -> str:
    events = iam.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    return " ".join(event.get("ResourceStatusReason", "") for event in events)


def test_permissions_can_be_for_what_goes_through_cloudformation_only(iam: Iam) -> None:
    keys = iam.user("eve", STACKS, allow("ec2:*", Condition=VIA))

    stack = make(iam, keys)

    assert status(iam, stack) == "CREATE_COMPLETE"
    with refused("UnauthorizedOperation"):
        iam.client("ec2", keys).create_vpc(CidrBlock="10.8.0.0/16")
    iam.client("cloudformation", keys).delete_stack(StackName=stack)
    assert status(iam, stack) == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    "missing", ["ec2:CreateVpc", "ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress"]
)
def test_what_its_maker_may_not_do_fails_the_stack(iam: Iam, missing: str) -> None:
    keys = iam.user("eve", STACKS, {"Effect": "Allow", "NotAction": missing, "Resource": "*"})

    stack = make(iam, keys)

    assert status(iam, stack) == "ROLLBACK_COMPLETE"
    said = reasons(iam, stack)
    assert f"user/eve is not authorized to perform: {missing}" in said
    assert "Error Code: AccessDenied" in said


def test_a_stack_is_deleted_by_somebody_who_may_delete_its_parts(iam: Iam) -> None:
    maker, other = iam.user("maker", allow()), iam.user("other", STACKS)
    stack = make(iam, maker)

    iam.client("cloudformation", other).delete_stack(StackName=stack)

    assert status(iam, stack) == "DELETE_FAILED"
    assert "not authorized to perform: ec2:De" in reasons(iam, stack)


def test_a_service_role_acts_instead_of_who_passes_it(iam: Iam) -> None:
    trusting = trust({"Service": "cloudformation.amazonaws.com"})
    role = iam.role("cfn", trusting, allow("ec2:*"))
    to = {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    passing = iam.user("a", STACKS, allow("iam:PassRole", role, Condition=to))
    not_passing = iam.user("b", STACKS)

    with refused("AccessDenied", "iam:PassRole"):
        make(iam, not_passing, RoleARN=role)
    assert status(iam, make(iam, passing, RoleARN=role)) == "CREATE_COMPLETE"
