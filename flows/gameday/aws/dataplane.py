"""The connections in a simulated AWS: established on demand, and cut when its network cuts them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from flows.gameday.aws import settings, simulated_time
from flows.gameday.network import Connections, Flow, Network, NotConnected, read_network
from flows.gameday.network.model import Via

Dispatch = Callable[[dict[str, Any], Any], Iterable[bytes]]


class NewConnection(BaseModel):
    """What is to be connected; ``from`` and ``to`` as in :class:`flows.gameday.network.Flow`.

    ``idle`` is a connection through which nothing passes any more once it is established.
    ``region`` is found where it is left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(validation_alias=AliasChoices("source", "from"))
    destination: str = Field(validation_alias=AliasChoices("destination", "to"))
    port: int = Field(default=443, ge=0, le=65535)
    protocol: str = "tcp"
    via: Via = ""
    idle: bool = False
    account: str = "123456789012"
    region: str = ""

    @property
    def flow(self) -> Flow:
        return Flow(self.source, self.destination, self.protocol.lower(), self.port, via=self.via)


@dataclass
class DataPlane:
    """The connections of every account and region. ``dispatch`` is moto's own application, which is
    asked for the network without a fault, without a record, and by who holds its lock."""

    dispatch: Dispatch
    _places: dict[tuple[str, str], Connections] = field(default_factory=dict)

    def establish(self, wanted: NewConnection) -> dict[str, Any]:
        """Have a connection begin. Raises NotConnected where it would not pass."""
        region, network = self._network_of(wanted)
        here = self._places.setdefault((wanted.account, region), Connections())
        now = simulated_time.now()
        connection = here.establish(
            wanted.flow, network, at=now, idle_since=now if wanted.idle else None
        )
        return next(item for item in self.listed(now) if item["id"] == connection.id)

    def observe(self) -> None:
        """Take note of what the networks are now. Costs nothing where nothing is connected."""
        for (account, region), connections in self._places.items():
            if connections:
                connections.observe(self._read(account, region))

    def listed(self, now: datetime | None = None) -> list[dict[str, Any]]:
        """Every connection, and what has become of it."""
        self.observe()
        wait = timedelta(seconds=settings.SETTINGS.untrack_seconds)
        found = []
        for (account, region), connections in self._places.items():
            connections.untracked_after = wait
            for connection, fate in connections.after_change(now):
                flow = connection.flow
                found.append(
                    {
                        "id": connection.id,
                        "account": account,
                        "region": region,
                        "from": flow.source,
                        "to": flow.destination,
                        "protocol": flow.protocol,
                        "port": flow.port,
                        "via": flow.via,
                        "established": connection.established.isoformat(),
                        "alive": fate.alive,
                        "why": fate.why,
                        "rule": fate.rule,
                        "cut": fate.at.isoformat() if fate.at else None,
                        "tracked": dict(fate.tracked),
                    }
                )
        return found

    def clear(self) -> None:
        self._places.clear()

    def _network_of(self, wanted: NewConnection) -> tuple[str, Network]:
        from moto.ec2.models import ec2_backends

        regions = [wanted.region] if wanted.region else list(ec2_backends[wanted.account])
        for region in regions:
            network = self._read(wanted.account, region)
            if wanted.region or _knows(network, wanted):
                return region, network
        raise NotConnected(
            f"{wanted.flow}: neither end is in account {wanted.account}; give the region."
        )

    def asking(self, account: str, region: str) -> Any:
        """A client of EC2 for what the simulated AWS itself wants to know."""
        return _client(self.dispatch, account, region)

    def _read(self, account: str, region: str) -> Network:
        return read_network(self.asking(account, region))


def _knows(network: Network, wanted: NewConnection) -> bool:
    for name in (wanted.source, wanted.destination):
        if network.named(name) is not None:
            return True
        if any(
            name in (*eni.addresses, *eni.public.values()) for eni in network.interfaces.values()
        ):
            return True
    return False


class _Body(io.BytesIO):
    """An answer as botocore reads it."""

    def stream(self, **_: object) -> Iterable[bytes]:
        yield self.read()


@cache
def _client(dispatch: Dispatch, account: str, region: str) -> Any:
    """A boto3 client for EC2 that asks moto directly: nothing goes through a socket."""
    import boto3
    from botocore.awsrequest import AWSResponse

    def answer(request: Any, **_: object) -> Any:
        url = urlsplit(request.url)
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        environ = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": url.path or "/",
            "QUERY_STRING": url.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            **_environ(request.headers),
            "HTTP_X_MOTO_ACCOUNT_ID": account,
        }
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        parts = dispatch(environ, lambda *given: begun.append(given[:2]))
        content = b"".join(parts)
        status, headers = begun[-1]
        return AWSResponse(request.url, int(status.split()[0]), dict(headers), _Body(content))

    # moto takes the keys for the account's own; what may be read is not asked here.
    session = boto3.Session("AKIASIMULATEDPLANE00", "simulated")
    client = session.client("ec2", region_name=region, endpoint_url="http://127.0.0.1/")
    client.meta.events.register("before-send.ec2", answer)
    return client


def _environ(headers: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in headers.items():
        text = value.decode() if isinstance(value, bytes) else str(value)
        key = name.upper().replace("-", "_")
        found[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    found["HTTP_HOST"] = "127.0.0.1"
    return found
