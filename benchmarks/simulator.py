"""The simulated AWS against plain moto_server, in the same run: calls, reset, world, start."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from flows.gameday.worlds import build, client, export, load_world

INSTANCES = 20
CALLS = 25
REGION = "eu-west-1"
_OURS = """
import sys, threading
from flows.gameday.aws.server import SimulatedAws
SimulatedAws(port=int(sys.argv[1])).start()
threading.Event().wait()
"""
_THEIRS = Path(sys.executable).with_name("moto_server")


@dataclass(frozen=True)
class Server:
    """A server in a process of its own, and how many seconds after its start it had answered a
    first call, and one of EC2: moto loads a service when it is first asked."""

    url: str
    started: float
    ready: float


def measure(runs: int = 5) -> dict[str, str]:
    """Medians. Rounds of both servers take turns, and a warm-up of each isn't counted."""
    starts = [_started() for _ in range(runs)]
    with _ours() as ours, _theirs() as theirs:
        servers = (ours, theirs)
        for server in servers:
            _arrange(server.url)
        mixes = {"reads": _reads, "changes": _changes}
        rates = {
            name: _rates(mix, [server.url for server in servers], runs)
            for name, mix in mixes.items()
        }
        resets = [[_reset(server.url) for server in servers] for _ in range(runs)]
        worlds = [_world(ours.url) for _ in range(runs)]
    figures = {
        f"calls per second, {name}: ours / moto_server": (
            f"{one / other:.2f} ({one:.0f} / {other:.0f}; at least 1)"
        )
        for name, (one, other) in rates.items()
    }
    mine, plain = (statistics.median(each) for each in zip(*resets, strict=True))
    figures["reset"] = f"{mine:.3f} s (moto_server {plain:.3f} s; at most 0.2 s)"
    built, read, again = (statistics.median(each) for each in zip(*worlds, strict=True))
    figures["small world: build / read / build what was read"] = (
        f"{built:.2f} s / {read:.2f} s / {again:.2f} s"
    )
    for what, pick in (
        ("the first answer", attrgetter("started")),
        ("EC2's first answer", attrgetter("ready")),
    ):
        mine, plain = (
            statistics.median(pick(server) for server in each) for each in zip(*starts, strict=True)
        )
        figures[f"start until {what}: ours / moto_server"] = (
            f"{mine:.2f} s / {plain:.2f} s (at most 1 s)"
        )
    return figures


# Servers


@contextmanager
def _ours() -> Iterator[Server]:
    with _running([sys.executable, "-c", _OURS]) as server:
        yield server


@contextmanager
def _theirs() -> Iterator[Server]:
    with _running([str(_THEIRS), "-H", "127.0.0.1", "-p"]) as server:
        yield server


@contextmanager
def _running(command: list[str]) -> Iterator[Server]:
    port = _free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(port)],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        started = time.perf_counter() - began
        client(url, REGION, "ec2").describe_vpcs()
        yield Server(url, started, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            client(url, REGION, "sts").get_caller_identity()
        except Exception:
            if process.poll() is not None:
                raise
            time.sleep(0.01)
        else:
            return


def _started() -> tuple[Server, Server]:
    with _ours() as ours, _theirs() as theirs:
        return ours, theirs


# What is called


def _arrange(url: str) -> None:
    """The same small fleet in both."""
    ec2 = client(url, REGION, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    ec2.run_instances(
        ImageId=ec2.register_image(Name="web")["ImageId"],
        MinCount=INSTANCES,
        MaxCount=INSTANCES,
        SubnetId=subnet,
        SecurityGroupIds=[group],
    )


def _reads(url: str) -> int:
    ec2, iam = client(url, REGION, "ec2"), client(url, REGION, "iam")
    calls = (
        ec2.describe_network_interfaces,
        ec2.describe_security_groups,
        partial(ec2.describe_instances, MaxResults=5),
        ec2.describe_network_acls,
        iam.list_roles,
    )
    for _ in range(CALLS):
        for call in calls:
            call()
    return CALLS * len(calls)


def _changes(url: str) -> int:
    ec2: Any = client(url, REGION, "ec2")
    only = [{"Name": "group-name", "Values": ["web"]}]
    group = ec2.describe_security_groups(Filters=only)["SecurityGroups"][0]["GroupId"]
    for number in range(CALLS):
        rule = {
            "IpProtocol": "tcp",
            "FromPort": number,
            "ToPort": number,
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        }
        ec2.create_tags(Resources=[group], Tags=[{"Key": "round", "Value": str(number)}])
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    return 3 * CALLS + 1


def _rates(mix: Any, urls: list[str], runs: int) -> tuple[float, float]:
    rounds: list[list[float]] = []
    for _ in range(runs + 1):
        taken = []
        for url in urls:
            began = time.perf_counter()
            calls = mix(url)
            taken.append(calls / (time.perf_counter() - began))
        rounds.append(taken)
    ours, theirs = (statistics.median(each) for each in zip(*rounds[1:], strict=True))
    return ours, theirs


# Resets and worlds


def _reset(url: str) -> float:
    """Of an account with a fleet in it; each server has its own address for it."""
    began = time.perf_counter()
    for path in ("/_clampdown/reset", "/moto-api/reset"):
        try:
            with urlopen(Request(url + path, data=b"null", method="POST")):
                break
        except URLError:
            began = time.perf_counter()
    taken = time.perf_counter() - began
    _arrange(url)
    return taken


def _world(url: str) -> tuple[float, float, float]:
    _reset_ours(url)
    began = time.perf_counter()
    build(load_world("small"), url)
    built = time.perf_counter()
    found = export(partial(client, url, REGION), REGION)
    read = time.perf_counter()
    _reset_ours(url)
    emptied = time.perf_counter()
    build(found.world, url)
    return built - began, read - built, time.perf_counter() - emptied


def _reset_ours(url: str) -> None:
    with urlopen(Request(f"{url}/_clampdown/reset", data=b"null", method="POST")):
        return


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title:58} {value}")
