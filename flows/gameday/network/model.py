"""The network of an account in one region at one moment, as far as packets notice it: plain data."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Net = ipaddress.IPv4Network | ipaddress.IPv6Network

# What a load balancer or accelerator in front of an interface is: it can't be seen in EC2's API.
Via = Literal["", "network_load_balancer", "gateway_load_balancer", "global_accelerator"]
GatewayKind = Literal[
    "internet",
    "egress_only",
    "nat",
    "peering",
    "transit",
    "virtual_private",
    "gateway_endpoint",
    "firewall_endpoint",
]


@dataclass(frozen=True)
class Flow:
    """Packets of one five-tuple, named by who sends the first of them.

    ``source`` and ``destination`` are an interface (``eni-…``), an instance (``i-…``, its primary
    interface) or an address. ``protocol`` is ``tcp``, ``udp``, ``icmp``, ``icmpv6`` or a number.
    ``port`` is the destination's; of ICMP it is the type. ``source_port`` is ephemeral; the default
    lies in the range of every operating system (VPC User Guide, "Ephemeral ports").
    ``via`` is what the flow comes through where that is not a matter of routes.
    """

    source: str
    destination: str
    protocol: str = "tcp"
    port: int = 443
    source_port: int = 49152
    via: Via = ""

    def __str__(self) -> str:
        number = "type" if self.protocol.startswith("icmp") else "port"
        return f"{self.protocol} {number} {self.port} from {self.source} to {self.destination}"


@dataclass(frozen=True)
class Packet:
    """The first packet of a flow, as it is seen somewhere on its way."""

    source: Address
    destination: Address
    protocol: str
    source_port: int
    port: int

    @property
    def reply(self) -> Packet:
        port, source_port = self.source_port, self.port
        if self.protocol in ("icmp", "icmpv6"):
            # An echo request is answered by an echo reply (RFC 792, RFC 4443).
            port, source_port = {8: 0, 128: 129}.get(self.port, self.port), 0
        return replace(
            self,
            source=self.destination,
            destination=self.source,
            source_port=source_port,
            port=port,
        )


@dataclass(frozen=True)
class Rule:
    """A rule of a security group, towards one peer: a network, a group or a prefix list.

    Of ICMP, ``first`` is the type and ``last`` the code; -1 is all of them.
    """

    egress: bool
    protocol: str
    first: int
    last: int
    peer: str


@dataclass(frozen=True)
class Group:
    id: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Timeouts:
    """How long an idle connection is tracked (``ConnectionTrackingConfiguration``)."""

    tcp_established: timedelta = timedelta(seconds=432_000)
    udp_stream: timedelta = timedelta(seconds=180)


@dataclass(frozen=True)
class Interface:
    """A network interface. ``public`` maps private addresses to public ones.

    ``up`` is whether packets are sent and taken: attached to a running instance, or a service's.
    ``metadata`` and ``metadata_ipv6`` are whether its instance's metadata service answers.
    """

    id: str
    vpc: str
    subnet: str
    groups: tuple[str, ...]
    addresses: tuple[str, ...]
    public: Mapping[str, str] = field(default_factory=dict)
    instance: str = ""
    primary: bool = True
    kind: str = "interface"
    up: bool = True
    source_dest_check: bool = True
    metadata: bool = True
    metadata_ipv6: bool = False
    timeouts: Timeouts = Timeouts()

    def address(self, version: int) -> Address | None:
        """The first address of the family."""
        found = map(ipaddress.ip_address, self.addresses)
        return next((item for item in found if item.version == version), None)


@dataclass(frozen=True)
class AclEntry:
    """An entry of a network ACL. ``first`` and ``last`` are ports, or an ICMP type and code."""

    number: int
    egress: bool
    allow: bool
    protocol: str
    network: str
    first: int = -1
    last: int = -1


@dataclass(frozen=True)
class Acl:
    id: str
    entries: tuple[AclEntry, ...] = ()


@dataclass(frozen=True)
class Route:
    """``destination`` is a network or a prefix list; ``target`` a gateway, interface or ``local``."""

    destination: str
    target: str
    active: bool = True


@dataclass(frozen=True)
class Gateway:
    """What a route can lead to. ``vpcs`` are those that it is attached to.

    ``subnet`` and ``addresses`` are where a NAT gateway or firewall endpoint stands; ``public`` is
    a NAT gateway's public address.
    """

    id: str
    kind: GatewayKind
    vpcs: frozenset[str] = frozenset()
    subnet: str = ""
    address: str = ""
    public: str = ""
    up: bool = True


@dataclass(frozen=True)
class Network:
    """Everything that decides about packets. ``acls`` and ``routes`` are by subnet, ``vpcs`` hold
    the networks of each VPC."""

    vpcs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    acls: Mapping[str, Acl] = field(default_factory=dict)
    routes: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)
    gateways: Mapping[str, Gateway] = field(default_factory=dict)
    prefix_lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def named(self, name: str) -> Interface | None:
        """The interface of that id, or the primary one of the instance of that id."""
        if name.startswith("i-"):
            of_instance = [eni for eni in self.interfaces.values() if eni.instance == name]
            return next((eni for eni in of_instance if eni.primary), None)
        return self.interfaces.get(name)

    def holder(self, address: Address, vpc: str = "") -> Interface | None:
        """The interface that has this private address, in this VPC or, with none given, in any."""
        text = str(address)
        return next(
            (
                eni
                for eni in self.interfaces.values()
                if text in eni.addresses and vpc in ("", eni.vpc)
            ),
            None,
        )

    def published(self, address: Address) -> tuple[Interface, Address] | None:
        """The interface behind a public address, and its private one."""
        for eni in self.interfaces.values():
            for private, public in eni.public.items():
                if public == str(address):
                    return eni, ipaddress.ip_address(private)
        return None

    def vpc_of(self, address: Address) -> set[str]:
        """The VPCs whose networks the address is in."""
        return {
            vpc
            for vpc, networks in self.vpcs.items()
            if any(address in net(text) for text in networks)
        }

    def networks(self, peer: str) -> tuple[str, ...]:
        """A network itself, or the networks of a prefix list."""
        return self.prefix_lists.get(peer, ()) if peer.startswith("pl-") else (peer,)


@cache
def net(text: str) -> Net:
    return ipaddress.ip_network(text, strict=False)
