from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]
STOP = "ec2:StopInstances"


def _policy(effect: str, action: str, resource: str = "*", **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def iam(aws: Client) -> Any:
    return aws("iam")


@pytest.fixture
def role(iam: Any) -> str:
    """A role that may stop instances, but for one; its ARN."""
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
    document = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
    arn = iam.create_role(RoleName="responder", AssumeRolePolicyDocument=json.dumps(document))[
        "Role"
    ]["Arn"]
    iam.put_role_policy(
        RoleName="responder", PolicyName="may", PolicyDocument=_policy("Allow", "ec2:Stop*")
    )
    iam.put_role_policy(
        RoleName="responder",
        PolicyName="may-not",
        PolicyDocument=_policy("Deny", "ec2:*", "arn:aws:ec2:*:*:instance/i-0"),
    )
    return str(arn)


def _decisions(answer: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {
        (item["EvalActionName"], item["EvalResourceName"]): item["EvalDecision"]
        for item in answer["EvaluationResults"]
    }


def test_a_role_s_policies_are_simulated(iam: Any, role: str, world: WorldIds) -> None:
    instance = f"arn:aws:ec2:{world.region}:{world.account}:instance/"

    answer = iam.simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=[STOP, "ec2:TerminateInstances"],
        ResourceArns=[f"{instance}i-1", f"{instance}i-0"],
    )

    assert _decisions(answer) == {
        (STOP, f"{instance}i-1"): "allowed",
        (STOP, f"{instance}i-0"): "explicitDeny",
        ("ec2:TerminateInstances", f"{instance}i-1"): "implicitDeny",
        ("ec2:TerminateInstances", f"{instance}i-0"): "explicitDeny",
    }


def test_a_user_s_policies_and_those_given_are_simulated(iam: Any) -> None:
    user = iam.create_user(UserName="mallory")["User"]["Arn"]

    before = iam.simulate_principal_policy(PolicySourceArn=user, ActionNames=[STOP])
    after = iam.simulate_principal_policy(
        PolicySourceArn=user, ActionNames=[STOP], PolicyInputList=[_policy("Allow", STOP)]
    )

    assert _decisions(before) == {(STOP, "*"): "implicitDeny"}
    assert _decisions(after) == {(STOP, "*"): "allowed"}


def test_a_permissions_boundary_narrows(iam: Any, role: str) -> None:
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=[STOP],
        PermissionsBoundaryPolicyInputList=[_policy("Allow", "s3:*")],
    )

    [result] = answer["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"
    detail = result["PermissionsBoundaryDecisionDetail"]
    assert detail == {"AllowedByPermissionsBoundary": False}


def test_conditions_see_the_context_that_is_given(iam: Any) -> None:
    condition = {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}
    policy = _policy("Allow", STOP, Condition=condition)

    def decided(region: str) -> str:
        context = {
            "ContextKeyName": "aws:RequestedRegion",
            "ContextKeyType": "string",
            "ContextKeyValues": [region],
        }
        answer = iam.simulate_custom_policy(
            PolicyInputList=[policy], ActionNames=[STOP], ContextEntries=[context]
        )
        return _decisions(answer)[STOP, "*"]

    assert decided("eu-west-1") == "allowed"
    assert decided("us-east-1") == "implicitDeny"


def test_results_come_in_pages(iam: Any, role: str) -> None:
    actions = [STOP, "ec2:StartInstances", "ec2:RebootInstances"]

    first = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=actions, MaxItems=2)
    second = iam.simulate_principal_policy(
        PolicySourceArn=role, ActionNames=actions, MaxItems=2, Marker=first["Marker"]
    )

    assert (first["IsTruncated"], second["IsTruncated"]) == (True, False)
    assert [action for page in (first, second) for action, _ in _decisions(page)] == actions


def test_an_unknown_principal_is_refused(iam: Any, world: WorldIds) -> None:
    for kind in ("role", "user"):
        with refused("NoSuchEntity"):
            iam.simulate_principal_policy(
                PolicySourceArn=f"arn:aws:iam::{world.account}:{kind}/nobody", ActionNames=[STOP]
            )


def test_a_policy_that_is_none_is_refused(iam: Any) -> None:
    with refused("InvalidInput"):
        iam.simulate_custom_policy(PolicyInputList=["nonsense"], ActionNames=[STOP])
