"""DNS Firewall of Route 53 Resolver: its lists of domains, and as CloudFormation makes it.

Nothing in the simulated AWS resolves names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flows.gameday.aws import operations, simulated_time

_DOMAIN_LIST = "AWS::Route53Resolver::FirewallDomainList"
# By type: how AWS's ids of it begin, and the properties that it needs (resource reference).
_TYPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    _DOMAIN_LIST: ("rslvr-fdl", ()),
    "AWS::Route53Resolver::FirewallRuleGroup": ("rslvr-frg", ()),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": (
        "rslvr-frgassoc",
        ("FirewallRuleGroupId", "Priority", "VpcId"),
    ),
}
_OF_A_RULE = ("Action", "Priority")
_PAGE = 100


def correct() -> None:
    """Have CloudFormation know the resource types of a DNS Firewall."""
    from moto.cloudformation.parsing import get_model_map, get_name_type_map

    for kind in _TYPES:
        get_model_map()[kind] = _model(kind)
        get_name_type_map()[kind] = ""


def correct_resolver() -> None:
    """Have Resolver keep lists of domains; moto has none of DNS Firewall."""
    from moto.route53resolver.responses import Route53ResolverResponse

    operations.add(
        Route53ResolverResponse,
        {
            "CreateFirewallDomainList": _create,
            "GetFirewallDomainList": _get,
            "ListFirewallDomainLists": _list,
            "DeleteFirewallDomainList": _delete,
            "UpdateFirewallDomains": _update_domains,
            "ListFirewallDomains": _list_domains,
        },
    )


def _model(kind: str) -> Any:
    class FirewallResource:
        """One of them, by its id."""

        create_from_cloudformation_json = classmethod(_maker(kind))

        def __init__(self, identity: str) -> None:
            self.physical_resource_id = identity

        def delete(self, account_id: str, region_name: str) -> None:
            """Of the types, only lists of domains are known elsewhere."""
            _lists(account_id, region_name).pop(self.physical_resource_id, None)

    return FirewallResource


def _maker(kind: str) -> Callable[..., Any]:
    prefix, needed = _TYPES[kind]

    def create(
        cls: Any, name: str, resource: Any, account_id: str, region_name: str, **_: Any
    ) -> Any:
        from moto.moto_api._internal import mock_random

        given = resource["Properties"]
        for key in needed:
            given[key]
        for rule in given.get("FirewallRules", []):
            for key in _OF_A_RULE:
                rule[key]
        if kind == _DOMAIN_LIST:
            made = _domain_list(
                account_id, region_name, given.get("Name", name), given.get("Domains", []), name
            )
            return cls(made["Id"])
        return cls(f"{prefix}-{mock_random.get_random_hex(16)}")

    return create


def _domain_list(
    account: str, region: str, name: str, domains: list[str], request: str
) -> dict[str, Any]:
    """Make a list of domains."""
    from moto.moto_api._internal import mock_random

    now = operations.timestamp(simulated_time.now())
    identity = f"{_TYPES[_DOMAIN_LIST][0]}-{mock_random.get_random_hex(16)}"
    made = {
        "Id": identity,
        "Arn": f"arn:aws:route53resolver:{region}:{account}:firewall-domain-list/{identity}",
        "Name": name,
        "Status": "COMPLETE",
        "CreatorRequestId": request,
        "CreationTime": now,
        "ModificationTime": now,
        "Domains": list(domains),
    }
    _lists(account, region)[identity] = made
    return made


def _lists(account: str, region: str) -> dict[str, dict[str, Any]]:
    """The lists of an account and Region by id."""
    from moto.route53resolver.models import route53resolver_backends

    backend = route53resolver_backends[account][region]
    lists: dict[str, dict[str, Any]] = backend.__dict__.setdefault("domain_lists", {})
    return lists


def _described(made: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in made.items() if name != "Domains"}
    return {"FirewallDomainList": {**said, "DomainCount": len(made["Domains"])}}


def _create(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    account, region = response.current_account, response.region
    known = _lists(account, region).values()
    # "A unique string that identifies the request and allows you to retry failed requests without
    # the risk of running the operation twice" (CreatorRequestId).
    for made in known:
        if (made["CreatorRequestId"], made["Name"]) == (asked["CreatorRequestId"], asked["Name"]):
            return _described(made)
    return _described(_domain_list(account, region, asked["Name"], [], asked["CreatorRequestId"]))


def _get(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return _described(_named(response, asked))


def _list(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    shown = ("Id", "Arn", "Name", "CreatorRequestId")
    found = _lists(response.current_account, response.region).values()
    return _paged(
        "FirewallDomainLists", [{name: made[name] for name in shown} for made in found], asked
    )


def _delete(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    made = _named(response, asked)
    del _lists(response.current_account, response.region)[made["Id"]]
    return _described({**made, "Status": "DELETING"})


def _update_domains(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    made, domains = _named(response, asked), asked["Domains"]
    kept = {
        "ADD": [*made["Domains"], *domains],
        "REMOVE": [domain for domain in made["Domains"] if domain not in domains],
        "REPLACE": domains,
    }
    if asked["Operation"] not in kept:
        raise operations.error(
            "ValidationException", f"The operation {asked['Operation']} is not valid."
        )
    made["Domains"] = list(dict.fromkeys(kept[asked["Operation"]]))
    made["ModificationTime"] = operations.timestamp(simulated_time.now())
    return {name: made[name] for name in ("Id", "Name", "Status")}


def _list_domains(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return _paged("Domains", _named(response, asked)["Domains"], asked)


def _named(response: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    identity = asked["FirewallDomainListId"]
    made = _lists(response.current_account, response.region).get(identity)
    if made is None:
        raise operations.error(
            "ResourceNotFoundException", f"The firewall domain list {identity} does not exist."
        )
    return made


def _paged(name: str, items: list[Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    found, following = operations.page(
        items,
        asked.get("MaxResults") or _PAGE,
        asked.get("NextToken"),
        bad_token=operations.error("ValidationException", "The token is not valid."),
    )
    return {name: found, **({"NextToken": following} if following else {})}
