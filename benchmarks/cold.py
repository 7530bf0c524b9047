"""Cold, from the shell: a containment with Clampdown, and a smaller job with Cloud Custodian.

Cloud Custodian tags the instance, puts it into a group that exists already, and takes snapshots;
it records nothing durably, asks nobody and can take nothing back. It is installed into a virtual
environment of its own under ``build/``, or named by CLAMPDOWN_BENCH_CUSTODIAN.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import playbooks
from benchmarks.sandbox import LATENCY_MS, calls, fresh_world, post, sandbox
from flows.gameday.worlds import client

CUSTODIAN = "c7n==0.9.53"
_WHERE = Path("build") / "custodian"
_STEPS = (*playbooks.CONTAINMENT, "ec2.tag")


def measure(runs: int = 5) -> dict[str, str]:
    """Medians of the pairs' ratios; a warm-up of each isn't counted."""
    custodian = _custodian()
    figures: dict[str, str] = {}
    with sandbox(latency_ms=0) as world, tempfile.TemporaryDirectory(dir=".") as directory:
        place = _Place(Path(directory), world["url"], world["region"])
        pairs, alone, beside = [], [], []
        for _ in range(runs + 1):
            ours = place.clampdown("--without-prefect")
            pairs.append((ours[0], place.custodian(custodian)))
            alone.append(ours[1])
            beside.append(place.clampdown()[1])
    pairs, alone, beside = pairs[1:], alone[1:], beside[1:]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    figures["clampdown run --without-prefect / Cloud Custodian"] = (
        f"{ratio:.2f} ({ours:.2f} s / {theirs:.2f} s; at most 1.5)"
    )
    with_prefect, without = statistics.median(beside), statistics.median(alone)
    figures["cold to isolated, with Prefect / without"] = (
        f"{with_prefect / without:.2f} ({with_prefect:.2f} s / {without:.2f} s; "
        "Prefect's server takes 5 to 7 s to start)"
    )
    return figures


class _Place:
    """One simulated AWS and one directory for the files of both programs."""

    def __init__(self, directory: Path, url: str, region: str) -> None:
        self.directory = directory
        self.url = url
        self.region = region
        self.playbooks = playbooks.write(directory, _STEPS)
        self._runs = 0

    def clampdown(self, *options: str) -> tuple[float, float]:
        """Seconds of the whole process, and seconds until every interface is isolated."""
        victim = self._fresh()
        self._runs += 1
        environment = {
            # A journal of its own: the same ids in the same journal would be the same incident.
            "CLAMPDOWN_HOME": str(self.directory / f"home-{self._runs}"),
            "CLAMPDOWN_PLAYBOOKS": str(self.playbooks),
            "CLAMPDOWN_SIMULATE": self.url,
            "AWS_REGION": self.region,
        }
        command = [sys.executable, "-m", "flows.cli", "run", playbooks.NAME, "--target", victim]
        began = datetime.now(UTC)
        took = _seconds([*command, *options], environment)
        moves = [
            datetime.fromisoformat(call["at"])
            for call in calls(self.url)
            if call["operation"] == "ModifyNetworkInterfaceAttribute"
            and call["parameters"].get("Groups")
        ]
        return took, (max(moves) - began).total_seconds()

    def custodian(self, program: Path) -> float:
        """Seconds of the whole process."""
        victim = self._fresh()
        ec2 = client(self.url, self.region, "ec2")
        vpc = ec2.describe_instances(InstanceIds=[victim])["Reservations"][0]["Instances"][0]
        group = ec2.create_security_group(
            GroupName="isolation", Description="isolation", VpcId=vpc["VpcId"]
        )["GroupId"]
        policy = self.directory / "policy.json"
        policy.write_text(json.dumps(_policy(victim, group)), encoding="utf-8")
        output = str(self.directory / "custodian")
        return _seconds(
            [str(program), "run", "--region", self.region, "-s", output, str(policy)],
            {
                "AWS_ENDPOINT_URL": self.url,
                "AWS_ACCESS_KEY_ID": "AKIASIMULATED0000000",
                "AWS_SECRET_ACCESS_KEY": "simulated",
                "AWS_DEFAULT_REGION": self.region,
            },
        )

    def _fresh(self) -> str:
        victim = fresh_world(self.url)
        post(self.url, "config", {"latency_seconds": LATENCY_MS / 1_000})
        return victim


def _policy(victim: str, group: str) -> dict[str, Any]:
    return {
        "policies": [
            {
                "name": "isolate",
                "resource": "aws.ec2",
                "query": [{"instance-id": victim}],
                "filters": [{"InstanceId": victim}],
                "actions": [
                    {"type": "tag", "tags": {"clampdown": "contained"}},
                    {
                        "type": "modify-security-groups",
                        "remove": "all",
                        "isolation-group": group,
                    },
                    {"type": "snapshot"},
                ],
            }
        ]
    }


def _custodian() -> Path:
    """Cloud Custodian's command, installed where it isn't yet."""
    if named := os.environ.get("CLAMPDOWN_BENCH_CUSTODIAN"):
        return Path(named)
    program = _WHERE / "bin" / "custodian"
    if not program.exists():
        venv.create(_WHERE, with_pip=True)
        install = [_WHERE / "bin" / "python", "-m", "pip", "install", "--quiet", CUSTODIAN]
        subprocess.run(install, check=True)
    return program


def _seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return time.perf_counter() - started


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title:58} {value}")
