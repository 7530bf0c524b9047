"""The shipped playbook as far as a benchmark needs it: no people are asked, and nothing waits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path("playbooks.yaml")
NAME = "ec2-compromise"
# What stands after these waits for AWS, or for people.
CONTAINMENT = (
    "ec2.protect",
    "ec2.snapshot",
    "autoscaling.detach",
    "elb.deregister",
    "ec2.isolate",
)


def write(directory: Path, steps: Sequence[str] = CONTAINMENT, *, targets: int = 5) -> Path:
    """A playbooks file with only these steps of the shipped playbook, in its order.

    Its gate is not needed for any target, so that no decision is waited for.
    """
    data = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    playbook = data["playbooks"][NAME]
    gate = next(entry for entry in playbook["steps"] if "approve" in entry)
    gate["when"] = "target.state == 'never'"
    kept = [_kept(entry, steps) for entry in playbook["steps"]]
    playbook["steps"] = [entry for entry in kept if entry]
    budgets = data["guardrails"]["budgets"]
    budgets["targets_per_incident"] = targets
    budgets["changes_per_account_per_hour"] = 100_000
    budgets["automatic_isolations_per_hour"] = 100_000
    path = directory / "playbooks.yaml"
    path.write_text(_dumped(data), encoding="utf-8")
    return path


def _kept(entry: dict[str, Any], steps: Sequence[str]) -> dict[str, Any] | None:
    """The entry without the steps that aren't wanted; None where nothing is left of it."""
    if "parallel" in entry:
        block = [step for step in entry["parallel"] if step["step"] in steps]
        return {"parallel": block} if block else None
    return entry if "approve" in entry or entry.get("step") in steps else None


def _dumped(data: Any) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False)
    return text
