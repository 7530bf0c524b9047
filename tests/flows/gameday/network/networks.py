"""Networks written down: one VPC with a public and a private subnet, and what tests put into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flows.gameday.network.model import (
    Acl,
    AclEntry,
    Gateway,
    Group,
    Interface,
    Network,
    Route,
    Rule,
)

C2 = "198.51.100.7"
C2_IPV6 = "2001:4860::7"
EVERYWHERE = ("0.0.0.0/0", "::/0")
VICTIM = "eni-victim"
NEIGHBOUR = "eni-neighbour"  # in the victim's subnet
PEER = "eni-peer"  # in another private subnet
WEB = "eni-web"  # in the public subnet


def out(protocol: str = "-1", ports: tuple[int, int] = (-1, -1), peer: str = "0.0.0.0/0") -> Rule:
    return Rule(True, protocol, *ports, peer)


def into(protocol: str = "-1", ports: tuple[int, int] = (-1, -1), peer: str = "0.0.0.0/0") -> Rule:
    return Rule(False, protocol, *ports, peer)


EVERYTHING = tuple(make(peer=peer) for make in (into, out) for peer in EVERYWHERE)


def deny(number: int, *, egress: bool, remote: str, **ports: Any) -> AclEntry:
    return AclEntry(number, egress, False, ports.pop("protocol", "-1"), remote, **ports)


def allow(number: int, *, egress: bool, remote: str = "0.0.0.0/0", **ports: Any) -> AclEntry:
    return AclEntry(number, egress, True, ports.pop("protocol", "-1"), remote, **ports)


OPEN_ACL = Acl(
    "acl-open",
    tuple(
        allow(number, egress=egress, remote=remote)
        for egress in (False, True)
        for number, remote in ((100, "0.0.0.0/0"), (101, "::/0"))
    ),
)
LOCAL = (Route("10.0.0.0/16", "local"), Route("2600:1f18:1::/48", "local"))


def interface(identity: str, subnet: str, *addresses: str, **more: Any) -> Interface:
    values: dict[str, Any] = {"groups": ("sg-app",), "instance": f"i-{identity[4:]}", **more}
    return Interface(id=identity, vpc="vpc-1", subnet=subnet, addresses=addresses, **values)


def network(
    *,
    rules: Sequence[Rule] = (out(), out(peer="::/0")),
    groups: Mapping[str, Sequence[Rule]] | None = None,
    acls: Mapping[str, Acl] | None = None,
    private: Sequence[Route] = (Route("0.0.0.0/0", "nat-1"), Route("::/0", "eigw-1")),
    gateways: Sequence[Gateway] = (),
    interfaces: Sequence[Interface] = (),
    vpcs: Mapping[str, tuple[str, ...]] | None = None,
    routes: Mapping[str, Sequence[Route]] | None = None,
    prefix_lists: Mapping[str, tuple[str, ...]] | None = None,
) -> Network:
    """``rules`` are those of sg-app, which all interfaces are in; sg-open lets everything through,
    and sg-none nothing."""
    known = [
        interface(VICTIM, "subnet-private", "10.0.1.10", "2600:1f18:1::10"),
        interface(NEIGHBOUR, "subnet-private", "10.0.1.20", groups=("sg-open",)),
        interface(PEER, "subnet-other", "10.0.2.10", groups=("sg-open",)),
        interface(
            WEB,
            "subnet-public",
            "10.0.0.10",
            "2600:1f18:1:1::10",
            public={"10.0.0.10": "203.0.113.10"},
        ),
        *interfaces,
    ]
    ways = [
        Gateway("igw-1", "internet", frozenset({"vpc-1"})),
        Gateway("eigw-1", "egress_only", frozenset({"vpc-1"})),
        Gateway("nat-1", "nat", frozenset({"vpc-1"}), "subnet-public", "10.0.0.5", "203.0.113.5"),
        *gateways,
    ]
    all_groups = {"sg-app": rules, "sg-open": EVERYTHING, "sg-none": (), **(groups or {})}
    internet = (Route("0.0.0.0/0", "igw-1"), Route("::/0", "igw-1"))
    subnets: dict[str, Sequence[Route]] = {
        "subnet-private": (*LOCAL, *private),
        "subnet-other": (*LOCAL, *private),
        "subnet-public": (*LOCAL, *internet),
        **(routes or {}),
    }
    return Network(
        vpcs={"vpc-1": ("10.0.0.0/16", "2600:1f18:1::/48"), **(vpcs or {})},
        interfaces={eni.id: eni for eni in known},
        groups={name: Group(name, tuple(given)) for name, given in all_groups.items()},
        acls={**dict.fromkeys(subnets, OPEN_ACL), **(acls or {})},
        routes={name: tuple(table) for name, table in subnets.items()},
        gateways={gateway.id: gateway for gateway in ways},
        prefix_lists=dict(prefix_lists or {}),
    )


def regrouped(before: Network, identity: str, *groups: str) -> Network:
    """The network with the interface in other groups."""
    changed = replace(before.interfaces[identity], groups=groups)
    return replace(before, interfaces={**before.interfaces, identity: changed})


def with_acl(before: Network, subnet: str, *entries: AclEntry) -> Network:
    """The network with these entries before the others of a subnet's network ACL."""
    acl = Acl("acl-1", (*entries, *before.acls[subnet].entries))
    return replace(before, acls={**before.acls, subnet: acl})
