"""The way that a flow takes: which interfaces, subnet boundaries and gateways it passes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from flows.gameday.network.model import (
    Address,
    Flow,
    Gateway,
    Interface,
    Network,
    Packet,
    Route,
    net,
)

# "Security groups can't block DNS requests to or from the Route 53 Resolver … Amazon DNS, DHCP, EC2
# instance metadata, ECS task metadata endpoints, license activation for Windows, Time Sync Service,
# reserved IP addresses used by the default VPC router"; nor do network ACLs (VPC User Guide,
# "Security groups" and "Network ACL basics").
_METADATA = ipaddress.ip_address("169.254.169.254")
_METADATA_IPV6 = ipaddress.ip_address("fd00:ec2::254")
_SERVICES = {
    ipaddress.ip_address("169.254.169.253"): "DNS",
    ipaddress.ip_address("fd00:ec2::253"): "DNS",
    ipaddress.ip_address("169.254.169.123"): "the Time Sync Service",
    ipaddress.ip_address("fd00:ec2::123"): "the Time Sync Service",
    ipaddress.ip_address("169.254.170.2"): "ECS task metadata",
    ipaddress.ip_address("169.254.169.250"): "Windows activation",
    ipaddress.ip_address("169.254.169.251"): "Windows activation",
}
# Not routed in the Internet (RFC 1918, RFC 6598, RFC 4193).
_PRIVATE = tuple(
    map(net, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
# "Connections … through the following are automatically tracked, even if the security group
# configuration does not otherwise require tracking" (EC2 User Guide, "Security group connection
# tracking"): by what is passed, or by the type of the interface that is talked to.
_TRACKED_GATEWAYS = {
    "nat": "a NAT gateway",
    "egress_only": "an egress-only internet gateway",
    "transit": "a Transit Gateway attachment",
    "firewall_endpoint": "a Network Firewall or Gateway Load Balancer endpoint",
}
_TRACKED_INTERFACES = {
    "nat_gateway": "a NAT gateway",
    "network_load_balancer": "a Network Load Balancer",
    "gateway_load_balancer": "a Gateway Load Balancer",
    "gateway_load_balancer_endpoint": "a Gateway Load Balancer endpoint",
    "vpc_endpoint": "an interface VPC endpoint",
    "transit_gateway": "a Transit Gateway attachment",
    "lambda": "a Lambda function's interface",
}
_TRACKED_VIA = {
    "network_load_balancer": "a Network Load Balancer",
    "gateway_load_balancer": "a Gateway Load Balancer",
    "global_accelerator": "Global Accelerator",
}


class Closed(Exception):
    """There is no way for the flow; the text says where it ends."""


@dataclass(frozen=True)
class End:
    """An interface that the flow leaves (``egress``) or enters, and the packet as it is there.

    ``peer`` is the interface at the other end, where both are known by their private addresses.
    """

    interface: Interface
    packet: Packet
    egress: bool
    peer: Interface | None = None


@dataclass(frozen=True)
class Crossing:
    """The boundary of a subnet, which the first packet leaves (``egress``) or enters."""

    subnet: str
    packet: Packet
    egress: bool


@dataclass(frozen=True)
class Path:
    """``tracked`` names what on the way has every connection tracked; ``translated`` is the public
    address or NAT gateway behind which an end is. ``service`` is the AWS service that is reached
    without any filter."""

    ends: tuple[End, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    tracked: tuple[str, ...] = ()
    translated: str = ""
    service: str = ""

    @property
    def identity(self) -> object:
        """What has to stay the same for a connection to be the same."""
        ends = tuple((end.interface.id, end.packet) for end in self.ends)
        return ends, self.translated, self.service


def find_path(network: Network, flow: Flow) -> Path:
    """The way of the flow by addresses and routes alone. Raises Closed where there is none."""
    source, destination = network.named(flow.source), network.named(flow.destination)
    for name, found in ((flow.source, source), (flow.destination, destination)):
        if found is None and name.startswith(("i-", "eni-")):
            raise Closed(f"there is no interface {name}")
    to = None if destination else _address(flow.destination)
    given = None if source else _address(flow.source)
    version = to.version if to else given.version if given else 4
    if source is None and given is not None:
        # An address in a VPC is its interface; a public one is the interface behind it.
        source = network.holder(given, destination.vpc if destination else "")
        if source is None and (behind := network.published(given)):
            source, given = behind
    if source is not None:
        begins = given or source.address(version)
        if begins is None:
            raise Closed(f"{source.id} has no IPv{version} address")
        ends = to or (destination.address(version) if destination else None)
        if ends is None:
            raise Closed(f"{flow.destination} has no IPv{version} address")
        return _Walk(network, flow, begins, ends).outward(source)
    assert given is not None
    public = ""
    if destination is None and to is not None:
        if behind := network.published(to):
            (destination, private), public = behind, str(to)
            to = private
        else:
            destination = network.holder(to)
    if destination is None:
        raise Closed("neither end is in this account")
    arrives = to or destination.address(version)
    if arrives is None:
        raise Closed(f"{destination.id} has no IPv{version} address")
    return _Walk(network, flow, given, arrives).inward(destination, public)


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise Closed(f"{text!r} is no interface, instance or address") from error


class _Walk:
    """Follows one flow from hop to hop, and remembers what it passes."""

    def __init__(self, network: Network, flow: Flow, source: Address, destination: Address) -> None:
        self.network = network
        self.via = flow.via
        port = 0 if flow.protocol in ("icmp", "icmpv6") else flow.source_port
        self.packet = Packet(source, destination, flow.protocol, port, flow.port)
        self.public = ""
        self.sender: Interface | None = None
        self.ends: list[End] = []
        self.crossings: list[Crossing] = []
        self.tracked: list[str] = []
        self.translated = ""
        self.passed: set[str] = set()
        if flow.via:
            self.tracked.append(_TRACKED_VIA[flow.via])

    def outward(self, eni: Interface) -> Path:
        """From an interface to wherever the routes lead."""
        if not eni.up:
            raise Closed(f"{eni.id} is not up")
        if service := self._service(eni):
            return Path(service=service)
        self.sender = eni
        self.public = eni.public.get(str(self.packet.source), "")
        self.ends.append(End(eni, self.packet, egress=True))
        self._step(eni.subnet, eni.vpc)
        return self._path()

    def inward(self, eni: Interface, public: str = "") -> Path:
        """From an address that is no interface's to an interface: the way is its answer's."""
        if not self.via:
            self._back(eni, eni.subnet, public)
        self._enter(eni.subnet)
        self._arrive(eni)
        return self._path()

    def _path(self) -> Path:
        kinds = (end.interface.kind for end in self.ends)
        by_kind = [_TRACKED_INTERFACES[kind] for kind in kinds if kind in _TRACKED_INTERFACES]
        return Path(
            tuple(self.ends),
            tuple(self.crossings),
            tuple(dict.fromkeys([*self.tracked, *by_kind])),
            self.translated,
        )

    def _service(self, eni: Interface) -> str:
        """What of AWS's own the flow goes to, which nothing filters; empty if to anything else."""
        to = self.packet.destination
        if to in (_METADATA, _METADATA_IPV6):
            # ModifyInstanceMetadataOptions: HttpEndpoint, and HttpProtocolIpv6 for IPv6.
            on = eni.metadata and (to == _METADATA or eni.metadata_ipv6)
            if not on:
                raise Closed("the instance metadata service is switched off")
            return "the instance metadata service"
        # "The Amazon DNS server … is located at the reserved IP address at the base of the VPC
        # network range plus two" (VPC User Guide, "DNS attributes for your VPC").
        first = next((net(text) for text in self.network.vpcs.get(eni.vpc, ())), None)
        if first is not None and to == first.network_address + 2:
            return "DNS"
        return _SERVICES.get(to, "")

    def _step(self, subnet: str, vpc: str) -> None:
        """On from a subnet, by its route table."""
        if subnet in self.passed:
            raise Closed(f"the routes go in a circle at {subnet}")
        self.passed.add(subnet)
        route = _best(self.network, subnet, self.packet.destination)
        if route.target == "local":
            self._local(subnet, vpc)
            return
        if route.target.startswith(("eni-", "i-")):
            self._appliance(route, subnet)
            return
        gateway = _gateway(self.network, route, vpc)
        if gateway.kind in _TRACKED_GATEWAYS:
            self.tracked.append(_TRACKED_GATEWAYS[gateway.kind])
        match gateway.kind:
            case "internet":
                self._internet(gateway, subnet)
            case "nat":
                self._nat(gateway, subnet, vpc)
            case "egress_only":
                if self.packet.destination.version != 6:
                    raise Closed(f"{gateway.id} takes IPv6 only")
                self._leave(subnet)
            case "firewall_endpoint":
                self._hop(subnet, gateway.subnet)
                self._step(gateway.subnet, vpc)
            case "transit" | "peering":
                self._neighbour(gateway, subnet, vpc)
            case _:
                self._leave(subnet)

    def _local(self, subnet: str, vpc: str) -> None:
        eni = self.network.holder(self.packet.destination, vpc)
        if eni is None:
            raise Closed(f"no interface in {vpc} has {self.packet.destination}")
        self._hop(subnet, eni.subnet)
        self._arrive(eni)

    def _internet(self, gateway: Gateway, subnet: str) -> None:
        """ "The internet gateway … performs one-to-one NAT"; without a public IPv4 address there is
        none (VPC User Guide, "Internet gateways")."""
        to = self.packet.destination
        if any(to in private for private in _PRIVATE):
            raise Closed(f"the Internet has no route to {to}")
        if to.version == 4 and not self.public:
            raise Closed(f"without a public address nothing passes {gateway.id}")
        self._leave(subnet)
        if to.version == 4:
            self._translate(self.public)
            self.packet = replace(self.packet, source=ipaddress.ip_address(self.public))
        behind = self.network.published(to)
        six = self.network.holder(to) if to.version == 6 else None
        if behind is None and six is None:
            return
        eni, private = behind if behind else (six, to)
        assert eni is not None
        self.sender = None
        self.packet = replace(self.packet, destination=private)
        self._back(eni, eni.subnet, str(to))
        self._enter(eni.subnet)
        self._arrive(eni)

    def _nat(self, gateway: Gateway, subnet: str, vpc: str) -> None:
        self._hop(subnet, gateway.subnet)
        self._translate(gateway.id)
        self.sender, self.public = None, gateway.public
        if gateway.address:
            self.packet = replace(self.packet, source=ipaddress.ip_address(gateway.address))
        self._step(gateway.subnet, vpc)

    def _neighbour(self, gateway: Gateway, subnet: str, vpc: str) -> None:
        """To another VPC, or through a Transit Gateway to a network that isn't AWS's."""
        self._leave(subnet)
        others = gateway.vpcs - {vpc}
        theirs = self.network.vpc_of(self.packet.destination) & others
        for other in sorted(theirs):
            eni = self.network.holder(self.packet.destination, other)
            if eni is None:
                raise Closed(f"no interface in {other} has {self.packet.destination}")
            back = _best(self.network, eni.subnet, self.packet.source)
            if back.target != gateway.id:
                raise Closed(f"{eni.subnet} has no route back to {self.packet.source}")
            if gateway.kind == "transit":
                # A group of the other side is named across a peering, not across a Transit Gateway
                # unless its SecurityGroupReferencingSupport is on.
                self.sender = None
            self._enter(eni.subnet)
            self._arrive(eni)
            return
        if gateway.kind == "peering":
            raise Closed(f"{gateway.id} does not lead to {self.packet.destination}")

    def _appliance(self, route: Route, subnet: str) -> None:
        """Through an instance that forwards, such as a NAT instance."""
        eni = self.network.named(route.target)
        if eni is None or not eni.up:
            raise Closed(f"the route to {route.target} is a black hole")
        if eni.source_dest_check:
            # "A NAT instance must be able to send and receive traffic when the source or
            # destination is not itself" (VPC User Guide, "NAT instances").
            raise Closed(f"{eni.id} drops what isn't its own: its source/destination check is on")
        self._hop(subnet, eni.subnet)
        self._arrive(eni)
        self.sender = eni
        if eni.public:
            private, self.public = next(iter(eni.public.items()))
            self._translate(eni.id)
            self.packet = replace(self.packet, source=ipaddress.ip_address(private))
        self.ends.append(End(eni, self.packet, egress=True))
        self._step(eni.subnet, eni.vpc)

    def _back(self, eni: Interface, subnet: str, public: str) -> None:
        """The way that the interface's answers take decides how the flow can have come in."""
        remote = self.packet.source
        route = _best(self.network, subnet, remote)
        if route.target == "local":
            raise Closed(f"no interface in {eni.vpc} has {remote}")
        if route.target.startswith(("eni-", "i-")):
            raise Closed(f"{route.target} takes no connections from outside")
        gateway = _gateway(self.network, route, eni.vpc)
        if gateway.kind in _TRACKED_GATEWAYS:
            self.tracked.append(_TRACKED_GATEWAYS[gateway.kind])
        match gateway.kind:
            case "internet":
                own = eni.public.get(str(self.packet.destination), "")
                if any(remote in private for private in _PRIVATE):
                    raise Closed(f"the Internet has no route from {remote}")
                if remote.version == 4 and not own:
                    raise Closed(f"{eni.id} has no public address")
                if public and remote.version == 4 and own != public:
                    raise Closed(f"{public} is not the public address of {eni.id}")
                self._translate(own)
            case "firewall_endpoint":
                if gateway.subnet == subnet:
                    raise Closed(f"the routes go in a circle at {subnet}")
                self._back(eni, gateway.subnet, public)
            case "transit" | "virtual_private":
                pass
            case _:
                # "Prevents the internet from initiating connections" (NAT and egress-only
                # gateways); endpoints and peerings are no way in from elsewhere either.
                raise Closed(f"{gateway.id} takes no connections from {remote}")

    def _translate(self, behind: str) -> None:
        self.translated = " ".join(filter(None, (self.translated, behind)))

    def _hop(self, subnet: str, to: str) -> None:
        """Network ACLs are evaluated where traffic enters or leaves a subnet, "not … as it is
        routed within a subnet" (VPC User Guide, "Network ACL basics")."""
        if subnet != to:
            self._leave(subnet)
            self._enter(to)

    def _leave(self, subnet: str) -> None:
        self.crossings.append(Crossing(subnet, self.packet, egress=True))

    def _enter(self, subnet: str) -> None:
        self.crossings.append(Crossing(subnet, self.packet, egress=False))

    def _arrive(self, eni: Interface) -> None:
        if not eni.up:
            raise Closed(f"{eni.id} is not up")
        peer = self.sender
        if peer is not None and self.ends:
            self.ends[-1] = replace(self.ends[-1], peer=eni)
        self.ends.append(End(eni, self.packet, egress=False, peer=peer))


def _best(network: Network, subnet: str, to: Address) -> Route:
    """ "We use the most specific route that matches the traffic" (VPC User Guide, "Route priority").

    Raises Closed where none matches, or the best one is a black hole.
    """
    found: tuple[int, Route] | None = None
    for route in network.routes.get(subnet, ()):
        for text in network.networks(route.destination):
            if to in net(text) and (found is None or net(text).prefixlen > found[0]):
                found = net(text).prefixlen, route
    if found is None:
        raise Closed(f"{subnet} has no route to {to}")
    if not found[1].active:
        raise Closed(f"the route from {subnet} to {to} is a black hole")
    return found[1]


def _gateway(network: Network, route: Route, vpc: str) -> Gateway:
    gateway = network.gateways.get(route.target)
    if gateway is None or not gateway.up or vpc not in gateway.vpcs:
        raise Closed(f"the route to {route.target} is a black hole")
    return gateway
