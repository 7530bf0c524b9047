"""What a face can ask for: plan, run, respond, resume, undo, decide. The CLI and Slack stand on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flows import approvals
from flows.carry_out import Result, carry_out
from flows.execution import MANUAL, Planner, Surroundings, open_incident
from flows.identity import Identity
from flows.incident import Incident, fold, new_incident_id
from flows.intake.finding import Finding
from flows.intake.route import Routed, Unrouted, choose
from flows.journal.journal import Journal
from flows.journal.record import Actor
from flows.ledger import Listener, ProgressListener
from flows.settings import Settings
from flows.step_up import TotpStepUp
from flows.undo import Undone, undo_incident
from runbooks.aws import IncidentContext
from runbooks.calls import Plan, pending
from runbooks.connections import AccountAccess, Connections
from runbooks.errors import (
    BudgetExceeded,
    InvalidInput,
    Refused,
    SampleFinding,
    WrongAccount,
)
from runbooks.errors import Unrouted as UnroutedFinding
from runbooks.playbook import Playbooks
from runbooks.targets.instance import Ec2Instance
from runbooks.targets.reference import TargetRef, account_in, instance_reference

_OPEN = {"running", "waiting", "contained", "incomplete", "failed", "interrupted"}


@dataclass(frozen=True)
class Started:
    """What asking for a containment led to.

    ``joined`` is whether an incident that was there already was gone on with; ``result`` is None
    for one that is only proposed.
    """

    incident: Incident
    joined: bool
    result: Result | None
    why: tuple[str, ...] = ()


class Responder:
    """Everything that can be asked for, with the settings, playbooks and journal of this process.

    ``listener`` is told of every record as it is written, ``progress`` of what AWS takes its time
    for. ``stop`` is set to begin nothing new.
    """

    def __init__(
        self,
        settings: Settings,
        playbooks: Playbooks,
        *,
        listener: Listener | None = None,
        progress: ProgressListener | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.settings = settings
        self.playbooks = playbooks
        self.listener = listener
        self.progress = progress
        self.stop = stop or threading.Event()
        self._journal: Journal | None = None

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal.open(self.settings.journal_url)
        return self._journal

    def connections(self, incident_id: str, simulate: str | None = None) -> Connections:
        accounts = {
            key: AccountAccess(account.role, account.external_id)
            for key, account in self.playbooks.accounts.items()
        }
        return Connections(
            accounts,
            session_name=incident_id,
            simulate=self.settings.simulate if simulate is None else simulate,
        )

    # Asking

    def plan(self, playbook: str, targets: Sequence[str]) -> tuple[Plan, list[Ec2Instance]]:
        """The exact calls that a run would make now. Only reads are sent."""
        connections = self.connections("clampdown-plan")
        try:
            refs = self.references(targets, connections)
            context = IncidentContext(pending("incident"), pending("finding"))
            planner = self._planner(playbook, connections, context, MANUAL)
            facts = planner.read(refs)
            found = [facts[ref] for ref in refs]
            return planner.plan(found, {}), found
        finally:
            connections.close()

    def run(
        self,
        playbook: str,
        targets: Sequence[str],
        identity: Identity,
        *,
        finding: Finding | None = None,
        reason: str = "",
        prefect: bool = True,
        wait: bool = True,
    ) -> Started:
        """Open an incident and carry it out; or go on with the one that these targets have."""
        self._playbook(playbook)
        if finding is not None:
            self._refuse_sample(finding)
        connections = self.connections("clampdown")
        try:
            refs = self.references(targets, connections)
        finally:
            connections.close()
        return self._start(
            playbook, refs, identity.actor, finding, reason=reason, prefect=prefect, wait=wait
        )

    def respond(
        self,
        finding: Finding,
        identity: Identity,
        *,
        prefect: bool = True,
        wait: bool = True,
    ) -> Started:
        """Route a finding, then run its playbook or propose it.

        Raises Unrouted, SampleFinding and what :meth:`run` raises.
        """
        self._refuse_sample(finding)
        account = self.playbooks.accounts.get(finding.account)
        decision = choose(
            self.playbooks.routes,
            finding,
            account,
            {},
            target_kinds={
                name: playbook.target for name, playbook in self.playbooks.playbooks.items()
            },
            live=not self.settings.simulate,
        )
        if isinstance(decision, Unrouted):
            reasons = "\n  ".join(decision.why)
            raise UnroutedFinding(
                f"Nothing is done about {finding.type} (severity {finding.severity:g}):\n  {reasons}\n",
                advice="`clampdown run PLAYBOOK --target ID` starts a playbook by hand.",
            )
        refs = [
            TargetRef(item.kind, item.account, item.region, item.id) for item in decision.targets
        ]
        return self._start(
            decision.playbook,
            refs,
            identity.actor,
            finding,
            reason=f"{finding.type} {finding.id}",
            prefect=prefect,
            wait=wait,
            routed=decision,
        )

    def resume(self, incident_id: str, *, prefect: bool = True, wait: bool = True) -> Started:
        """Go on with an incident: after a crash, a decision, a mended failure."""
        incident = self.incident(incident_id)
        if incident.status in {"undone", "aborted"}:
            raise Refused(
                f"{incident_id} is {incident.status}; it can't be resumed.",
                advice="`clampdown run` opens a new incident.",
            )
        if any(gate.status == "denied" for gate in self.gates(incident)):
            raise Refused(
                f"{incident_id} was denied: {incident.error}",
                advice="A new incident asks for a new decision: `clampdown run`.",
            )
        return self._carry_out(incident, reason="resumed", joined=True, prefect=prefect, wait=wait)

    def undo(self, incident_id: str, identity: Identity, *, step: str | None = None) -> Undone:
        """Take back what an incident changed, or what one of its steps did."""
        incident = self.incident(incident_id)
        with self._held(incident) as around:
            return undo_incident(incident_id, around, identity.actor, step=step)

    def abort(self, incident_id: str, identity: Identity, why: str) -> Incident:
        """Have an incident stop now; what was done stays done."""
        incident = self.incident(incident_id)
        if incident.status in {"undone", "aborted"}:
            raise Refused(f"{incident_id} is {incident.status} already.")
        if not why.strip():
            raise InvalidInput("An abort needs a reason (--why).")
        self.journal.append(incident_id, "incident.aborted", {"why": why}, identity.actor)
        return self.incident(incident_id)

    def decide(
        self,
        incident_id: str,
        gate: str,
        identity: Identity,
        answer: approvals.Answer,
        *,
        why: str = "",
        nonce: str | None = None,
        seen: str = "",
        break_glass: bool = False,
        code: str = "",
    ) -> approvals.GateState:
        """Decide a gate, or report a manual task done (approve) or not possible (deny)."""
        self.incident(incident_id)
        return approvals.decide(
            self.journal,
            incident_id,
            gate,
            identity,
            answer,
            self.playbooks.approvers,
            why=why,
            nonce=nonce,
            seen=seen,
            break_glass=break_glass,
            code=code,
            step_up=TotpStepUp(self.settings.home / "totp"),
        )

    def report_task(
        self, incident_id: str, task: str, identity: Identity, *, done: bool, note: str
    ) -> Incident:
        """A manual task is done, or can't be."""
        incident = self.incident(incident_id)
        asked = next((item for item in incident.manual if item.id == task), None)
        if asked is None:
            raise InvalidInput(f"{incident_id} has no manual task {task!r}.")
        if asked.by not in approvals.groups_of(identity, self.playbooks.approvers):
            raise Refused(f"{identity.principal} is not in {asked.by}, who are asked to do {task}.")
        self.journal.append(
            incident_id, "manual.decided", {"id": task, "done": done, "note": note}, identity.actor
        )
        return self.incident(incident_id)

    def reap(self) -> list[dict[str, str]]:
        """Delete the clean rooms whose time is over, wherever playbooks.yaml lists accounts."""
        from flows.reaping import reap_expired

        connections = self.connections("clampdown-reap")
        try:
            return reap_expired(self.journal, self.playbooks, connections, self.settings)
        finally:
            connections.close()

    # Looking

    def incident(self, incident_id: str) -> Incident:
        """Raises InvalidInput where there is no such incident."""
        return fold(self.journal.records(incident_id))

    def incidents(self) -> list[Incident]:
        """All incidents, the newest first."""
        heads = self.journal.incidents()
        found = [fold(self.journal.records(head.incident)) for head in heads]
        return sorted(found, key=lambda incident: incident.opened_at, reverse=True)

    def gates(self, incident: Incident) -> list[approvals.GateState]:
        records = self.journal.records(incident.id)
        states = (
            approvals.state(records, gate, self.playbooks.approvers) for gate in incident.gates
        )
        return [state for state in states if state is not None]

    def references(self, targets: Sequence[str], connections: Connections) -> list[TargetRef]:
        """The targets as somebody typed them. Raises InvalidInput, WrongAccount, BudgetExceeded."""
        if not targets:
            raise InvalidInput("There is no target.", advice="Give --target i-…")
        texts = list(dict.fromkeys(text.strip() for text in targets))
        limit = self.playbooks.guardrails.budgets.targets_per_incident
        if len(texts) > limit:
            raise BudgetExceeded(
                f"{len(texts)} targets were given; an incident may have {limit}. Nothing was done.",
                advice="guardrails.budgets.targets_per_incident in playbooks.yaml sets the limit.",
            )
        region = self.settings.region
        account = ""
        if any(account_in(text) is None for text in texts):
            for text in texts:
                instance_reference(text, account="0" * 12, region=region)
            account = connections.caller_account(region)
        return [instance_reference(text, account=account, region=region) for text in texts]

    # Inside

    def _start(
        self,
        playbook: str,
        refs: Sequence[TargetRef],
        requester: Actor,
        finding: Finding | None,
        *,
        reason: str,
        prefect: bool,
        wait: bool,
        routed: Routed | None = None,
    ) -> Started:
        for ref in refs:
            if ref.account not in self.playbooks.accounts:
                raise WrongAccount(
                    f"{ref.id} is in account {ref.account}, which is not under `accounts` in "
                    "playbooks.yaml.",
                    advice="Nothing was done.",
                )
        limit = self.playbooks.guardrails.budgets.targets_per_incident
        if len(refs) > limit:
            raise BudgetExceeded(
                f"The finding names {len(refs)} targets; an incident may have {limit}."
            )
        why = tuple(routed.why) if routed else ()
        known = self._open_incident_of(playbook, refs)
        if known is not None:
            return self._carry_out(
                known, reason="asked for again", joined=True, prefect=prefect, wait=wait, why=why
            )
        automatic = routed is not None and routed.mode == "automatic"
        if automatic:
            self._check_automatic_budget()
        incident_id = new_incident_id()
        open_incident(
            self.journal,
            incident_id,
            playbook_id=playbook,
            playbooks=self.playbooks,
            refs=refs,
            finding=finding.lookup() if finding else None,
            requester=requester,
            simulate=self.settings.simulate,
            reason=reason,
            proposed=routed is not None and not automatic,
            automatic=automatic,
        )
        if self.listener:
            self.listener(self.journal.records(incident_id)[0])
        incident = self.incident(incident_id)
        if incident.status == "proposed":
            return Started(incident, False, None, why)
        return self._carry_out(
            incident, reason="opened", joined=False, prefect=prefect, wait=wait, why=why
        )

    def _carry_out(
        self,
        incident: Incident,
        *,
        reason: str,
        joined: bool,
        prefect: bool,
        wait: bool,
        why: tuple[str, ...] = (),
    ) -> Started:
        with self._held(incident, wait=wait) as around:
            result = carry_out(
                incident.id,
                around,
                prefect_home=self.settings.prefect_home if prefect else None,
                reason=reason,
            )
        return Started(result.incident, joined, result, why)

    @contextmanager
    def _held(self, incident: Incident, *, wait: bool = True) -> Iterator[Surroundings]:
        """The incident's lease and its surroundings: simulated stays simulated, live stays live."""
        if incident.simulate != self.settings.simulate:
            raise Refused(
                f"{incident.id} is {incident.mode}"
                + (f" ({incident.simulate})" if incident.simulate else "")
                + f"; this is {'simulated' if self.settings.simulate else 'live'}.",
                advice="An incident never changes sides: give the --simulate it was opened with.",
            )
        with self.journal.hold(incident.id):
            connections = self.connections(incident.id)
            try:
                yield Surroundings(
                    journal=self.journal,
                    playbooks=self.playbooks,
                    connections=connections,
                    stop=self.stop,
                    parallel_steps=self.settings.parallel_steps,
                    wait_for_people=wait,
                    listener=self.listener,
                    progress=self.progress,
                )
            finally:
                connections.close()

    def _planner(
        self,
        playbook: str,
        connections: Connections,
        context: IncidentContext,
        finding: Mapping[str, Any],
    ) -> Planner:
        return Planner(
            playbook, self._playbook(playbook), self.playbooks, connections, context, finding
        )

    def _playbook(self, name: str) -> Any:
        if name not in self.playbooks.playbooks:
            there = ", ".join(sorted(self.playbooks.playbooks)) or "none"
            raise InvalidInput(f"There is no playbook {name!r}.", advice=f"There are: {there}.")
        return self.playbooks.playbooks[name]

    def _open_incident_of(self, playbook: str, refs: Sequence[TargetRef]) -> Incident | None:
        """The incident that these targets have already, on this side, and that was not undone."""
        for record in self.journal.find(kind="incident.opened"):
            body = record.body
            if body["playbook"] != playbook or body["simulate"] != self.settings.simulate:
                continue
            incident = self.incident(record.incident)
            if set(incident.targets) == set(refs) and incident.status in _OPEN:
                return incident
        return None

    def _check_automatic_budget(self) -> None:
        limit = self.playbooks.guardrails.budgets.automatic_isolations_per_hour
        since = datetime.now(UTC) - timedelta(hours=1)
        started = sum(
            bool(record.body["automatic"]) and record.body["simulate"] == self.settings.simulate
            for record in self.journal.find(kind="incident.opened", since=since)
        )
        if started >= limit:
            raise BudgetExceeded(
                f"{started} incidents were started automatically within the last hour; the limit "
                f"is {limit}. Nothing was done.",
                advice="A person can start it: `clampdown run PLAYBOOK --target ID`.",
            )

    def _refuse_sample(self, finding: Finding) -> None:
        if finding.sample and not self.settings.simulate:
            raise SampleFinding(
                f"{finding.id} is one of GuardDuty's sample findings; nothing was done.",
                advice="Samples act only with --simulate.",
            )
