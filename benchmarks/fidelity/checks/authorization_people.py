"""Those whose permissions the checks of IAM's enforcement are about."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.fidelity.account import ADMINISTRATOR, Account, Credentials

Statement = dict[str, Any]


def allow(actions: Any, resources: Any = "*", **more: Any) -> Statement:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def deny(actions: Any, resources: Any = "*", **more: Any) -> Statement:
    return {"Effect": "Deny", "Action": actions, "Resource": resources, **more}


def document(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def user(account: Account, name: str, *statements: Statement, **more: Any) -> Credentials:
    """A new user who may do this; ``more`` are parameters of CreateUser."""
    iam = account("iam")
    iam.create_user(UserName=name, **more)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def administrator(account: Account) -> Credentials:
    """A user who may do everything, to change what is enforced."""
    return user(account, "administrator", allow("*"))


def assumed(
    account: Account, role: str, credentials: Credentials = ADMINISTRATOR, **more: Any
) -> Credentials:
    """A session of the role, begun by whom these credentials are of."""
    given = account("sts", credentials=credentials).assume_role(
        RoleArn=role, RoleSessionName="case", **more
    )["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
