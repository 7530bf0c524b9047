"""IAM policies as plain data: what their statements say about a request.

IAM User Guide, "IAM JSON policy element reference".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any, Literal

from flows.gameday.aws.authorization.conditions import (
    Condition,
    Context,
    MalformedPolicy,
    conditions,
    fill,
    plain,
)

Effect = Literal["Allow", "Deny"]

_ACCOUNT = re.compile(r"\d{12}")
_ROOT = re.compile(r"arn:[^:]+:iam::(\d{12}):root")
_COLONS_OF_AN_ARN = 5


class Grant(IntEnum):
    """How far a resource-based policy's principal goes towards a caller.

    An account is trusted to decide for itself; a role's ARN leaves the role's boundary and the
    session's policies in force; a user's or session's own ARN, or everybody, grants directly (IAM
    User Guide, "Policy evaluation logic": identity-based policies with resource-based policies).
    """

    NONE = 0
    ACCOUNT = 1
    ROLE = 2
    DIRECT = 3


@dataclass(frozen=True)
class Principal:
    """Who makes a request.

    ``arn`` is the ARN that error messages show: of the user, the session or the account's root.
    ``role`` is the ARN of a session's role. ``unique_id`` is the id of the user or role, such as
    ``AROAEXAMPLE``. ``service`` is an AWS service's name, for its own calls. All are empty for an
    anonymous request.
    """

    account: str = ""
    arn: str = ""
    role: str = ""
    unique_id: str = ""
    service: str = ""


ANONYMOUS = Principal()


@dataclass(frozen=True)
class Asked:
    """One thing that a request wants: an action on a resource, by somebody, in a context.

    ``resource`` is an ARN, or ``*`` where the action is on none. The keys of ``context`` are in
    lower case.
    """

    action: str
    resource: str
    principal: Principal
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class _Resources:
    """The Resource element: one pattern for what is fixed, the rest with variables to fill in."""

    fixed: re.Pattern[str] | None
    variable: tuple[str, ...] = ()

    def contain(self, resource: str, context: Context) -> bool:
        if self.fixed is not None and self.fixed.fullmatch(resource):
            return True
        filled = (fill(text, context) for text in self.variable)
        return any(_resource(text).fullmatch(resource) for text in filled if text is not None)


@dataclass(frozen=True)
class Statement:
    """One statement. Of each element and its opposite (Action, NotAction), one at most is there."""

    effect: Effect
    sid: str = ""
    actions: re.Pattern[str] | None = None
    not_actions: re.Pattern[str] | None = None
    resources: _Resources | None = None
    not_resources: _Resources | None = None
    principals: tuple[tuple[str, str], ...] | None = None
    not_principals: tuple[tuple[str, str], ...] | None = None
    conditions: tuple[Condition, ...] = ()

    def applies(self, asked: Asked) -> bool:
        """Whether it is about the action and the resource, and its conditions hold.

        Its principals are another question: :meth:`grant`.
        """
        action = asked.action.lower()
        if self.actions is not None and not self.actions.fullmatch(action):
            return False
        if self.not_actions is not None and self.not_actions.fullmatch(action):
            return False
        if self.resources is not None and not self.resources.contain(asked.resource, asked.context):
            return False
        if self.not_resources is not None and self.not_resources.contain(
            asked.resource, asked.context
        ):
            return False
        return all(condition.holds(asked.context) for condition in self.conditions)

    def grant(self, principal: Principal) -> Grant:
        """How its principals name the caller."""
        if self.principals is not None:
            return max((_named(*item, principal) for item in self.principals), default=Grant.NONE)
        if self.not_principals is not None:
            return Grant.NONE if self._excepts(principal) else Grant.DIRECT
        return Grant.DIRECT

    def _excepts(self, principal: Principal) -> bool:
        """NotPrincipal: "you must also specify the account ARN of the not-denied principal", and
        for a session its role as well; only who is named in all of them is left out."""
        named = {_named(*item, principal) for item in self.not_principals or ()}
        if principal.service:
            return Grant.DIRECT in named
        if principal.arn.endswith(":root"):
            return bool(named - {Grant.NONE})
        needed = {Grant.ACCOUNT, Grant.DIRECT} | ({Grant.ROLE} if principal.role else set())
        return needed <= named


@dataclass(frozen=True)
class Policy:
    """A policy document."""

    statements: tuple[Statement, ...]

    def denies(self, asked: Asked) -> bool:
        return any(
            statement.effect == "Deny"
            and statement.applies(asked)
            and statement.grant(asked.principal)
            for statement in self.statements
        )

    def allows(self, asked: Asked) -> bool:
        """Whether it allows what is asked, as a policy of the caller's own."""
        return any(
            statement.effect == "Allow" and statement.applies(asked)
            for statement in self.statements
        )

    def grants(self, asked: Asked) -> Grant:
        """How far it allows what is asked, as the policy of the resource."""
        return max(
            (
                statement.grant(asked.principal)
                for statement in self.statements
                if statement.effect == "Allow" and statement.applies(asked)
            ),
            default=Grant.NONE,
        )


@lru_cache(4096)
def read_policy(document: str) -> Policy:
    """Read a policy document, once for the same text. Raises MalformedPolicy."""
    try:
        data = json.loads(document)
    except ValueError:
        raise MalformedPolicy("The policy is not in the valid JSON format.") from None
    if not isinstance(data, Mapping) or "Statement" not in data:
        raise MalformedPolicy("Syntax errors in policy.")
    # In the older version, which is also the default, variables are texts as any (Version).
    variables = data.get("Version", "2008-10-17") == "2012-10-17"
    statements = data["Statement"]
    return Policy(
        tuple(
            _statement(item, variables)
            for item in (statements if isinstance(statements, list) else [statements])
        )
    )


def _statement(data: Any, variables: bool) -> Statement:
    if not isinstance(data, Mapping) or data.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("Syntax errors in policy.")
    if ("Action" in data) == ("NotAction" in data):
        raise MalformedPolicy("Policy statement must contain actions.")

    def resources(name: str) -> _Resources | None:
        return _resources(list(_texts(data[name])), variables) if name in data else None

    def principals(name: str) -> tuple[tuple[str, str], ...] | None:
        return tuple(_principals(data[name])) if name in data else None

    def actions(name: str) -> re.Pattern[str] | None:
        return _actions(list(_texts(data[name]))) if name in data else None

    return Statement(
        effect=data["Effect"],
        sid=str(data.get("Sid", "")),
        actions=actions("Action"),
        not_actions=actions("NotAction"),
        resources=resources("Resource"),
        not_resources=resources("NotResource"),
        principals=principals("Principal"),
        not_principals=principals("NotPrincipal"),
        conditions=conditions(data.get("Condition", {}), variables=variables),
    )


def _texts(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            raise MalformedPolicy("Syntax errors in policy.")
        yield item


def _actions(patterns: list[str]) -> re.Pattern[str]:
    # "The prefix and the action name are case insensitive".
    return _any(_parts(pattern.lower(), of_an_arn=False) for pattern in patterns)


def _resources(patterns: list[str], variables: bool) -> _Resources:
    variable = tuple(text for text in patterns if variables and "${" in text)
    fixed = [text for text in patterns if text not in variable]
    return _Resources(_any(map(_parts, fixed)) if fixed else None, variable)


@lru_cache(4096)
def _resource(pattern: str) -> re.Pattern[str]:
    return _any([_parts(pattern)])


def _any(patterns: Any) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.DOTALL)


def _parts(pattern: str, *, of_an_arn: bool = True) -> str:
    """A regular expression for a pattern with wildcards.

    "If the * wildcard is the last character of a resource ARN segment, it can expand to match
    beyond the colon boundaries"; elsewhere in a segment it doesn't. The last segment is whatever
    follows the fifth colon.
    """
    colons = 0
    parts = []
    for position, char in enumerate(pattern):
        colons += char == ":"
        if char == "*":
            ends = pattern[position + 1 : position + 2] in ("", ":")
            beyond = not of_an_arn or ends or colons >= _COLONS_OF_AN_ARN
            parts.append(".*" if beyond else "[^:]*")
        elif char == "?":
            parts.append(".")
        else:
            parts.append(re.escape(plain(char)))
    return "".join(parts)


def _principals(value: Any) -> Iterator[tuple[str, str]]:
    if value == "*":
        yield "AWS", "*"
        return
    if not isinstance(value, Mapping):
        raise MalformedPolicy("Invalid principal in policy.")
    for kind, named in value.items():
        if kind not in ("AWS", "Service", "Federated", "CanonicalUser"):
            raise MalformedPolicy(f"Invalid principal in policy: {kind}")
        for text in _texts(named):
            yield kind, text


def _named(kind: str, text: str, principal: Principal) -> Grant:
    if kind == "Service":
        return Grant.DIRECT if principal.service and text == principal.service else Grant.NONE
    if kind != "AWS":
        return Grant.NONE
    if text == "*":
        return Grant.DIRECT
    account = text if _ACCOUNT.fullmatch(text) else _account_of_root(text)
    if account:
        if account != principal.account:
            return Grant.NONE
        return Grant.DIRECT if principal.arn.endswith(":root") else Grant.ACCOUNT
    # A principal can also be named by its unique id, as AWS itself does for one that was deleted.
    if principal.role and text in (principal.role, principal.unique_id):
        return Grant.ROLE
    return Grant.DIRECT if text in (principal.arn, principal.unique_id) and text else Grant.NONE


def _account_of_root(text: str) -> str:
    match = _ROOT.fullmatch(text)
    return match[1] if match else ""
