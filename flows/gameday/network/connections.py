"""Connections that are established: tracked or not, and what a change of the network does to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from flows.gameday.network.model import Flow, Interface, Network
from flows.gameday.network.passing import denials, open_flow
from flows.gameday.network.path import Closed, End, Path, find_path
from flows.gameday.network.rules import admitted, unfettered

# How long the rules have to leave a connection untracked before it is. AWS names no time; the
# published runbook of ELD waits for this long, because the change needs traffic under the new rule.
UNTRACKED_AFTER = timedelta(seconds=60)
# "If … the host sends the same type of traffic to your instance within 600 seconds, the security
# group … accepts it" (EC2 User Guide, "Security group connection tracking").
_OTHER_PROTOCOLS = timedelta(seconds=600)

_TRACKING = "EC2 User Guide, Security group connection tracking"
_ACLS = "VPC User Guide, Network ACL basics"
_UNFILTERED = "VPC User Guide, Security groups: what they can't block"
_ROUTING = "VPC User Guide, Route tables and Internet gateways"


class NotConnected(ValueError):
    """A connection can't be established; the text says why."""


@dataclass(frozen=True)
class Connection:
    """A flow that passed when it began. ``idle_since`` is when its last packet was sent, None while
    packets keep flowing, as they do through a command-and-control channel."""

    id: str
    flow: Flow
    established: datetime
    idle_since: datetime | None = None


@dataclass(frozen=True)
class Fate:
    """What has become of a connection.

    ``why`` says what keeps it or what cut it, ``rule`` names the AWS document that this follows,
    ``at`` is when it was cut. ``tracked`` is by interface.
    """

    alive: bool
    why: str
    rule: str
    tracked: Mapping[str, bool]
    at: datetime | None = None


@dataclass(frozen=True)
class Moment:
    """The network as it is from ``at`` on."""

    at: datetime
    network: Network


def fate(
    connection: Connection,
    history: Sequence[Moment],
    now: datetime,
    untracked_after: timedelta = UNTRACKED_AFTER,
) -> Fate:
    """What has become of the connection by ``now``, through all that the network has been.

    ``history`` begins with the network in which it was established. What is cut stays cut.
    """
    life = _Life(connection, untracked_after)
    try:
        for number, moment in enumerate(history):
            until = history[number + 1].at if number + 1 < len(history) else now
            life.live(moment, max(until, moment.at))
    except _Cut as cut:
        return Fate(False, cut.why, cut.rule, life.tracked, cut.at)
    return Fate(True, life.why, life.rule, life.tracked)


@dataclass
class Connections:
    """The connections of one account and region, and the network's history since the first.

    Not safe for several threads at once.
    """

    untracked_after: timedelta = UNTRACKED_AFTER
    _known: list[tuple[Connection, int]] = field(default_factory=list)
    _history: list[Moment] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __bool__(self) -> bool:
        return bool(self._known)

    def establish(
        self,
        flow: Flow,
        network: Network,
        *,
        at: datetime | None = None,
        idle_since: datetime | None = None,
    ) -> Connection:
        """Have the connection begin. Raises NotConnected where it would not pass."""
        at = at or datetime.now(UTC)
        verdict = open_flow(network, flow)
        if not verdict.open:
            raise NotConnected(f"{flow}: {verdict.why}.")
        self.observe(network, at=at)
        connection = Connection(f"connection-{next(self._numbers)}", flow, at, idle_since)
        self._known.append((connection, len(self._history) - 1))
        return connection

    def observe(self, network: Network, *, at: datetime | None = None) -> None:
        """Take note of the network as it is now, where it is another than before."""
        if not self._history or self._history[-1].network != network:
            self._history.append(Moment(at or datetime.now(UTC), network))

    def after_change(self, now: datetime | None = None) -> list[tuple[Connection, Fate]]:
        """Every connection that was ever established, and what has become of it by ``now``."""
        now = now or datetime.now(UTC)
        return [
            (
                connection,
                fate(connection, self._since(connection, begin), now, self.untracked_after),
            )
            for connection, begin in self._known
        ]

    def _since(self, connection: Connection, begin: int) -> list[Moment]:
        first, *later = self._history[begin:]
        return [Moment(connection.established, first.network), *later]


class _Cut(Exception):
    def __init__(self, why: str, rule: str, at: datetime) -> None:
        super().__init__(why)
        self.why, self.rule, self.at = why, rule, at


_Side = tuple[str, bool]


def _side(end: End) -> _Side:
    return end.interface.id, end.egress


class _Life:
    """One connection's state at its interfaces, moved from one state of the network to the next."""

    def __init__(self, connection: Connection, untracked_after: timedelta) -> None:
        self.connection = connection
        self.untracked_after = untracked_after
        self.path: Path | None = None
        # By interface and direction: what forwards, such as a NAT instance, has both.
        self.states: dict[_Side, bool] = {}
        self.unfettered_since: dict[_Side, datetime] = {}
        self.why = ""
        self.rule = _TRACKING

    @property
    def tracked(self) -> dict[str, bool]:
        """By interface."""
        found: dict[str, bool] = {}
        for (eni, _), tracked in self.states.items():
            found[eni] = tracked or found.get(eni, False)
        return found

    def live(self, moment: Moment, until: datetime) -> None:
        """From the moment until the next one. Raises _Cut."""
        network, began = moment.network, self.path is None
        path = self._same_path(moment)
        for reason in denials(network, path):
            raise _Cut(reason, _ACLS, moment.at)
        reasons = []
        for end in path.ends:
            free = not path.tracked and unfettered(
                network, end.interface, end.packet, egress=end.egress
            )
            if began:
                self.states[_side(end)] = not free
            reasons.append(self._at(end, network, moment.at, until, free))
        self.why = self._kept(path, [reason for reason in reasons if reason])
        self.rule = _UNFILTERED if path.service else _TRACKING

    def _same_path(self, moment: Moment) -> Path:
        try:
            path = find_path(moment.network, self.connection.flow)
        except Closed as closed:
            raise _Cut(str(closed), _ROUTING, moment.at) from closed
        if self.path is not None and path.identity != self.path.identity:
            raise _Cut("it takes another way now, with other addresses", _ROUTING, moment.at)
        self.path = path
        return path

    def _at(self, end: End, network: Network, at: datetime, until: datetime, free: bool) -> str:
        """What one interface does about the connection; returns what keeps it where no rule does."""
        eni, side = end.interface, _side(end)
        permitted = admitted(network, eni, end.packet, egress=end.egress, peer=end.peer)
        if not self.states[side]:
            if not permitted:
                # "An untracked flow of traffic is immediately interrupted if the rule that enables
                # the flow is removed or modified."
                raise _Cut(
                    f"it was not tracked at {eni.id}, and no rule there permits it any more",
                    _TRACKING,
                    at,
                )
            # Under narrower rules its next packet is tracked like that of a new flow.
            self.states[side] = not free
            return ""
        self._untrack(side, at, until, free)
        if permitted:
            return ""
        expires = self._expiry(eni)
        if expires is not None and expires <= until:
            raise _Cut(
                f"it was idle, and no longer tracked at {eni.id}", _TRACKING, max(at, expires)
            )
        # "When you change a security group rule, its tracked connections are not immediately
        # interrupted. The security group continues to allow packets until existing connections
        # time out."
        return f"no rule of {eni.id} permits it, but it is tracked there"

    def _untrack(self, side: _Side, at: datetime, until: datetime, free: bool) -> None:
        """Rules that leave it untracked do so once packets have passed under them for a while."""
        if not free or self.connection.idle_since is not None:
            self.unfettered_since.pop(side, None)
            return
        since = self.unfettered_since.setdefault(side, at)
        if until - since >= self.untracked_after:
            self.states[side] = False

    def _expiry(self, eni: Interface) -> datetime | None:
        """When an idle connection stops being tracked; None while packets keep flowing.

        AWS names no time for ICMP: it is held to be tracked for good.
        """
        idle = self.connection.idle_since
        protocol = self.connection.flow.protocol
        if idle is None or protocol in ("icmp", "icmpv6"):
            return None
        timeouts = {"tcp": eni.timeouts.tcp_established, "udp": eni.timeouts.udp_stream}
        return idle + timeouts.get(protocol, _OTHER_PROTOCOLS)

    def _kept(self, path: Path, reasons: list[str]) -> str:
        if path.service:
            return f"nothing filters {path.service}"
        if not reasons:
            return "routes, network ACLs and security groups permit it"
        through = f"; it passes {', '.join(path.tracked)}" if path.tracked else ""
        return "; ".join(reasons) + through
