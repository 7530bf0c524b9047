"""Whether a request is allowed: all policies that bear on it, in IAM's order.

IAM User Guide, "Policy evaluation logic", "Cross-account policy evaluation logic", "Permissions
boundaries for IAM entities", and "Troubleshoot access denied error messages" for the wording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from flows.gameday.aws.authorization.policy import Asked, Grant, Policy

Kind = Literal[
    "service control policy",
    "resource-based policy",
    "role trust policy",
    "identity-based policy",
    "permissions boundary",
    "session policy",
]


@dataclass(frozen=True)
class Policies:
    """What bears on a request.

    ``identity`` are the policies of the user and their groups, or of the role. ``boundary`` and
    ``session`` narrow them, where they are not None. ``control`` has, for each level of the
    organization from its root to the account, the policies attached there.

    ``resource`` is the policy of the resource and ``owner`` the account in which that is. With
    ``resource_decides``, nobody gets in whom it doesn't name: so for roles to be assumed and KMS
    keys.
    """

    identity: Sequence[Policy] = ()
    boundary: Sequence[Policy] | None = None
    session: Sequence[Policy] | None = None
    control: Sequence[Sequence[Policy]] = ()
    resource: Policy | None = None
    owner: str = ""
    resource_decides: bool = False
    resource_kind: Kind = "resource-based policy"


@dataclass(frozen=True)
class Decision:
    """``by`` is the kind of policy that denied, or in which nothing allowed; None when allowed."""

    by: Kind | None = None
    explicit: bool = False

    @property
    def allowed(self) -> bool:
        return self.by is None


ALLOWED = Decision()


def decide(asked: Asked, policies: Policies) -> Decision:
    """Whether what is asked is allowed, and if it isn't, by what.

    "An explicit deny in any of these policies overrides the allow". What nothing allows is denied.
    """
    for kind, held in _all(policies):
        if any(policy.denies(asked) for policy in held):
            return Decision(kind, explicit=True)
    if asked.principal.account:
        for level in policies.control:
            if not _any_allows(level, asked):
                return Decision("service control policy")
    granted = policies.resource.grants(asked) if policies.resource else Grant.NONE
    own = not policies.owner or policies.owner == asked.principal.account
    if own and granted is Grant.DIRECT:
        return ALLOWED
    if granted is Grant.NONE and (not own or policies.resource_decides):
        return Decision(policies.resource_kind)
    if not asked.principal.account:
        return ALLOWED if granted else Decision(policies.resource_kind)
    # A role that the resource's policy names needs no policy of its own, in the same account.
    if not (own and granted is Grant.ROLE) and not _any_allows(policies.identity, asked):
        return Decision("identity-based policy")
    if policies.boundary is not None and not _any_allows(policies.boundary, asked):
        return Decision("permissions boundary")
    if policies.session is not None and not _any_allows(policies.session, asked):
        return Decision("session policy")
    return ALLOWED


def _all(policies: Policies) -> Iterator[tuple[Kind, Sequence[Policy]]]:
    for level in policies.control:
        yield "service control policy", level
    if policies.resource is not None:
        yield policies.resource_kind, (policies.resource,)
    yield "identity-based policy", policies.identity
    yield "permissions boundary", policies.boundary or ()
    yield "session policy", policies.session or ()


def _any_allows(policies: Sequence[Policy], asked: Asked) -> bool:
    return any(policy.allows(asked) for policy in policies)


def refusal_text(asked: Asked, decision: Decision) -> str:
    """What AWS says of a refusal."""
    who = asked.principal.arn or "anonymous"
    text = f"User: {who} is not authorized to perform: {asked.action}"
    if asked.resource != "*":
        text += f" on resource: {asked.resource}"
    kind = decision.by
    if decision.explicit:
        article = "the" if kind == "role trust policy" else "an" if kind and kind[0] in "i" else "a"
        return f"{text} with an explicit deny in {article} {kind}"
    return f"{text} because no {kind} allows the {asked.action} action"
