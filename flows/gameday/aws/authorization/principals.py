"""Who makes a request: the user, session or root behind an access key, and what holds for them.

IAM User Guide, "AWS global condition context keys" and "IAM and AWS STS condition context keys".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from flows.gameday.aws import simulated_time
from flows.gameday.aws.authorization import sessions
from flows.gameday.aws.authorization.conditions import Context
from flows.gameday.aws.authorization.consistency import iam_in_force
from flows.gameday.aws.authorization.policy import ANONYMOUS, Policy, Principal, read_policy
from flows.gameday.aws.authorization.sessions import Session

Rejection = Literal["invalid", "expired", "missing", "unsigned"]

_ADMINISTRATOR = read_policy(
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
)
_MANAGED_BY_AWS = re.compile(r"arn:aws:iam::aws:policy/")


class CredentialsRejected(Exception):
    """The credentials are nobody's, whatever they may do.

    ``why``: ``invalid`` (deleted, Inactive, or with another session's token), ``expired``,
    ``missing``, or ``unsigned`` (with another secret).
    """

    def __init__(self, why: Rejection) -> None:
        super().__init__(why)
        self.why: Rejection = why


# What Clampdown itself signs with in a simulation, and worlds are built with.
_OWN_KEYS = "AKIASIMULATED"


@dataclass(frozen=True)
class Caller:
    """A principal, the policies that hold for it, and the condition keys that it brings along.

    ``secret`` is what they sign with, where it is known.
    """

    principal: Principal
    identity: Sequence[Policy] = ()
    boundary: Sequence[Policy] | None = None
    session: Sequence[Policy] | None = None
    context: Context = field(default_factory=dict)
    began: Session | None = None
    secret: str | None = field(default=None, repr=False)


def caller_of(access_key: str, account: str, token: str) -> Caller:
    """Who signed with this access key and session token (empty where there is none).

    The simulation's own access keys are the administrator's of ``account``: with them worlds are
    built. Without an access key the caller is anonymous.

    Raises CredentialsRejected.
    """
    if not access_key:
        return Caller(ANONYMOUS)
    home = sessions.account_of(access_key)
    if home is None:
        if not access_key.startswith(_OWN_KEYS):
            raise CredentialsRejected("invalid")
        return administrator(account)
    session = sessions.find(access_key, home)
    if session is not None:
        if token != session.token:
            raise CredentialsRejected("invalid")
        if session.expires <= simulated_time.now():
            raise CredentialsRejected("expired")
        caller = _of_role(session) if session.role else _of_user(home, session.user, session)
        return replace(caller, secret=session.secret)
    key = iam_in_force(home).access_keys.get(access_key)
    if key is None or key.user_name is None or key.status != "Active" or token:
        raise CredentialsRejected("invalid")
    return replace(_of_user(home, key.user_name, None), secret=key.secret_access_key)


def administrator(account: str) -> Caller:
    """The root of an account."""
    arn = f"arn:aws:iam::{account}:root"
    return Caller(
        Principal(account, arn, unique_id=account),
        (_ADMINISTRATOR,),
        context=_context(account, arn, "Account", account),
    )


def role_caller(arn: str, service: str) -> Caller | None:
    """A session of a role as an AWS service begins it; None where there is no such role."""
    account = arn.split(":")[4]
    role = next((r for r in iam_in_force(account).roles.values() if r.arn == arn), None)
    if role is None:
        return None
    name = service.partition(".")[0]
    session_arn = f"arn:aws:sts::{account}:assumed-role/{role.name}/AWS{name.capitalize()}"
    return Caller(
        Principal(account, session_arn, arn, role.id),
        tuple(_policies(role)),
        _boundary(account, role.permissions_boundary_arn),
        context=_context(account, arn, "AssumedRole", f"{role.id}:AWS{name.capitalize()}"),
    )


def caller_with_arn(arn: str) -> Caller | None:
    """The user, or a session of the role, with this ARN; None where there is no such principal."""
    account, _, name = arn.partition(":iam::")[2].partition(":")
    if not name.startswith("user/"):
        return role_caller(arn, "simulator")
    try:
        return _of_user(account, name.rsplit("/", 1)[-1], None)
    except CredentialsRejected:
        return None


def _of_user(account: str, name: str, session: Session | None) -> Caller:
    iam = iam_in_force(account)
    user = iam.users.get(name)
    if user is None:
        raise CredentialsRejected("invalid")
    policies = list(_policies(user))
    for group in iam.groups.values():
        if any(member.name == name for member in group.users):
            policies += _policies(group)
    boundary = _boundary(account, user.permissions_boundary_arn)
    temporary = _temporary(session) if session is not None else {}
    if session is not None and session.federated:
        identity = f"{account}:{session.name}"
        return Caller(
            Principal(account, session.arn, unique_id=identity),
            tuple(policies),
            boundary,
            # "If you do not pass a policy, the resulting federated user session has no
            # permissions" (GetFederationToken).
            _narrowed(session) or (),
            {**_context(account, session.arn, "FederatedUser", identity), **temporary},
            session,
        )
    tags = {tag["Key"]: tag["Value"] for tag in iam.list_user_tags(name)}
    context = {
        **_context(account, user.arn, "User", user.id, tags),
        "aws:username": (user.name,),
        **temporary,
    }
    return Caller(
        Principal(account, user.arn, unique_id=user.id),
        tuple(policies),
        boundary,
        context=context,
        began=session,
    )


def _of_role(session: Session) -> Caller:
    account = session.account
    role = iam_in_force(account).roles.get(session.role_id)
    # The sessions of a role that was deleted may do nothing, also when there is another of its
    # name: that one has another id.
    own = tuple(_policies(role)) if role is not None else ()
    own_tags = {tag["Key"]: tag["Value"] for tag in role.tags} if role is not None else {}
    context = {
        **_context(
            account,
            session.role,
            "AssumedRole",
            f"{session.role_id}:{session.name}",
            # A session tag takes precedence over the role's of the same key (IAM User Guide, "Pass
            # session tags in AWS STS").
            {**own_tags, **session.tags},
        ),
        **_temporary(session),
    }
    return Caller(
        Principal(account, session.arn, session.role, session.role_id),
        own,
        _boundary(account, role.permissions_boundary_arn if role is not None else None),
        _narrowed(session),
        context,
        session,
    )


def _narrowed(session: Session) -> tuple[Policy, ...] | None:
    """The session's own policies; None where it has none."""
    inline = [read_policy(session.policy)] if session.policy is not None else []
    managed = [_managed(session.account, arn) for arn in session.policy_arns]
    return (*inline, *managed) or None


def _context(
    account: str, arn: str, kind: str, user_id: str, tags: Mapping[str, str] | None = None
) -> dict[str, tuple[str, ...]]:
    return {
        "aws:principalaccount": (account,),
        # "For IAM roles, the request context returns the ARN of the role, not the ARN of the user
        # that assumed the role".
        "aws:principalarn": (arn,),
        "aws:principaltype": (kind,),
        "aws:userid": (user_id,),
        **{f"aws:principaltag/{key}".lower(): (value,) for key, value in (tags or {}).items()},
    }


def _temporary(session: Session) -> dict[str, tuple[str, ...]]:
    """What only temporary credentials bring: requests with long-term ones have none of it."""
    context: dict[str, tuple[str, ...]] = {
        "aws:tokenissuetime": (session.issued.strftime("%Y-%m-%dT%H:%M:%SZ"),),
        "aws:multifactorauthpresent": ("true" if session.mfa else "false",),
        **{key: (value,) for key, value in session.context.items()},
    }
    if session.mfa:
        age = simulated_time.now() - session.issued
        context["aws:multifactorauthage"] = (str(int(age.total_seconds())),)
    if session.source_identity:
        context["aws:sourceidentity"] = (session.source_identity,)
    if session.instance:
        context["ec2:sourceinstancearn"] = (session.instance,)
    return context


def _policies(holder: Any) -> Iterator[Policy]:
    """The inline and attached policies of a user, group or role."""
    for document in holder.policies.values():
        yield read_policy(document)
    for policy in holder.managed_policies.values():
        yield _in_force(policy)


def _in_force(policy: Any) -> Policy:
    return read_policy(next(version.document for version in policy.versions if version.is_default))


def _boundary(account: str, arn: str | None) -> tuple[Policy, ...] | None:
    return (_managed(account, arn),) if arn else None


def _managed(account: str, arn: str) -> Policy:
    """A managed policy by its ARN; one that isn't there allows nothing."""
    from moto.iam.exceptions import NotFoundException
    from moto.iam.models import iam_backends

    if _MANAGED_BY_AWS.match(arn):
        try:
            return _in_force(iam_backends[account]["aws"].get_policy(arn))
        except NotFoundException:
            return Policy(())
    found = iam_in_force(account).managed_policies.get(arn)
    return _in_force(found) if found is not None else Policy(())


def control_policies(account: str) -> tuple[tuple[Policy, ...], ...]:
    """The service control policies for an account, from the organization's root down to it.

    "SCPs don't affect users or roles in the management account" (Organizations User Guide).
    """
    organization = _organization(account)
    if organization is None or organization.org.master_account_id == account:
        return ()
    levels = []
    units = {unit.id: unit for unit in organization.ou}
    at: Any = next(known for known in organization.accounts if known.id == account)
    while at is not None:
        levels.append(
            tuple(
                read_policy(policy.content)
                for policy in at.attached_policies
                if policy.type == "SERVICE_CONTROL_POLICY"
            )
        )
        at = units.get(getattr(at, "parent_id", None))
    return tuple(reversed(levels))


def organization_id(account: str) -> str:
    """The id of the account's organization; empty where it is in none."""
    organization = _organization(account)
    return str(organization.org.id) if organization is not None else ""


def _organization(account: str) -> Any:
    from moto.organizations.models import organizations_backends

    for home in list(organizations_backends):
        organization = organizations_backends[home]["aws"]
        if organization.org and any(known.id == account for known in organization.accounts):
            return organization
    return None
