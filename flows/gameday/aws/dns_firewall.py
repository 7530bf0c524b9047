"""DNS Firewall of Route 53 Resolver, as far as CloudFormation makes it; moto has none of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# By type: how AWS's ids of it begin, and the properties that it needs (resource reference).
_TYPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "AWS::Route53Resolver::FirewallDomainList": ("rslvr-fdl", ()),
    "AWS::Route53Resolver::FirewallRuleGroup": ("rslvr-frg", ()),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": (
        "rslvr-frgassoc",
        ("FirewallRuleGroupId", "Priority", "VpcId"),
    ),
}
_OF_A_RULE = ("Action", "Priority")


def correct() -> None:
    """Have CloudFormation know the resource types of a DNS Firewall."""
    from moto.cloudformation.parsing import get_model_map, get_name_type_map

    for kind in _TYPES:
        get_model_map()[kind] = _model(kind)
        get_name_type_map()[kind] = ""


def _model(kind: str) -> Any:
    class FirewallResource:
        """One of them, by its id: nothing in the simulated AWS resolves names."""

        create_from_cloudformation_json = classmethod(_maker(kind))

        def __init__(self, identity: str) -> None:
            self.physical_resource_id = identity

        def delete(self, account_id: str, region_name: str) -> None:
            """Nothing else knows of it."""

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
        return cls(f"{prefix}-{mock_random.get_random_hex(16)}")

    return create
