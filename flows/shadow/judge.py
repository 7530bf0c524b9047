"""The judge: every guard, gate and budget evaluated, the plan made, and only that written down.

What stands in a ``shadow.judged`` record: ``verdict``, ``why`` (sentences), the ``finding``,
``playbook``, ``version``, ``route`` and ``targets``; ``mode`` (who would have started it) and
``joins`` (what it would have joined, if anything); ``begins`` (when); the ``plan`` with its
``digest``, and of each of its ``steps`` how many changes, behind which gate, and whether it would
have been reached; the ``gates`` with who would have been asked; the ``refusals`` of guards; how many
changes would have been spent by account; how long it would have taken (``estimate``); and
``security_groups``, those of each interface at that time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.automatic import Automatic
from flows.execution import Planner, protected_rules
from flows.incident import ref_to_json
from flows.intake.finding import Finding
from flows.intake.route import Routed
from flows.journal.journal import Journal
from flows.journal.record import Actor
from flows.ownership import decided_by_owner
from flows.shadow.asking import asked
from flows.shadow.case import Case
from flows.shadow.estimate import Durations, Estimate, estimate
from flows.shadow.records import BEGUN, JUDGED, Judgement, judgements, shadow_chain
from runbooks.aws import IncidentContext, Where
from runbooks.calls import Plan, PlannedStep, pending
from runbooks.errors import (
    AwsUnreachable,
    BudgetExceeded,
    ClampdownError,
    Refused,
    Throttled,
    WrongAccount,
)
from runbooks.guardrails import Guardrails
from runbooks.playbook import Parallel, Playbook, Playbooks, RunStep, Team
from runbooks.reading_connections import ReadingConnections
from runbooks.registry import STEPS
from runbooks.targets.reference import TargetRef

_WINDOW = timedelta(hours=1)
_JOINS_WITHIN = timedelta(hours=24)
_JUDGING = timedelta(seconds=30)
_NOTHING = Estimate(0.0, 0.0, 0.0, "nothing would have been called")


class Judge:
    """Judges findings on one side of live and simulated; ``connections`` can change nothing."""

    def __init__(
        self, journal: Journal, playbooks: Playbooks, simulate: str, connections: ReadingConnections
    ) -> None:
        self._journal = journal
        self._playbooks = playbooks
        self._simulate = simulate
        self._connections = connections

    def judge(
        self,
        finding: Finding,
        decision: Routed,
        refs: Sequence[TargetRef],
        actor: Actor,
        *,
        team: Team | None = None,
        joins: str = "",
        refused: Refused | None = None,
        begins: datetime | None = None,
    ) -> Judgement:
        """Judge a finding and write down what would have been done about it.

        ``joins`` is an incident that the targets have already, ``refused`` why people's earlier
        decisions forbid a new one; ``begins`` is when it was confirmed.

        Raises Throttled, AwsUnreachable and JournalUnavailable: it is to be tried again.
        """
        case = Case(decision.mode, list(decision.why), begins or datetime.now(UTC), joins)
        playbook = decided_by_owner(self._playbooks.playbooks[decision.playbook], team)
        if refused is not None:
            case.refuse(refused, stops=True)
        elif not (case.joins or self._joined(case, decision.playbook, refs)):
            self._look(case, decision.playbook, playbook, finding, refs)
        # One at a time, on whichever machine, so that no two count the same budget.
        with self._journal.hold("shadow", wait=_JUDGING):
            self._breaker(case)
            self._guard(case, playbook)
            body = self._body(case, finding, decision, playbook, refs)
            record = self._journal.append(shadow_chain(finding), JUDGED, body, actor)
        return Judgement(record)

    def _joined(self, case: Case, playbook: str, refs: Sequence[TargetRef]) -> bool:
        """Whether a judgement of the last day would have led to an incident of these targets."""
        wanted = {ref.id for ref in refs}
        since = case.begins - _JOINS_WITHIN
        for known in judgements(self._journal, self._simulate, since):
            opens = known.verdict in {*BEGUN, "propose"}
            if opens and known.body["playbook"] == playbook and wanted <= set(known.targets):
                case.joins = known.chain
                return True
        return False

    def _look(
        self,
        case: Case,
        name: str,
        playbook: Playbook,
        finding: Finding,
        refs: Sequence[TargetRef],
    ) -> None:
        """Read, and plan, as far as nothing forbids it."""
        began = time.monotonic()
        try:
            self._admit(refs)
            context = IncidentContext(
                pending("incident"), finding.id, tuple(finding.remote_addresses)
            )
            planner = Planner(
                name, playbook, self._playbooks, self._connections, context, finding.lookup()
            )
            facts = planner.read(refs)
            case.facts = [facts[ref] for ref in refs]
            guard = self._guardrails(case)
            for target in case.facts:
                guard.check_resource(target.resource, "Nothing was done to it.")
            case.gates = list(asked(planner, playbook, case.facts, self._playbooks.approvers))
            case.plan = planner.plan(case.facts, {})
        except (Throttled, AwsUnreachable):
            raise
        except ClampdownError as error:
            case.refuse(error, stops=True)
        case.reads_seconds = time.monotonic() - began

    def _admit(self, refs: Sequence[TargetRef]) -> None:
        """What is looked at before anything is read. Raises WrongAccount, BudgetExceeded."""
        limit = self._playbooks.guardrails.budgets.targets_per_incident
        if len(refs) > limit:
            raise BudgetExceeded(
                f"The finding names {len(refs)} targets; an incident may have {limit}."
            )
        for ref in refs:
            if ref.account not in self._playbooks.accounts:
                raise WrongAccount(
                    f"{ref.id} is in account {ref.account}, which is not under `accounts`."
                )
            self._connections.require_account(ref.account, ref.region, "Nothing was done.")

    def _breaker(self, case: Case) -> None:
        """Whether it may start by itself: by what is frozen, and by what shadow has counted itself.

        Nobody lifts what shadow alone would have frozen: it is taken to be lifted after an hour.
        """
        if case.mode != "automatic" or case.joins or case.stopped:
            return
        frozen = Automatic(self._journal, self._simulate).frozen()
        limit = self._playbooks.guardrails.budgets.automatic_isolations_per_hour
        if frozen is not None:
            case.mode = "propose"
            case.why.append(
                f"Everything automatic is frozen since {frozen.since:%Y-%m-%d %H:%M} UTC "
                f"({frozen.why}): a person would have had to start it."
            )
        elif (started := len(self._lately())) >= limit:
            case.mode = "propose"
            case.why.append(
                f"{started} would have started automatically within the last hour and the limit is "
                f"{limit}: everything automatic would have been frozen, and this proposed."
            )

    def _lately(self) -> list[Judgement]:
        """What would have started by itself within the last hour."""
        since = datetime.now(UTC) - _WINDOW
        return [
            known
            for known in judgements(self._journal, self._simulate, since)
            if known.verdict in BEGUN
        ]

    def _guardrails(self, case: Case) -> Guardrails:
        before: Counter[str] = Counter()
        for known in self._lately():
            before.update(known.body["spent"])
        return Guardrails(
            protected_rules(self._playbooks),
            self._playbooks.guardrails.budgets.changes_per_account_per_hour,
            lambda account: before[account] + case.spent[account],
        )

    def _guard(self, case: Case, playbook: Playbook) -> None:
        """Hold every planned change against the guardrails, as far as the playbook would get."""
        if case.plan is None:
            return
        guard = self._guardrails(case)
        for entry in playbook.steps:
            side_by_side = entry.parallel if isinstance(entry, Parallel) else (entry,)
            for step in side_by_side:
                if isinstance(step, RunStep):
                    _guard_step(guard, step, case, case.plan)
            if case.stopped:
                return

    def _body(
        self,
        case: Case,
        finding: Finding,
        decision: Routed,
        playbook: Playbook,
        refs: Sequence[TargetRef],
    ) -> dict[str, Any]:
        made = _NOTHING
        if case.plan is not None:
            mode = "simulated" if self._simulate else "live"
            made = estimate(case.plan, playbook, case.needed, Durations(self._journal, mode))
            reads = round(case.reads_seconds, 3)
            made = replace(made, contained=round(made.contained + reads, 3))
        return {
            "simulate": self._simulate,
            "verdict": case.verdict,
            "why": case.why,
            "finding": finding.lookup(),
            "playbook": decision.playbook,
            "version": playbook.version,
            "route": decision.route,
            "targets": [ref_to_json(ref) for ref in refs],
            "mode": case.mode,
            "joins": case.joins,
            "begins": case.begins.isoformat(),
            "plan": case.plan.to_json() if case.plan else None,
            "digest": case.plan.digest if case.plan else "",
            "steps": list(case.steps()),
            "gates": case.gates,
            "refusals": case.refusals,
            "spent": dict(case.spent) if case.plan else {},
            "estimate": {
                "reads_seconds": round(case.reads_seconds, 3),
                "calls_seconds": made.calls,
                "until_gate_seconds": made.until_gate,
                "contained_seconds": made.contained,
                "how": made.how,
            },
            "security_groups": {
                eni.id: list(eni.groups)
                for target in case.facts
                for eni in target.network_interfaces
            },
        }


def _guard_step(guard: Guardrails, entry: RunStep, case: Case, plan: Plan) -> None:
    stops = entry.on_failure_or_default(STEPS[entry.step]) == "stop"
    for step in plan.steps:
        if step.id == entry.id:
            case.reached.add((step.id, step.target))
            if (refused := _first_refusal(guard, step, case)) is not None:
                case.refuse(refused, stops=stops, step=step.id)


def _first_refusal(guard: Guardrails, step: PlannedStep, case: Case) -> ClampdownError | None:
    """The guardrails' first no to what a step would change; until then, what it would have spent."""
    account, region = step.target.split(":")[4], step.target.split(":")[3]
    for change in step.changes:
        try:
            guard.check(change, Where(account, region))
        except Refused as error:
            return error
        case.spent[account] += 1
    return None
