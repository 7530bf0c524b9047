"""What security groups and network ACLs say about one packet."""

from __future__ import annotations

from flows.gameday.network.model import Acl, AclEntry, Interface, Network, Packet, Rule, net

_ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
_EVERY_PORT = (0, 65535)
_ALL = "-1"


def admitted(
    network: Network, eni: Interface, packet: Packet, *, egress: bool, peer: Interface | None
) -> bool:
    """Whether a rule of the interface's groups lets the packet out (``egress``) or in.

    ``peer`` is the interface at the other end where both talk by their private addresses: "the
    rules … allow traffic based on the private IP addresses of the network interfaces" of a group
    that is named (VPC User Guide, "Security group rules", referencing).
    """
    return any(
        _is_about(rule, packet) and _names(network, rule, packet, egress, peer)
        for rule in _rules(network, eni, egress)
    )


def unfettered(network: Network, eni: Interface, packet: Packet, *, egress: bool) -> bool:
    """Whether the rules alone leave a flow untracked that starts with this packet.

    "If a security group rule permits TCP or UDP flows for all traffic (0.0.0.0/0 or ::/0) and there
    is a corresponding rule in the other direction that permits all response traffic (0.0.0.0/0 or
    ::/0) for any port (0-65535), then that flow of traffic is not tracked" (EC2 User Guide,
    "Security group connection tracking"). Each family is for itself. ICMP is always tracked.
    """
    if packet.protocol not in ("tcp", "udp"):
        return False
    anywhere = _ANYWHERE[packet.source.version]
    forward = any(
        rule.peer == anywhere and _is_about(rule, packet) for rule in _rules(network, eni, egress)
    )
    back = any(
        rule.peer == anywhere and _is_everything(rule, packet.protocol)
        for rule in _rules(network, eni, not egress)
    )
    return forward and back


def deciding(acl: Acl, packet: Packet, *, egress: bool) -> AclEntry | None:
    """The entry that decides about the packet: of those that match, the one of the lowest number.

    "Rules are evaluated starting with the lowest numbered rule. As soon as a rule matches traffic,
    it's applied regardless of any higher-numbered rule" (VPC User Guide, "Network ACL rules").
    None where none matches, which denies.
    """
    remote = packet.destination if egress else packet.source
    matching = (
        entry
        for entry in sorted(acl.entries, key=lambda entry: entry.number)
        if entry.egress is egress
        and remote in net(entry.network)
        and entry.protocol in (_ALL, packet.protocol)
        and _in_entry(entry, packet)
    )
    return next(matching, None)


def _rules(network: Network, eni: Interface, egress: bool) -> list[Rule]:
    groups = [network.groups[group] for group in eni.groups if group in network.groups]
    return [rule for group in groups for rule in group.rules if rule.egress is egress]


def _is_about(rule: Rule, packet: Packet) -> bool:
    if rule.protocol == _ALL:
        return True
    if rule.protocol != packet.protocol:
        return False
    if packet.protocol in ("icmp", "icmpv6"):
        return rule.first in (-1, packet.port)
    if packet.protocol not in ("tcp", "udp"):
        return True
    return rule.first == -1 or rule.first <= packet.port <= rule.last


def _is_everything(rule: Rule, protocol: str) -> bool:
    return rule.protocol == _ALL or (
        rule.protocol == protocol and (rule.first, rule.last) in (_EVERY_PORT, (-1, -1))
    )


def _names(
    network: Network, rule: Rule, packet: Packet, egress: bool, peer: Interface | None
) -> bool:
    if rule.peer.startswith("sg-"):
        return peer is not None and rule.peer in peer.groups
    remote = packet.destination if egress else packet.source
    return any(remote in net(text) for text in network.networks(rule.peer))


def _in_entry(entry: AclEntry, packet: Packet) -> bool:
    if entry.protocol == _ALL or entry.first == -1:
        return True
    if packet.protocol in ("icmp", "icmpv6"):
        return entry.first == packet.port
    return entry.first <= packet.port <= entry.last
