"""What a role may do, asked of IAM's policy simulator: nothing is called that is only asked about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runbooks.aws import Reader
from runbooks.calls import Call
from runbooks.permissions import policy_for
from runbooks.playbook import Playbooks
from runbooks.registry import STEPS

_ANYTHING = "clampdown-doctor"


def missing_actions(reader: Reader, arn: str, playbooks: Playbooks) -> list[str]:
    """The actions of `clampdown permissions` that the user or role with this ARN is not allowed.

    Each statement of that policy is asked about with an example of its resources, under its own
    conditions (SimulatePrincipalPolicy). The reader's account is the ARN's.

    Raises AwsRefused and its kinds, AwsUnreachable, NoCredentials.
    """
    steps = {STEPS[step.step] for book in playbooks.playbooks.values() for step in book.run_steps()}
    own = [account.role for account in playbooks.accounts.values() if account.role]
    missing: set[str] = set()
    for statement in policy_for(steps, own)["Statement"]:
        if statement["Effect"] == "Allow":
            missing.update(_denied(reader, arn, statement))
    return sorted(missing)


def _denied(reader: Reader, arn: str, statement: Mapping[str, Any]) -> Iterator[str]:
    partition, account = arn.split(":")[1], arn.split(":")[4]
    answer = reader.read(
        Call(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=arn,
            ActionNames=statement["Action"],
            ResourceArns=[
                _example(resource, partition, reader.region, account)
                for resource in statement["Resource"]
            ],
            ContextEntries=list(_context(statement, reader.region, account)),
        )
    )
    for result in answer["EvaluationResults"]:
        if result["EvalDecision"] != "allowed":
            yield str(result["EvalActionName"])


def _example(resource: str, partition: str, region: str, account: str) -> str:
    """A resource's ARN that the pattern stands for."""
    if resource == "*":
        return resource
    arn, _, service, place, _, name = resource.split(":", 5)
    place = region if place == "*" else place
    return ":".join((arn, partition, service, place, account, name.replace("*", _ANYTHING)))


def _context(statement: Mapping[str, Any], region: str, account: str) -> Iterator[dict[str, Any]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, value in keys.items():
            text = value.replace("${aws:PrincipalAccount}", account)
            yield {
                "ContextKeyName": key,
                "ContextKeyType": _kind(operator),
                # ec2.*.amazonaws.com*: the Region's own endpoint.
                "ContextKeyValues": [text.replace(".*.", f".{region}.").replace("*", "")],
            }


def _kind(operator: str) -> str:
    if operator.startswith("ForAnyValue"):
        return "stringList"
    return "boolean" if operator == "Bool" else "string"
