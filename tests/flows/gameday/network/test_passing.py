"""Which new flows pass. Each case follows the document of AWS that is named beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.network import Flow, Network, open_flow
from flows.gameday.network.model import Acl, AclEntry, Gateway, Group, Route, Rule
from tests.flows.gameday.network.networks import (
    C2,
    C2_IPV6,
    EVERYTHING,
    LOCAL,
    NEIGHBOUR,
    PEER,
    VICTIM,
    WEB,
    allow,
    deny,
    interface,
    into,
    network,
    out,
    regrouped,
    with_acl,
)


def passes(net: Network, flow: Flow) -> bool:
    return open_flow(net, flow).open


def why(net: Network, flow: Flow) -> str:
    verdict = open_flow(net, flow)
    assert not verdict.open
    return verdict.why


# Security groups (VPC User Guide, "Security groups" and "Security group rules")


@pytest.mark.parametrize(
    ("rules", "flow", "expected"),
    [
        ((out(),), Flow(VICTIM, PEER), True),
        ((), Flow(VICTIM, PEER), False),
        ((into(),), Flow(VICTIM, PEER), False),
        ((out("tcp", (443, 443)),), Flow(VICTIM, PEER, port=443), True),
        ((out("tcp", (443, 443)),), Flow(VICTIM, PEER, port=444), False),
        ((out("tcp", (0, 65535)),), Flow(VICTIM, PEER, port=65535), True),
        ((out("tcp", (443, 443)),), Flow(VICTIM, PEER, protocol="udp", port=443), False),
        ((out("udp", (53, 53)),), Flow(VICTIM, PEER, protocol="udp", port=53), True),
        ((out("icmp", (8, -1)),), Flow(VICTIM, PEER, protocol="icmp", port=8), True),
        ((out("icmp", (-1, -1)),), Flow(VICTIM, PEER, protocol="icmp", port=13), True),
        ((out("icmp", (8, -1)),), Flow(VICTIM, PEER, protocol="icmp", port=13), False),
        ((out("47"),), Flow(VICTIM, PEER, protocol="47", port=0), True),
        ((out("tcp", (443, 443), "10.0.2.0/24"),), Flow(VICTIM, PEER), True),
        ((out("tcp", (443, 443), "10.0.3.0/24"),), Flow(VICTIM, PEER), False),
        ((out(peer="::/0"),), Flow(VICTIM, PEER), False),
        ((out(peer="sg-open"),), Flow(VICTIM, PEER), True),
        ((out(peer="sg-app"),), Flow(VICTIM, PEER), False),
        ((out(peer="pl-1"),), Flow(VICTIM, PEER), True),
        ((out(peer="pl-2"),), Flow(VICTIM, PEER), False),
    ],
)
def test_a_flow_leaves_only_by_a_rule_of_egress(
    rules: tuple[Rule, ...], flow: Flow, expected: bool
) -> None:
    lists = {"pl-1": ("192.0.2.0/24", "10.0.2.0/24"), "pl-2": ("192.0.2.0/24",)}

    assert passes(network(rules=rules, prefix_lists=lists), flow) is expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((into("tcp", (22, 22), "10.0.2.0/24"),), True),
        ((into("tcp", (22, 22), "10.0.2.10/32"),), True),
        ((into("tcp", (22, 22), "10.0.3.0/24"),), False),
        ((into("tcp", (22, 22), "sg-open"),), True),
        ((into("tcp", (22, 22), "sg-none"),), False),
        ((out(),), False),
        ((into("tcp", (22, 22)),), True),
    ],
)
def test_a_flow_enters_only_by_a_rule_of_ingress_and_needs_none_for_its_answers(
    rules: tuple[Rule, ...], expected: bool
) -> None:
    assert passes(network(rules=rules), Flow(PEER, VICTIM, port=22)) is expected


def test_all_groups_of_an_interface_count_together() -> None:
    net = network(rules=())

    assert not passes(net, Flow(VICTIM, PEER))
    assert passes(regrouped(net, VICTIM, "sg-app", "sg-open"), Flow(VICTIM, PEER))


def test_a_peer_that_names_the_victims_group_lets_it_in_no_more_after_the_swap() -> None:
    net = network(groups={"sg-db": (into("tcp", (5432, 5432), "sg-app"),)}, rules=(out(),))
    net = regrouped(net, PEER, "sg-db")
    query = Flow(VICTIM, PEER, port=5432)

    assert passes(net, query)
    assert not passes(regrouped(net, VICTIM, "sg-open"), query)


def test_a_group_that_is_named_counts_for_private_addresses_only() -> None:
    # "Traffic based on the private IP addresses" (VPC User Guide, "Security group rules").
    named = {"sg-named": (into(peer="sg-app"), out())}
    other = interface("eni-other", "subnet-public", "10.0.0.11", public={"10.0.0.11": "192.0.2.11"})
    net = network(groups=named, interfaces=[other])
    net = regrouped(net, WEB, "sg-named")

    assert passes(net, Flow("eni-other", "10.0.0.10"))
    assert not passes(net, Flow("eni-other", "203.0.113.10"))


# Network ACLs (VPC User Guide, "Network ACL basics" and "Network ACL rules")


def test_a_deny_in_either_direction_stops_a_flow() -> None:
    net, flow = network(), Flow(VICTIM, C2)

    assert passes(net, flow)
    for egress in (True, False):
        denied = with_acl(net, "subnet-private", deny(1, egress=egress, remote=f"{C2}/32"))
        assert "acl-1, entry 1" in why(denied, flow)


def test_the_lowest_number_that_matches_decides_wherever_it_stands_in_the_list() -> None:
    net, flow = network(), Flow(VICTIM, C2)

    late = with_acl(net, "subnet-private", deny(200, egress=True, remote=f"{C2}/32"))
    early = with_acl(
        net,
        "subnet-private",
        deny(3, egress=True, remote="0.0.0.0/0"),
        allow(2, egress=True, remote=f"{C2}/32"),
    )

    assert passes(late, flow)
    assert passes(early, flow)
    assert not passes(early, Flow(VICTIM, "198.51.100.8"))


def test_answers_need_the_ephemeral_ports_open() -> None:
    # "Network ACLs are stateless … you must open ephemeral ports" (VPC User Guide).
    def acl(first: int) -> Network:
        entries = (
            allow(100, egress=True, protocol="tcp", first=443, last=443),
            allow(100, egress=False, protocol="tcp", first=first, last=65535),
        )
        net = network()
        return replace(net, acls={**net.acls, "subnet-private": Acl("acl-1", entries)})

    assert passes(acl(1024), Flow(VICTIM, C2))
    assert not passes(acl(50000), Flow(VICTIM, C2))
    assert "its answers into subnet-private" in why(acl(50000), Flow(VICTIM, C2))
    assert passes(acl(50000), Flow(VICTIM, C2, source_port=51000))


def test_what_no_entry_matches_is_denied() -> None:
    net = network()
    empty = replace(net, acls={**net.acls, "subnet-private": Acl("acl-empty")})

    assert "entry *" in why(empty, Flow(VICTIM, C2))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (deny(1, egress=True, remote="0.0.0.0/0", protocol="icmp", first=8), False),
        (deny(1, egress=True, remote="0.0.0.0/0", protocol="icmp", first=13), True),
        (deny(1, egress=False, remote="0.0.0.0/0", protocol="icmp", first=0), False),
        (deny(1, egress=True, remote="0.0.0.0/0", protocol="tcp", first=8, last=8), True),
        (deny(1, egress=True, remote="::/0"), True),
    ],
)
def test_an_entry_for_icmp_is_by_type_and_an_echo_is_answered_by_a_reply(
    entry: AclEntry, expected: bool
) -> None:
    ping = Flow(VICTIM, PEER, protocol="icmp", port=8)

    assert passes(with_acl(network(), "subnet-private", entry), ping) is expected


def test_network_acls_are_evaluated_only_where_a_subnet_ends() -> None:
    # "Not … as it is routed within a subnet" (VPC User Guide, "Network ACL basics").
    everything = [deny(1, egress=egress, remote="0.0.0.0/0") for egress in (True, False)]
    net = with_acl(network(), "subnet-private", *everything)

    assert passes(net, Flow(VICTIM, NEIGHBOUR))
    assert not passes(net, Flow(VICTIM, PEER))
    assert not passes(net, Flow(PEER, NEIGHBOUR))


def test_the_acl_of_the_nat_gateways_subnet_counts_too() -> None:
    net = with_acl(network(), "subnet-public", deny(1, egress=True, remote=f"{C2}/32"))

    assert "subnet-public" in why(net, Flow(VICTIM, C2))
    assert passes(net, Flow(VICTIM, "198.51.100.8"))


# Routes and gateways (VPC User Guide, "Route tables", "Internet gateways", "NAT gateways")


def test_a_private_instance_reaches_the_internet_through_its_nat_gateway() -> None:
    verdict = open_flow(network(), Flow(VICTIM, C2))

    assert verdict.open
    assert verdict.path is not None
    assert verdict.path.tracked == ("a NAT gateway",)


def test_nothing_comes_in_through_a_nat_gateway() -> None:
    net = network(rules=EVERYTHING)

    assert "nat-1 takes no connections" in why(net, Flow(C2, VICTIM))
    assert "nat-1 takes no connections" in why(net, Flow(C2, "10.0.1.10"))


def test_without_a_public_address_an_internet_gateway_leads_nowhere() -> None:
    direct = [Route("0.0.0.0/0", "igw-1")]

    assert "without a public address" in why(network(private=direct), Flow(VICTIM, C2))
    assert passes(network(), Flow(WEB, C2))


def test_an_address_from_outside_reaches_a_public_address_whose_group_lets_it_in() -> None:
    net = network(rules=(into("tcp", (443, 443)),))

    assert passes(net, Flow(C2, "203.0.113.10"))
    assert passes(net, Flow(C2, WEB))
    assert not passes(net, Flow(C2, "203.0.113.10", port=22))
    assert why(net, Flow(C2, "203.0.113.99")) == "neither end is in this account"


def test_two_public_instances_talk_through_the_gateway_by_their_public_addresses() -> None:
    other = interface("eni-other", "subnet-public", "10.0.0.11", public={"10.0.0.11": "192.0.2.11"})
    net = network(rules=(out(), into(peer="192.0.2.11/32")), interfaces=[other])

    assert passes(net, Flow("eni-other", "203.0.113.10"))
    assert not passes(net, Flow("eni-other", "10.0.0.10"))


def test_private_addresses_are_not_routed_in_the_internet() -> None:
    assert "no route to 192.168.7.7" in why(network(), Flow(WEB, "192.168.7.7"))


@pytest.mark.parametrize(
    ("routes", "reason"),
    [
        ([], "no route to"),
        ([Route("0.0.0.0/0", "nat-1", active=False)], "black hole"),
        ([Route("0.0.0.0/0", "nat-gone")], "black hole"),
        ([Route("0.0.0.0/0", "nat-down")], "black hole"),
        ([Route("0.0.0.0/0", "nat-1"), Route("198.51.100.0/24", "nat-gone")], "black hole"),
    ],
)
def test_the_most_specific_route_decides_and_a_black_hole_ends_it(
    routes: list[Route], reason: str
) -> None:
    down = Gateway("nat-down", "nat", frozenset({"vpc-1"}), "subnet-public", up=False)

    assert reason in why(network(private=routes, gateways=[down]), Flow(VICTIM, C2))


def test_a_prefix_list_in_a_route_leads_to_its_endpoint() -> None:
    endpoint = Gateway("vpce-1", "gateway_endpoint", frozenset({"vpc-1"}))
    net = network(
        private=[Route("pl-s3", "vpce-1")],
        gateways=[endpoint],
        prefix_lists={"pl-s3": ("52.218.0.0/17",)},
    )

    assert passes(net, Flow(VICTIM, "52.218.1.1"))
    assert not passes(net, Flow(VICTIM, C2))


def test_an_address_of_the_vpc_that_nobody_has_is_nowhere() -> None:
    assert "no interface in vpc-1 has 10.0.9.9" in why(network(), Flow(VICTIM, "10.0.9.9"))


def test_a_stopped_instance_neither_sends_nor_takes_anything() -> None:
    net = network()
    stopped = replace(net.interfaces[PEER], up=False)
    net = replace(net, interfaces={**net.interfaces, PEER: stopped})

    assert "eni-peer is not up" in why(net, Flow(VICTIM, PEER))
    assert "eni-peer is not up" in why(net, Flow(PEER, VICTIM))


@pytest.mark.parametrize("name", ["eni-nobody", "i-nobody"])
def test_what_is_not_there_is_named(name: str) -> None:
    assert name in why(network(), Flow(VICTIM, name))
    assert name in why(network(), Flow(name, C2))


def test_an_instance_is_its_primary_interface() -> None:
    second = interface(
        "eni-second", "subnet-private", "10.0.1.11", instance="i-victim", primary=False
    )
    verdict = open_flow(network(interfaces=[second]), Flow("i-victim", C2))

    assert verdict.path is not None
    assert [end.interface.id for end in verdict.path.ends] == [VICTIM]


# IPv6 (VPC User Guide, "IPv6 …", "Egress-only internet gateways")


def test_ipv6_needs_no_translation_but_rules_and_entries_of_its_own() -> None:
    net = network()

    assert passes(net, Flow(WEB, C2_IPV6))
    assert not passes(network(rules=(out(),)), Flow(WEB, C2_IPV6))
    assert not passes(
        with_acl(net, "subnet-public", deny(1, egress=True, remote=f"{C2_IPV6}/128")),
        Flow(WEB, C2_IPV6),
    )
    assert "no IPv6 address" in why(net, Flow(PEER, C2_IPV6))


def test_an_egress_only_gateway_lets_out_and_not_in() -> None:
    net = network(rules=EVERYTHING)
    verdict = open_flow(net, Flow(VICTIM, C2_IPV6))

    assert verdict.open
    assert verdict.path is not None
    assert verdict.path.tracked == ("an egress-only internet gateway",)
    assert "eigw-1 takes no connections" in why(net, Flow(C2_IPV6, VICTIM))


def test_an_ipv6_address_is_reached_from_the_internet_through_an_internet_gateway() -> None:
    net = network(rules=EVERYTHING)

    assert passes(net, Flow(C2_IPV6, "2600:1f18:1:1::10"))


# Other VPCs and networks (VPC Peering Guide; Transit Gateway Guide)


def neighbours(kind: str, *, back: bool = True, rules: tuple[Rule, ...] = (into(),)) -> Network:
    identity = "tgw-1" if kind == "transit" else "pcx-1"
    ways = frozenset({"vpc-1", "vpc-2"})
    gateway = (
        Gateway(identity, "transit", ways)
        if kind == "transit"
        else Gateway(identity, "peering", ways)
    )
    remote = replace(
        interface("eni-remote", "subnet-remote", "10.9.0.10", groups=("sg-remote",)), vpc="vpc-2"
    )
    return network(
        private=[Route("10.9.0.0/16", identity)],
        gateways=[gateway],
        interfaces=[remote],
        groups={"sg-remote": rules},
        vpcs={"vpc-2": ("10.9.0.0/16",)},
        routes={
            "subnet-remote": [
                Route("10.9.0.0/16", "local"),
                *([Route("10.0.0.0/16", identity)] if back else []),
            ]
        },
    )


@pytest.mark.parametrize("kind", ["transit", "peering"])
def test_another_vpc_is_reached_where_both_have_a_route(kind: str) -> None:
    assert passes(neighbours(kind), Flow(VICTIM, "10.9.0.10"))
    assert not passes(neighbours(kind, back=False), Flow(VICTIM, "10.9.0.10"))
    assert not passes(neighbours(kind, rules=()), Flow(VICTIM, "10.9.0.10"))
    assert not passes(neighbours(kind), Flow(VICTIM, "10.9.0.11"))


def test_a_group_is_named_across_a_peering_and_not_across_a_transit_gateway() -> None:
    named = (into(peer="sg-app"),)

    assert passes(neighbours("peering", rules=named), Flow(VICTIM, "10.9.0.10"))
    assert not passes(neighbours("transit", rules=named), Flow(VICTIM, "10.9.0.10"))


def test_a_transit_gateway_leads_on_to_networks_that_are_not_aws_and_a_peering_does_not() -> None:
    on_premises = Gateway("tgw-1", "transit", frozenset({"vpc-1"}))
    net = network(private=[Route("192.168.0.0/16", "tgw-1")], gateways=[on_premises])
    assert passes(net, Flow(VICTIM, "192.168.7.7"))

    peering = Gateway("pcx-1", "peering", frozenset({"vpc-1", "vpc-2"}))
    net = network(private=[Route("192.168.0.0/16", "pcx-1")], gateways=[peering])
    assert not passes(net, Flow(VICTIM, "192.168.7.7"))


def test_a_firewall_endpoint_is_passed_on_the_way_and_its_subnet_has_its_own_route() -> None:
    endpoint = Gateway("vpce-fw", "firewall_endpoint", frozenset({"vpc-1"}), "subnet-firewall")
    net = network(
        private=[Route("0.0.0.0/0", "vpce-fw")],
        gateways=[endpoint],
        routes={"subnet-firewall": [*LOCAL, Route("0.0.0.0/0", "nat-1")]},
    )
    verdict = open_flow(net, Flow(VICTIM, C2))

    assert verdict.open
    assert verdict.path is not None
    assert verdict.path.tracked == (
        "a Network Firewall or Gateway Load Balancer endpoint",
        "a NAT gateway",
    )


def test_routes_that_go_in_a_circle_lead_nowhere() -> None:
    endpoint = Gateway("vpce-fw", "firewall_endpoint", frozenset({"vpc-1"}), "subnet-private")
    net = network(private=[Route("0.0.0.0/0", "vpce-fw")], gateways=[endpoint])

    assert "circle" in why(net, Flow(VICTIM, C2))


@pytest.mark.parametrize("check", [True, False])
def test_a_nat_instance_forwards_once_its_check_is_off(check: bool) -> None:
    # VPC User Guide, "NAT instances": "disable source/destination checks".
    forwarder = interface(
        "eni-nat",
        "subnet-public",
        "10.0.0.6",
        groups=("sg-open",),
        public={"10.0.0.6": "203.0.113.6"},
        source_dest_check=check,
    )
    net = network(private=[Route("0.0.0.0/0", "eni-nat")], interfaces=[forwarder])

    assert passes(net, Flow(VICTIM, C2)) is not check


# What neither groups nor ACLs filter (VPC User Guide, "Security groups", "Network ACL basics")


@pytest.mark.parametrize(
    ("address", "service"),
    [
        ("169.254.169.254", "the instance metadata service"),
        ("169.254.169.253", "DNS"),
        ("fd00:ec2::253", "DNS"),
        ("10.0.0.2", "DNS"),
        ("169.254.169.123", "the Time Sync Service"),
        ("169.254.170.2", "ECS task metadata"),
        ("169.254.169.250", "Windows activation"),
    ],
)
def test_an_isolated_instance_still_reaches_what_nothing_filters(
    address: str, service: str
) -> None:
    nothing = [deny(1, egress=egress, remote="0.0.0.0/0") for egress in (True, False)]
    net = regrouped(with_acl(network(), "subnet-private", *nothing), VICTIM, "sg-none")
    verdict = open_flow(net, Flow(VICTIM, address, protocol="udp", port=53))

    assert verdict.open
    assert service in verdict.why


def test_the_metadata_service_is_out_of_reach_only_when_it_is_switched_off() -> None:
    net = network()
    off = replace(net.interfaces[VICTIM], metadata=False)
    net = replace(net, interfaces={**net.interfaces, VICTIM: off})

    assert "switched off" in why(net, Flow(VICTIM, "169.254.169.254", port=80))
    assert "switched off" in why(net, Flow(WEB, "fd00:ec2::254", port=80))


# What holds for all networks

_PORTS = st.sampled_from([(-1, -1), (0, 65535), (443, 443), (22, 80)])
_RULES = st.builds(
    Rule,
    st.booleans(),
    st.sampled_from(["-1", "tcp", "udp", "icmp"]),
    st.just(0),
    st.just(0),
    st.sampled_from(["0.0.0.0/0", "::/0", "10.0.0.0/16", "10.0.2.10/32", "sg-app", "sg-open"]),
).flatmap(lambda rule: _PORTS.map(lambda ports: replace(rule, first=ports[0], last=ports[1])))
_FLOWS = st.builds(
    Flow,
    st.sampled_from([VICTIM, NEIGHBOUR, PEER, WEB, C2]),
    st.sampled_from([VICTIM, NEIGHBOUR, PEER, WEB, C2, C2_IPV6, "203.0.113.10"]),
    st.sampled_from(["tcp", "udp", "icmp"]),
    st.sampled_from([8, 22, 53, 443, 60000]),
).filter(lambda flow: flow.source != flow.destination)


@given(st.lists(_RULES, max_size=6), st.integers(0, 5), _FLOWS)
def test_taking_a_rule_away_never_opens_anything(
    rules: list[Rule], number: int, flow: Flow
) -> None:
    less = [rule for place, rule in enumerate(rules) if place != number]
    for name in ("sg-app", "sg-open"):
        before = network(groups={name: rules})
        after = replace(before, groups={**before.groups, name: Group(name, tuple(less))})
        assert passes(before, flow) or not passes(after, flow)


@given(_FLOWS, st.booleans(), st.integers(1, 200))
def test_an_entry_that_denies_never_opens_anything(flow: Flow, egress: bool, number: int) -> None:
    net = network(rules=EVERYTHING)
    for subnet in ("subnet-private", "subnet-public"):
        denied = with_acl(net, subnet, deny(number, egress=egress, remote="0.0.0.0/0"))
        assert passes(net, flow) or not passes(denied, flow)


@given(_FLOWS)
def test_nothing_passes_an_interface_in_a_group_without_rules(flow: Flow) -> None:
    net = regrouped(network(rules=EVERYTHING), VICTIM, "sg-none")

    if VICTIM in (flow.source, flow.destination):
        assert not passes(net, flow)
