from __future__ import annotations

import json
from typing import Any

from flows.gameday.worlds import WorldIds, client
from tests.flows.gameday.aws.answers import refused

_DENY = {"Effect": "Deny", "Action": "*", "Resource": "*"}


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements or [_DENY])})


def test_a_role_in_a_profile_or_with_policies_cannot_be_deleted(aws: Any, world: WorldIds) -> None:
    iam, role, profile = aws("iam"), world.ids["role"], world.ids["profile"]
    iam.put_role_policy(RoleName=role, PolicyName="deny", PolicyDocument=policy())

    with refused("DeleteConflict"):
        iam.delete_role(RoleName=role)
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    with refused("DeleteConflict"):
        iam.delete_role(RoleName=role)
    iam.delete_role_policy(RoleName=role, PolicyName="deny")
    iam.delete_role(RoleName=role)


def test_a_role_that_is_not_in_the_profile_cannot_be_removed(aws: Any, world: WorldIds) -> None:
    iam = aws("iam")
    iam.create_role(RoleName="other", AssumeRolePolicyDocument=policy())

    with refused("NoSuchEntity"):
        iam.remove_role_from_instance_profile(
            InstanceProfileName=world.ids["profile"], RoleName="other"
        )


def test_the_policies_managed_by_aws_can_be_attached(aws: Any, world: WorldIds) -> None:
    iam, role = aws("iam"), world.ids["role"]
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"

    iam.attach_role_policy(RoleName=role, PolicyArn=arn)

    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [item["PolicyArn"] for item in attached] == [arn]
    with refused("NoSuchEntity"):
        iam.attach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicy")


def test_the_inline_policies_of_a_role_have_10240_characters_in_all(
    aws: Any, world: WorldIds
) -> None:
    iam, role = aws("iam"), world.ids["role"]
    half = policy({**_DENY, "Resource": [f"arn:aws:s3:::{number:050}" for number in range(90)]})
    assert 5_120 < len(half.replace(" ", "")) < 10_240

    iam.put_role_policy(RoleName=role, PolicyName="half", PolicyDocument=half)
    with refused("LimitExceeded"):
        iam.put_role_policy(RoleName=role, PolicyName="other half", PolicyDocument=half)
    iam.put_role_policy(RoleName=role, PolicyName="half", PolicyDocument=half)


def test_accounts_are_apart(aws: Any, world: WorldIds) -> None:
    import boto3

    answer = aws("sts").assume_role(
        RoleArn="arn:aws:iam::222222222222:role/responder", RoleSessionName="incident"
    )["Credentials"]
    session = boto3.Session(
        answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"]
    )
    there = session.client("ec2", region_name=world.region, endpoint_url=world.url)
    sts = session.client("sts", region_name=world.region, endpoint_url=world.url)

    assert sts.get_caller_identity()["Account"] == "222222222222"
    assert there.describe_instances()["Reservations"] == []
    assert client(world.url, world.region, "ec2").describe_instances()["Reservations"] != []
