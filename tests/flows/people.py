"""People, and an incident with one gate for them to decide: for tests that need no AWS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flows import approvals
from flows.execution import open_incident
from flows.identity import Identity
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record
from runbooks.calls import Call, Change, Plan, PlannedStep, Resource
from runbooks.playbook import ApproverGroup, Gate, Playbooks
from runbooks.targets.reference import TargetRef

ACCOUNT, REGION, INSTANCE = "123456789012", "eu-west-1", "i-0123456789abcdef0"
TARGET = TargetRef("ec2.instance", ACCOUNT, REGION, INSTANCE)
TEAM = "T012AB3CD"

REQUESTER = Identity("local", "rita")
ALICE = Identity("local", "alice")
BOB = Identity("local", "bob")
CAROL = Identity("local", "carol")
MALLORY = Identity("local", "mallory")
SLACK_ALICE = Identity("slack", "U061F7AUR", TEAM)
SERVICE = Actor("service", "guardduty", "sqs")

APPROVERS: Mapping[str, Any] = {
    "oncall": {
        "local_users": ["alice", "bob", "rita"],
        "slack_team": TEAM,
        "slack_users": ["U061F7AUR"],
    },
    "leads": {"local_users": ["carol"]},
    "nobody": {},
}


def plan(*group_ids: str, step: str = "ec2.isolate", gate: str = "contain") -> Plan:
    """A plan of one step behind the gate, with a call for each security group named."""
    changes = [
        Change(
            Call("ec2", "modify_network_interface_attribute", NetworkInterfaceId=f"eni-{group}"),
            on=Resource(f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/eni-{group}"),
            undo=Call("ec2", "modify_network_interface_attribute", Groups=[group]),
            why=f"isolate {group}",
        )
        for group in group_ids or ("sg-1",)
    ]
    planned = PlannedStep(step, step, TARGET.arn, gate, tuple(changes))
    return Plan("contain-it", "v1", (TARGET.arn,), (planned,))


@dataclass
class Case:
    """An incident whose gate ``contain`` has the given settings."""

    journal: Journal
    settings: dict[str, Any] = field(default_factory=lambda: {"by": "oncall"})
    approvers: Mapping[str, Any] = field(default_factory=lambda: dict(APPROVERS))
    requester: Actor = REQUESTER.actor
    authors: Sequence[str] = ()
    proposed: bool = False
    id: str = "inc-20260101-abcdef"

    def __post_init__(self) -> None:
        self.gate = Gate.model_validate({"id": "contain", **self.settings})
        self.groups = {
            name: ApproverGroup.model_validate(group) for name, group in self.approvers.items()
        }
        open_incident(
            self.journal,
            self.id,
            playbook_id="contain-it",
            playbooks=self.playbooks(),
            refs=[TARGET],
            finding=None,
            requester=self.requester,
            simulate="http://127.0.0.1:9",
            reason="a test",
            authors=self.authors,
            proposed=self.proposed,
        )

    def playbooks(self) -> Playbooks:
        steps = [{"approve": {"id": "contain", **self.settings}}, {"step": "ec2.isolate"}]
        return Playbooks.model_validate(
            {
                "version": 1,
                "accounts": {ACCOUNT: {"name": "a", "environment": "test"}},
                "approvers": dict(self.approvers),
                "playbooks": {
                    "contain-it": {"title": "t", "target": "ec2.instance", "steps": steps}
                },
            }
        )

    def ask(self, about: Plan | None = None, *, round_: int = 1, **more: Any) -> Record:
        return approvals.request(
            self.journal, self.id, self.gate, about or plan(), round_=round_, **more
        )

    def decide(
        self, who: Identity, answer: approvals.Answer = "approve", **more: Any
    ) -> approvals.GateState:
        return approvals.decide(self.journal, self.id, "contain", who, answer, self.groups, **more)

    def state(self, now: datetime | None = None) -> approvals.GateState:
        found = approvals.state(
            self.journal.records(self.id), "contain", self.groups, now=now or datetime.now(UTC)
        )
        assert found is not None
        return found

    def kinds(self) -> list[str]:
        return [record.kind for record in self.journal.records(self.id)]

    def last(self, kind: str) -> Record:
        return [r for r in self.journal.records(self.id) if r.kind == kind][-1]
