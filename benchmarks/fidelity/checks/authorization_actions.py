"""IAM's enforcement: actions, explicit and implicit denials, credentials that are nobody's."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account, Credentials
from benchmarks.fidelity.checks.authorization_people import (
    administrator,
    allow,
    deny,
    document,
    user,
)
from benchmarks.fidelity.verdicts import Verdicts, check

_UNAUTHORIZED = "UnauthorizedOperation"


def tag(account: Account, credentials: Credentials) -> Any:
    """Tag the victim, as whom these credentials are of."""
    return account("ec2", credentials=credentials).create_tags(
        Resources=[account.ids.victim], Tags=[{"Key": "a", "Value": "b"}]
    )


@check("enforce", "actions")
def _actions(account: Account, seen: Verdicts) -> None:
    some = user(
        account,
        "u1",
        allow(["ec2:Describe*", "ec2:CreateTags"]),
        deny("ec2:DescribeVolumes"),
    )
    otherwise = user(account, "u2", allow("EC2:describeInstances"))
    all_but_iam = user(account, "u3", {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})
    nothing = user(account, "u4")
    account.enforce()
    ec2 = account("ec2", credentials=some)
    seen.done("an action that is allowed", lambda: ec2.describe_instances())
    seen.done("an action that is allowed and changes something", lambda: tag(account, some))
    seen.refused(
        "an action of EC2 that nothing allows",
        _UNAUTHORIZED,
        lambda: ec2.stop_instances(InstanceIds=[account.ids.victim]),
    )
    seen.refused(
        "an action of EC2 that is denied, though it is allowed, too",
        _UNAUTHORIZED,
        lambda: ec2.describe_volumes(),
    )
    seen.done(
        "the names of actions are the same in any case",
        lambda: account("ec2", credentials=otherwise).describe_instances(),
    )
    seen.done(
        "NotAction allows what it doesn't name",
        lambda: account("ec2", credentials=all_but_iam).describe_instances(),
    )
    seen.refused(
        "NotAction doesn't allow what it names",
        "AccessDenied",
        lambda: account("iam", credentials=all_but_iam).list_users(),
    )
    seen.refused(
        "somebody without any policy",
        _UNAUTHORIZED,
        lambda: account("ec2", credentials=nothing).describe_instances(),
    )
    seen.done(
        "everybody may ask who they are",
        lambda: account("sts", credentials=nothing).get_caller_identity(),
    )


@check("enforce", "credentials that are nobody's")
def _credentials(account: Account, seen: Verdicts) -> None:
    own = user(account, "u1", allow("ec2:Describe*"))
    iam = account("iam", credentials=administrator(account))
    account.enforce()

    def describe(credentials: Credentials = own) -> Any:
        return account("ec2", credentials=credentials).describe_instances()

    seen.refused(
        "the wrong secret of an access key",
        ("AuthFailure", "SignatureDoesNotMatch"),
        lambda: describe(Credentials(own.access_key, "wrong" * 8)),
    )
    invented = Credentials("AKIAXXXXXXXXXXXXXXXX", "x")
    seen.refused(
        "an access key that IAM never gave out",
        "AuthFailure",
        lambda: describe(invented),
    )
    iam.update_access_key(UserName="u1", AccessKeyId=own.access_key, Status="Inactive")
    seen.refused("an access key that is Inactive", "AuthFailure", describe)
    iam.delete_access_key(UserName="u1", AccessKeyId=own.access_key)
    seen.refused(
        "an access key that was deleted", ("AuthFailure", "InvalidClientTokenId"), describe
    )


@check("enforce", "permissions boundaries")
def _boundary(account: Account, seen: Verdicts) -> None:
    iam = account("iam")
    boundary = iam.create_policy(
        PolicyName="onlyDesc", PolicyDocument=document(allow("ec2:Describe*"))
    )["Policy"]["Arn"]
    bound = user(account, "u5", allow("ec2:*"), PermissionsBoundary=boundary)
    account.enforce()
    seen.done(
        "what both the boundary and a policy allow",
        lambda: account("ec2", credentials=bound).describe_instances(),
    )
    seen.refused("what the boundary doesn't allow", _UNAUTHORIZED, lambda: tag(account, bound))
