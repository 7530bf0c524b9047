"""Reading an account's network through the EC2 API, simulated or real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from flows.gameday.network.model import (
    Acl,
    AclEntry,
    Gateway,
    GatewayKind,
    Group,
    Interface,
    Network,
    Route,
    Rule,
    Timeouts,
)

# Protocol numbers (IANA) that network ACLs are written in.
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_ROUTE_TARGETS = (
    "GatewayId",
    "NatGatewayId",
    "EgressOnlyInternetGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "NetworkInterfaceId",
    "InstanceId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
)
_ROUTE_DESTINATIONS = (
    "DestinationCidrBlock",
    "DestinationIpv6CidrBlock",
    "DestinationPrefixListId",
)


def read_network(ec2: Any) -> Network:
    """The network of the account and region that the boto3 client ``ec2`` is on. Only reads."""
    subnets = {subnet["SubnetId"]: subnet for subnet in _all(ec2, "describe_subnets", "Subnets")}
    groups = {
        group["GroupId"]: Group(group["GroupId"], tuple(_rules(group)))
        for group in _all(ec2, "describe_security_groups", "SecurityGroups")
    }
    routes = _routes(ec2, subnets)
    return Network(
        vpcs={vpc["VpcId"]: tuple(_networks(vpc)) for vpc in _all(ec2, "describe_vpcs", "Vpcs")},
        interfaces=_interfaces(ec2),
        groups=groups,
        acls=_acls(ec2),
        routes=routes,
        gateways={gateway.id: gateway for gateway in _gateways(ec2)},
        prefix_lists=_prefix_lists(ec2, groups, routes),
    )


def _all(ec2: Any, operation: str, member: str, **parameters: Any) -> list[Any]:
    if ec2.can_paginate(operation):
        pages = ec2.get_paginator(operation).paginate(**parameters)
        return [item for page in pages for item in page[member]]
    return list(getattr(ec2, operation)(**parameters)[member])


def _networks(vpc: Mapping[str, Any]) -> Iterator[str]:
    four = [item["CidrBlock"] for item in vpc.get("CidrBlockAssociationSet", [])]
    yield from four or [vpc["CidrBlock"]]
    for item in vpc.get("Ipv6CidrBlockAssociationSet", []):
        yield item["Ipv6CidrBlock"]


def _interfaces(ec2: Any) -> dict[str, Interface]:
    instances = {
        instance["InstanceId"]: instance
        for reservation in _all(ec2, "describe_instances", "Reservations")
        for instance in reservation["Instances"]
    }
    return {
        eni["NetworkInterfaceId"]: _interface(eni, instances)
        for eni in _all(ec2, "describe_network_interfaces", "NetworkInterfaces")
    }


def _interface(eni: Mapping[str, Any], instances: Mapping[str, Any]) -> Interface:
    attachment = eni.get("Attachment") or {}
    identity = attachment.get("InstanceId", "")
    instance = instances.get(identity, {})
    metadata = instance.get("MetadataOptions", {})
    private = eni.get("PrivateIpAddresses", [])
    six = [item["Ipv6Address"] for item in eni.get("Ipv6Addresses", [])]
    public = {
        item["PrivateIpAddress"]: item["Association"]["PublicIp"]
        for item in private
        if item.get("Association", {}).get("PublicIp")
    }
    primary = eni.get("PrivateIpAddress", "")
    if eni.get("Association", {}).get("PublicIp") and primary:
        public.setdefault(primary, eni["Association"]["PublicIp"])
    tracking = eni.get("ConnectionTrackingConfiguration") or {}
    known = Timeouts()
    of_service = eni.get("InterfaceType", "interface") not in ("interface", "trunk", "branch")
    return Interface(
        id=eni["NetworkInterfaceId"],
        vpc=eni["VpcId"],
        subnet=eni["SubnetId"],
        groups=tuple(group["GroupId"] for group in eni["Groups"]),
        addresses=(*(item["PrivateIpAddress"] for item in private), *six),
        public=public,
        instance=identity,
        primary=attachment.get("DeviceIndex", 0) == 0,
        kind=eni.get("InterfaceType", "interface"),
        up=of_service
        or bool(eni.get("RequesterManaged"))
        or instance.get("State", {}).get("Name") == "running",
        source_dest_check=eni.get("SourceDestCheck", True),
        metadata=metadata.get("HttpEndpoint", "enabled") == "enabled",
        metadata_ipv6=metadata.get("HttpProtocolIpv6") == "enabled",
        timeouts=Timeouts(
            _seconds(tracking.get("TcpEstablishedTimeout"), known.tcp_established),
            _seconds(tracking.get("UdpStreamTimeout"), known.udp_stream),
        ),
    )


def _seconds(value: int | None, otherwise: timedelta) -> timedelta:
    return otherwise if value is None else timedelta(seconds=value)


def _rules(group: Mapping[str, Any]) -> Iterator[Rule]:
    for egress, member in ((False, "IpPermissions"), (True, "IpPermissionsEgress")):
        for permission in group.get(member, []):
            protocol = _PROTOCOLS.get(permission["IpProtocol"], permission["IpProtocol"])
            first, last = permission.get("FromPort", -1), permission.get("ToPort", -1)
            for peer in _peers(permission):
                yield Rule(egress, protocol, first, last, peer)


def _peers(permission: Mapping[str, Any]) -> Iterator[str]:
    for member, name in (
        ("IpRanges", "CidrIp"),
        ("Ipv6Ranges", "CidrIpv6"),
        ("UserIdGroupPairs", "GroupId"),
        ("PrefixListIds", "PrefixListId"),
    ):
        for item in permission.get(member, []):
            yield item[name]


def _acls(ec2: Any) -> dict[str, Acl]:
    found: dict[str, Acl] = {}
    for item in _all(ec2, "describe_network_acls", "NetworkAcls"):
        acl = Acl(item["NetworkAclId"], tuple(map(_entry, item["Entries"])))
        found |= {association["SubnetId"]: acl for association in item["Associations"]}
    return found


def _entry(entry: Mapping[str, Any]) -> AclEntry:
    protocol = _PROTOCOLS.get(str(entry["Protocol"]), str(entry["Protocol"]))
    ports, icmp = entry.get("PortRange") or {}, entry.get("IcmpTypeCode") or {}
    first, last = ports.get("From", -1), ports.get("To", -1)
    if protocol.startswith("icmp"):
        first, last = icmp.get("Type", -1), icmp.get("Code", -1)
    return AclEntry(
        number=entry["RuleNumber"],
        egress=entry["Egress"],
        allow=entry["RuleAction"] == "allow",
        protocol=protocol,
        network=entry.get("CidrBlock") or entry["Ipv6CidrBlock"],
        first=first,
        last=last,
    )


def _routes(ec2: Any, subnets: Mapping[str, Any]) -> dict[str, tuple[Route, ...]]:
    main: dict[str, tuple[Route, ...]] = {}
    explicit: dict[str, tuple[Route, ...]] = {}
    for table in _all(ec2, "describe_route_tables", "RouteTables"):
        routes = tuple(map(_route, table["Routes"]))
        for association in table["Associations"]:
            if association.get("Main"):
                main[table["VpcId"]] = routes
            elif "SubnetId" in association:
                explicit[association["SubnetId"]] = routes
    return {
        identity: explicit.get(identity, main.get(subnet["VpcId"], ()))
        for identity, subnet in subnets.items()
    }


def _route(route: Mapping[str, Any]) -> Route:
    destination = next(route[name] for name in _ROUTE_DESTINATIONS if route.get(name))
    target = next((route[name] for name in _ROUTE_TARGETS if route.get(name)), "")
    return Route(destination, target, route.get("State", "active") == "active")


def _gateways(ec2: Any) -> Iterator[Gateway]:
    for item in _all(ec2, "describe_internet_gateways", "InternetGateways"):
        yield Gateway(item["InternetGatewayId"], "internet", _attached(item))
    for item in _all(ec2, "describe_egress_only_internet_gateways", "EgressOnlyInternetGateways"):
        yield Gateway(item["EgressOnlyInternetGatewayId"], "egress_only", _attached(item))
    for item in _all(ec2, "describe_nat_gateways", "NatGateways"):
        address: dict[str, str] = next(iter(item.get("NatGatewayAddresses", [])), {})
        yield Gateway(
            item["NatGatewayId"],
            "nat",
            frozenset({item["VpcId"]}),
            item["SubnetId"],
            address.get("PrivateIp", ""),
            address.get("PublicIp", ""),
            item["State"] == "available",
        )
    for item in _all(ec2, "describe_vpc_peering_connections", "VpcPeeringConnections"):
        sides = (item.get("RequesterVpcInfo", {}), item.get("AccepterVpcInfo", {}))
        yield Gateway(
            item["VpcPeeringConnectionId"],
            "peering",
            frozenset(side["VpcId"] for side in sides if "VpcId" in side),
            up=item["Status"]["Code"] == "active",
        )
    yield from _transit_gateways(ec2)
    for item in _all(ec2, "describe_vpn_gateways", "VpnGateways"):
        vpcs = frozenset(side["VpcId"] for side in item.get("VpcAttachments", []))
        yield Gateway(item["VpnGatewayId"], "virtual_private", vpcs)
    for item in _all(ec2, "describe_vpc_endpoints", "VpcEndpoints"):
        kinds: dict[str, GatewayKind] = {
            "Gateway": "gateway_endpoint",
            # Endpoints of Network Firewall are of this type too (Network Firewall Developer Guide).
            "GatewayLoadBalancer": "firewall_endpoint",
        }
        if kind := kinds.get(item["VpcEndpointType"]):
            subnet = next(iter(item.get("SubnetIds", [])), "")
            yield Gateway(item["VpcEndpointId"], kind, frozenset({item["VpcId"]}), subnet)


def _transit_gateways(ec2: Any) -> Iterator[Gateway]:
    attached: dict[str, set[str]] = {}
    attachments = _all(
        ec2, "describe_transit_gateway_vpc_attachments", "TransitGatewayVpcAttachments"
    )
    for item in attachments:
        if item["State"] == "available":
            attached.setdefault(item["TransitGatewayId"], set()).add(item["VpcId"])
    for identity, vpcs in attached.items():
        yield Gateway(identity, "transit", frozenset(vpcs))


def _attached(gateway: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        item["VpcId"]
        for item in gateway["Attachments"]
        if item["State"] in ("available", "attached")
    )


def _prefix_lists(
    ec2: Any, groups: Mapping[str, Group], routes: Mapping[str, tuple[Route, ...]]
) -> dict[str, tuple[str, ...]]:
    named = {rule.peer for group in groups.values() for rule in group.rules}
    named |= {route.destination for table in routes.values() for route in table}
    return {
        identity: tuple(
            entry["Cidr"]
            for entry in _all(
                ec2, "get_managed_prefix_list_entries", "Entries", PrefixListId=identity
            )
        )
        for identity in sorted(named)
        if identity.startswith("pl-")
    }
