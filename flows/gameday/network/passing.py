"""Whether a new flow would pass: routes, network ACLs and security groups together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flows.gameday.network.model import Flow, Network
from flows.gameday.network.path import Closed, Path, find_path
from flows.gameday.network.rules import admitted, deciding


@dataclass(frozen=True)
class Verdict:
    """Whether a flow passes, and why. ``path`` is the way it takes; None where there is none."""

    open: bool
    why: str
    path: Path | None = None


def open_flow(network: Network, flow: Flow) -> Verdict:
    """Whether the first packet of the flow would pass now, and the answer to it come back.

    Security groups are stateful: the rules of the direction in which the flow begins decide, at
    each of its ends. Network ACLs are stateless: each decides about the packet and about its
    answer, which goes to the source's ephemeral port (VPC User Guide, "Network ACL basics").
    """
    try:
        path = find_path(network, flow)
    except Closed as closed:
        return Verdict(False, str(closed))
    if path.service:
        return Verdict(True, f"nothing filters {path.service}", path)
    for reason in (*denials(network, path), *refusals(network, path)):
        return Verdict(False, reason, path)
    return Verdict(True, "routes, network ACLs and security groups let it through", path)


def denials(network: Network, path: Path) -> Iterator[str]:
    """What network ACLs have against the path, one sentence each."""
    for crossing in path.crossings:
        acl = network.acls.get(crossing.subnet)
        if acl is None:
            continue
        for packet, egress, what in (
            (crossing.packet, crossing.egress, "it"),
            (crossing.packet.reply, not crossing.egress, "its answers"),
        ):
            entry = deciding(acl, packet, egress=egress)
            if entry is None or not entry.allow:
                number = "*" if entry is None or entry.number == 32767 else str(entry.number)
                way = "out of" if egress else "into"
                yield (
                    f"network ACL {acl.id}, entry {number}, denies {what} {way} {crossing.subnet}"
                )


def refusals(network: Network, path: Path) -> Iterator[str]:
    """Which interface's security groups do not let the flow begin, one sentence each."""
    for end in path.ends:
        eni, packet = end.interface, end.packet
        if not admitted(network, eni, packet, egress=end.egress, peer=end.peer):
            groups = ", ".join(eni.groups) or "none"
            way = "out" if end.egress else "in"
            yield f"the security groups of {eni.id} ({groups}) do not let it {way}"
