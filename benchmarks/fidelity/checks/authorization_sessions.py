"""IAM's enforcement: roles that are assumed, and what their sessions may do."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, Account, Credentials
from benchmarks.fidelity.checks.authorization_people import (
    Statement,
    administrator,
    allow,
    assumed,
    deny,
    document,
    user,
)
from benchmarks.fidelity.verdicts import Verdicts, check

_OTHER = "333333333333"
_ME = f"arn:aws:iam::{ACCOUNT_ID}:user/a1"
_SOMEBODY_ELSE = f"arn:aws:iam::{ACCOUNT_ID}:user/zzz"


def _trusting(who: str, **more: Any) -> str:
    return document(
        {"Effect": "Allow", "Principal": {"AWS": who}, "Action": "sts:AssumeRole", **more}
    )


def _role(iam: Any, name: str, trust: str, statement: Statement) -> None:
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    _put(iam, name, "p", statement)


def _put(iam: Any, role: str, name: str, statement: Statement) -> None:
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document(statement))


def _arn(role: str, account_id: str = ACCOUNT_ID) -> str:
    return f"arn:aws:iam::{account_id}:role/{role}"


def _me(account: Account) -> Credentials:
    return user(account, "a1", allow("sts:AssumeRole"))


@check("enforce", "who may assume a role")
def _trust(account: Account, seen: Verdicts) -> None:
    iam, me, without = account("iam"), _me(account), user(account, "a2")
    with_id = {"StringEquals": {"sts:ExternalId": "case-7"}}
    with_mfa = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    for name, trust in {
        "t-me": _trusting(_ME),
        "t-root": _trusting(f"arn:aws:iam::{ACCOUNT_ID}:root"),
        "t-other": _trusting(_SOMEBODY_ELSE),
        "t-ext": _trusting(_ME, Condition=with_id),
        "t-mfa": _trusting(_ME, Condition=with_mfa),
    }.items():
        _role(iam, name, trust, allow("ec2:*"))
    account.enforce()
    for rule, role, more in (
        ("whom the trust policy names", "t-me", {}),
        ("somebody of the account that the trust policy names", "t-root", {}),
        ("somebody with the ExternalId", "t-ext", {"ExternalId": "case-7"}),
    ):
        seen.done(rule, partial(assumed, account, _arn(role), me, **more))
    for rule, who, role, more in (
        ("somebody else than the trust policy names", me, "t-other", {}),
        ("somebody with another ExternalId", me, "t-ext", {"ExternalId": "no"}),
        ("somebody without the ExternalId", me, "t-ext", {}),
        ("somebody without the MFA that the trust policy wants", me, "t-mfa", {}),
        ("somebody who has no permission and isn't trusted", without, "t-other", {}),
        ("anybody, of a role that doesn't exist", me, "none", {}),
    ):
        seen.refused(
            rule,
            "AccessDenied",
            partial(assumed, account, _arn(role), who, **more),
        )


@check("enforce", "roles of another account")
def _cross_account(account: Account, seen: Verdicts) -> None:
    me = _me(account)
    # Nothing is enforced yet, and so the role need not be there.
    there = assumed(account, _arn("admin", _OTHER))
    iam = account("iam", credentials=there)
    reading = allow("ec2:Describe*")
    _role(iam, "x-acct", _trusting(_ME), reading)
    _role(iam, "x-deny", _trusting("arn:aws:iam::999999999999:root"), reading)
    account.enforce()
    session = seen.done(
        "a role that trusts the caller", lambda: assumed(account, _arn("x-acct", _OTHER), me)
    )
    seen.refused(
        "a role that doesn't trust the caller",
        "AccessDenied",
        lambda: assumed(account, _arn("x-deny", _OTHER), me),
    )
    ec2 = account("ec2", credentials=session)
    seen.done("its session may do what the role may", lambda: ec2.describe_instances())
    seen.refused(
        "its session may do no more than the role",
        "UnauthorizedOperation",
        lambda: ec2.create_vpc(CidrBlock="10.0.0.0/16"),
    )


@check("enforce", "sessions")
def _sessions(account: Account, seen: Verdicts) -> None:
    iam, me = account("iam", credentials=administrator(account)), _me(account)
    _role(iam, "t-me", _trusting(_ME), allow("ec2:*"))
    account.enforce()
    narrow = assumed(account, _arn("t-me"), me, Policy=document(allow("ec2:DescribeInstances")))
    seen.done(
        "what the session's own policy allows",
        lambda: account("ec2", credentials=narrow).describe_instances(),
    )
    seen.refused(
        "what the session's own policy doesn't allow",
        "UnauthorizedOperation",
        lambda: account("ec2", credentials=narrow).describe_vpcs(),
    )
    session = assumed(account, _arn("t-me"), me)

    def describe(credentials: Credentials = session) -> Any:
        return account("ec2", credentials=credentials).describe_instances()

    forged = replace(session, token=f"AAAA{(session.token or '')[4:]}")
    seen.refused("a token that isn't the session's", "AuthFailure", lambda: describe(forged))

    def revoke_before(moment: str) -> None:
        denial = deny("*", Condition={"DateLessThan": {"aws:TokenIssueTime": moment}})
        _put(iam, "t-me", "AWSRevokeOlderSessions", denial)

    revoke_before("2999-01-01T00:00:00Z")
    seen.refused("sessions that began before are revoked", "UnauthorizedOperation", describe)
    revoke_before("2001-01-01T00:00:00Z")
    seen.done("sessions that began after go on", describe)
