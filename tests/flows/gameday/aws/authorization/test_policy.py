"""IAM User Guide, "IAM JSON policy element reference"."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.aws.authorization.conditions import MalformedPolicy
from flows.gameday.aws.authorization.policy import (
    ANONYMOUS,
    Asked,
    Grant,
    Principal,
    read_policy,
)
from tests.flows.gameday.aws.authorization.documents import allow, deny, document, trust

ACCOUNT = "123456789012"
USER = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/eve", unique_id="AIDAEVE")
ROLE = Principal(
    ACCOUNT,
    f"arn:aws:sts::{ACCOUNT}:assumed-role/app/i-1",
    f"arn:aws:iam::{ACCOUNT}:role/x/app",
    "AROAAPP",
)
ROOT = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
INSTANCE = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-1"


def allows(statement: dict[str, Any], action: str, resource: str, **context: str) -> bool:
    given = {name.replace("_", ":"): (value,) for name, value in context.items()}
    return read_policy(document(statement)).allows(Asked(action, resource, USER, given))


@pytest.mark.parametrize(
    ("patterns", "action", "allowed"),
    [
        ("*", "ec2:StopInstances", True),
        ("ec2:*", "ec2:StopInstances", True),
        ("EC2:stop*", "ec2:StopInstances", True),
        ("ec2:Stop", "ec2:StopInstances", False),
        ("ec2:?topInstances", "ec2:StopInstances", True),
        (["s3:*", "ec2:StopInstances"], "ec2:StopInstances", True),
        ("ec2:*", "ecs:StopTask", False),
    ],
)
def test_actions_are_matched_with_wildcards_and_without_case(
    patterns: Any, action: str, allowed: bool
) -> None:
    assert allows(allow(patterns), action, "*") is allowed
    opposite = {"Effect": "Allow", "NotAction": patterns, "Resource": "*"}
    assert allows(opposite, action, "*") is not allowed


@pytest.mark.parametrize(
    ("patterns", "resource", "allowed"),
    [
        ("*", INSTANCE, True),
        ("*", "*", True),
        (INSTANCE, INSTANCE, True),
        (INSTANCE, "*", False),
        (INSTANCE.upper(), INSTANCE, False),
        ("arn:aws:ec2:*:*:instance/*", INSTANCE, True),
        ("arn:aws:ec2:*", INSTANCE, True),
        ("arn:*:instance/i-1", INSTANCE, True),
        ("arn:*:ec2:*:123456789012:instance/i-?", INSTANCE, True),
        (f"arn:aws:ec2:eu-west-1:{ACCOUNT}:volume/*", INSTANCE, False),
        # A wildcard that isn't the last of its segment stays in it.
        ("arn:aws:ec2:eu*1:*:instance/i-1", INSTANCE, True),
        ("arn:aws:e*2:instance/i-1", INSTANCE, False),
        ("arn:aws:s3:::bucket/*.txt", "arn:aws:s3:::bucket/a:b.txt", True),
        (["arn:aws:s3:::a", INSTANCE], INSTANCE, True),
    ],
)
def test_resources_are_matched_with_wildcards(patterns: Any, resource: str, allowed: bool) -> None:
    assert allows(allow(resource=patterns), "ec2:StopInstances", resource) is allowed
    opposite = {"Effect": "Allow", "Action": "*", "NotResource": patterns}
    assert allows(opposite, "ec2:StopInstances", resource) is not allowed


def test_variables_in_a_resource_are_filled_in() -> None:
    own = allow(resource="arn:aws:s3:::home/${aws:username}/*")

    assert allows(own, "s3:GetObject", "arn:aws:s3:::home/eve/a", aws_username="eve")
    assert not allows(own, "s3:GetObject", "arn:aws:s3:::home/adam/a", aws_username="eve")
    assert not allows(own, "s3:GetObject", "arn:aws:s3:::home/adam/a", aws_username="*")
    assert not allows(own, "s3:GetObject", "arn:aws:s3:::home//a")
    old = read_policy(document(own, version="2008-10-17"))
    context = {"aws:username": ("eve",)}
    assert not old.allows(Asked("s3:GetObject", "arn:aws:s3:::home/eve/a", USER, context))
    assert old.allows(Asked("s3:GetObject", "arn:aws:s3:::home/${aws:username}/a", USER, context))


def test_a_condition_narrows_a_statement() -> None:
    tagged = allow(Condition={"StringEquals": {"aws:ResourceTag/env": "prod"}})
    policy = read_policy(document(tagged))

    def allowed(*tags: str) -> bool:
        return policy.allows(Asked("ec2:StopInstances", "*", USER, {"aws:resourcetag/env": tags}))

    assert allowed("prod")
    assert not allowed("dev")
    assert not allowed()


@pytest.mark.parametrize(
    ("named", "principal", "granted"),
    [
        (ACCOUNT, USER, Grant.ACCOUNT),
        (f"arn:aws:iam::{ACCOUNT}:root", USER, Grant.ACCOUNT),
        (f"arn:aws:iam::{ACCOUNT}:root", ROOT, Grant.DIRECT),
        ("arn:aws:iam::999999999999:root", USER, Grant.NONE),
        (USER.arn, USER, Grant.DIRECT),
        ("AIDAEVE", USER, Grant.DIRECT),
        (USER.arn, ROLE, Grant.NONE),
        (ROLE.role, ROLE, Grant.ROLE),
        ("AROAAPP", ROLE, Grant.ROLE),
        (ROLE.arn, ROLE, Grant.DIRECT),
        (f"arn:aws:iam::{ACCOUNT}:role/app", ROLE, Grant.NONE),
        (f"arn:aws:iam::{ACCOUNT}:user/*", USER, Grant.NONE),
        ("*", USER, Grant.DIRECT),
        ("*", ANONYMOUS, Grant.DIRECT),
        (ACCOUNT, ANONYMOUS, Grant.NONE),
        ({"Service": "ec2.amazonaws.com"}, USER, Grant.NONE),
        ({"Service": "ec2.amazonaws.com"}, Principal(service="ec2.amazonaws.com"), Grant.DIRECT),
        ([USER.arn, ACCOUNT], USER, Grant.DIRECT),
    ],
)
def test_a_principal_is_named_by_account_arn_or_id(
    named: Any, principal: Principal, granted: Grant
) -> None:
    policy = read_policy(document(trust(named)))

    assert policy.grants(Asked("sts:AssumeRole", "*", principal)) is granted


def test_a_principal_may_be_a_plain_star() -> None:
    statement = {**allow(), "Principal": "*"}

    assert read_policy(document(statement)).grants(Asked("s3:GetObject", "*", USER))


@pytest.mark.parametrize(
    ("named", "principal", "denied"),
    [
        ([USER.arn, ACCOUNT], USER, False),
        ([USER.arn], USER, True),
        ([ACCOUNT], USER, True),
        ([ROLE.arn, ROLE.role, ACCOUNT], ROLE, False),
        ([ROLE.role, ACCOUNT], ROLE, True),
        ([USER.arn, ACCOUNT], ROLE, True),
        ([f"arn:aws:iam::{ACCOUNT}:root"], ROOT, False),
    ],
)
def test_not_principal_leaves_out_only_who_is_named_with_their_account(
    named: list[str], principal: Principal, denied: bool
) -> None:
    policy = read_policy(document({**deny(), "NotPrincipal": {"AWS": named}}))

    assert policy.denies(Asked("s3:GetObject", "*", principal)) is denied


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        document({"Effect": "allow", "Action": "*", "Resource": "*"}),
        document({"Effect": "Allow", "Resource": "*"}),
        document({"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}),
        document({"Effect": "Allow", "Action": 7, "Resource": "*"}),
        document({**allow(), "Principal": "somebody"}),
        document({**allow(), "Principal": {"Person": "*"}}),
    ],
)
def test_what_iam_would_not_store_is_malformed(text: str) -> None:
    with pytest.raises(MalformedPolicy):
        read_policy(text)


names = st.text("abcAB", min_size=1, max_size=4)


@given(names, names)
def test_the_case_of_an_action_never_matters(service: str, name: str) -> None:
    statement = allow(f"{service}:{name}")

    assert allows(statement, f"{service.upper()}:{name.lower()}", "*")
    assert allows(statement, f"{service.lower()}:{name.upper()}", "*")


@given(st.lists(st.sampled_from(["ec2:*", "s3:Get*", "iam:PassRole"]), min_size=1), names)
def test_not_action_is_the_opposite_of_action(patterns: list[str], name: str) -> None:
    action = f"s3:{name}"

    assert allows(allow(patterns), action, "*") is not allows(
        {"Effect": "Allow", "NotAction": patterns, "Resource": "*"}, action, "*"
    )
