"""What is known of one judgement while it is being made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flows.shadow.records import Verdict
from runbooks.calls import Plan
from runbooks.errors import ClampdownError, Refused
from runbooks.targets.instance import Ec2Instance


@dataclass
class Case:
    """What was found so far.

    ``mode`` says who would have started it, ``begins`` when; ``stopped`` is the verdict of the guard
    or failure at which all would have ended. ``reached`` holds the steps, by id and target, up to
    there; ``spent`` how many changes those would have been by account.
    """

    mode: str
    why: list[str]
    begins: datetime
    joins: str = ""
    refusals: list[dict[str, str]] = field(default_factory=list)
    stopped: Verdict | None = None
    reads_seconds: float = 0.0
    facts: list[Ec2Instance] = field(default_factory=list)
    plan: Plan | None = None
    gates: list[dict[str, Any]] = field(default_factory=list)
    reached: set[tuple[str, str]] = field(default_factory=set)
    spent: Counter[str] = field(default_factory=Counter)

    @property
    def needed(self) -> list[str]:
        """The gates at which people would have been asked."""
        return [gate["gate"] for gate in self.gates if gate["needed"]]

    @property
    def verdict(self) -> Verdict:
        if self.joins:
            return "join"
        if self.stopped is not None:
            return self.stopped
        if self.mode == "propose":
            return "propose"
        return "ask" if self.needed else "contain"

    def steps(self) -> Iterator[dict[str, Any]]:
        """What each step would have changed, as it is written down."""
        for step in self.plan.steps if self.plan else ():
            yield {
                "step": step.id,
                "name": step.step,
                "target": step.target,
                "gate": step.gate,
                "changes": len(step.changes),
                "contingent": len(step.contingent),
                "skipped": step.skipped,
                "warnings": list(step.warnings),
                "reached": (step.id, step.target) in self.reached,
            }

    def refuse(self, error: ClampdownError, *, stops: bool, step: str = "") -> None:
        """Note that a guard says no, or that it would fail; ``stops`` is whether all ends there."""
        rule = type(error).__name__
        self.refusals.append({"rule": rule, "what": error.what, "step": step})
        if stops and self.stopped is None:
            self.stopped = "refuse" if isinstance(error, Refused) else "fail"
