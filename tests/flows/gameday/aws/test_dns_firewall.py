"""DNS Firewall's lists of domains, by the API and by CloudFormation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]


@pytest.fixture
def resolver(aws: Client) -> Any:
    return aws("route53resolver")


def _create(resolver: Any, name: str = "blocked", request: str = "1") -> str:
    made = resolver.create_firewall_domain_list(Name=name, CreatorRequestId=request)
    return str(made["FirewallDomainList"]["Id"])


def test_a_list_of_domains_is_made_changed_and_deleted(resolver: Any) -> None:
    made = _create(resolver)

    for operation, domains in (
        ("ADD", ["a.example.", "b.example."]),
        ("REMOVE", ["a.example."]),
        ("ADD", ["b.example.", "c.example."]),
    ):
        resolver.update_firewall_domains(
            FirewallDomainListId=made, Operation=operation, Domains=domains
        )

    found = resolver.get_firewall_domain_list(FirewallDomainListId=made)["FirewallDomainList"]
    assert (found["Name"], found["Status"], found["DomainCount"]) == ("blocked", "COMPLETE", 2)
    domains = resolver.list_firewall_domains(FirewallDomainListId=made)["Domains"]
    assert domains == ["b.example.", "c.example."]
    [listed] = resolver.list_firewall_domain_lists()["FirewallDomainLists"]
    assert listed["Id"] == made

    resolver.delete_firewall_domain_list(FirewallDomainListId=made)
    with refused("ResourceNotFoundException"):
        resolver.get_firewall_domain_list(FirewallDomainListId=made)


def test_a_request_that_is_repeated_makes_one_list(resolver: Any) -> None:
    assert _create(resolver) == _create(resolver)
    assert _create(resolver) != _create(resolver, request="2")


def test_an_unknown_operation_is_refused(resolver: Any) -> None:
    made = _create(resolver)

    with refused("ValidationException"):
        resolver.update_firewall_domains(
            FirewallDomainListId=made, Operation="FORGET", Domains=["a.example."]
        )


def test_cloudformation_makes_lists_that_the_api_knows(aws: Client, resolver: Any) -> None:
    template = {
        "Resources": {
            "Blocked": {
                "Type": "AWS::Route53Resolver::FirewallDomainList",
                "Properties": {"Name": "blocked", "Domains": ["*"]},
            }
        }
    }
    cloudformation = aws("cloudformation")
    cloudformation.create_stack(StackName="room", TemplateBody=json.dumps(template))

    [listed] = resolver.list_firewall_domain_lists()["FirewallDomainLists"]
    [made] = cloudformation.describe_stack_resources(StackName="room")["StackResources"]
    assert made["PhysicalResourceId"] == listed["Id"]
    domains = resolver.list_firewall_domains(FirewallDomainListId=listed["Id"])["Domains"]
    assert domains == ["*"]

    cloudformation.delete_stack(StackName="room")
    assert resolver.list_firewall_domain_lists()["FirewallDomainLists"] == []
