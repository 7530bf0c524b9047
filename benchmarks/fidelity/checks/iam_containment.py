"""IAM: what is done to an identity to contain it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.checks.authorization_people import allow, deny, document
from benchmarks.fidelity.verdicts import Verdicts, check

_DENY_ALL_OF_AWS = "arn:aws:iam::aws:policy/AWSDenyAll"
_MANAGED_BY_AWS = (
    "AWSDenyAll",
    "AWSCompromisedKeyQuarantineV2",
    "AWSCompromisedKeyQuarantineV3",
    "AdministratorAccess",
    "ReadOnlyAccess",
    "SecurityAudit",
    "AmazonSSMManagedInstanceCore",
)


@check("iam", "access keys")
def _keys(account: Account, seen: Verdicts) -> None:
    iam, key = account("iam"), account.ids.user_keys[0].access_key
    iam.update_access_key(UserName="victim", AccessKeyId=key, Status="Inactive")
    listed = iam.list_access_keys(UserName="victim")["AccessKeyMetadata"]
    status = {item["AccessKeyId"]: item["Status"] for item in listed}[key]
    seen.holds("a key is listed as Inactive", status == "Inactive", status)
    seen.refused(
        "a third key of a user",
        "LimitExceeded",
        lambda: iam.create_access_key(UserName="victim"),
    )
    iam.update_access_key(UserName="victim", AccessKeyId=key, Status="Active")
    listed = iam.list_access_keys(UserName="victim")["AccessKeyMetadata"]
    seen.holds(
        "a key can be activated again", {item["Status"] for item in listed} == {"Active"}, listed
    )
    seen.refused(
        "to delete a user who has keys",
        "DeleteConflict",
        lambda: iam.delete_user(UserName="victim"),
    )


@check("iam", "policies that deny")
def _policies(account: Account, seen: Verdicts) -> None:
    iam = account("iam")
    seen.done(
        "a user gets a policy of its own",
        lambda: iam.put_user_policy(
            UserName="victim", PolicyName="IR-deny", PolicyDocument=document(deny("*"))
        ),
    )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    revoking = deny("*", Condition={"DateLessThan": {"aws:TokenIssueTime": now}})
    named = {"RoleName": "app-role", "PolicyName": "AWSRevokeOlderSessions"}
    iam.put_role_policy(**named, PolicyDocument=document(revoking))
    kept = iam.get_role_policy(**named)["PolicyDocument"]
    seen.holds(
        "a role's policy is given back as it was put",
        kept == {"Version": "2012-10-17", "Statement": [revoking]},
        kept,
    )
    arn = iam.create_policy(PolicyName="IRDenyAll", PolicyDocument=document(deny("*")))["Policy"][
        "Arn"
    ]
    iam.attach_user_policy(UserName="victim", PolicyArn=arn)
    iam.attach_role_policy(RoleName="app-role", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="app-role")["AttachedPolicies"]
    arns = [item["PolicyArn"] for item in attached]
    seen.holds("a managed policy is attached", arns == [arn], arns)
    seen.done(
        "a policy of AWS's own is attached to a user",
        lambda: iam.attach_user_policy(UserName="victim", PolicyArn=_DENY_ALL_OF_AWS),
    )
    seen.done(
        "policies are taken from a role again",
        lambda: (
            iam.detach_role_policy(RoleName="app-role", PolicyArn=arn),
            iam.delete_role_policy(**named),
        ),
    )
    seen.done(
        "policies are taken from a user again",
        lambda: (
            iam.delete_user_policy(UserName="victim", PolicyName="IR-deny"),
            iam.detach_user_policy(UserName="victim", PolicyArn=arn),
        ),
    )
    seen.done(
        "a policy of AWS's own is taken from a user again",
        lambda: iam.detach_user_policy(UserName="victim", PolicyArn=_DENY_ALL_OF_AWS),
    )
    seen.refused(
        "a policy that says nothing",
        "MalformedPolicyDocument",
        lambda: iam.put_user_policy(UserName="victim", PolicyName="x", PolicyDocument="{}"),
    )


@check("iam", "policies that AWS manages")
def _managed(account: Account, seen: Verdicts) -> None:
    iam = account("iam")
    iam.create_group(GroupName="people")
    for name in _MANAGED_BY_AWS:
        seen.done(f"{name} can be attached to anybody", partial(_attach, iam, name))


def _attach(iam: Any, name: str) -> None:
    arn = f"arn:aws:iam::aws:policy/{name}"
    iam.attach_user_policy(UserName="victim", PolicyArn=arn)
    iam.attach_role_policy(RoleName="app-role", PolicyArn=arn)
    iam.attach_group_policy(GroupName="people", PolicyArn=arn)


@check("iam", "passwords")
def _passwords(account: Account, seen: Verdicts) -> None:
    iam = account("iam")
    seen.done(
        "a user gets a password",
        lambda: iam.create_login_profile(UserName="victim", Password="Xyz!123456789"),
    )
    seen.done("a password is deleted", lambda: iam.delete_login_profile(UserName="victim"))
    seen.refused(
        "to delete a password that isn't there",
        "NoSuchEntity",
        lambda: iam.delete_login_profile(UserName="victim"),
    )


@check("iam", "policies are simulated")
def _simulated(account: Account, seen: Verdicts) -> None:
    iam = account("iam")
    iam.put_user_policy(UserName="victim", PolicyName="IR-deny", PolicyDocument=document(deny("*")))
    results = seen.done(
        "a principal's policies are simulated",
        lambda: iam.simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{ACCOUNT_ID}:user/victim",
            ActionNames=["ec2:StopInstances"],
        )["EvaluationResults"],
    )
    decisions = [item["EvalDecision"] for item in results or []]
    seen.holds("a policy that denies is an explicitDeny", decisions == ["explicitDeny"], decisions)
    seen.done(
        "policies are simulated that nobody has",
        lambda: iam.simulate_custom_policy(
            PolicyInputList=[document(allow("ec2:*"))], ActionNames=["ec2:StopInstances"]
        ),
    )
