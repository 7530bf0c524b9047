"""Game days: how long ten scenarios take, how long a twin of 2,000 resources, and how much memory.

Scenarios are played by the command, two side by side, each by a process of its own. Of a twin, the
simulated AWS runs in a process of its own, as in a drill; the twin is read from its file and
built by another one. The memory is the most that both had together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.sandbox import post, sandbox
from flows.gameday.scenario_file import load_scenario, shipped
from flows.gameday.score import pasts
from flows.gameday.worlds import account as form
from flows.gameday.worlds import client

RESOURCES = 2_000
MOST_SECONDS = 20
MOST_MEGABYTES = 500
SCENARIOS = 10
MOST_SECONDS_OF_SCENARIOS = 60
REGION = "eu-west-1"
_ZONES = "abc"
_BUILDER = """
import json, resource, sys, time
from pathlib import Path
from typing import Any
from flows.gameday.worlds import build, parse_account
began = time.perf_counter()
world = parse_account(Path(sys.argv[1]).read_bytes())
read = time.perf_counter()
ids = build(world, sys.argv[2]).ids
built = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"read": read - began, "build": built - read, "peak": peak, "ids": len(ids)}))
"""


def large_world(resources: int = RESOURCES) -> form.AccountWorld:
    """A web shop of at least that many resources, as `count` counts them, in one VPC.

    For every ten instances there are an Auto Scaling group with its launch template, a target
    group, a load balancer, a role with its profile, and four security groups.
    """
    teams = 0
    world = _world(1)
    while count(world) < resources:
        teams = max(teams + 1, teams * resources // max(count(world), 1))
        world = _world(teams)
    return world


def count(world: form.AccountWorld) -> int:
    """How many resources a world has: everything in AWS that has an id or an ARN of its own."""
    named = sum(
        len(getattr(world, kind)) for kind in type(world).model_fields if kind not in _NO_RESOURCES
    )
    inside = sum(len(item.interfaces) + len(item.volumes) for item in world.instances.values())
    return named + inside


_NO_RESOURCES = frozenset({"version", "region"})


def measure(resources: int = RESOURCES) -> dict[str, str]:
    """What scenarios and a twin take."""
    return {**scenarios(1), **scenarios(2), **twin(resources)}


def scenarios(at_once: int, seed: int = 1) -> dict[str, str]:
    """What it took to play ten of the scenarios that ship, and the most memory at one time."""
    names = shipped()[:SCENARIOS]
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "flows.cli", "gameday", "run", *names]
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--seed", str(seed), "--at-once", str(at_once)],
            env={**os.environ, "CLAMPDOWN_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _family_megabytes(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        passed = sum(past.passed for past in pasts(Path(home)))
        simulated = sum(load_scenario(name).lasts.total_seconds() for name in names) / 3600
    return {
        f"{len(names)} scenarios, {simulated:.0f} simulated hours, {at_once} at once: time (passed)": (
            f"{seconds:.0f} s ({passed} of {len(names)}; at most {MOST_SECONDS_OF_SCENARIOS} s)"
        ),
        f"memory of all their processes together, {at_once} at once": (
            f"{peak:.0f} MB (at most {MOST_MEGABYTES} MB)"
        ),
    }


def _family_megabytes(root: int) -> float:
    """What a process and all below it have for themselves: each shared page counts once (PSS)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0
    for pid in family:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def twin(resources: int = RESOURCES) -> dict[str, str]:
    """What it took to read such a world from its file and to build it, and the memory."""
    world = large_world(resources)
    with tempfile.TemporaryDirectory() as folder, sandbox(latency_ms=0) as simulated:
        file = Path(folder) / "twin.yaml"
        file.write_text(world.to_yaml(), encoding="utf-8")
        size = file.stat().st_size
        url = str(simulated["url"])
        post(url, "reset")
        done = subprocess.run(
            [sys.executable, "-c", _BUILDER, str(file), url],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        taken = json.loads(done.stdout)
        stage = _peak_megabytes(simulated["pid"])
        there = _there(url)
    seconds = taken["read"] + taken["build"]
    return {
        f"twin of {count(world):,} resources ({size / 1024:.0f} KiB): read / build / both": (
            f"{taken['read']:.1f} s / {taken['build']:.1f} s / {seconds:.1f} s"
            f" (at most {MOST_SECONDS} s)"
        ),
        "peak memory: building process / simulated AWS / together": (
            f"{taken['peak']:.0f} MB / {stage:.0f} MB / {taken['peak'] + stage:.0f} MB"
            f" (at most {MOST_MEGABYTES} MB)"
        ),
        "in it afterwards": ", ".join(f"{number} {what}" for what, number in there.items()),
    }


# The world


def _world(teams: int) -> form.AccountWorld:
    world = form.AccountWorld(
        region=REGION,
        vpcs={"main": form.Vpc(cidr="10.0.0.0/16", internet_gateway=True, tags={"Name": "main"})},
        subnets={
            f"{kind}-{zone}": form.Subnet(
                vpc="main",
                cidr=f"10.0.{number * 64 + 32 * (kind == 'private')}.0/19",
                zone=f"{REGION}{zone}",
                tags={"Name": f"{kind}-{zone}"},
            )
            for number, zone in enumerate(_ZONES)
            for kind in ("public", "private")
        },
        nat_gateways={"nat": form.NatGateway(subnet="public-a", tags={"Name": "nat"})},
        route_tables={
            kind: form.RouteTable(
                vpc="main",
                subnets=tuple(f"{kind}-{zone}" for zone in _ZONES),
                routes=(form.WorldRoute(to="0.0.0.0/0", through=through),),
                tags={"Name": kind},
            )
            for kind, through in (("public", "internet"), ("private", "nat:nat"))
        },
        images={"web": form.Image(root_device="/dev/sda1")},
    )
    parts: dict[str, dict[str, Any]] = {}
    for number in range(teams):
        for kind, items in _team(number).items():
            parts.setdefault(kind, {}).update(items)
    return form.AccountWorld.model_validate({**vars(world), **parts})


def _team(number: int) -> dict[str, dict[str, Any]]:
    name = f"team-{number:03d}"
    tags = {"team": name, "environment": "production"}
    groups = {
        f"{name}-{part}": form.SecurityGroup(
            vpc="main",
            name=f"{name}-{part}",
            description=f"{part} of {name}",
            rules=_rules(name, part),
            tags=tags,
        )
        for part in _PEERS
    }
    instances = {
        f"{name}-web-{member:02d}": _instance(name, number * _MEMBERS + member, tags)
        for member in range(_MEMBERS)
    }
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
    document = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    return {
        "security_groups": groups,
        "instances": instances,
        "policies": {name: form.Policy(document=_policy(document))},
        "roles": {
            name: form.Role(
                trust=_policy({**trust, "Action": "sts:AssumeRole"}),
                inline={"own": _policy(document)},
                policies=(name,),
                tags=tags,
            )
        },
        "profiles": {name: form.Profile(role=name)},
        "launch_templates": {
            name: form.LaunchTemplate(
                image="web", type="m5.large", groups=(f"{name}-web",), profile=name
            )
        },
        "target_groups": {
            name: form.TargetGroup(
                vpc="main",
                protocol="HTTP",
                port=8080,
                kind="instance",
                targets=tuple(form.Target(id=item, port=8080) for item in instances),
            )
        },
        "load_balancers": {
            name: form.LoadBalancer(
                kind="application",
                subnets=("public-a", "public-b"),
                groups=(f"{name}-balancer",),
                listeners=(form.Listener(port=80, protocol="HTTP", target_group=name),),
            )
        },
        "scaling_groups": {
            name: form.AutoScalingGroup(
                min=_MEMBERS,
                max=2 * _MEMBERS,
                desired=_MEMBERS,
                template=name,
                subnets=("private-a", "private-b", "private-c"),
                health_check="ELB",
                target_groups=(name,),
                instances=tuple(instances),
                tags=(form.ScalingTag(key="team", value=name),),
            )
        },
    }


_MEMBERS = 10
_PEERS = {"balancer": "", "web": "balancer", "data": "web", "admin": ""}


def _rules(name: str, part: str) -> tuple[form.GroupRule, ...]:
    peer = f"group:{name}-{_PEERS[part]}" if _PEERS[part] else "10.0.0.0/8"
    entering = tuple(
        form.GroupRule(egress=False, protocol="tcp", first=port, last=port, peer=peer)
        for port in (443, 8080)
    )
    return (*entering, form.GroupRule(egress=True, protocol="-1", peer="0.0.0.0/0"))


def _instance(name: str, number: int, tags: dict[str, str]) -> form.Instance:
    zone = number % len(_ZONES)
    third, fourth = divmod(number // len(_ZONES), 200)
    address = f"10.0.{zone * 64 + 32 + third}.{fourth + 10}"
    return form.Instance(
        image="web",
        type="m5.large",
        profile=name,
        interfaces=(
            form.WorldInterface(
                subnet=f"private-{_ZONES[zone]}", addresses=(address,), groups=(f"{name}-web",)
            ),
        ),
        volumes=(
            form.WorldVolume(device="/dev/sda1", size=8, tags=tags),
            form.WorldVolume(device="/dev/sdf", size=100, tags=tags),
        ),
        tags={"Name": f"{name}-web", **tags},
    )


def _policy(statement: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


# What came of it


def _there(url: str) -> dict[str, int]:
    """Asked of the simulated AWS itself."""
    ec2, elbv2 = client(url, REGION, "ec2"), client(url, REGION, "elbv2")
    return {
        "instances": sum(
            len(item["Instances"]) for item in ec2.describe_instances()["Reservations"]
        ),
        "interfaces": len(ec2.describe_network_interfaces()["NetworkInterfaces"]),
        "volumes": len(ec2.describe_volumes()["Volumes"]),
        "security groups": len(ec2.describe_security_groups()["SecurityGroups"]),
        "load balancers": len(elbv2.describe_load_balancers()["LoadBalancers"]),
    }


def _peak_megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title:58} {value}")
