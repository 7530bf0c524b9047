"""IAM policies that deny: everything, one instance's sessions, or all that were issued until now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runbooks.calls import Call
from runbooks.targets.instance import Ec2Instance, Role
from runbooks.targets.reading import policy_text

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def put_policy(role: str, name: str, document: str) -> Call:
    """The call that puts an inline policy on a role, in the place of one of that name."""
    return Call("iam", "put_role_policy", RoleName=role, PolicyName=name, PolicyDocument=document)


def instance_denial(target: Ec2Instance, role: Role) -> str:
    """Denies the role's sessions of one instance, at any time.

    Two statements, because the conditions of one must all hold. The name of the session, the last
    part of ``aws:userid``, is the instance's id (IAM User Guide, "AWS global condition context
    keys"); ``ec2:SourceInstanceARN`` is not passed on by every service.
    """
    return _policy(
        _deny("ClampdownBySource", ArnEquals={"ec2:SourceInstanceARN": target.ref.arn}),
        _deny("ClampdownBySession", StringLike={"aws:userid": f"{role.id}:{target.id}"}),
    )


def revocation(sid: str, before: str) -> str:
    """Denies every session that was issued before a time, in UTC as :meth:`Aws.moment` writes it.

    ``sid`` tells whose time it is: see :func:`statement_id`.
    """
    return _policy(_deny(sid, DateLessThan={"aws:TokenIssueTime": before}))


def is_revocation(document: str | None, sid: str = r"Clampdown\w+") -> bool:
    """Whether it is a revocation with any time, and, where ``sid`` is given, of that incident."""
    pattern = re.escape(revocation("SID", "TIME")).replace("SID", sid).replace("TIME", _TIME)
    return re.fullmatch(pattern, document or "", re.ASCII) is not None


def statement_id(incident_id: str) -> str:
    """The Sid of an incident's revocation: letters and digits only (IAM JSON policy elements)."""
    return "Clampdown" + re.sub(r"[^0-9A-Za-z]", "", incident_id)


def trust_ec2(partition: str) -> str:
    """The trust policy of a role for instances."""
    suffix = ".cn" if partition == "aws-cn" else ""
    principal = {"Service": f"ec2.amazonaws.com{suffix}"}
    return _policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def _policy(*statements: Mapping[str, Any]) -> str:
    return policy_text({"Version": "2012-10-17", "Statement": list(statements)})


def _deny(sid: str, **condition: Mapping[str, str]) -> dict[str, Any]:
    everything = {"Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*"}
    return {**everything, "Condition": condition} if condition else everything


DENY_ALL = _policy(_deny("ClampdownDenyAll"))
