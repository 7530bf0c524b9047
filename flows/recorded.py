"""An incident that has ended, as the journal has it: to be shown in Prefect, not to be done again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from flows import approvals
from flows.execution import Execution, StepFailed, Surroundings
from runbooks.calls import Plan
from runbooks.errors import ClampdownError, Denied, Interrupted
from runbooks.playbook import Approve, RunStep

_ENDED_BADLY = {"failed", "denied", "interrupted", "aborted"}


class Recorded(Execution):
    """Goes through the playbook as an execution does, and meets each step as it has ended."""

    def __init__(self, incident_id: str, surroundings: Surroundings) -> None:
        super().__init__(incident_id, surroundings)
        self.over = True
        self.calm.set()
        self._records = self.journal.records(incident_id)
        for record in self._records:
            if record.kind == "plan.made":
                self.plan = Plan.from_json(record.body["plan"])

    async def step(self, entry: RunStep) -> None:
        """Raises StepFailed where it has failed, Interrupted where it was not done."""
        ends = {
            record.body["target"]: record.body
            for record in self._records
            if record.kind == "step.finished" and record.body["step"] == entry.id
        }
        if not ends:
            raise Interrupted(f"{entry.id} was not done.")
        for body in ends.values():
            if body["error"] and body["status"] in {"failed", "interrupted"}:
                raise StepFailed(f"{entry.id} failed: {body['error']}")

    async def gate(self, entry: Approve) -> None:
        """Raises Denied where nobody has approved it."""
        approvers = self.around.playbooks.approvers
        gate = approvals.state(self._records, entry.approve.id, approvers)
        if gate is None or gate.status not in {"approved", "skipped"}:
            raise Denied(f"The gate {entry.approve.id} was not passed.")

    async def verify_all(self) -> None:
        """Raises ClampdownError where it has ended badly."""
        incident = self.incident()
        if incident.status in _ENDED_BADLY:
            raise ClampdownError(f"It has ended as {incident.status}: {incident.error}")

    async def _shared(self, key: object, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Nothing else is done: nobody is asked, and nothing is looked at."""
