"""What becomes of connections that are established, after the EC2 User Guide's "Security group
connection tracking" and the VPC User Guide's "Network ACL basics"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.network import Connections, Fate, Flow, Network, NotConnected
from flows.gameday.network.model import Gateway, Route, Rule, Timeouts
from tests.flows.gameday.network.networks import (
    C2,
    C2_IPV6,
    EVERYTHING,
    LOCAL,
    NEIGHBOUR,
    PEER,
    VICTIM,
    WEB,
    deny,
    interface,
    into,
    network,
    out,
    regrouped,
    with_acl,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def fate(
    flow: Flow,
    *networks: Network,
    step: timedelta = timedelta(seconds=1),
    until: timedelta = timedelta(seconds=0),
    idle: bool = False,
) -> Fate:
    """What became of a flow that was established in the first of the networks, which followed each
    other in steps; ``until`` is how long after the last one is asked."""
    first, *later = networks
    connections = Connections()
    connections.establish(flow, first, at=BEGAN, idle_since=BEGAN if idle else None)
    for number, each in enumerate(later, start=1):
        connections.observe(each, at=BEGAN + number * step)
    ((_, found),) = connections.after_change(BEGAN + len(later) * step + until)
    return found


def isolated(net: Network, *eni: str) -> Network:
    for name in eni or (VICTIM,):
        net = regrouped(net, name, "sg-none")
    return net


# Tracked or not


@pytest.mark.parametrize(
    ("rules", "flow", "tracked"),
    [
        # The table of the guide: SSH from one address, HTTP from everywhere, all of egress.
        ((into("tcp", (22, 22), "10.0.2.10/32"), out()), Flow(PEER, VICTIM, port=22), True),
        ((into("tcp", (80, 80)), out()), Flow(PEER, VICTIM, port=80), False),
        ((into("icmp", (-1, -1)), out()), Flow(PEER, VICTIM, "icmp", 8), True),
        # "If you remove the outbound rule … all inbound … traffic is tracked".
        ((into("tcp", (80, 80)), out(peer="10.0.0.0/8")), Flow(PEER, VICTIM, port=80), True),
        ((into("tcp", (80, 80)), out("tcp", (0, 65535))), Flow(PEER, VICTIM, port=80), False),
        ((into("tcp", (80, 80)), out("tcp", (1024, 65535))), Flow(PEER, VICTIM, port=80), True),
        ((into("tcp", (80, 80)), out("udp", (0, 65535))), Flow(PEER, VICTIM, port=80), True),
        # Outwards it is the other way round.
        ((out(),), Flow(VICTIM, PEER), True),
        ((out(), into("tcp", (443, 443))), Flow(VICTIM, PEER), True),
        ((out(), into()), Flow(VICTIM, PEER), False),
        ((out("udp", (53, 53)), into("udp", (0, 65535))), Flow(VICTIM, PEER, "udp", 53), False),
        ((out("tcp", (443, 443)), into()), Flow(VICTIM, PEER), False),
        ((out(), into()), Flow(VICTIM, PEER, "icmp", 8), True),
        ((out(), into()), Flow(VICTIM, PEER, "47", 0), True),
        # Each family is for itself.
        ((out(), into(), out(peer="::/0")), Flow(WEB, C2_IPV6), True),
        (EVERYTHING, Flow(WEB, C2_IPV6), False),
        ((out(), out(peer="::/0"), into(peer="::/0")), Flow(WEB, C2), True),
    ],
)
def test_a_flow_is_untracked_only_where_everything_may_pass_and_come_back(
    rules: Sequence[Rule], flow: Flow, tracked: bool
) -> None:
    found = fate(flow, network(rules=tuple(rules)))

    side = WEB if WEB in (flow.source, flow.destination) else VICTIM
    assert found.tracked[side] is tracked


@pytest.mark.parametrize(
    ("flow", "what"),
    [
        (Flow(VICTIM, C2), "a NAT gateway"),
        (Flow(VICTIM, C2_IPV6), "an egress-only internet gateway"),
        (Flow(VICTIM, "192.168.7.7"), "a Transit Gateway attachment"),
        (Flow(VICTIM, "192.0.2.1"), "a Network Firewall or Gateway Load Balancer endpoint"),
        (Flow(VICTIM, "10.0.2.99"), "an interface VPC endpoint"),
        (Flow(C2, VICTIM, via="network_load_balancer"), "a Network Load Balancer"),
        (Flow(C2, VICTIM, via="gateway_load_balancer"), "a Gateway Load Balancer"),
        (Flow(C2, VICTIM, via="global_accelerator"), "Global Accelerator"),
    ],
)
def test_some_ways_are_tracked_whatever_the_rules_say(flow: Flow, what: str) -> None:
    net = network(
        rules=EVERYTHING,
        private=[
            Route("0.0.0.0/0", "nat-1"),
            Route("::/0", "eigw-1"),
            Route("192.168.0.0/16", "tgw-1"),
            Route("192.0.2.0/24", "vpce-fw"),
        ],
        gateways=[
            Gateway("tgw-1", "transit", frozenset({"vpc-1"})),
            Gateway("vpce-fw", "firewall_endpoint", frozenset({"vpc-1"}), "subnet-firewall"),
        ],
        routes={"subnet-firewall": [*LOCAL, Route("0.0.0.0/0", "nat-1")]},
        interfaces=[interface("eni-vpce", "subnet-other", "10.0.2.99", kind="vpc_endpoint")],
    )
    opened = regrouped(net, "eni-vpce", "sg-open")
    found = fate(flow, opened, isolated(opened), until=DAY)

    assert found.tracked[VICTIM]
    assert found.alive
    assert what in found.why


def test_what_would_not_pass_is_not_connected() -> None:
    with pytest.raises(NotConnected, match="sg-none"):
        Connections().establish(Flow(VICTIM, C2), isolated(network()))


# Security groups are changed


def test_a_tracked_connection_outlives_the_swap_of_groups() -> None:
    # "When you change a security group rule, its tracked connections are not immediately
    # interrupted."
    net = network()
    found = fate(Flow(VICTIM, C2), net, isolated(net), until=30 * DAY)

    assert found.alive
    assert "no rule of eni-victim permits it, but it is tracked there" in found.why
    assert "connection tracking" in found.rule


def test_an_untracked_connection_is_cut_at_once_when_its_rule_goes() -> None:
    # "An untracked flow of traffic is immediately interrupted if the rule that enables the flow is
    # removed or modified."
    net = network(rules=EVERYTHING)
    found = fate(Flow(VICTIM, PEER), net, isolated(net))

    assert not found.alive
    assert found.at == BEGAN + timedelta(seconds=1)
    assert "not tracked at eni-victim" in found.why


def test_an_untracked_connection_under_narrower_rules_that_permit_it_is_tracked_from_then_on() -> (
    None
):
    wide = network(rules=EVERYTHING)
    narrow = network(rules=(out("tcp", (443, 443)),))
    found = fate(Flow(VICTIM, PEER), wide, narrow, isolated(narrow))

    assert found.alive
    assert found.tracked[VICTIM]


def test_each_end_has_its_own_tracking() -> None:
    # The peer's rules leave it untracked, the victim's don't.
    net = network()
    flow = Flow(VICTIM, PEER)

    assert fate(flow, net).tracked == {VICTIM: True, PEER: False}
    assert fate(flow, net, isolated(net)).alive
    assert not fate(flow, net, isolated(net, PEER)).alive


def test_icmp_is_tracked_even_where_everything_may_pass() -> None:
    net = network(rules=EVERYTHING)

    assert fate(Flow(VICTIM, PEER, "icmp", 8), net, isolated(net), until=DAY).alive


# Idle connections time out (ConnectionTrackingSpecification)


@pytest.mark.parametrize(
    ("flow", "timeout"),
    [
        (Flow(VICTIM, C2), timedelta(days=5)),
        (Flow(VICTIM, C2, "udp", 53), timedelta(seconds=180)),
        (Flow(VICTIM, C2, "47", 0), timedelta(seconds=600)),
    ],
)
def test_an_idle_connection_is_tracked_until_its_timeout(flow: Flow, timeout: timedelta) -> None:
    net = network()
    second = timedelta(seconds=1)

    assert fate(flow, net, isolated(net), until=timeout - 2 * second, idle=True).alive
    found = fate(flow, net, isolated(net), until=timeout, idle=True)
    assert not found.alive
    assert found.at == BEGAN + timeout


def test_an_interfaces_own_timeout_counts() -> None:
    net = network()
    quick = replace(net.interfaces[VICTIM], timeouts=Timeouts(timedelta(seconds=300)))
    net = replace(net, interfaces={**net.interfaces, VICTIM: quick})

    assert not fate(Flow(VICTIM, C2), net, isolated(net), until=5 * MINUTE, idle=True).alive
    assert fate(Flow(VICTIM, C2), net, isolated(net), until=5 * MINUTE).alive, "it isn't idle"


def test_an_idle_connection_that_is_still_permitted_does_not_end() -> None:
    assert fate(Flow(VICTIM, C2), network(), until=10 * DAY, idle=True).alive


# Untracking


def opened(net: Network) -> Network:
    return regrouped(net, VICTIM, "sg-open")


def test_the_untrack_trick_cuts_a_direct_connection_after_its_wait() -> None:
    net = network()
    found = fate(Flow(VICTIM, PEER), net, opened(net), isolated(net), step=MINUTE)

    assert not found.alive
    assert found.at == BEGAN + 2 * MINUTE


def test_untracking_without_a_wait_cuts_nothing() -> None:
    net = network()

    assert fate(Flow(VICTIM, PEER), net, opened(net), isolated(net), until=DAY).alive


def test_untracking_cuts_nothing_that_goes_through_a_nat_gateway() -> None:
    net = network()

    assert fate(Flow(VICTIM, C2), net, opened(net), isolated(net), step=MINUTE).alive


@pytest.mark.parametrize(("rules", "alive"), [((into(), out()), True), (EVERYTHING, False)])
def test_untracking_cuts_ipv6_only_where_ipv6_was_opened(
    rules: tuple[Rule, ...], alive: bool
) -> None:
    net = network(groups={"sg-open": (*rules, out(peer="::/0"))})
    web = regrouped(net, WEB, "sg-open")
    found = fate(Flow(WEB, C2_IPV6), net, web, isolated(net, WEB), step=MINUTE)

    assert found.alive is alive


def test_icmp_and_idle_connections_are_not_untracked() -> None:
    # The change takes effect when packets pass under the new rules.
    net = network()
    states = (net, opened(net), isolated(net))

    assert fate(Flow(VICTIM, PEER, "icmp", 8), *states, step=MINUTE).alive
    assert fate(Flow(VICTIM, PEER), *states, step=MINUTE, idle=True).alive


def test_an_interrupted_opening_counts_anew() -> None:
    net = network()
    half = timedelta(seconds=30)
    states = (net, opened(net), net, opened(net), isolated(net))

    assert fate(Flow(VICTIM, PEER), *states, step=half).alive


# Network ACLs, routes and addresses are changed


@pytest.mark.parametrize("egress", [True, False])
def test_an_entry_that_denies_the_remote_address_cuts_a_tracked_connection(egress: bool) -> None:
    # "Adding a network ACL that blocks traffic in either direction breaks existing connections."
    net = network()
    denied = with_acl(net, "subnet-private", deny(1, egress=egress, remote=f"{C2}/32"))
    found = fate(Flow(VICTIM, C2), net, denied)

    assert not found.alive
    assert "acl-1" in found.why
    assert "Network ACL" in found.rule


def test_no_network_acl_cuts_a_connection_within_a_subnet() -> None:
    net = network()
    everything = [deny(1, egress=egress, remote="0.0.0.0/0") for egress in (True, False)]
    closed = with_acl(isolated(net), "subnet-private", *everything)

    assert fate(Flow(VICTIM, NEIGHBOUR), net, closed, until=DAY).alive
    assert not fate(Flow(VICTIM, PEER), net, closed, until=DAY).alive


def test_what_was_cut_stays_cut_when_the_change_is_taken_back() -> None:
    net = network()
    denied = with_acl(net, "subnet-private", deny(1, egress=True, remote=f"{C2}/32"))

    assert not fate(Flow(VICTIM, C2), net, denied, net, until=DAY).alive


def test_a_route_or_a_public_address_that_goes_cuts() -> None:
    net = network()
    unrouted = replace(net, routes={**net.routes, "subnet-private": LOCAL})
    assert not fate(Flow(VICTIM, C2), net, unrouted).alive

    private = replace(net.interfaces[WEB], public={})
    bare = replace(net, interfaces={**net.interfaces, WEB: private})
    assert not fate(Flow(WEB, C2), net, bare).alive


def test_another_public_address_is_another_connection() -> None:
    net = network()
    moved = replace(net.interfaces[WEB], public={"10.0.0.10": "203.0.113.77"})
    other = replace(net, interfaces={**net.interfaces, WEB: moved})
    found = fate(Flow(WEB, C2), net, other)

    assert not found.alive
    assert "another way" in found.why


def test_an_interface_that_goes_takes_its_connections_with_it() -> None:
    net = network()
    gone = {name: eni for name, eni in net.interfaces.items() if name != VICTIM}

    assert not fate(Flow(VICTIM, C2), net, replace(net, interfaces=gone)).alive


def test_dns_stays_reachable_through_every_isolation() -> None:
    net = network()
    found = fate(Flow(VICTIM, "10.0.0.2", "udp", 53), net, isolated(net), until=30 * DAY)

    assert found.alive
    assert "nothing filters DNS" in found.why


# What holds for every connection

_STATES = st.lists(st.sampled_from(["app", "open", "none", "denied"]), min_size=1, max_size=6)


@given(_STATES, st.booleans(), st.sampled_from([PEER, NEIGHBOUR, C2]))
def test_a_connection_never_comes_back_and_a_tracked_one_is_never_cut_by_groups_alone(
    states: list[str], idle: bool, remote: str
) -> None:
    net = network()
    known = {
        "app": net,
        "open": opened(net),
        "none": isolated(net),
        "denied": with_acl(net, "subnet-private", deny(1, egress=True, remote="0.0.0.0/0")),
    }
    fates = [
        fate(Flow(VICTIM, remote), net, *(known[name] for name in states[:number]), idle=idle)
        for number in range(len(states) + 1)
    ]
    alive = [found.alive for found in fates]

    assert alive == sorted(alive, reverse=True)
    if "denied" not in states:
        # A second is too short to untrack or to time out.
        assert all(alive)
