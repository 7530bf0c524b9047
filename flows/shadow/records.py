"""What shadow writes into the journal: a chain for each finding, apart from those of incidents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from flows.finding_log import PREFIX as FINDING
from flows.finding_log import chain_of
from flows.intake.finding import Finding
from flows.journal.journal import Journal
from flows.journal.record import Record

PREFIX = "shd-"
"""How the chains of shadow begin; what follows is that of the finding's own chain (``fnd-``)."""
JUDGED = "shadow.judged"
"""What would have been done about a finding; :mod:`flows.shadow.judge` says what is in it."""
MARKED = "shadow.marked"
"""``{truth, contained_at, why}``: what somebody says that it really was."""

Verdict = Literal["contain", "ask", "propose", "join", "refuse", "fail"]
"""It would have been contained without anybody; would have been begun, and people asked at a gate;
would have been proposed; would have joined what was there already; would have been refused by a
guard; or would have failed."""
BEGUN: frozenset[Verdict] = frozenset({"contain", "ask"})
"""The verdicts after which it would have started by itself."""


@dataclass(frozen=True)
class Judgement:
    """One ``shadow.judged`` record. ``why`` ends with the reason that decided."""

    record: Record

    @property
    def chain(self) -> str:
        return self.record.incident

    @property
    def verdict(self) -> Verdict:
        verdict: Verdict = self.record.body["verdict"]
        return verdict

    @property
    def body(self) -> dict[str, Any]:
        return dict(self.record.body)

    @property
    def begins(self) -> datetime:
        """When it would have begun."""
        return datetime.fromisoformat(self.record.body["begins"])

    @property
    def contained_after(self) -> timedelta:
        """How long it would have taken from then on, people's decisions apart."""
        return timedelta(seconds=self.record.body["estimate"]["contained_seconds"])

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(target["id"] for target in self.record.body["targets"])

    @property
    def sentence(self) -> str:
        """What would have been done, in one sentence."""
        body = self.record.body
        what = f"{body['playbook']} on {', '.join(self.targets)}"
        changes = sum(step["changes"] for step in body["steps"])
        after = f"{self.contained_after.total_seconds():.1f} s"
        match self.verdict:
            case "contain":
                return f"Would have carried out {what}: {changes} changes in about {after}."
            case "ask":
                gates = ", ".join(gate["gate"] for gate in body["gates"] if gate["needed"])
                return (
                    f"Would have begun {what} and asked for a decision ({gates}): {changes} changes "
                    f"in about {after}, and the time that people take."
                )
            case "propose":
                return f"Would have proposed {what}: {body['why'][-1]}"
            case "join":
                return f"Would have joined {body['joins']}: {what}."
            case "refuse":
                return f"Would have refused {what}: {body['refusals'][0]['what']}"
            case "fail":
                return f"Would have failed at {what}: {body['refusals'][0]['what']}"


def shadow_chain(finding: Finding) -> str:
    """The shadow's chain of a finding."""
    return PREFIX + chain_of(finding).partition("-")[2]


def is_shadow(chain: str) -> bool:
    """Whether a chain of the journal is shadow's."""
    return chain.startswith(PREFIX)


def finding_chain(chain: str) -> str:
    """The chain of the decisions about the finding that a shadow's chain is about."""
    return FINDING + chain.removeprefix(PREFIX)


def judgements(journal: Journal, simulate: str, since: datetime | None = None) -> list[Judgement]:
    """Everything that was judged on one side of live and simulated, the oldest first."""
    return list(_judgements(journal, simulate, since))


def _judgements(journal: Journal, simulate: str, since: datetime | None) -> Iterator[Judgement]:
    for record in journal.find(kind=JUDGED, since=since):
        if record.body["simulate"] == simulate:
            yield Judgement(record)
