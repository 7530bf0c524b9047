"""What a load balancer reaches: the security groups of an interface let it in, or they don't."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """Where a load balancer's traffic comes from: its security groups, and its subnets' networks."""

    groups: frozenset[str]
    networks: tuple[str, ...]

    @classmethod
    def of(cls, ec2: Any, balancer: Any) -> Source:
        """Of a load balancer of any generation."""
        subnets = [getattr(subnet, "id", subnet) for subnet in balancer.subnets or []]
        return cls(
            frozenset(balancer.security_groups or []),
            tuple(ec2.get_subnet(subnet).cidr_block for subnet in subnets),
        )

    def reaches(self, eni: Any, port: int) -> bool:
        """Whether a group of the interface lets this traffic in, to the TCP port."""
        return any(
            self._is_let_in(rule, port) for group in eni._group_set for rule in group.ingress_rules
        )

    def _is_let_in(self, rule: Any, port: int) -> bool:
        if rule.ip_protocol not in ("-1", "tcp"):
            return False
        if rule.ip_protocol == "tcp" and not rule.from_port <= port <= rule.to_port:
            return False
        if rule.source_group.get("GroupId") in self.groups:
            return True
        return any(_overlap(network, rule.cidr_ipv4) for network in self.networks)


def interface_of(ec2: Any, target: str) -> Any:
    """The interface of a target: an instance's primary one, or the one with the address. Or None."""
    if target.startswith("i-"):
        instance = ec2.get_instance_by_id(target)
        return None if instance is None else instance.nics.get(0)
    address = ipaddress.ip_address(target)
    for eni in ec2.enis.values():
        known = [item["PrivateIpAddress"] for item in eni.private_ip_addresses]
        if address in set(map(ipaddress.ip_address, _flat([known, eni.ipv6_addresses]))):
            return eni
    return None


def _flat(lists: Iterable[Iterable[Any]]) -> list[str]:
    return [
        str(item.get("Ipv6Address") if isinstance(item, dict) else item)
        for items in lists
        for item in items
        if item
    ]


def _overlap(network: str, cidr: str | None) -> bool:
    if cidr is None:
        return False
    return ipaddress.ip_network(network).overlaps(ipaddress.ip_network(cidr, strict=False))
