"""The least that Clampdown must be allowed in an account: the IAM policy of its role there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runbooks.clean_room.create import CreateCleanRoom
from runbooks.ec2.contain_credentials import ContainCredentials
from runbooks.step import AnyStep
from runbooks.targets.reading import CORE_PERMISSIONS

# A managed policy has at most so many characters, white space not counted (IAM and STS quotas).
MANAGED_POLICY_CHARACTERS = 6_144
# What playbooks.yaml and the deployment call Clampdown's role in an account.
OWN_ROLE = "clampdown"

_READING = ("Describe", "Get", "List")
_OURS = f"{OWN_ROLE}-*"


@dataclass(frozen=True)
class Limit:
    """On what, and under which conditions, actions are allowed.

    ``sid`` names the statement: letters and digits. ``resources`` are ARNs with wildcards, which
    may stand anywhere but in the service (IAM JSON policy elements: Resource); ``conditions`` are
    the statement's own.
    """

    sid: str
    resources: tuple[str, ...] = ("*",)
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def allow(self, actions: Iterable[str]) -> dict[str, Any]:
        """The statement that allows the actions within the limit."""
        statement = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": list(self.resources),
        }
        return {**statement, "Condition": self.conditions} if self.conditions else statement


_READ = Limit("Read")
_CHANGE = Limit("Change")
# The key is missing from some calls (IAM User Guide, "aws:ResourceAccount"), which then are as free
# as they are without it.
_OWN_ACCOUNT = Limit(
    "ChangeWhatTheAccountOwns",
    conditions={"StringEqualsIfExists": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}},
)
_STACKS = Limit("ChangeOwnStacks", (f"arn:*:cloudformation:*:*:stack/{_OURS}",))
# The profile that may do nothing, and what CloudFormation makes for a clean room.
_OWN_ROLES = Limit("ChangeOwnRoles", (f"arn:*:iam::*:role/{_OURS}",))
_OWN_PROFILES = Limit("ChangeOwnProfiles", (f"arn:*:iam::*:instance-profile/{_OURS}",))
# A compromised instance may have any role, and IAM knows no condition on the name or the content
# of an inline policy: whoever holds Clampdown's role can give any other role any right.
_ANY_ROLE = Limit("DenySessionsOfAnyRole", ("arn:*:iam::*:role/*",))
# To put a role into a profile it is passed to no service, so the key may be missing.
_PASS_OWN = Limit(
    "PassOwnRolesToInstances",
    (f"arn:*:iam::*:role/{_OURS}",),
    {"StringLikeIfExists": {"iam:PassedToService": "ec2.amazonaws.com*"}},
)
_PASS_BACK = Limit(
    "UndoPassesRolesBackToInstances",
    ("arn:*:iam::*:role/*",),
    {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}},
)
_GRANT = Limit(
    "GrantKeysToServicesOnly", conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}}
)
# What CloudFormation does in the caller's name: no instance is terminated by Clampdown directly.
_BY_CLOUDFORMATION = Limit(
    "ChangeThroughCloudFormationOnly",
    conditions={"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}},
)
_KEYS = Limit(
    "UseKeysThroughEc2Only", conditions={"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com*"}}
)

_BY_SERVICE: Mapping[str, Limit] = {
    "autoscaling": _OWN_ACCOUNT,
    "cloudformation": _STACKS,
    "ec2": _OWN_ACCOUNT,
    "elasticloadbalancing": _OWN_ACCOUNT,
}
_BY_ACTION: Mapping[str, Limit] = {
    # The VPC may be shared by another account.
    "ec2:CreateSecurityGroup": _CHANGE,
    "iam:AddRoleToInstanceProfile": _OWN_PROFILES,
    "iam:CreateInstanceProfile": _OWN_PROFILES,
    "iam:CreateRole": _OWN_ROLES,
    "iam:DeleteInstanceProfile": _OWN_PROFILES,
    "iam:DeleteRole": _OWN_ROLES,
    "iam:DeleteRolePolicy": _OWN_ROLES,
    "iam:PassRole": _PASS_OWN,
    "iam:PutRolePolicy": _OWN_ROLES,
    "iam:RemoveRoleFromInstanceProfile": _OWN_PROFILES,
    "iam:TagInstanceProfile": _OWN_PROFILES,
    "iam:TagRole": _OWN_ROLES,
    "iam:UntagRole": _OWN_ROLES,
    "kms:CreateGrant": _GRANT,
    "kms:Decrypt": _KEYS,
    "kms:GenerateDataKeyWithoutPlaintext": _KEYS,
    "kms:ReEncryptFrom": _KEYS,
    "kms:ReEncryptTo": _KEYS,
}
# What a step needs beyond that.
_BY_STEP: Mapping[str, Mapping[str, Limit]] = {
    ContainCredentials.name: {
        "iam:DeleteRolePolicy": _ANY_ROLE,
        "iam:PassRole": _PASS_BACK,
        "iam:PutRolePolicy": _ANY_ROLE,
    }
}
_BY_STEP_AND_SERVICE: Mapping[str, Mapping[str, Limit]] = {
    CreateCleanRoom.name: dict.fromkeys(("ec2", "route53", "route53resolver"), _BY_CLOUDFORMATION)
}
_CHANGING_ROLES = tuple(
    f"iam:{verb}*"
    for verb in ("Attach", "Create", "Delete", "Detach", "Pass", "Put", "Tag", "Untag", "Update")
)


def actions_of(steps: Iterable[type[AnyStep]]) -> list[str]:
    """Every IAM action that the steps need: to look, to contain and to undo."""
    return sorted({action for step in steps for action in (*_reads(step), *_changes(step))})


def policy_for(
    steps: Iterable[type[AnyStep]],
    own_roles: Iterable[str] = (),
    *,
    finding_reads: Iterable[str] = (),
) -> dict[str, Any]:
    """The least-privilege IAM policy for the role that carries the steps out, and undoes them.

    It is the same for the same steps in any order. ``own_roles`` are the ARNs of the roles with
    which Clampdown acts: roles of those names it may then never change. Without any, it is
    ``clampdown``. ``finding_reads`` are the actions by which a service confirms and looks for
    findings.
    """
    allowed: dict[str, set[str]] = {}
    limits: dict[str, Limit] = {}
    for step in steps:
        wanted = [(_READ, action) for action in _reads(step)]
        wanted += [(limit, action) for action in _changes(step) for limit in _limits(step, action)]
        for limit, action in wanted:
            limits[limit.sid] = limit
            allowed.setdefault(limit.sid, set()).add(action)
    first_reads = sorted(limits, key=lambda sid: (sid != _READ.sid, sid))
    statements = [limits[sid].allow(allowed[sid]) for sid in first_reads]
    if reads := sorted(finding_reads):
        statements.append(Limit("ReadFindings").allow(reads))
    if {_OWN_ROLES.sid, _ANY_ROLE.sid} & set(limits):
        statements.append(_never_itself(own_roles))
    return {"Version": "2012-10-17", "Statement": statements}


def characters_of(policy: Mapping[str, Any]) -> int:
    """The policy's length as IAM counts it, to be held against MANAGED_POLICY_CHARACTERS."""
    return len(json.dumps(policy, separators=(",", ":")))


def _never_itself(own_roles: Iterable[str]) -> dict[str, Any]:
    """Denied whatever else is allowed: who has Clampdown's role must not widen it."""
    # One policy for all accounts, in which the role mostly has the same name.
    names = {arn.partition(":role/")[2] for arn in own_roles} or {OWN_ROLE}
    return {
        "Sid": "NeverChangeItself",
        "Effect": "Deny",
        "Action": list(_CHANGING_ROLES),
        "Resource": [f"arn:*:iam::*:role/{name}" for name in sorted(names)],
    }


def _reads(step: type[AnyStep]) -> set[str]:
    facts = {action for fact in step.facts for action in fact.permissions}
    return {
        *CORE_PERMISSIONS,
        *facts,
        *step.permissions.read,
        *filter(_reads_by_name, step.permissions.change),
    }


def _changes(step: type[AnyStep]) -> set[str]:
    return set(step.permissions.change) - _reads(step)


def _reads_by_name(action: str) -> bool:
    """CloudFormation looks, too, at what it makes: a step that has it do so declares both alike."""
    return action.split(":")[1].startswith(_READING)


def _limits(step: type[AnyStep], action: str) -> Iterator[Limit]:
    service = action.split(":")[0]
    if through := _BY_STEP_AND_SERVICE.get(step.name, {}).get(service):
        yield through
        return
    yield _BY_ACTION.get(action) or _BY_SERVICE.get(service, _CHANGE)
    if further := _BY_STEP.get(step.name, {}).get(action):
        yield further
