"""What a face can ask for: plan, run, respond, resume, undo, decide. The CLI and Slack stand on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows import approvals
from flows.automatic import Automatic
from flows.carry_out import Result, carry_out, stoppable
from flows.execution import MANUAL, Planner, Surroundings, open_incident
from flows.identity import Identity, owner_of
from flows.incident import ENDS, TURNING_POINTS, Incident, fold, new_incident_id
from flows.incident_index import IncidentIndex
from flows.intake.finding import Finding
from flows.intake.route import Decision, Routed, Unrouted, choose, severity_holds
from flows.journal.errors import IncidentHeld, JournalTampered, JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Actor
from flows.journal.verify import verify
from flows.ledger import Listener, ProgressListener
from flows.ownership import team_of
from flows.settings import Settings
from flows.shadow.judge import Judge
from flows.shadow.records import Judgement
from flows.step_up import TotpStepUp
from flows.stopping import Stop
from flows.undo import Undone, undo_incident
from runbooks import clock
from runbooks.aws import IncidentContext, Once, PlanningAws, Where
from runbooks.calls import Plan, pending
from runbooks.connections import AccountAccess, Connections, SharedClients
from runbooks.errors import (
    BudgetExceeded,
    ClampdownError,
    Denied,
    InShadow,
    InvalidInput,
    Refused,
    SampleFinding,
    WrongAccount,
)
from runbooks.errors import Unrouted as UnroutedFinding
from runbooks.playbook import Playbooks, Team
from runbooks.reading_connections import ReadingConnections
from runbooks.targets.instance import Ec2Instance
from runbooks.targets.reading import read_instances
from runbooks.targets.reference import TargetRef, account_in, instance_reference

if TYPE_CHECKING:
    from flows.reaping import Reaped

_OPEN = {"proposed", "running", "waiting", "contained", "incomplete", "failed", "interrupted"}
# How long Prefect is given to show a run that is over.
SHOWN_WITHIN = timedelta(seconds=20)
_OPENING = timedelta(seconds=30)
_NOTHING_IN_SHADOW = "nothing is opened, changed or taken back."


@dataclass(frozen=True)
class Opened:
    """An incident that somebody asked for: a new one, or the one that its targets have already.

    ``go_on`` is whether it is to be carried out now; one that is only proposed is not.
    """

    incident: Incident
    joined: bool
    go_on: bool
    why: tuple[str, ...] = ()


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
    for. ``stop`` is set to begin nothing new. ``caller`` answers whose account the caller's own
    credentials are of, where that has been asked for already. ``journal`` is one that is open,
    ``index`` one of its incidents; ``clients`` are those that all incidents share. ``service`` is
    whether this process goes on with what it leaves, when it is back; ``on_calm`` is called once
    nothing of an incident is urgent any more.
    """

    def __init__(
        self,
        settings: Settings,
        playbooks: Playbooks,
        *,
        listener: Listener | None = None,
        progress: ProgressListener | None = None,
        stop: Stop | None = None,
        caller: Callable[[], str] | None = None,
        journal: Journal | None = None,
        index: IncidentIndex | None = None,
        clients: SharedClients | None = None,
        service: bool = False,
        on_calm: Callable[[], None] | None = None,
    ) -> None:
        self.settings = settings
        self.playbooks = playbooks
        self.listener = listener
        self.progress = progress
        self.stop = stop or Stop()
        self._caller = caller
        self._journal = journal
        self._known_index = index
        self._clients = clients
        self._service = service
        self._on_calm = on_calm

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal.open(self.settings.journal_url)
        return self._journal

    @property
    def _index(self) -> IncidentIndex:
        if self._known_index is None:
            self._known_index = IncidentIndex(self.journal)
        return self._known_index

    @property
    def automatic(self) -> Automatic:
        """Whether anything is contained without a person, on this side."""
        return Automatic(self.journal, self.settings.simulate)

    def connections(self, session_name: str) -> Connections:
        """Connections for one incident, or for what ``session_name`` says. In shadow they can
        change nothing."""
        if self.settings.shadow:
            return self.reading_connections(session_name)
        return Connections(
            self._accounts(),
            session_name=session_name,
            simulate=self.settings.simulate,
            shared=self._clients,
        )

    def reading_connections(self, session_name: str) -> ReadingConnections:
        """Connections over which nothing can be changed."""
        return ReadingConnections(
            self._accounts(), session_name=session_name, simulate=self.settings.simulate
        )

    def _accounts(self) -> dict[str, AccountAccess]:
        return {
            key: AccountAccess(account.role, account.external_id)
            for key, account in self.playbooks.accounts.items()
        }

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
        opened = self.open(playbook, targets, identity, finding=finding, reason=reason)
        return self.carry_out(opened, identity, prefect=prefect, wait=wait)

    def open(
        self,
        playbook: str,
        targets: Sequence[str],
        identity: Identity,
        *,
        finding: Finding | None = None,
        reason: str = "",
        drill: str = "",
    ) -> Opened:
        """Open an incident; or find the one that these targets have. Nothing is changed in AWS.

        ``drill`` is the live drill that it is part of: one that is there already is not joined.
        """
        self._playbook(playbook)
        if finding is not None:
            self._refuse_sample(finding)
        connections = self.connections("clampdown")
        try:
            refs = self.references(targets, connections)
        finally:
            connections.close()
        return self._opened(playbook, refs, identity.actor, finding, reason=reason, drill=drill)

    def respond(
        self,
        finding: Finding,
        identity: Identity,
        *,
        prefect: bool = True,
        wait: bool = True,
    ) -> Started:
        """Route a finding, then run its playbook or propose it.

        An update of a finding goes on with the incident that it has. Where people have stopped
        that one, nothing is done: GuardDuty repeats itself, and would overrule them.

        Raises Unrouted, SampleFinding, Refused and what :meth:`run` raises.
        """
        self._refuse_sample(finding)
        decision = self.route(finding)
        if isinstance(decision, Unrouted):
            reasons = "\n  ".join(decision.why)
            raise UnroutedFinding(
                f"Nothing is done about {finding.type} (severity {finding.severity:g}):\n  {reasons}\n",
                advice="`clampdown run PLAYBOOK --target ID` starts a playbook by hand.",
            )
        if decision.shadow:
            judged = self.judge(finding, decision, identity)
            raise InShadow(
                f"In shadow nothing is done. {judged.sentence}",
                advice=f"`clampdown timeline {judged.chain}` has it; `clampdown run` contains it.",
            )
        opened = self.open_routed(finding, decision, identity)
        return self.carry_out(opened, identity, prefect=prefect, wait=wait)

    def route(self, finding: Finding, connections: Connections | None = None) -> Decision:
        """What the routes of playbooks.yaml say about a finding, with the tags that AWS has now.

        ``connections`` are ones that are there already.
        """
        account = self.playbooks.accounts.get(finding.account)
        decision = choose(
            self.playbooks.routes,
            finding,
            account,
            self._tags_of(finding, connections) if account else {},
            target_kinds={
                name: playbook.target for name, playbook in self.playbooks.playbooks.items()
            },
            live=not self.settings.simulate,
        )
        if self.settings.shadow and isinstance(decision, Routed):
            return replace(decision, shadow=True)
        return decision

    def judge(self, finding: Finding, decision: Routed, identity: Identity) -> Judgement:
        """What would have been done about a finding, written down in a chain of its own.

        Nothing is opened, nothing is changed, and no budget is spent.

        Raises Throttled, AwsUnreachable, JournalUnavailable: it is to be tried again.
        """
        begins = clock.now()
        refs = [
            TargetRef(item.kind, item.account, item.region, item.id) for item in decision.targets
        ]
        joins, refused = "", None
        try:
            known, left, _ = self._known(decision.playbook, refs, finding)
            joins = known.id if known else ""
            refs = left or refs
        except Refused as refusal:
            refused = refusal
        connections = self.reading_connections("clampdown-shadow")
        try:
            judge = Judge(self.journal, self.playbooks, self.settings.simulate, connections)
            return judge.judge(
                finding,
                decision,
                refs,
                identity.actor,
                team=None if joins or refused else self._team(refs, finding),
                joins=joins,
                refused=refused,
                begins=begins,
            )
        finally:
            connections.close()

    def open_routed(self, finding: Finding, decision: Routed, identity: Identity) -> Opened:
        """Open, propose or join the incident that a finding was routed to.

        Raises Refused where people have stopped it, BudgetExceeded, WrongAccount, and InShadow for
        what is only to be judged.
        """
        if decision.shadow:
            raise InShadow(f"Route {decision.route + 1} is in shadow: {_NOTHING_IN_SHADOW}")
        refs = [
            TargetRef(item.kind, item.account, item.region, item.id) for item in decision.targets
        ]
        reason = f"{finding.type} {finding.id}"
        return self._opened(
            decision.playbook, refs, identity.actor, finding, reason=reason, routed=decision
        )

    def carry_out(
        self, opened: Opened, identity: Identity, *, prefect: bool = True, wait: bool = True
    ) -> Started:
        """Carry out what was opened; what is only proposed is left."""
        if not opened.go_on:
            return Started(opened.incident, opened.joined, None, opened.why)
        return self._carry_out(
            opened.incident,
            identity.actor,
            reason="asked for again" if opened.joined else "opened",
            joined=opened.joined,
            prefect=prefect,
            wait=wait,
            why=opened.why,
        )

    def go_on(
        self, incident_id: str, identity: Identity, *, prefect: bool = True
    ) -> Started | Undone | None:
        """Go on with what somebody has begun and nobody has ended: a containment, or its undoing.

        None where there is nothing to go on with (any more).

        Raises IncidentHeld where another process is at it.
        """
        before = self.incident(incident_id)
        if not before.unfinished:
            return None
        with self._held(before) as around:
            # Another process may have ended it meanwhile.
            incident = self.incident(incident_id)
            if (undo := incident.undo_begun) is not None:
                return undo_incident(incident_id, around, identity.actor, step=undo.step)
            if not incident.unfinished:
                return None
            result = carry_out(
                incident_id,
                around,
                identity.actor,
                prefect_home=self.settings.prefect_home if prefect else None,
                reason="gone on with",
            )
        return Started(result.incident, True, result)

    def resume(
        self, incident_id: str, identity: Identity, *, prefect: bool = True, wait: bool = True
    ) -> Started:
        """Go on with an incident: after a crash, a decision, a mended failure.

        Whoever starts one that was proposed has asked for it, as if they had opened it.
        """
        incident = self.incident(incident_id)
        if incident.undoing and incident.status != "undone":
            raise Refused(
                f"{incident_id} is being undone; it can't be resumed.",
                advice=f"`clampdown undo {incident_id}` goes on with that.",
            )
        if incident.status in {"undone", "aborted"}:
            raise Refused(
                f"{incident_id} is {incident.status}; it can't be resumed.",
                advice="`clampdown run` opens a new incident.",
            )
        if self._was_denied(incident):
            raise Denied(
                f"{incident_id} was denied: {incident.error}",
                advice="A new incident asks for a new decision: `clampdown run`.",
            )
        return self._carry_out(
            incident, identity.actor, reason="resumed", joined=True, prefect=prefect, wait=wait
        )

    def undo(self, incident_id: str, identity: Identity, *, step: str | None = None) -> Undone:
        """Take back what an incident changed, or what one of its steps did."""
        incident = self.incident(incident_id)
        with self._held(incident) as around, stoppable(around.stop):
            return undo_incident(incident_id, around, identity.actor, step=step)

    def abort(self, incident_id: str, identity: Identity, why: str) -> Incident:
        """Have an incident stop now, whichever process carries it out; what was done stays done.

        That process begins no change after this has returned, and ends.
        """
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

    def reap(self) -> Reaped:
        """Delete the clean rooms whose time is over, wherever playbooks.yaml lists accounts."""
        from flows.reaping import reap_expired

        self._refuse_in_shadow()
        connections = self.connections("clampdown-reap")
        try:
            around = Surroundings(
                journal=self.journal,
                playbooks=self.playbooks,
                connections=connections,
                stop=self.stop.hang(),
                listener=self.listener,
                progress=self.progress,
            )
            return reap_expired(around, self.settings)
        finally:
            connections.close()

    # Looking

    def incident(self, incident_id: str) -> Incident:
        """Raises InvalidInput where there is no such incident."""
        return fold(self.journal.records(incident_id))

    def incidents(self) -> list[Incident]:
        """All incidents, the newest first."""
        chains = self.journal.chains_with("incident.opened")
        found = [fold(self.journal.records(chain)) for chain in chains]
        return sorted(found, key=lambda incident: incident.opened_at, reverse=True)

    def unfinished(self, untouched_for: timedelta = timedelta()) -> list[Incident]:
        """What was begun and not ended, whoever is at it; ``untouched_for`` leaves out what somebody
        has only just begun."""
        now = clock.now()
        found: list[Incident] = []
        for last in self.journal.last_of(TURNING_POINTS):
            ended = last.kind in ENDS or (last.kind == "incident.opened" and last.body["proposed"])
            # A clock that was set back makes it younger than now.
            if ended or timedelta() <= now - last.at < untouched_for:
                continue
            incident = self.incident(last.incident)
            if incident.unfinished:
                found.append(incident)
        return found

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
            account = self._caller() if self._caller else connections.caller_account(region)
        return [instance_reference(text, account=account, region=region) for text in texts]

    # Inside

    def _opened(
        self,
        playbook: str,
        refs: Sequence[TargetRef],
        requester: Actor,
        finding: Finding | None,
        *,
        reason: str,
        routed: Routed | None = None,
        drill: str = "",
    ) -> Opened:
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
        self._refuse_in_shadow()
        why = tuple(routed.why) if routed else ()
        with self._opening():
            known, refs, said = self._known(playbook, refs, finding if routed else None)
            why += said
            if drill and (known is not None or said):
                there = known.id if known else " ".join(said)
                raise Refused(
                    f"A drill has its targets for itself, and there is {there}. Nothing was done.",
                    advice="Undo or abort that one first, or drill with another target.",
                )
            if known is not None:
                return self._joined(known, requester, finding, routed, why)
            automatic = routed is not None and routed.mode == "automatic"
            if automatic and (frozen := self.automatic.frozen_or_spent(self.playbooks)):
                automatic, why = False, (*why, frozen)
            incident_id = new_incident_id()
            team = self._team(refs, finding)
            self._open(
                incident_id,
                playbook,
                refs,
                requester,
                finding,
                reason=reason,
                proposed=routed is not None and not automatic,
                automatic=automatic,
                team=team,
                channel=self._channel(routed, finding, team),
                drill=drill,
            )
        return Opened(self.incident(incident_id), False, routed is None or automatic, why)

    def _joined(
        self,
        known: Incident,
        requester: Actor,
        finding: Finding | None,
        routed: Routed | None,
        why: tuple[str, ...],
    ) -> Opened:
        """An incident that is there already takes a finding, or a wish, in. It only adds work."""
        if routed is None:
            return Opened(known, True, True, why)
        go_on = known.status != "proposed"
        if not go_on and routed.mode == "automatic":
            frozen = self.automatic.frozen_or_spent(self.playbooks)
            go_on, why = not frozen, (*why, *filter(None, [frozen]))
        if finding is not None and finding.id != (known.opened["finding"] or {}).get("id"):
            self.journal.append(
                known.id, "finding.joined", {"finding": finding.lookup()}, requester
            )
        if go_on and not known.unfinished:
            # Whichever process has a hand free goes on with it, should this one die now.
            body = {
                "automatic": known.status == "proposed",
                "simulate": self.settings.simulate,
                "reason": f"{finding.type} {finding.id}" if finding else "",
            }
            self.journal.append(known.id, "incident.asked", body, requester)
        return Opened(self.incident(known.id), True, go_on, why)

    def _open(
        self,
        incident_id: str,
        playbook: str,
        refs: Sequence[TargetRef],
        requester: Actor,
        finding: Finding | None,
        *,
        reason: str,
        proposed: bool,
        automatic: bool,
        team: Team | None,
        channel: str,
        drill: str,
    ) -> None:
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
            authors=owner_of(self.settings.playbooks),
            proposed=proposed,
            automatic=automatic,
            team=team,
            channel=channel,
            drill=drill,
        )
        if self.listener:
            self.listener(self.journal.records(incident_id)[0])

    def _team(self, refs: Sequence[TargetRef], finding: Finding | None) -> Team | None:
        """The team whose the targets are, by their tags in AWS, else by those in the finding."""
        if not self.playbooks.teams:
            return None
        said = {item.id: item.tags for item in finding.resources} if finding else {}
        tags: list[Mapping[str, str]] = [said.get(ref.id, {}) for ref in refs]
        # Who decides is no reason to keep anything waiting, or from being contained.
        with suppress(ClampdownError):
            tags = list(self._tags_in_aws(refs).values())
        return team_of(self.playbooks, tags)

    def _channel(self, routed: Routed | None, finding: Finding | None, team: Team | None) -> str:
        """The Slack channel in which the incident will be told; empty where Slack isn't set up."""
        places = self.playbooks.slack
        if places is None:
            return ""
        if routed is not None and (channel := self.playbooks.routes[routed.route].channel):
            return channel
        if team is not None and team.channel:
            return team.channel
        severity = finding.severity if finding else None
        for place in places.by_severity:
            if severity is not None and severity_holds(place.severity, severity):
                return place.channel
        return places.channel

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """One at a time, on whichever machine: two findings never open two incidents of a target."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.journal.hold("opening", wait=_OPENING))
            except IncidentHeld as held:
                # It says nothing about the finding, which is to be kept: no refusal.
                raise JournalUnavailable(
                    f"No incident could be opened within {_OPENING.total_seconds():g} s, because "
                    f"another process was opening one: {held.what}",
                    advice="One process at a time opens incidents. End that one if it hangs.",
                ) from held
            yield

    def _carry_out(
        self,
        incident: Incident,
        actor: Actor,
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
                actor,
                prefect_home=self.settings.prefect_home if prefect else None,
                reason=reason,
            )
        return Started(result.incident, joined, result, why)

    @contextmanager
    def _held(self, incident: Incident, *, wait: bool = True) -> Iterator[Surroundings]:
        """The incident's lease and its surroundings: simulated stays simulated, live stays live."""
        self._refuse_in_shadow()
        if incident.simulate != self.settings.simulate:
            raise Refused(
                f"{incident.id} is {incident.mode}"
                + (f" ({incident.simulate})" if incident.simulate else "")
                + f"; this is {'simulated' if self.settings.simulate else 'live'}.",
                advice="An incident never changes sides: give the --simulate it was opened with.",
            )
        with self.journal.hold(incident.id):
            self._require_whole(incident.id)
            connections = self.connections(incident.id)
            try:
                yield Surroundings(
                    journal=self.journal,
                    playbooks=self.playbooks,
                    connections=connections,
                    stop=self.stop.hang(),
                    parallel_steps=self.settings.parallel_steps,
                    wait_for_people=wait,
                    resumes=self._service,
                    on_calm=self._on_calm,
                    # A service shows the next one meanwhile, and Prefect this one when it can.
                    shown_within=timedelta() if self._service else SHOWN_WITHIN,
                    listener=self.listener,
                    progress=self.progress,
                )
            finally:
                connections.close()

    def _require_whole(self, incident_id: str) -> None:
        """Nothing is done on the word of records that somebody has edited: undos are in them."""
        checked = verify(self.journal, incident_id)
        if not checked.ok:
            first = checked.problems[0]
            raise JournalTampered(
                f"The journal fails verification: {incident_id} record {first.seq}: {first.kind}: "
                f"{first.message}.",
                advice="Nothing was done. `clampdown journal verify` shows all of it.",
            )

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

    def _known(
        self, playbook: str, refs: Sequence[TargetRef], update_of: Finding | None
    ) -> tuple[Incident | None, list[TargetRef], tuple[str, ...]]:
        """The incident that these targets have already on this side; or those that have none yet.

        ``update_of`` is a finding that nobody has looked at; where people have stopped what it led
        to before, that stands. Raises Refused.
        """
        left, taken = list(refs), []
        finding = update_of.id if update_of else None
        for opened in self._index.about(self.settings.simulate, {ref.id for ref in refs}, finding):
            same_finding = finding is not None and opened.finding == finding
            incident = self.incident(opened.id)
            if opened.playbook != playbook:
                # One incident at a time: what comes on top of one that is under way joins it.
                if update_of and incident.unfinished and set(refs) <= set(incident.targets):
                    return incident, list(refs), (f"{incident.id} is at it already.",)
                continue
            stopped = incident.undoing or self._was_denied(incident)
            if not stopped and (incident.status in _OPEN or incident.status == "denied"):
                if set(refs) <= set(incident.targets):
                    return incident, list(refs), ()
                taken += [(ref, incident) for ref in left if ref in incident.targets]
                left = [ref for ref in left if ref not in incident.targets]
            elif same_finding:
                raise Refused(
                    f"People have stopped {incident.id}, which is about this finding already: it "
                    f"is {incident.status}. Nothing was done.",
                    advice="`clampdown run PLAYBOOK --target ID` opens a new incident.",
                )
        said = tuple(
            f"{ref.id} is left to {incident.id}, which it has already." for ref, incident in taken
        )
        if not left:
            raise Refused(
                " ".join(said) + " Nothing was done.",
                advice="`clampdown resume` goes on with each of them.",
            )
        return None, left, said

    def _was_denied(self, incident: Incident) -> bool:
        """Whether somebody said no; that nobody answered in time is asked again."""
        return any(gate.status == "denied" for gate in self.gates(incident))

    def _tags_of(self, finding: Finding, given: Connections | None) -> dict[str, Mapping[str, str]]:
        """The tags of the finding's instances as AWS has them now, where a route asks for tags."""
        if not any(route.match.tags for route in self.playbooks.routes):
            return {}
        refs = [
            TargetRef(item.kind, item.account, item.region, item.id)
            for item in finding.resources_of("ec2.instance")
        ]
        return self._tags_in_aws(refs, given)

    def _tags_in_aws(
        self, refs: Sequence[TargetRef], given: Connections | None = None
    ) -> dict[str, Mapping[str, str]]:
        connections = given or self.connections("clampdown-route")
        try:
            tags: dict[str, Mapping[str, str]] = {}
            for ref in refs:
                where = Where(ref.account, ref.region)
                reader = PlanningAws(connections, where, IncidentContext("none"), "route", Once())
                tags[ref.id] = read_instances(reader, [ref], ())[0].resource.tags
            return tags
        finally:
            if given is None:
                connections.close()

    def _refuse_in_shadow(self) -> None:
        if self.settings.shadow:
            raise InShadow(
                f"This is a shadow: {_NOTHING_IN_SHADOW}",
                advice="Without --shadow (CLAMPDOWN_SHADOW) it would be done.",
            )

    def _refuse_sample(self, finding: Finding) -> None:
        if finding.sample and not self.settings.simulate:
            raise SampleFinding(
                f"{finding.id} is one of GuardDuty's sample findings; nothing was done.",
                advice="Samples act only with --simulate.",
            )
