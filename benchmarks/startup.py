"""How long the commands take to start that need nothing of AWS: against ``import boto3``."""

from __future__ import annotations

import sys
import tempfile

from benchmarks.timing import side_by_side
from flows.execution import open_incident
from flows.identity import local_identity
from flows.journal.journal import Journal
from runbooks.loader import load
from runbooks.registry import STEPS
from runbooks.targets.reference import TargetRef

INCIDENT = "inc-20260101-000000"


def measure(runs: int = 5) -> dict[str, str]:
    """Ratios of whole processes."""
    baseline = [sys.executable, "-c", "import boto3"]
    clampdown = [sys.executable, "-m", "flows.cli"]
    figures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as home:
        _an_incident(home)
        environment = {"CLAMPDOWN_HOME": home}
        for command in (["validate"], ["--help"], ["status", INCIDENT]):
            ours, theirs, ratio = side_by_side([*clampdown, *command], baseline, runs, environment)
            name = f"clampdown {command[0]} / import boto3"
            figures[name] = f"{ratio:.2f} ({ours:.2f} s / {theirs:.2f} s; at most 2)"
    return figures


def _an_incident(home: str) -> None:
    from pathlib import Path

    journal = Journal.open(f"sqlite:///{home}/journal.db")
    open_incident(
        journal,
        INCIDENT,
        playbook_id="ec2-compromise",
        playbooks=load(Path("playbooks.yaml"), STEPS),
        refs=[TargetRef("ec2.instance", "123456789012", "eu-west-1", "i-0123456789abcdef0")],
        finding=None,
        requester=local_identity().actor,
        simulate="",
        reason="benchmark",
    )
    journal.close()


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title:58} {value}")
