"""An incident as its thread tells it: what several messages need of the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from flows import approvals
from flows.approvals import GateState
from flows.incident import Incident, fold
from flows.journal.record import Record
from flows.ownership import owners_by
from flows.slack.away import NOBODY_AWAY, Away
from flows.slack.text import code, safe
from runbooks.calls import Plan
from runbooks.playbook import Playbooks
from runbooks.targets.reference import TargetRef

_OVER = ("aborted", "undone")


@dataclass(frozen=True)
class Told:
    """An incident at a moment. ``away`` says who is away, and until when."""

    records: Sequence[Record]
    playbooks: Playbooks
    now: datetime
    away: Away = field(default_factory=lambda: NOBODY_AWAY)

    @cached_property
    def incident(self) -> Incident:
        return fold(self.records)

    @property
    def id(self) -> str:
        return self.incident.id

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to decide, or to go on with."""
        return self.incident.status in _OVER

    @property
    def mark(self) -> str:
        """Which side it is on; nobody must take a rehearsal for the real thing, or the other way."""
        side = "[SIMULATED]" if self.incident.simulate else "LIVE"
        return f"DRILL, {side}" if self.incident.drill else side

    @property
    def title(self) -> str:
        return str(self.incident.opened["definition"]["title"])

    @property
    def finding(self) -> Mapping[str, Any]:
        return self.incident.opened["finding"] or {}

    def gate(self, gate_id: str, until: int | None = None) -> GateState | None:
        """How a gate stands, or stood before the record at the index ``until`` was written."""
        return approvals.state(
            self.records[:until], gate_id, self.playbooks.approvers, now=self.now
        )

    @cached_property
    def gates(self) -> tuple[GateState, ...]:
        states = (self.gate(gate) for gate in self.incident.gates)
        return tuple(state for state in states if state is not None)

    @cached_property
    def pending(self) -> tuple[GateState, ...]:
        """The gates at which people are waited for."""
        return tuple(g for g in self.gates if g.status == "pending" and not self.is_over)

    @cached_property
    def tags(self) -> Mapping[str, Mapping[str, str]]:
        """The targets' tags by ARN: as AWS had them last, else as the finding says."""
        for record in reversed(self.records):
            if record.kind == "plan.made" and record.body.get("tags"):
                found: Mapping[str, Mapping[str, str]] = record.body["tags"]
                return found
        said = {item["id"]: item.get("tags") or {} for item in self.finding.get("resources", ())}
        return {ref.arn: said.get(ref.id, {}) for ref in self.incident.targets}

    def place(self, ref: TargetRef) -> str:
        """The account in which a target is, by name and number, and its Region."""
        account = self.playbooks.accounts.get(ref.account)
        name = f"{safe(account.name, 60)} " if account else ""
        kind = f" ({safe(account.environment, 40)})" if account else ""
        return f"{name}{code(ref.account, 20)}{kind} {safe(ref.region, 30)}"

    def owners(self) -> list[str]:
        """The teams that the targets belong to, by the first tag that says so."""
        return owners_by(self.tags.values(), self.playbooks.owner_tags)

    def named(self, ref: TargetRef) -> str:
        """A target by its id, and by its name where it has one."""
        name = self.tags.get(ref.arn, {}).get("Name", "")
        return code(ref.id, 60) + (f" ({safe(name, 60)})" if name else "")

    def short_targets(self) -> str:
        """The targets in a few words, for titles and notifications: not escaped."""
        targets = self.incident.targets
        return targets[0].id if len(targets) == 1 else f"{len(targets)} instances"

    def plan_behind(self, gate: GateState) -> Plan:
        """What the gate's approvers decide on."""
        return Plan.from_json(gate.request["plan"])


def short(arn: str) -> str:
    """The last part of an ARN: the resource's own id."""
    return arn.rsplit("/", 1)[-1]
