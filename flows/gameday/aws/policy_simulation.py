"""IAM's policy simulator: what a principal's policies, or given ones, would say to a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.gameday.aws import operations
from flows.gameday.aws.authorization import principals
from flows.gameday.aws.authorization.conditions import MalformedPolicy
from flows.gameday.aws.authorization.evaluation import Policies, decide
from flows.gameday.aws.authorization.policy import Asked, Policy, Principal, read_policy
from flows.gameday.aws.authorization.principals import Caller

_PAGE = 100


def correct() -> None:
    """Have IAM simulate policies, with the evaluation that requests get."""
    from moto.iam.responses import IamResponse

    operations.add(
        IamResponse,
        {
            "SimulatePrincipalPolicy": _simulate_principal_policy,
            "SimulateCustomPolicy": _simulate_custom_policy,
        },
    )


def _simulate_principal_policy(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    source = asked["PolicySourceArn"]
    caller = principals.caller_with_arn(source)
    if caller is None:
        raise operations.error("NoSuchEntity", f"{source} does not exist.")
    policies = Policies(
        (*caller.identity, *_read(asked.get("PolicyInputList"))),
        _boundary(asked, caller.boundary),
        control=principals.control_policies(caller.principal.account),
        **_of_resource(asked),
    )
    return _simulated(asked, caller, policies)


def _simulate_custom_policy(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    # Without a caller the policies are somebody's of the account that asks.
    arn = asked.get("CallerArn", "")
    account = arn.split(":")[4] if arn.count(":") > 4 else response.current_account
    caller = Caller(Principal(account, arn))
    policies = Policies(
        _read(asked["PolicyInputList"]), _boundary(asked, None), **_of_resource(asked)
    )
    return _simulated(asked, caller, policies)


def _simulated(asked: Mapping[str, Any], caller: Caller, policies: Policies) -> Mapping[str, Any]:
    """The results for each action and resource.

    Of the context there is what is given, and what the principal itself brings along: a condition
    on anything else doesn't hold.
    """
    given = {
        entry["ContextKeyName"].lower(): tuple(entry["ContextKeyValues"])
        for entry in asked.get("ContextEntries") or []
    }
    context = {**caller.context, **given}
    results = []
    for action in asked["ActionNames"]:
        for resource in asked.get("ResourceArns") or ["*"]:
            decision = decide(Asked(action, resource, caller.principal, context), policies)
            denied = "explicitDeny" if decision.explicit else "implicitDeny"
            result: dict[str, Any] = {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": "allowed" if decision.allowed else denied,
                "MatchedStatements": [],
                "MissingContextValues": [],
            }
            if policies.boundary is not None:
                result["PermissionsBoundaryDecisionDetail"] = {
                    "AllowedByPermissionsBoundary": decision.by != "permissions boundary"
                }
            if policies.control:
                result["OrganizationsDecisionDetail"] = {
                    "AllowedByOrganizations": decision.by != "service control policy"
                }
            results.append(result)
    page, following = operations.page(
        results,
        asked.get("MaxItems") or _PAGE,
        asked.get("Marker"),
        bad_token=operations.error("InvalidInput", "The marker is not valid."),
    )
    return {
        "EvaluationResults": page,
        "IsTruncated": following is not None,
        **({"Marker": following} if following else {}),
    }


def _boundary(asked: Mapping[str, Any], own: Sequence[Policy] | None) -> Sequence[Policy] | None:
    given = asked.get("PermissionsBoundaryPolicyInputList")
    # "if a permissions boundary is attached to an entity and you pass in a different permissions
    # boundary policy using this parameter, then the new permissions boundary policy is used".
    return _read(given) if given else own


def _of_resource(asked: Mapping[str, Any]) -> dict[str, Any]:
    document = asked.get("ResourcePolicy")
    if not document:
        return {}
    owner = str(asked.get("ResourceOwner", ""))
    account = owner.split(":")[4] if owner.count(":") > 4 else owner
    return {"resource": _read([document])[0], "owner": account}


def _read(documents: Sequence[str] | None) -> tuple[Policy, ...]:
    try:
        return tuple(map(read_policy, documents or ()))
    except MalformedPolicy as error:
        raise operations.error("InvalidInput", str(error)) from None
