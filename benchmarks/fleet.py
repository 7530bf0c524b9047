"""A plan for 100 targets in one incident, against the plan for one of them."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import playbooks
from benchmarks.sandbox import LATENCY_MS, fresh_world, post, sandbox
from flows.gameday.worlds import client
from flows.responder import Responder
from flows.settings import Settings
from runbooks.loader import load
from runbooks.registry import STEPS

TARGETS = 100


def measure(runs: int = 3) -> dict[str, str]:
    """The ratio of the medians; a warm-up of each isn't counted."""
    with sandbox(latency_ms=0) as world, tempfile.TemporaryDirectory() as home:
        url, region = world["url"], world["region"]
        instances = _fleet(url, region)
        file = playbooks.write(Path(home), targets=TARGETS)
        settings = Settings(home=Path(home), simulate=url, region=region, playbooks=file)
        responder = Responder(settings, load(file, STEPS))
        post(url, "config", {"latency_seconds": LATENCY_MS / 1_000})
        many = statistics.median(_seconds(responder, instances) for _ in range(runs + 1))
        one = statistics.median(_seconds(responder, instances[:1]) for _ in range(runs + 1))
    name = f"plan for {TARGETS} targets / plan for 1"
    return {name: f"{many / one:.2f} ({many:.2f} s / {one:.2f} s; at most 5)"}


def _fleet(url: str, region: str) -> list[str]:
    fresh_world(url)
    ec2 = client(url, region, "ec2")
    known = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    made = ec2.run_instances(
        ImageId=known["ImageId"],
        InstanceType="m5.large",
        MinCount=TARGETS,
        MaxCount=TARGETS,
        SubnetId=known["SubnetId"],
    )["Instances"]
    return [instance["InstanceId"] for instance in made]


def _seconds(responder: Responder, instances: list[str]) -> float:
    started = time.perf_counter()
    responder.plan(playbooks.NAME, instances)
    return time.perf_counter() - started


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title:58} {value}")
