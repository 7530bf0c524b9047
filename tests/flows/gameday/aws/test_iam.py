from __future__ import annotations

import json
from typing import Any

import pytest

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


@pytest.mark.parametrize("kind", ["role", "user", "group"])
def test_the_policies_managed_by_aws_can_be_attached(aws: Any, world: WorldIds, kind: str) -> None:
    iam = aws("iam")
    name = world.ids["role"] if kind == "role" else "somebody"
    if kind != "role":
        getattr(iam, f"create_{kind}")(**{f"{kind.title()}Name": name})
    who = {f"{kind.title()}Name": name}
    attach = getattr(iam, f"attach_{kind}_policy")
    arn = "arn:aws:iam::aws:policy/AWSDenyAll"

    attach(**who, PolicyArn=arn)

    attached = getattr(iam, f"list_attached_{kind}_policies")(**who)["AttachedPolicies"]
    assert [item["PolicyArn"] for item in attached] == [arn]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    assert {item["Effect"] for item in document["Statement"]} == {"Deny"}
    with refused("NoSuchEntity"):
        attach(**who, PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicy")
    getattr(iam, f"detach_{kind}_policy")(**who, PolicyArn=arn)
    assert getattr(iam, f"list_attached_{kind}_policies")(**who)["AttachedPolicies"] == []


def test_what_is_attached_twice_is_attached_once(aws: Any, world: WorldIds) -> None:
    iam, role = aws("iam"), world.ids["role"]
    arn = iam.create_policy(PolicyName="deny", PolicyDocument=policy())["Policy"]["Arn"]

    for _ in range(2):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)

    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)


def test_a_user_cannot_be_deleted_while_something_is_theirs(aws: Any) -> None:
    iam = aws("iam")
    iam.create_user(UserName="mallory")
    iam.create_login_profile(UserName="mallory", Password="Xyz!123456789")
    key = iam.create_access_key(UserName="mallory")["AccessKey"]["AccessKeyId"]
    iam.create_group(GroupName="people")
    iam.add_user_to_group(GroupName="people", UserName="mallory")

    with refused("DeleteConflict", "login profile"):
        iam.delete_user(UserName="mallory")
    iam.delete_login_profile(UserName="mallory")
    with refused("DeleteConflict", "access keys"):
        iam.delete_user(UserName="mallory")
    iam.delete_access_key(UserName="mallory", AccessKeyId=key)
    with refused("DeleteConflict", "group"):
        iam.delete_user(UserName="mallory")
    iam.remove_user_from_group(GroupName="people", UserName="mallory")
    iam.delete_user(UserName="mallory")


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


def test_the_inline_policies_of_a_user_have_2048_characters_in_all(aws: Any) -> None:
    iam = aws("iam")
    iam.create_user(UserName="mallory")
    most = policy({**_DENY, "Resource": [f"arn:aws:s3:::{number:050}" for number in range(29)]})
    assert 1_900 < len(most.replace(" ", "")) <= 2_048

    iam.put_user_policy(UserName="mallory", PolicyName="most", PolicyDocument=most)

    with refused("LimitExceeded", "2048"):
        iam.put_user_policy(UserName="mallory", PolicyName="more", PolicyDocument=policy())


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
