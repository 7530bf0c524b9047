"""Runs single steps against a simulated AWS, with a ledger in memory instead of the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbooks.aws import (
    IncidentContext,
    LiveAws,
    Once,
    Permit,
    PlanningAws,
    Progress,
    Where,
)
from runbooks.calls import Change, PlannedStep
from runbooks.connections import AccountAccess, Connections
from runbooks.errors import ClampdownError
from runbooks.guardrails import Guardrails
from runbooks.step import AnyStep
from runbooks.targets.instance import Ec2Instance
from runbooks.targets.reading import read_instances
from runbooks.targets.reference import TargetRef
from runbooks.undo import take_back

ACCOUNT = "123456789012"
REGION = "eu-west-1"


@dataclass
class MemoryLedger:
    """Intents and outcomes in lists. ``crash_at`` raises at the nth boundary, as a death would."""

    intents: list[Change] = field(default_factory=list)
    outcomes: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    crash_at: int | None = None
    boundaries: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _boundary(self) -> None:
        self.boundaries += 1
        if self.crash_at is not None and self.boundaries >= self.crash_at:
            raise Crash

    def intend(self, change: Change) -> int:
        with self.lock:
            self._boundary()
            self.intents.append(change)
            self._boundary()
            return len(self.intents)

    def _outcome(self, intent: int, outcome: str) -> None:
        with self.lock:
            self._boundary()
            self.outcomes[intent] = outcome
            self._boundary()

    def done(self, intent: int, request_id: str, identifiers: Mapping[str, Any]) -> None:
        self._outcome(intent, "done")

    def require_right(self) -> None:
        return

    def accepted(self, intent: int, request_id: str, code: str) -> None:
        self._outcome(intent, f"accepted {code}")

    def failed(self, intent: int, error: ClampdownError) -> None:
        self._outcome(intent, "failed")

    def unknown(self, intent: int, error: ClampdownError) -> None:
        self._outcome(intent, "unknown")

    def progress(self, what: str, progress: Progress) -> None:
        self.waited.append(what)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def to_undo(self) -> list[Change]:
        """What may have happened: everything intended that is not known to have failed."""
        return [
            change
            for number, change in enumerate(self.intents, start=1)
            if self.outcomes.get(number) != "failed"
        ]


class Crash(BaseException):
    """The process dies here: no handler for errors may catch it."""


@dataclass
class Incident:
    """One incident on the simulated AWS at ``url``: plan, run, verify and undo single steps."""

    url: str
    id: str = "inc-20260101-abcdef"
    remote_addresses: tuple[str, ...] = ("198.51.100.7",)
    account: str = ACCOUNT
    region: str = REGION
    finding: str = "finding-1"
    protected: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.connections = Connections(
            {self.account: AccountAccess()}, session_name=self.id, simulate=self.url
        )
        self.context = IncidentContext(self.id, self.finding, self.remote_addresses)
        self.where = Where(self.account, self.region)
        self.stop = threading.Event()

    def close(self) -> None:
        self.connections.close()

    def target(self, step: type[AnyStep], instance_id: str) -> Ec2Instance:
        """The facts that the step declares, freshly read."""
        return self.targets(step, [instance_id])[0]

    def targets(self, step: type[AnyStep], instance_ids: Sequence[str]) -> list[Ec2Instance]:
        refs = [TargetRef("ec2.instance", self.account, self.region, i) for i in instance_ids]
        reader = PlanningAws(self.connections, self.where, self.context, "reading", Once())
        return read_instances(reader, refs, step.facts, self.id)

    def plan(
        self,
        step: type[AnyStep],
        instance_id: str,
        params: Mapping[str, Any] | None = None,
        *,
        once: Once | None = None,
    ) -> PlannedStep:
        target = self.target(step, instance_id)
        planning = PlanningAws(
            self.connections, self.where, self.context, step.name, once or Once()
        )
        step().contain(planning, target, step.Params.model_validate(params or {}))
        return PlannedStep(
            step.name,
            step.name,
            target.ref.arn,
            "",
            tuple(planning.changes),
            tuple(planning.contingent),
            tuple(planning.warnings),
        )

    def live(
        self, ledger: MemoryLedger, permit: Permit | None = None, once: Once | None = None
    ) -> LiveAws:
        return LiveAws(
            self.connections,
            self.where,
            self.context,
            ledger=ledger,
            guard=Guardrails(self.protected, 10_000, lambda account: 0),
            permit=permit,
            once=once or Once(),
            stop=self.stop,
        )

    def run(
        self,
        step: type[AnyStep],
        instance_id: str,
        params: Mapping[str, Any] | None = None,
        *,
        ledger: MemoryLedger | None = None,
        verify: bool = True,
    ) -> MemoryLedger:
        """Plan, then carry out only what was planned, then verify on fresh facts."""
        ledger = ledger or MemoryLedger()
        permit = Permit(self.plan(step, instance_id, params))
        target = self.target(step, instance_id)
        values = step.Params.model_validate(params or {})
        step().contain(self.live(ledger, permit), target, values)
        if verify:
            self.verify(step, instance_id, params)
        return ledger

    def verify(
        self, step: type[AnyStep], instance_id: str, params: Mapping[str, Any] | None = None
    ) -> None:
        values = step.Params.model_validate(params or {})
        reader = PlanningAws(self.connections, self.where, self.context, "verify", Once())
        step().verify(reader, self.target(step, instance_id), values)

    def undo(self, ledger: MemoryLedger, *, into: MemoryLedger | None = None) -> MemoryLedger:
        undone = into or MemoryLedger()
        take_back(self.live(undone), ledger.to_undo())
        return undone


Make = Callable[..., Incident]
