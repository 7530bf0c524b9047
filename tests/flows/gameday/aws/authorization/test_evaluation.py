"""IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic"."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.aws.authorization.evaluation import Policies, decide, refusal_text
from flows.gameday.aws.authorization.policy import ANONYMOUS, Asked, Policy, Principal, read_policy
from tests.flows.gameday.aws.authorization.documents import allow, deny, document, trust

OWN, OTHER = "123456789012", "999999999999"
USER = Principal(OWN, f"arn:aws:iam::{OWN}:user/eve")
SESSION = Principal(
    OWN, f"arn:aws:sts::{OWN}:assumed-role/app/s", f"arn:aws:iam::{OWN}:role/app", "AROAAPP"
)
READ, WRITE = "s3:GetObject", "s3:PutObject"


def policy(*statements: dict[str, Any]) -> Policy:
    return read_policy(document(*statements))


def by(principal: Any, effect: str = "Allow") -> Policy:
    named = {"AWS": principal}
    return policy({"Effect": effect, "Principal": named, "Action": "s3:*", "Resource": "*"})


ALL, READS, NOTHING = policy(allow()), policy(allow(READ)), policy()


def outcome(
    principal: Principal = USER, action: str = READ, **policies: Any
) -> tuple[str | None, bool]:
    decision = decide(Asked(action, "arn:aws:s3:::bucket/key", principal), Policies(**policies))
    return decision.by, decision.explicit


ALLOWED = (None, False)


def test_nothing_is_allowed_that_no_policy_allows() -> None:
    assert outcome() == ("identity-based policy", False)
    assert outcome(identity=[READS]) == ALLOWED
    assert outcome(identity=[READS], action=WRITE) == ("identity-based policy", False)


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        ("identity-based policy", {"identity": [ALL, policy(deny())]}),
        ("permissions boundary", {"boundary": [ALL, policy(deny())]}),
        ("session policy", {"session": [ALL, policy(deny())]}),
        ("service control policy", {"control": [[ALL], [ALL, policy(deny())]]}),
        ("resource-based policy", {"resource": by(OWN, "Deny"), "owner": OWN}),
    ],
)
def test_an_explicit_deny_wins_wherever_it_is(kind: str, held: dict[str, Any]) -> None:
    everything: dict[str, Any] = {
        "identity": [ALL],
        "boundary": [ALL],
        "session": [ALL],
        "resource": by(USER.arn),
        "owner": OWN,
    }

    assert outcome(**everything) == ALLOWED
    assert outcome(**{**everything, **held}) == (kind, True)


def test_a_boundary_and_a_session_policy_narrow_and_grant_nothing() -> None:
    assert outcome(identity=[ALL], boundary=[READS]) == ALLOWED
    assert outcome(identity=[ALL], boundary=[READS], action=WRITE) == (
        "permissions boundary",
        False,
    )
    assert outcome(identity=[ALL], session=[READS], action=WRITE) == ("session policy", False)
    assert outcome(boundary=[ALL], session=[ALL]) == ("identity-based policy", False)
    assert outcome(identity=[ALL], boundary=[]) == ("permissions boundary", False)


def test_every_level_of_an_organization_must_allow() -> None:
    assert outcome(identity=[ALL], control=[[ALL], [READS]]) == ALLOWED
    assert outcome(identity=[ALL], control=[[ALL], [READS]], action=WRITE) == (
        "service control policy",
        False,
    )


@pytest.mark.parametrize(
    ("principal", "resource", "more", "expected"),
    [
        (USER, by(USER.arn), {}, ALLOWED),
        (USER, by(USER.arn), {"boundary": [NOTHING]}, ALLOWED),
        (USER, by(OWN), {}, ("identity-based policy", False)),
        (USER, by("*"), {}, ALLOWED),
        (SESSION, by(SESSION.role), {}, ALLOWED),
        (SESSION, by(SESSION.role), {"boundary": [NOTHING]}, ("permissions boundary", False)),
        (SESSION, by(SESSION.role), {"session": [NOTHING]}, ("session policy", False)),
        (SESSION, by(SESSION.arn), {"boundary": [NOTHING], "session": [NOTHING]}, ALLOWED),
    ],
)
def test_in_one_account_the_policy_of_the_resource_is_enough_for_who_it_names(
    principal: Principal, resource: Policy, more: dict[str, Any], expected: Any
) -> None:
    assert outcome(principal, resource=resource, owner=OWN, **more) == expected


@pytest.mark.parametrize(
    ("identity", "resource", "expected"),
    [
        ([ALL], by(USER.arn), ALLOWED),
        ([ALL], by(OWN), ALLOWED),
        ([ALL], None, ("resource-based policy", False)),
        ([ALL], by(OTHER), ("resource-based policy", False)),
        ([], by(USER.arn), ("identity-based policy", False)),
        ([], by("*"), ("identity-based policy", False)),
    ],
)
def test_across_accounts_both_sides_must_allow(
    identity: list[Policy], resource: Policy | None, expected: Any
) -> None:
    assert outcome(identity=identity, resource=resource, owner=OTHER) == expected


def test_a_resource_that_decides_lets_in_only_whom_it_names() -> None:
    held = {"identity": [ALL], "owner": OWN, "resource_decides": True}

    assert outcome(**held, resource=by(OWN)) == ALLOWED
    assert outcome(**held, resource=by(OTHER)) == ("resource-based policy", False)
    assert outcome(**held) == ("resource-based policy", False)


def test_anonymous_callers_have_what_everybody_has() -> None:
    assert outcome(ANONYMOUS, resource=by("*"), owner=OWN) == ALLOWED
    assert outcome(ANONYMOUS, resource=by(OWN), owner=OWN) == ("resource-based policy", False)
    assert outcome(ANONYMOUS) == ("resource-based policy", False)


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (
            {},
            "is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::bucket/key "
            "because no identity-based policy allows the s3:GetObject action",
        ),
        (
            {"identity": [policy(deny())]},
            "on resource: arn:aws:s3:::bucket/key with an explicit deny in an identity-based policy",
        ),
        (
            {"identity": [ALL], "boundary": [NOTHING]},
            "because no permissions boundary allows the s3:GetObject action",
        ),
        (
            {"control": [[policy(deny())]]},
            "with an explicit deny in a service control policy",
        ),
        (
            {
                "identity": [ALL],
                "resource": policy(trust(OTHER, "s3:*")),
                "owner": OWN,
                "resource_decides": True,
                "resource_kind": "role trust policy",
            },
            "because no role trust policy allows the s3:GetObject action",
        ),
    ],
)
def test_a_refusal_says_who_what_and_why(held: dict[str, Any], text: str) -> None:
    asked = Asked(READ, "arn:aws:s3:::bucket/key", USER)
    said = refusal_text(asked, decide(asked, Policies(**held)))

    assert said.startswith(f"User: {USER.arn} ")
    assert text in said


# Whatever the policies: what more of them does.

_statements = st.builds(
    lambda effect, action, resource: {"Effect": effect, "Action": action, "Resource": resource},
    st.sampled_from(["Allow", "Deny"]),
    st.sampled_from(["*", "s3:*", READ, WRITE, "ec2:*"]),
    st.sampled_from(["*", "arn:aws:s3:::bucket/*", "arn:aws:s3:::other/*"]),
)
_policies = st.lists(
    st.lists(_statements, max_size=3).map(lambda items: policy(*items)), max_size=3
)
_narrowing = st.none() | _policies
_resource = st.none() | st.builds(
    by, st.sampled_from([OWN, OTHER, USER.arn, "*"]), st.sampled_from(["Allow", "Deny"])
)


def allowed(held: dict[str, Any]) -> bool:
    return outcome(**held) == ALLOWED


_held = st.fixed_dictionaries(
    {
        "identity": _policies,
        "boundary": _narrowing,
        "session": _narrowing,
        "resource": _resource,
        "owner": st.sampled_from(["", OWN, OTHER]),
        "resource_decides": st.booleans(),
    }
)


@given(_held)
def test_a_deny_of_everything_leaves_nothing(held: dict[str, Any]) -> None:
    assert not allowed({**held, "identity": [*held["identity"], policy(deny())]})


@given(_held, _policies)
def test_denials_only_ever_take_away(held: dict[str, Any], more: list[Policy]) -> None:
    denials = [
        Policy(tuple(item for item in one.statements if item.effect == "Deny")) for one in more
    ]

    assert allowed(held) or not allowed({**held, "identity": [*held["identity"], *denials]})


@given(_held, _policies)
def test_allowances_only_ever_give(held: dict[str, Any], more: list[Policy]) -> None:
    allowances = [
        Policy(tuple(item for item in one.statements if item.effect == "Allow")) for one in more
    ]

    assert not allowed(held) or allowed({**held, "identity": [*held["identity"], *allowances]})


@given(_held)
def test_a_boundary_or_session_policy_only_ever_takes_away(held: dict[str, Any]) -> None:
    assert not allowed(held) or allowed({**held, "boundary": None, "session": None})


@given(_held)
def test_another_account_is_never_easier_to_get_into(held: dict[str, Any]) -> None:
    assert not allowed({**held, "owner": OTHER}) or allowed({**held, "owner": OWN})
