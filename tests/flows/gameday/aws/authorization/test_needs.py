"""Service Authorization Reference: what operations need, on which resources."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import botocore.session
import pytest

from flows.gameday.aws.authorization.actions import context_of, needs_of
from flows.gameday.aws.authorization.resources import Place
from flows.gameday.aws.recording import Request
from flows.gameday.worlds import WorldIds, client
from tests.flows.gameday.aws.authorization.conftest import ACCOUNT

Ids = Callable[[str], str]
REGION = "eu-west-1"


def request(service: str, operation: str, given: Mapping[str, Any]) -> Request:
    return Request(service, operation, given, "AKIASIMULATED0000000", REGION)


def needs(service: str, operation: str, **given: Any) -> list[tuple[str, list[str]]]:
    asked = needs_of(request(service, operation, given), Place(ACCOUNT, REGION))
    return [(need.action, [resource.arn for resource in need.resources]) for need in asked]


def ec2(resource: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:ec2:{REGION}:{account}:{resource}"


@pytest.mark.parametrize(
    ("operation", "given", "expected"),
    [
        ("DescribeInstances", {"InstanceIds": ["{victim}"]}, ["*"]),
        ("DescribeInstanceAttribute", {"InstanceId": "{victim}"}, ["instance/{victim}"]),
        ("StopInstances", {"InstanceIds": ["{victim}"]}, ["instance/{victim}"]),
        ("CreateSecurityGroup", {"VpcId": "{vpc}"}, ["security-group/*", "vpc/{vpc}"]),
        ("CreateVolume", {"SnapshotId": "snap-0123456789abcdef0"}, None),
        (
            "ModifyInstanceAttribute",
            {"InstanceId": "{victim}", "Groups": ["{web_group}"]},
            ["instance/{victim}", "security-group/{web_group}"],
        ),
        (
            "CreateTags",
            {"Resources": ["{victim}", "{volume_1}"], "Tags": [{"Key": "a", "Value": "{vpc}"}]},
            ["instance/{victim}", "volume/{volume_1}"],
        ),
    ],
)
def test_of_ec2_a_call_is_on_what_it_names(
    world: WorldIds, operation: str, given: dict[str, Any], expected: list[str] | None
) -> None:
    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(item) for key, item in value.items()}
        if isinstance(value, list):
            return [named(item) for item in value]
        return value.format(**world.ids)

    [(action, resources)] = needs("ec2", operation, **named(given))

    assert action == f"ec2:{operation}"
    if expected is None:
        assert resources == [ec2("volume/*"), ec2("snapshot/snap-0123456789abcdef0", "")]
    else:
        assert resources == [item if item == "*" else ec2(item) for item in named(expected)]


def test_an_association_is_one_of_the_instance(world: WorldIds) -> None:
    [association] = client(
        world.url, world.region, "ec2"
    ).describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [world.victim]}]
    )["IamInstanceProfileAssociations"]

    [(_, resources)] = needs(
        "ec2", "DisassociateIamInstanceProfile", AssociationId=association["AssociationId"]
    )

    assert resources == [ec2(f"instance/{world.victim}")]


def test_a_set_of_snapshots_is_on_the_instance_and_its_volumes(world: WorldIds) -> None:
    own, tags = needs(
        "ec2",
        "CreateSnapshots",
        InstanceSpecification={"InstanceId": world.victim},
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}],
    )

    assert own[0] == "ec2:CreateSnapshots"
    assert {ec2("snapshot/*", ""), ec2(f"instance/{world.victim}")} < set(own[1])
    assert ec2(f"volume/{world.ids['volume_1']}") in own[1]
    assert tags == ("ec2:CreateTags", [ec2("snapshot/*", "")])


def iam(resource: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:{resource}"


@pytest.mark.parametrize(
    ("service", "operation", "given", "expected"),
    [
        (
            "iam",
            "PutRolePolicy",
            {"RoleName": "payments-app"},
            [("iam:PutRolePolicy", [iam("role/app/payments-app")])],
        ),
        (
            "iam",
            "CreateRole",
            {"RoleName": "new", "Path": "/ir/", "Tags": [{"Key": "a", "Value": "b"}]},
            [("iam:CreateRole", [iam("role/ir/new")]), ("iam:TagRole", [iam("role/ir/new")])],
        ),
        (
            "iam",
            "AttachRolePolicy",
            {"RoleName": "new", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
            [("iam:AttachRolePolicy", [iam("role/new")])],
        ),
        (
            "iam",
            "AddRoleToInstanceProfile",
            {"InstanceProfileName": "p", "RoleName": "payments-app"},
            [
                ("iam:AddRoleToInstanceProfile", [iam("instance-profile/p")]),
                ("iam:PassRole", [iam("role/app/payments-app")]),
            ],
        ),
        (
            "cloudformation",
            "CreateStack",
            {"StackName": "room", "RoleARN": iam("role/cfn")},
            [
                (
                    "cloudformation:CreateStack",
                    [f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/room/*"],
                ),
                ("iam:PassRole", [iam("role/cfn")]),
            ],
        ),
        ("s3", "ListBuckets", {}, [("s3:ListAllMyBuckets", ["*"])]),
        ("s3", "HeadObject", {"Bucket": "b", "Key": "k"}, [("s3:GetObject", ["arn:aws:s3:::b/k"])]),
        (
            "s3",
            "GetObject",
            {"Bucket": "b", "Key": "k", "versionId": "1"},
            [("s3:GetObjectVersion", ["arn:aws:s3:::b/k"])],
        ),
        ("s3", "ListObjectsV2", {"Bucket": "b"}, [("s3:ListBucket", ["arn:aws:s3:::b"])]),
        (
            "s3control",
            "PutPublicAccessBlock",
            {"AccountId": ACCOUNT},
            [("s3:PutAccountPublicAccessBlock", ["*"])],
        ),
        (
            "elbv2",
            "DeregisterTargets",
            {"TargetGroupArn": "arn:aws:elasticloadbalancing:r:1:targetgroup/t/1"},
            [
                (
                    "elasticloadbalancing:DeregisterTargets",
                    ["arn:aws:elasticloadbalancing:r:1:targetgroup/t/1"],
                )
            ],
        ),
        (
            "elb",
            "DeregisterInstancesFromLoadBalancer",
            {"LoadBalancerName": "classic", "Instances": []},
            [
                (
                    "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
                    [f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/classic"],
                )
            ],
        ),
        (
            "lambda",
            "Invoke",
            {"FunctionName": "f"},
            [("lambda:InvokeFunction", [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"])],
        ),
        (
            "sqs",
            "SendMessageBatch",
            {"QueueUrl": "http://127.0.0.1:5000/999999999999/q"},
            [("sqs:SendMessage", [f"arn:aws:sqs:{REGION}:999999999999:q"])],
        ),
        (
            "ssm",
            "GetParameter",
            {"Name": "/a/b"},
            [("ssm:GetParameter", [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/a/b"])],
        ),
        (
            "guardduty",
            "ArchiveFindings",
            {"DetectorId": "d"},
            [("guardduty:ArchiveFindings", [f"arn:aws:guardduty:{REGION}:{ACCOUNT}:detector/d"])],
        ),
        ("stepfunctions", "ListStateMachines", {}, [("states:ListStateMachines", ["*"])]),
        (
            "sts",
            "AssumeRole",
            {"RoleArn": iam("role/r"), "SourceIdentity": "x", "Tags": [{"Key": "a", "Value": "b"}]},
            [
                ("sts:AssumeRole", [iam("role/r")]),
                ("sts:TagSession", [iam("role/r")]),
                ("sts:SetSourceIdentity", [iam("role/r")]),
            ],
        ),
    ],
)
def test_operations_need_the_actions_of_the_reference(
    world: WorldIds, service: str, operation: str, given: dict[str, Any], expected: Any
) -> None:
    assert needs(service, operation, **given) == expected


def test_a_key_is_one_however_it_is_named(world: WorldIds) -> None:
    key = world.ids["key"]
    kms = client(world.url, world.region, "kms")
    kms.create_alias(AliasName="alias/volumes", TargetKeyId=key)

    for name in (key, key.rpartition("/")[2], "alias/volumes"):
        assert needs("kms", "Encrypt", KeyId=name) == [("kms:Encrypt", [key])]


def test_a_run_passes_the_role_in_the_profile_to_ec2(world: WorldIds) -> None:
    asked = needs_of(
        request(
            "ec2",
            "RunInstances",
            {"ImageId": world.ids["image"], "IamInstanceProfile": {"Name": world.ids["profile"]}},
        ),
        Place(ACCOUNT, REGION),
    )

    passing = asked[-1]
    assert (passing.action, passing.context) == (
        "iam:PassRole",
        {"iam:passedtoservice": ("ec2.amazonaws.com",)},
    )
    assert [resource.arn for resource in passing.resources] == [iam("role/app/payments-app")]


def test_the_request_brings_condition_keys(world: WorldIds) -> None:
    context = context_of(
        request(
            "ec2",
            "CreateSnapshots",
            {
                "TagSpecifications": [
                    {"ResourceType": "snapshot", "Tags": [{"Key": "Case", "Value": "7"}]}
                ]
            },
        )
    )
    asked = {"ExternalId": "e", "RoleSessionName": "s", "TransitiveTagKeys": ["a", "b"]}

    assert context == {"aws:requesttag/case": ("7",), "aws:tagkeys": ("Case",)}
    assert context_of(request("sts", "AssumeRole", asked)) == {
        "sts:externalid": ("e",),
        "sts:rolesessionname": ("s",),
        "sts:transitivetagkeys": ("a", "b"),
    }


SERVICES = (
    *("autoscaling", "cloudformation", "cloudtrail", "cloudwatch", "dynamodb", "ec2", "ecs"),
    *("eks", "elb", "elbv2", "events", "guardduty", "iam", "kms", "lambda", "logs"),
    *("organizations", "rds", "route53resolver", "s3", "s3control", "secretsmanager"),
    *("securityhub", "sns", "sqs", "ssm", "stepfunctions", "sts"),
)


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_needs_something(world: WorldIds, service: str) -> None:
    model = _models().get_service_model(service)
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        for text in ("x", "arn:aws:iam::123456789012:role/x", "i-0123456789abcdef0"):
            asked = request(service, operation, _filled(shape, text))

            found = needs_of(asked, Place(ACCOUNT, REGION))

            assert found, operation
            for need in found:
                assert re.fullmatch(r"[a-z0-9-]+:\w+", need.action), operation
                assert need.resources, operation
            context_of(asked)


@cache
def _models() -> Any:
    return botocore.session.Session()


def _filled(shape: Any, text: str, depth: int = 0) -> Any:
    """Something of the shape, with the text wherever there is one."""
    if shape is None or depth > 4:
        return {}
    if shape.type_name == "structure":
        members = shape.members.items()
        return {name: _filled(member, text, depth + 1) for name, member in members}
    if shape.type_name == "list":
        return [_filled(shape.member, text, depth + 1)]
    if shape.type_name == "map":
        return {"key": _filled(shape.value, text, depth + 1)}
    return {"boolean": False, "integer": 1, "long": 1}.get(shape.type_name, text)
