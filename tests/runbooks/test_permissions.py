"""The policy allows what the steps do, what their undo does, and as little else as IAM can say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from itertools import permutations
from typing import Any

import botocore.session
import pytest

from flows.gameday.worlds import WorldIds
from runbooks.calls import IAM_PREFIXES
from runbooks.ec2.contain_credentials import ContainCredentials
from runbooks.ec2.isolate import IsolateInstance
from runbooks.ec2.protect import ProtectInstance
from runbooks.ec2.tag import TagInstance
from runbooks.permissions import (
    MANAGED_POLICY_CHARACTERS,
    actions_of,
    characters_of,
    policy_for,
)
from runbooks.registry import STEPS
from runbooks.step import AnyStep
from runbooks.targets.reading import CORE_PERMISSIONS
from tests.runbooks.driver import Incident

ACCOUNT = "arn:aws:iam::123456789012"
# Actions that IAM knows and no API is named after (Service Authorization Reference).
NO_CALL = {
    "iam:PassRole",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
}

every_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


@cache
def operations(prefix: str) -> frozenset[str]:
    session = botocore.session.Session()
    services = [name for name, used in IAM_PREFIXES.items() if used == prefix] or [prefix]
    return frozenset(
        operation
        for service in services
        for operation in session.get_service_model(service).operation_names
    )


def declared(step: type[AnyStep]) -> set[str]:
    facts = {action for fact in step.facts for action in fact.permissions}
    return {*CORE_PERMISSIONS, *facts, *step.permissions.read, *step.permissions.change}


def statements(policy: dict[str, Any], action: str, effect: str = "Allow") -> Iterator[Any]:
    for statement in policy["Statement"]:
        if statement["Effect"] == effect and any(
            fnmatchcase(action, pattern) for pattern in statement["Action"]
        ):
            yield statement


def allows(policy: dict[str, Any], action: str, resource: str) -> bool:
    """As IAM decides for a call that meets every condition."""

    def covers(statement: Any) -> bool:
        return any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])

    return any(map(covers, statements(policy, action))) and not any(
        map(covers, statements(policy, action, "Deny"))
    )


@every_step
def test_every_action_is_one_that_aws_has(step: type[AnyStep]) -> None:
    for action in declared(step) - NO_CALL:
        service, operation = action.split(":")
        assert operation in operations(service), action


@every_step
def test_the_policy_allows_exactly_what_the_step_declares(step: type[AnyStep]) -> None:
    policy = policy_for([step])

    allowed = {
        action
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }
    assert allowed == declared(step) == set(actions_of([step]))
    assert not any("*" in action for action in allowed)


def test_steps_share_one_policy_without_repetition_in_any_order() -> None:
    steps = [ProtectInstance, IsolateInstance, ContainCredentials]

    texts = {json.dumps(policy_for(order)) for order in permutations(steps)}

    assert len(texts) == 1
    assert texts == {json.dumps(policy_for([*steps, *steps]))}


def test_a_playbook_without_credentials_changes_nothing_in_iam() -> None:
    policy = policy_for([ProtectInstance, IsolateInstance, TagInstance])

    actions = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert not any(action.startswith("iam:") for action in actions)


def test_all_steps_together_fit_into_one_managed_policy() -> None:
    assert characters_of(policy_for(STEPS.values())) <= MANAGED_POLICY_CHARACTERS


def test_the_length_is_counted_without_white_space() -> None:
    assert characters_of({"a": ["b", "c"]}) == len('{"a":["b","c"]}')


@every_step
def test_every_statement_is_one_that_iam_takes(step: type[AnyStep]) -> None:
    policy = policy_for([step])

    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
    for statement in policy["Statement"]:
        assert statement["Action"]
        for resource in statement["Resource"]:
            # No wildcard in the service (IAM JSON policy elements: Resource).
            assert resource == "*" or re.fullmatch(r"arn:\*:[a-z0-9]+:\*?:\*?:[^:]+", resource)


def test_any_role_can_be_denied_and_undenied_but_only_our_own_are_made_and_deleted() -> None:
    policy = policy_for([ContainCredentials])

    for action in ("iam:PutRolePolicy", "iam:DeleteRolePolicy"):
        assert allows(policy, action, f"{ACCOUNT}:role/app/payments-app")
        assert allows(policy, action, f"{ACCOUNT}:role/clampdown-contained")
    for action in ("iam:CreateRole", "iam:DeleteRole", "iam:TagRole"):
        assert allows(policy, action, f"{ACCOUNT}:role/clampdown-contained")
        assert not allows(policy, action, f"{ACCOUNT}:role/app/payments-app")
    for action in (
        "iam:AddRoleToInstanceProfile",
        "iam:CreateInstanceProfile",
        "iam:DeleteInstanceProfile",
        "iam:RemoveRoleFromInstanceProfile",
        "iam:TagInstanceProfile",
    ):
        assert allows(policy, action, f"{ACCOUNT}:instance-profile/clampdown-contained")
        assert not allows(policy, action, f"{ACCOUNT}:instance-profile/app/payments-app-profile")


def test_every_call_of_a_run_and_of_its_undo_is_allowed_on_what_it_changes(
    world: WorldIds,
) -> None:
    policy = policy_for([ContainCredentials])
    incident = Incident(world.url)

    ran = incident.run(ContainCredentials, world.victim, {"scope": "role"})
    undone = incident.undo(ran)

    changes = [*ran.intents, *undone.intents]
    assert len({change.call.action for change in changes}) > 10
    for change in changes:
        assert allows(policy, change.call.action, change.on.arn), change.call
    incident.close()


def test_clampdown_cannot_widen_its_own_role() -> None:
    policy = policy_for([ContainCredentials])

    for action in ("iam:PutRolePolicy", "iam:PassRole", "iam:AttachRolePolicy"):
        assert not allows(policy, action, f"{ACCOUNT}:role/clampdown")
    assert allows(policy, "iam:GetRole", f"{ACCOUNT}:role/clampdown")


def test_its_own_role_is_known_by_its_name_in_every_account() -> None:
    own = [f"arn:aws:iam::{account}:role/ir/responder" for account in ("1" * 12, "2" * 12)]
    policy = policy_for([ContainCredentials], own)

    assert not allows(policy, "iam:PutRolePolicy", own[0])
    assert not allows(policy, "iam:PutRolePolicy", own[1])
    assert allows(policy, "iam:PutRolePolicy", f"{ACCOUNT}:role/clampdown")
    assert characters_of(policy) == characters_of(policy_for([ContainCredentials], own[:1]))


def test_roles_are_passed_to_ec2_and_to_nothing_else() -> None:
    passing = list(statements(policy_for([ContainCredentials]), "iam:PassRole"))

    assert {statement["Resource"][0]: statement["Condition"] for statement in passing} == {
        "arn:*:iam::*:role/clampdown-*": {
            "StringLikeIfExists": {"iam:PassedToService": "ec2.amazonaws.com*"}
        },
        # The undo gives instances back the profiles that they had.
        "arn:*:iam::*:role/*": {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}},
    }


def test_a_clean_room_alone_reaches_no_role_but_its_own() -> None:
    policy = policy_for([STEPS["clean_room.create"]])

    for action in ("iam:PutRolePolicy", "iam:PassRole"):
        assert allows(policy, action, f"{ACCOUNT}:role/clampdown-clean-room-inc-1-Role-ABC")
        assert not allows(policy, action, f"{ACCOUNT}:role/app/payments-app")


def test_what_a_clean_room_is_made_of_is_changed_through_cloudformation_only() -> None:
    policy = policy_for([STEPS["clean_room.create"]])

    for action in ("ec2:RunInstances", "ec2:TerminateInstances", "ec2:DeleteVolume"):
        (statement,) = statements(policy, action)
        assert statement["Condition"] == {
            "ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}
        }
    (statement,) = statements(policy, "cloudformation:DeleteStack")
    assert statement["Resource"] == ["arn:*:cloudformation:*:*:stack/clampdown-*"]


def test_what_belongs_to_another_account_is_not_changed() -> None:
    policy = policy_for([ProtectInstance, IsolateInstance, TagInstance])

    for action in sorted({*IsolateInstance.permissions.change} - {"ec2:CreateSecurityGroup"}):
        (statement,) = statements(policy, action)
        assert statement["Condition"] == {
            "StringEqualsIfExists": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}
        }
    # In a shared VPC the group is ours, and the VPC it is made in is another account's.
    (statement,) = statements(policy, "ec2:CreateSecurityGroup")
    assert "Condition" not in statement
