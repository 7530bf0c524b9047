"""Carrying out an incident's playbook: facts, plan, gates, steps, verification, in this order.

An :class:`Execution` does each thing at most once, whoever asks for it: the Prefect flow and the
direct walk may both go through the same playbook, and meet the same steps. Prefect can so come
late, or not at all, without a containment waiting for it or being repeated.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn

from pydantic import ValidationError

from flows import approvals
from flows.drill_scope import drills_only
from flows.incident import Incident, fold, ref_to_json
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record
from flows.ledger import JournalLedger, Listener, ProgressListener, Recorder, Spent
from flows.ownership import decided_by_owner
from flows.stopping import Stop
from runbooks import clock
from runbooks.aws import IncidentContext, LiveAws, Once, Permit, PlanningAws, Where
from runbooks.calls import Plan, PlannedStep, is_pending, matches, pending
from runbooks.connections import Connections
from runbooks.errors import (
    AccessDenied,
    ApprovalMissing,
    AwsRefused,
    ClampdownError,
    Denied,
    Interrupted,
    InvalidInput,
    NotContainable,
    NotContained,
    OutcomeUnknown,
    PlanChanged,
    Refused,
    Throttled,
    UnknownTarget,
)
from runbooks.guardrails import Guardrails, Protected
from runbooks.lookup import MissingValue, holds, resolve, stands
from runbooks.playbook import (
    Approve,
    Entry,
    Manual,
    Parallel,
    Playbook,
    Playbooks,
    RunStep,
    Team,
)
from runbooks.registry import STEPS
from runbooks.step import OnFailure, StepParams
from runbooks.targets.fact import Fact
from runbooks.targets.instance import Ec2Instance
from runbooks.targets.reading import read_instances
from runbooks.targets.reference import TargetRef

# What ``${finding.…}`` finds in an incident that a person has opened without one.
MANUAL: Mapping[str, Any] = {"id": "manual", "type": "manual", "remote_addresses": []}
TRIES = 3
_POLL = 0.5
_ENDS_A_WAIT = {"gate.decided", "incident.aborted"}
# Time for what a lost answer has done to show in reads (Amazon EC2 API Reference, "Eventual
# consistency").
_SETTLING = 2.0

Perform = Callable[[RunStep], Awaitable[None]]
Pass = Callable[[Approve], Awaitable[None]]


class StepFailed(ClampdownError):
    """A step on which later ones rely has failed; the playbook stops here."""


class StepRefused(StepFailed, Refused):
    """A step on which later ones rely was refused by the guardrails; the playbook stops here."""


class StepTimedOut(ClampdownError):
    """A step took longer than its ``timeout``. The call in flight was finished and recorded."""


class WaitingForPeople(ClampdownError):
    """A gate has not been decided, and this process was asked not to wait for it."""


# What ends the playbook whatever a step's ``on_failure`` says: the step itself has not failed.
_HALTS = (ApprovalMissing, Denied, Interrupted, WaitingForPeople)


@dataclass(frozen=True)
class Surroundings:
    """What an execution works with, whichever incident it is.

    ``stop`` is set to begin nothing new; ``wait_for_people`` is whether gates are waited for.
    ``resumes`` is whether what is stopped goes on by itself when this process is back. ``on_calm``
    is called once, when nothing is urgent any more: it waits for people or for AWS, or has ended.
    ``shown_within`` is how long the end waits for Prefect to show it.
    """

    journal: Journal
    playbooks: Playbooks
    connections: Connections
    stop: Stop
    parallel_steps: int = 16
    wait_for_people: bool = True
    resumes: bool = False
    on_calm: Callable[[], None] | None = None
    shown_within: timedelta = timedelta()
    listener: Listener | None = None
    progress: ProgressListener | None = None

    @property
    def pausing(self) -> bool:
        """Whether the process is ending, and goes on by itself with what that stops."""
        return self.resumes and self.stop.is_set()


class Planner:
    """Makes the plan of a playbook for targets: one function for ``plan``, ``run`` and resume.

    ``outputs`` of its methods are what steps returned for each target, by its ARN and by step id.
    ``asked`` are the gates that were asked for: they stand, whatever their condition says later.
    """

    def __init__(
        self,
        playbook_id: str,
        playbook: Playbook,
        playbooks: Playbooks,
        connections: Connections,
        incident: IncidentContext,
        finding: Mapping[str, Any],
    ) -> None:
        self.playbook_id = playbook_id
        self.playbook = playbook
        self.incident = incident
        self._playbooks = playbooks
        self._connections = connections
        self._finding = finding
        self.asked: set[str] = set()
        self._facts = _facts_of(playbook.run_steps())
        self._unread: dict[type[Fact], AwsRefused] = {}

    def read(self, refs: Sequence[TargetRef]) -> dict[TargetRef, Ec2Instance]:
        """The facts of all targets, read together per account and Region.

        Those that only steps look at that may fail, and that AWS refuses, are left out.
        """
        places = dict.fromkeys(Where(ref.account, ref.region) for ref in refs)
        facts: dict[TargetRef, Ec2Instance] = {}
        for where in places:
            self._connections.ask_identity_early(where.account, where.region)
            there = [ref for ref in refs if (ref.account, ref.region) == _place(where)]
            try:
                facts.update((target.ref, target) for target in self._read_there(where, there))
            except UnknownTarget:
                # Most often because the wrong credentials are at hand.
                self._connections.require_account(
                    where.account, where.region, "Nothing was done. Is AWS_PROFILE the right one?"
                )
                raise
        return facts

    def _read_there(self, where: Where, refs: Sequence[TargetRef]) -> list[Ec2Instance]:
        reader = PlanningAws(self._connections, where, self.incident, "facts", Once())
        incident = self.incident.id
        try:
            return read_instances(reader, refs, self._facts, incident)
        except Throttled:
            raise
        except AwsRefused:
            steps = self.playbook.run_steps()
            may_fail = [step for step in steps if _on_failure(step) == "continue"]
            readable = _facts_of(step for step in steps if step not in may_fail)
        for step in may_fail:
            try:
                read_instances(reader, refs, _facts_of([step]), incident)
                readable |= _facts_of([step])
            except AwsRefused as error:
                self._unread.update((fact, error) for fact in STEPS[step.step].facts)
        return read_instances(reader, refs, readable, incident)

    def require_facts(self, entry: RunStep, target: Ec2Instance) -> None:
        """Raise ClampdownError where something could not be read that the step looks at."""
        for fact in STEPS[entry.step].facts:
            if fact not in target.facts:
                raise ClampdownError(
                    f"{entry.id} can't look at what it must know of {target.id}: "
                    f"{self._unread[fact]}"
                )

    def context(self, target: Ec2Instance, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The data into which ``${…}`` and ``when`` look."""
        account = self._playbooks.accounts.get(target.ref.account)
        return {
            "finding": dict(self._finding),
            "target": target.lookup(),
            "incident": {"id": self.incident.id, "finding": self.incident.finding},
            "account": {
                "id": target.ref.account,
                "name": account.name if account else "",
                "environment": account.environment if account else "",
            },
            "steps": dict(outputs.get(target.ref.arn, {})),
        }

    def params(self, entry: RunStep, context: Mapping[str, Any]) -> StepParams:
        """The step's parameters with their look-ups done. Raises InvalidInput."""
        try:
            values = {key: _resolve(value, context) for key, value in entry.with_.items()}
            return STEPS[entry.step].Params.model_validate(values)
        except ValidationError as error:
            detail = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
            )
            raise InvalidInput(f"{entry.id}: its parameters are not valid: {detail}.") from error

    def gate_needed(
        self, entry: Approve, targets: Sequence[Ec2Instance], outputs: Mapping[str, Any]
    ) -> tuple[bool, str]:
        """Whether the gate stands for any of the targets, and why or why not."""
        if entry.approve.id in self.asked:
            return True, "it was asked for"
        if entry.when is None:
            return True, "always"
        verdicts = [stands(entry.when, self.context(target, outputs)) for target in targets]
        for needed, why in verdicts:
            if needed:
                return True, why
        return False, verdicts[0][1] if verdicts else "there is no target"

    def plan_step(
        self,
        entry: RunStep,
        target: Ec2Instance,
        gate: str,
        outputs: Mapping[str, Any],
        once: Once,
    ) -> PlannedStep:
        """What one step would do to one target."""
        context = self.context(target, outputs)
        if entry.when is not None and not holds(entry.when, context):
            why = f"not {entry.when}"
            return PlannedStep(entry.id, entry.step, target.ref.arn, gate, (), skipped=why)
        self.require_facts(entry, target)
        where = Where(target.ref.account, target.ref.region)
        aws = PlanningAws(self._connections, where, self.incident, entry.id, once)
        STEPS[entry.step]().contain(aws, target, self.params(entry, context))
        return PlannedStep(
            entry.id,
            entry.step,
            target.ref.arn,
            gate,
            tuple(aws.changes),
            tuple(aws.contingent),
            tuple(aws.warnings),
        )

    def plan(
        self,
        targets: Sequence[Ec2Instance],
        outputs: Mapping[str, Any],
    ) -> Plan:
        """The whole plan. Targets go one after the other, so that it is the same every time."""
        steps: list[PlannedStep] = []
        once = Once()
        for entry, gate in self.gated_steps(targets, outputs):
            for target in targets:
                steps.append(self._plan_or_warn(entry, target, gate, outputs, once))
        return Plan(
            self.playbook_id,
            self.playbook.version,
            tuple(target.ref.arn for target in targets),
            tuple(steps),
        )

    def _plan_or_warn(
        self,
        entry: RunStep,
        target: Ec2Instance,
        gate: str,
        outputs: Mapping[str, Any],
        once: Once,
    ) -> PlannedStep:
        """The step's plan; of a step that may fail, that it has none and why."""
        try:
            return self.plan_step(entry, target, gate, outputs, once)
        except ClampdownError as error:
            if _on_failure(entry) == "stop":
                raise
            warning = f"{entry.id} can't be planned: {error}"
            return PlannedStep(entry.id, entry.step, target.ref.arn, gate, (), warnings=(warning,))

    def gated_steps(
        self, targets: Sequence[Ec2Instance], outputs: Mapping[str, Any]
    ) -> list[tuple[RunStep, str]]:
        """Every step with the id of the last gate that stands before it."""
        gate = ""
        found: list[tuple[RunStep, str]] = []
        for entry in self.playbook.steps:
            if isinstance(entry, Approve):
                if self.gate_needed(entry, targets, outputs)[0]:
                    gate = entry.approve.id
            elif isinstance(entry, Parallel):
                found.extend((step, gate) for step in entry.parallel)
            elif isinstance(entry, RunStep):
                found.append((entry, gate))
        return found


class Execution:
    """One incident being carried out by this process, which holds its lease."""

    def __init__(self, incident_id: str, surroundings: Surroundings) -> None:
        self.id = incident_id
        self.around = surroundings
        self.journal = surroundings.journal
        self.recorder = Recorder(
            surroundings.journal,
            incident_id,
            listener=surroundings.listener,
            progress=surroundings.progress,
        )
        incident = self.incident()
        opened = incident.opened
        self.playbook = Playbook.model_validate(opened["definition"])
        self.mode = incident.mode
        self.finding: Mapping[str, Any] = opened["finding"] or MANUAL
        self.context = IncidentContext(
            incident_id,
            finding=str(self.finding.get("id", "manual")),
            remote_addresses=tuple(self.finding.get("remote_addresses", ())),
        )
        self.planner = Planner(
            incident.playbook,
            self.playbook,
            surroundings.playbooks,
            surroundings.connections,
            self.context,
            self.finding,
        )
        self.refs = incident.targets
        self.facts: dict[TargetRef, Ec2Instance] = {}
        self.plan = Plan(incident.playbook, self.playbook.version, (), ())
        self.outputs: dict[str, dict[str, Any]] = incident.outputs()
        self.stop = surroundings.stop.hang()
        self.calm = threading.Event()
        self.over = False
        self.failures: list[str] = []
        budgets = surroundings.playbooks.guardrails.budgets
        self.guard = Guardrails(
            protected_rules(surroundings.playbooks),
            budgets.changes_per_account_per_hour,
            Spent(self.journal, self.mode),
            drills_only(self.journal, self.id, lambda: list(self.facts.values()))
            if incident.drill
            else None,
        )
        self._once = Once()
        self._threads = ThreadPoolExecutor(surroundings.parallel_steps, thread_name_prefix="step")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: asyncio.Task[None] | None = None
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._gates = asyncio.Lock()
        self._asked: set[str] = set()
        self.planner.asked.update(self._asked_before())
        self._unverified: list[tuple[RunStep, TargetRef]] = []
        self._verified: list[tuple[RunStep, TargetRef]] = []

    def incident(self) -> Incident:
        return fold(self.journal.records(self.id))

    async def prepare(self) -> Plan:
        """Read the facts and make the plan, and ask for the first gate's decision.

        From here on what others write into the journal is heard, and so an abort.

        Raises UnknownTarget, NotContainable, ProtectedResource and what reads raise.
        """
        self._loop = asyncio.get_running_loop()
        self._listening = asyncio.ensure_future(self._listen())
        self.facts = await self._in_thread(self._read)
        for target in self.facts.values():
            self.guard.check_target(target.resource, "Nothing was done to it.")
        self.plan = await self._in_thread(lambda: self.planner.plan(self.targets, self.outputs))
        self._record_plan("the facts were read")
        await self._ask_first()
        return self.plan

    def _read(self) -> dict[TargetRef, Ec2Instance]:
        """Fresh facts. Of several targets, those that are gone keep nobody from the others."""
        try:
            return self.planner.read(self.refs)
        except (UnknownTarget, NotContainable):
            if len(self.refs) == 1:
                raise
        facts: dict[TargetRef, Ec2Instance] = {}
        gone: list[ClampdownError] = []
        for ref in self.refs:
            try:
                facts.update(self.planner.read([ref]))
            except (UnknownTarget, NotContainable) as error:
                gone.append(error)
        if not facts:
            raise gone[0]
        self.failures.extend(map(str, gone))
        self.refs = tuple(facts)
        return facts

    @property
    def targets(self) -> list[Ec2Instance]:
        return [self.facts[ref] for ref in self.refs]

    async def walk(self, perform: Perform, pass_: Pass) -> None:
        """Go through the playbook. ``perform`` runs a step, ``pass_`` waits at a gate.

        Raises Denied, StepFailed, Interrupted, WaitingForPeople.
        """
        for entry in self.playbook.steps:
            await self._enter(entry, perform, pass_)
        await self.verify_all()

    async def directly(self) -> None:
        """Go through the playbook without anybody watching."""
        await self.walk(self.step, self.gate)

    async def step(self, entry: RunStep) -> None:
        """Run a step on every target, once, whoever asks."""
        await self._shared(("step", entry.id), lambda: self._step(entry))

    async def gate(self, entry: Approve) -> None:
        """Wait until the gate is open, once, whoever asks. Raises Denied, WaitingForPeople."""
        await self._shared(("gate", entry.approve.id), lambda: self._gate(entry))

    async def verify_all(self) -> None:
        """Verify everything on fresh facts at the end: what was verified before a wait, which can
        take hours, may have been undone meanwhile."""
        await self._shared(("verify", "end"), self._verify_again)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def calm_down(self) -> None:
        """Let what is less urgent than a containment begin. Once is enough."""
        if not self.calm.is_set():
            self.calm.set()
            if self.around.on_calm:
                self.around.on_calm()

    async def _enter(self, entry: Entry, perform: Perform, pass_: Pass) -> None:
        if isinstance(entry, Approve):
            await pass_(entry)
        elif isinstance(entry, Manual):
            await self._shared(("manual", entry.manual.id), lambda: self._ask_people(entry))
        elif isinstance(entry, Parallel):
            await _all(perform(step) for step in entry.parallel)
        else:
            if STEPS[entry.step].waits:
                await self._shared(("verify", entry.id), self._verify)
                self.calm_down()
            await perform(entry)

    async def _shared(self, key: object, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work, or wait for whoever does it: always in the loop that carries this out."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            await self._elsewhere(key, work)
            return
        if key not in self._tasks:
            if self.over:
                raise Interrupted("It has ended already; nothing more is begun.")
            self._tasks[key] = asyncio.ensure_future(work())
        task = self._tasks[key]
        try:
            await asyncio.shield(task)
        except ApprovalMissing:
            # Nothing was done; it can be asked for again once the gate is open.
            if self._tasks.get(key) is task:
                del self._tasks[key]
            raise

    async def _elsewhere(self, key: object, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """As ``_shared`` for another loop, which may outlive the one that carries this out."""
        assert self._loop is not None
        if not self.over:
            there = asyncio.run_coroutine_threadsafe(self._shared(key, work), self._loop)
            try:
                await asyncio.wrap_future(there)
                return
            except asyncio.CancelledError:
                if not self.over:
                    raise
        task = self._tasks.get(key)
        if task is None or not task.done() or task.cancelled():
            raise Interrupted("It has ended already; nothing more is begun.")
        task.result()

    async def _listen(self) -> None:
        """Tell of what others write, and stop when one of them aborts the incident: at once where
        that is in this process."""

        def heard(record: Record) -> None:
            if record.incident == self.id and record.kind == "incident.aborted":
                self.stop.set()

        with self.journal.heard_by(heard):
            while True:
                try:
                    if await asyncio.to_thread(self.recorder.overhear):
                        self.stop.set()
                except ClampdownError:
                    # A journal that can't be read stops the steps by itself: they can't write.
                    pass
                except RuntimeError:
                    # The interpreter is ending, and gives out no threads any more.
                    return
                await asyncio.sleep(_POLL)

    # Steps

    async def _step(self, entry: RunStep) -> None:
        errors = [
            error
            for error in await asyncio.gather(
                *(self._step_on(entry, ref) for ref in self.refs), return_exceptions=True
            )
            if error is not None
        ]
        for error in errors:
            if not isinstance(error, ClampdownError) or isinstance(error, _HALTS):
                raise error
        if errors:
            self.failures.extend(f"{entry.id}: {error}" for error in errors)
            if _on_failure(entry) == "stop":
                refused = any(isinstance(error, Refused) for error in errors)
                raise (StepRefused if refused else StepFailed)(
                    f"{entry.id} failed: {errors[0]}",
                    advice=f"What was done stays done. Mend it, then `clampdown resume {self.id}`.",
                )

    async def _step_on(self, entry: RunStep, ref: TargetRef) -> None:
        if self._planned(entry, ref).skipped and "steps" in (entry.when or ""):
            # What earlier steps returned was not there yet when the plan was made.
            await self._look_again(entry, ref)
        planned = self._planned(entry, ref)
        if planned.skipped:
            self._finish(entry, ref, "skipped", {}, planned.skipped)
            return
        await self._in_thread(lambda: self._require_approval(entry, planned))
        self.recorder.append(
            "step.started", {"step": entry.id, "name": entry.step, "target": ref.arn}
        )
        ledger = self._ledger(entry, ref)
        try:
            outputs = await self._try(entry, ref, ledger)
        except ClampdownError as error:
            status = "interrupted" if isinstance(error, _HALTS) else "failed"
            self._finish(entry, ref, status, {}, str(error))
            raise
        self.outputs.setdefault(ref.arn, {})[entry.id] = outputs
        self._finish(entry, ref, "done" if ledger.changes else "unchanged", outputs, "")
        if STEPS[entry.step].waits:
            fresh = await self._in_thread(lambda: self.planner.read([ref]))
            await self._in_thread(lambda: self._verify_one(entry, fresh[ref]))
        else:
            self._unverified.append((entry, ref))

    async def _try(self, entry: RunStep, ref: TargetRef, ledger: JournalLedger) -> dict[str, Any]:
        left = entry.timeout
        for attempt in range(1, TRIES + 1):
            begun = clock.monotonic()
            try:
                return await self._contain_within(left, entry, ref, ledger)
            except (AccessDenied, Throttled):
                raise
            except (OutcomeUnknown, PlanChanged, AwsRefused) as error:
                # Read again what is there, and do only what is missing.
                if attempt == TRIES:
                    raise
                if isinstance(error, OutcomeUnknown):
                    await self._in_thread(lambda: clock.wait(self.stop, _SETTLING))
                if left is not None:
                    left -= timedelta(seconds=clock.monotonic() - begun)
                await self._look_again(entry, ref)
        raise RuntimeError("unreachable: the last try returns or raises")

    async def _contain_within(
        self, left: timedelta | None, entry: RunStep, ref: TargetRef, ledger: JournalLedger
    ) -> dict[str, Any]:
        """One try, which begins no more calls once the time that is left is over."""
        stop = self.stop.hang()
        call_off = None
        if left is not None:
            call_off = clock.after(max(0.0, left.total_seconds()), stop.set)
        try:
            outputs: dict[str, Any] = await self._in_thread(
                lambda: self._contain(entry, ref, ledger, stop)
            )
        except Interrupted as error:
            if stop.is_set() and not self.stop.is_set():
                raise StepTimedOut(
                    f"{entry.id} on {ref.id} did not end within its timeout. {error}",
                    advice="What it did until then is recorded; `clampdown resume` goes on.",
                ) from error
            raise
        finally:
            if call_off is not None:
                call_off()
        return outputs

    def _contain(
        self, entry: RunStep, ref: TargetRef, ledger: JournalLedger, stop: Stop
    ) -> dict[str, Any]:
        target = self.facts[ref]
        self.planner.require_facts(entry, target)
        params = self.planner.params(entry, self.planner.context(target, self.outputs))
        if is_pending(params.model_dump()):
            raise ClampdownError(
                f"{entry.id} on {ref.id} needs what an earlier step should have returned, and that "
                "step has not been done. Nothing was sent."
            )
        aws = self._live(entry, ref, ledger, stop)
        return dict(STEPS[entry.step]().contain(aws, target, params) or {})

    def _ledger(self, entry: RunStep, ref: TargetRef) -> JournalLedger:
        foreseen = self._planned(entry, ref).warnings
        return JournalLedger(self.recorder, entry.id, ref, mode=self.mode, foreseen=foreseen)

    def _live(self, entry: RunStep, ref: TargetRef, ledger: JournalLedger, stop: Stop) -> LiveAws:
        return LiveAws(
            self.around.connections,
            Where(ref.account, ref.region),
            self.context,
            ledger=ledger,
            guard=self.guard,
            permit=Permit(self._planned(entry, ref), self._planned_for_others(entry, ref)),
            once=self._once,
            stop=stop,
        )

    async def _look_again(self, entry: RunStep, ref: TargetRef) -> None:
        """Fresh facts and a fresh plan for one step; approval again if it asks for something new."""
        self._once = Once()
        self.facts.update(await self._in_thread(lambda: self.planner.read([ref])))
        before, planned_before = self._planned(entry, ref), self.plan
        after = await self._in_thread(
            lambda: self.planner.plan_step(
                entry, self.facts[ref], before.gate, self.outputs, self._once
            )
        )
        self._once = Once()
        self._replace_planned(after)
        if not _covered(planned_before, after):
            self._record_plan(f"{entry.id} found something else than planned")
            if before.gate:
                await self._gate(self._gate_entry(before.gate))

    def _finish(
        self, entry: RunStep, ref: TargetRef, status: str, outputs: dict[str, Any], error: str
    ) -> None:
        self.recorder.append(
            "step.finished",
            {
                "step": entry.id,
                "name": entry.step,
                "target": ref.arn,
                "status": status,
                "outputs": outputs,
                "error": error,
            },
        )

    # Verification

    async def _verify_again(self) -> None:
        self._unverified = [*self._verified, *self._unverified]
        await self._verify()

    async def _verify(self) -> None:
        """Look at what steps have done on fresh facts; do again what is not there any more."""
        checks, self._unverified = self._unverified, []
        failed: list[tuple[RunStep, ClampdownError]] = []
        for attempt in range(1, TRIES + 1):
            if not checks:
                break
            self.facts = await self._in_thread(self._read)
            last = attempt == TRIES
            missing: list[tuple[RunStep, TargetRef]] = []
            for entry, ref in checks:
                if ref not in self.facts:
                    continue
                try:
                    look = partial(self._verify_one, entry, self.facts[ref], record=last)
                    await self._in_thread(look)
                    self._verified.append((entry, ref))
                except ClampdownError as error:
                    if last:
                        failed.append((entry, error))
                    else:
                        missing.append((entry, ref))
            checks = []
            for entry, ref in missing:
                try:
                    await self._look_again(entry, ref)
                    await self._try(entry, ref, self._ledger(entry, ref))
                    checks.append((entry, ref))
                except _HALTS:
                    raise
                except ClampdownError as error:
                    self._not_verified(entry, ref, error)
                    failed.append((entry, error))
        self.failures.extend(f"{entry.id}: {error}" for entry, error in failed)
        if any(_on_failure(entry) == "stop" for entry, _ in failed):
            errors = "; ".join(f"{entry.id}: {error}" for entry, error in failed)
            raise NotContained(
                f"Not contained when it was looked at again: {errors}",
                advice="Somebody may be reverting it: look at CloudTrail, then resume.",
            )

    def _verify_one(self, entry: RunStep, target: Ec2Instance, *, record: bool = True) -> None:
        params = self.planner.params(entry, self.planner.context(target, self.outputs))
        where = Where(target.ref.account, target.ref.region)
        reader = PlanningAws(self.around.connections, where, self.context, entry.id, Once())
        try:
            self.planner.require_facts(entry, target)
            STEPS[entry.step]().verify(reader, target, params)
        except ClampdownError as error:
            if record:
                self._not_verified(entry, target.ref, error)
            raise
        body = {"step": entry.id, "target": target.ref.arn, "error": ""}
        self.recorder.append("verify.passed", body)

    def _not_verified(self, entry: RunStep, ref: TargetRef, error: ClampdownError) -> None:
        body = {"step": entry.id, "target": ref.arn, "error": str(error)}
        self.recorder.append("verify.failed", body)

    # Gates and people

    async def _ask_first(self) -> None:
        for entry in self.playbook.steps:
            if isinstance(entry, Approve) and await self._in_thread(partial(self._ask, entry)):
                return

    def _ask(self, entry: Approve) -> bool:
        """Ask for the gate's decision where it is needed and was not asked for in vain."""
        needed, why = self.planner.gate_needed(entry, self.targets, self.outputs)
        gate = self._gate_state(entry)
        if not needed:
            if gate is None:
                self.recorder.append("gate.skipped", {"gate": entry.approve.id, "why": why})
            return False
        # What expires while this process carries the incident out has expired for good.
        asked_before = entry.approve.id not in self._asked
        if gate is None or gate.status == "skipped" or (gate.status == "expired" and asked_before):
            self._request(entry, round_=gate.round + 1 if gate else 1)
        self._asked.add(entry.approve.id)
        return True

    def _request(
        self,
        entry: Approve,
        *,
        round_: int,
        differences: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:
        record = approvals.request(
            self.journal, self.id, entry.approve, self.plan, round_=round_, differences=differences
        )
        self.planner.asked.add(entry.approve.id)
        self.recorder.show(record)

    async def _gate(self, entry: Approve) -> None:
        """Wait for the decision; hold it against a fresh plan; ask again if that has changed."""
        # Steps side by side may find, at once, that they need a new decision: one asks for all.
        async with self._gates:
            await self._decided(entry)

    async def _decided(self, entry: Approve) -> None:
        await self._in_thread(lambda: self._ask(entry))
        gate = await self._in_thread(lambda: self._gate_state(entry))
        if gate is None or gate.status == "skipped":
            return
        reminded = clock.now()
        while True:
            gate = await self._in_thread(lambda: self._gate_state(entry))
            await self._in_thread(self.recorder.overhear)
            if gate is None:
                raise ApprovalMissing(f"The gate {entry.approve.id} was never asked for.")
            if gate.status == "approved":
                await self._in_thread(self._fresh_plan)
                approved = Plan.from_json(gate.request["plan"])
                now = self.plan.behind(gate.id)
                if self._still(approved, now):
                    return
                self._request(entry, round_=gate.round + 1, differences=approved.differences(now))
                self._record_plan("it changed after the approval")
                continue
            if gate.status == "denied":
                why = "; ".join(vote.why for vote in gate.votes if vote.answer == "deny")
                raise Denied(
                    f"The gate {gate.id} was denied by {gate.decided_by}: {why}",
                    advice="What stood before it stays done; `clampdown undo` takes it back.",
                )
            if gate.status == "expired" and not await self._in_thread(
                partial(approvals.escalate, self.journal, self.id, gate)
            ):
                self.recorder.append("gate.expired", {"gate": gate.id})
                raise Denied(
                    f"Nobody decided the gate {gate.id} in time; no answer means no.",
                    advice=f"`clampdown resume {self.id}` asks again.",
                )
            reminded = await self._wait_at(entry, gate, reminded)

    async def _wait_at(
        self, entry: Approve, gate: approvals.GateState, reminded: datetime
    ) -> datetime:
        if not self.around.wait_for_people:
            self.recorder.append("incident.waiting", {"gate": gate.id})
            raise WaitingForPeople(
                f"The gate {gate.id} waits for {gate.needed} until {gate.expires_at:%H:%M:%S} UTC.",
                advice=f"`clampdown approve {self.id} {gate.id}`, then `clampdown resume {self.id}`.",
            )
        if self.stop.is_set():
            raise Interrupted("A stop was asked for while waiting for a decision.")
        self.calm_down()
        every = entry.approve.remind_every
        if every and clock.now() - reminded >= every:
            self.recorder.append("gate.reminded", {"gate": gate.id, "needed": gate.needed})
            reminded = clock.now()
        dues = (gate.expires_at, reminded + every if every else None)
        due = min((due for due in dues if due is not None), default=None)
        await self._decision(entry, gate, due)
        return reminded

    async def _decision(
        self, entry: Approve, gate: approvals.GateState, due: datetime | None
    ) -> None:
        """Wait until a decision or an abort is written down, or until something is due."""
        decided = asyncio.Event()
        loop = asyncio.get_running_loop()

        def look() -> None:
            loop.call_soon_threadsafe(decided.set)

        with clock.waiting(look, due) as wake:

            def heard(record: Record) -> None:
                if record.incident == self.id and record.kind in _ENDS_A_WAIT:
                    wake()

            with self.journal.heard_by(heard):
                while not self.stop.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_POLL):
                            await decided.wait()
                            return
                    # What other processes write is found by looking, which does not count as work:
                    # somebody looks all the time.
                    seen = await asyncio.to_thread(lambda: self._gate_state(entry))
                    if seen != gate or (due and clock.now() >= due):
                        wake()
                        return

    def _still(self, approved: Plan, now: Plan) -> bool:
        """Whether the fresh plan is the approved one.

        Once part of it has been carried out, what is left must be covered by it; before that, it
        must be the same call for call.
        """
        if not all(_covered(approved, step) for step in now.steps):
            return False
        behind = {step.id for step in approved.steps}
        begun = any(change.step in behind for change in self.incident().changes)
        return begun or approved.same_as(now)

    def _fresh_plan(self) -> None:
        self.facts = self._read()
        self.plan = self.planner.plan(self.targets, self.outputs)
        self._once = Once()

    def _gate_state(self, entry: Approve) -> approvals.GateState | None:
        return approvals.state(
            self.journal.records(self.id), entry.approve.id, self.around.playbooks.approvers
        )

    def _gate_entry(self, gate_id: str) -> Approve:
        for entry in self.playbook.steps:
            if isinstance(entry, Approve) and entry.approve.id == gate_id:
                return entry
        raise ApprovalMissing(f"There is no gate {gate_id} in the playbook.")

    def _asked_before(self) -> list[str]:
        """The gates that another process has asked for already."""
        gates = [entry for entry in self.playbook.steps if isinstance(entry, Approve)]
        states = {entry.approve.id: self._gate_state(entry) for entry in gates}
        return [key for key, gate in states.items() if gate and gate.status != "skipped"]

    def _require_approval(self, entry: RunStep, planned: PlannedStep) -> None:
        """Hold a step against the decisions in the journal, whoever has asked for it to run."""
        for before in self._gates_before(entry):
            gate = self._gate_state(before)
            if gate is None or gate.status not in {"approved", "skipped"}:
                self._refuse_bypass(before.approve.id, planned, "which is not approved")
            elif before.approve.id == planned.gate:
                if gate.status == "skipped":
                    self._refuse_bypass(gate.id, planned, "which was not asked for")
                if not _covered(Plan.from_json(gate.request["plan"]), planned):
                    self._refuse_bypass(gate.id, planned, "which approved another plan")

    def _refuse_bypass(self, gate: str, planned: PlannedStep, why: str) -> NoReturn:
        self.recorder.append("gate.bypass_attempt", {"gate": gate, "step": planned.id, "why": why})
        raise ApprovalMissing(
            f"{planned.id} stands behind the gate {gate}, {why}.", advice="Nothing was sent."
        )

    def _gates_before(self, step: RunStep) -> list[Approve]:
        gates: list[Approve] = []
        for entry in self.playbook.steps:
            if isinstance(entry, Approve):
                gates.append(entry)
            elif step in (entry.parallel if isinstance(entry, Parallel) else (entry,)):
                break
        return gates

    async def _ask_people(self, entry: Manual) -> None:
        task = entry.manual
        if any(known.id == task.id for known in self.incident().manual):
            return
        self.recorder.append("manual.requested", {"id": task.id, "text": task.text, "by": task.by})

    # Plans

    def _planned(self, entry: RunStep, ref: TargetRef) -> PlannedStep:
        planned = self.plan.step(entry.id, ref.arn)
        if planned is None:
            raise PlanChanged(f"{entry.id} on {ref.id} is not in the plan.")
        return planned

    def _planned_for_others(self, entry: RunStep, ref: TargetRef) -> list[PlannedStep]:
        return [step for step in self.plan.steps if step.id == entry.id and step.target != ref.arn]

    def _replace_planned(self, fresh: PlannedStep) -> None:
        self.plan = replace(
            self.plan,
            steps=tuple(
                fresh if (step.id, step.target) == (fresh.id, fresh.target) else step
                for step in self.plan.steps
            ),
        )

    def _record_plan(self, why: str) -> None:
        tags = {ref.arn: dict(facts.resource.tags) for ref, facts in self.facts.items()}
        body = {"plan": self.plan.to_json(), "why": why, "tags": tags}
        self.recorder.append("plan.made", body)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        with clock.awaiting() as lend:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lend(work))


def protected_rules(playbooks: Playbooks) -> list[Protected]:
    """The protected list of playbooks.yaml as the guardrails read it."""
    return [
        Protected(tags=getattr(rule, "tag", None), arn=getattr(rule, "arn", None))
        for rule in playbooks.guardrails.protected
    ]


def open_incident(
    journal: Journal,
    incident_id: str,
    *,
    playbook_id: str,
    playbooks: Playbooks,
    refs: Sequence[TargetRef],
    finding: Mapping[str, Any] | None,
    requester: Actor,
    simulate: str,
    reason: str,
    authors: Sequence[str] = (),
    proposed: bool = False,
    automatic: bool = False,
    team: Team | None = None,
    channel: str = "",
    drill: str = "",
) -> None:
    """Write an incident's first record. From here on it exists, and its playbook is fixed.

    ``authors`` are the principals who could have written the playbook, ``team`` is the one whose
    approvers stand for the group ``owner``, ``channel`` the one of Slack in which the incident is
    told. ``drill`` is the live drill that it is part of: only what is for drills is changed then.
    """
    playbook = decided_by_owner(playbooks.playbooks[playbook_id], team)
    journal.append(
        incident_id,
        "incident.opened",
        {
            "playbook": playbook_id,
            "version": playbook.version,
            "definition": playbook.to_json(),
            "targets": [ref_to_json(ref) for ref in refs],
            "finding": dict(finding) if finding else None,
            "simulate": simulate,
            "reason": reason,
            "authors": list(authors),
            "proposed": proposed,
            "automatic": automatic,
            "channel": channel,
            "drill": drill,
        },
        requester,
    )


def _covered(before: Plan, after: PlannedStep) -> bool:
    """Whether everything that a step would do now was planned for it, and so approved, before.

    What targets share may have been planned for another of them.
    """
    allowed = [
        change
        for step in before.steps
        if step.id == after.id
        for change in (*step.changes, *step.contingent)
    ]
    return before.step(after.id, after.target) is not None and all(
        any(matches(known.call, change.call) for known in allowed)
        for change in (*after.changes, *after.contingent)
    )


def _facts_of(steps: Iterable[RunStep]) -> frozenset[type[Fact]]:
    return frozenset(fact for step in steps for fact in STEPS[step.step].facts)


def _on_failure(entry: RunStep) -> OnFailure:
    return entry.on_failure_or_default(STEPS[entry.step])


def _resolve(value: Any, context: Mapping[str, Any]) -> Any:
    try:
        return resolve(value, context)
    except MissingValue as missing:
        # What an earlier step will return isn't there yet when the plan is made.
        if missing.path.startswith("steps."):
            return pending(missing.path)
        raise


def _place(where: Where) -> tuple[str, str]:
    return where.account, where.region


async def _all(works: Any) -> None:
    """Await all, to their ends, and then raise the first error."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
