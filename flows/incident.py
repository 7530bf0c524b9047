"""An incident as its journal tells it: everything here is folded from records, nothing is stored."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from flows.journal.record import Actor, Record
from runbooks import clock
from runbooks.calls import Change, Plan
from runbooks.errors import InvalidInput
from runbooks.targets.reference import TargetRef

IncidentStatus = Literal[
    "proposed",
    "running",
    "waiting",
    "contained",
    "incomplete",
    "failed",
    "denied",
    "interrupted",
    "aborted",
    "undone",
]
StepStatus = Literal["running", "done", "unchanged", "skipped", "failed", "interrupted"]
Outcome = Literal["unknown", "done", "accepted", "failed"]
ENDS = frozenset({"incident.closed", "incident.aborted"})
"""The kinds of records by which an incident, or taking it back, ends."""
TURNING_POINTS = ENDS | {
    "incident.opened",
    "incident.asked",
    "incident.started",
    "incident.waiting",
    "incident.paused",
    "undo.started",
}
"""The kinds of records that status, error and times are folded from: a tenth of all, or less."""
PREFIX = "inc-"
"""How the ids of incidents, and so their chains in the journal, begin."""


@dataclass(frozen=True)
class RecordedChange:
    """A change whose intent was recorded, and what became of it.

    ``seq`` is the number of its intent. An intent without an outcome is *unknown*: the process
    died in between, and AWS may have done it. ``settled`` is whether its step has since found, or
    brought about, the state that it was to bring about.
    """

    seq: int
    at: datetime
    step: str
    target: TargetRef
    change: Change
    outcome: Outcome
    error: str
    undone: bool
    settled: bool

    @property
    def may_have_happened(self) -> bool:
        return self.outcome != "failed"


@dataclass(frozen=True)
class StepState:
    """How one step stands for one target."""

    id: str
    step: str
    target: str
    status: StepStatus
    started: datetime
    finished: datetime | None
    error: str
    outputs: Mapping[str, Any]
    verified: bool | None


@dataclass(frozen=True)
class ManualTask:
    """Something that only people can do."""

    id: str
    text: str
    by: str
    done: bool | None
    note: str


@dataclass(frozen=True)
class KnownFinding:
    """A finding that an incident is about, as it was when it was last heard of.

    ``resolved`` is whether somebody has archived or resolved it where it came from.
    """

    finding: Mapping[str, Any]
    resolved: bool


@dataclass(frozen=True)
class UndoBegun:
    """Taking back, of one step or (None) of everything, that was begun and has not ended."""

    step: str | None


@dataclass(frozen=True)
class Incident:
    """An incident's state.

    ``opened`` is the body of its first record. ``findings`` are what it is about, in the order in
    which they came. ``plan`` is the newest plan made. ``paused`` is why it waits for the service
    alone, which goes on by itself; empty where it doesn't. ``undoing`` is whether somebody has
    begun to take all of it back; ``undo_begun`` is what of that has not ended.
    """

    id: str
    status: IncidentStatus
    opened_at: datetime
    requester: Actor
    opened: Mapping[str, Any]
    targets: tuple[TargetRef, ...]
    findings: tuple[KnownFinding, ...]
    plan: Plan | None
    steps: tuple[StepState, ...]
    changes: tuple[RecordedChange, ...]
    gates: tuple[str, ...]
    manual: tuple[ManualTask, ...]
    warnings: tuple[str, ...]
    closed_at: datetime | None
    error: str
    paused: str
    undoing: bool
    undo_begun: UndoBegun | None

    @property
    def unfinished(self) -> bool:
        """Whether somebody has to go on with it: it was begun, and nobody has ended or stopped it."""
        if self.undo_begun is not None:
            return True
        return self.status in {"running", "waiting"} and not self.undoing

    @property
    def playbook(self) -> str:
        return str(self.opened["playbook"])

    @property
    def simulate(self) -> str:
        return str(self.opened["simulate"])

    @property
    def mode(self) -> str:
        return "simulated" if self.simulate else "live"

    @property
    def drill(self) -> str:
        """The live drill that it is part of; empty where it is real, or simulated."""
        # Records from before there were live drills know of none.
        return str(self.opened.get("drill", ""))

    @property
    def side(self) -> str:
        """Its mode as people are shown it: a drill is not to be taken for an emergency."""
        return f"DRILL ({self.mode})" if self.drill else self.mode

    def outputs(self) -> dict[str, dict[str, Any]]:
        """What steps returned for each target, by its ARN and by step id, for ``${steps.<id>…}``."""
        found: dict[str, dict[str, Any]] = {}
        for step in self.steps:
            if step.status in {"done", "unchanged"}:
                found.setdefault(step.target, {})[step.id] = dict(step.outputs)
        return found

    def unknown(self) -> Iterator[RecordedChange]:
        """The changes of which nobody knows yet whether they have happened."""
        return (
            change
            for change in self.changes
            if change.outcome == "unknown" and not change.settled and not change.undone
        )

    def to_undo(self, step: str | None = None) -> list[RecordedChange]:
        """What may have happened and was not taken back, in the order in which it was done."""
        return [
            change
            for change in self.changes
            if change.may_have_happened and not change.undone and step in (None, change.step)
        ]


def new_incident_id(now: datetime | None = None) -> str:
    """``inc-20261123-7f3a9c``: sortable by day, short enough to say, and a valid SourceIdentity."""
    return f"{PREFIX}{now or clock.now():%Y%m%d}-{secrets.token_hex(3)}"


def is_incident(chain: str) -> bool:
    """Whether a chain of the journal is an incident's; others tell of what belongs to none."""
    return chain.startswith(PREFIX)


def finding_key(finding: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells a finding, as records hold it, from every other one, whatever its version."""
    return tuple(str(finding.get(part)) for part in ("source", "account", "region", "id"))


def fold(records: Sequence[Record]) -> Incident:
    """The incident that these records tell of. Raises InvalidInput where there are none."""
    if not records or records[0].kind != "incident.opened":
        raise InvalidInput("There is no such incident.", advice="`clampdown incidents` lists them.")
    story = _Story()
    for record in records:
        story.add(record)
    opened = records[0]
    return Incident(
        id=opened.incident,
        status=story.status,
        opened_at=opened.at,
        requester=opened.actor,
        opened=opened.body,
        targets=tuple(_ref(item) for item in opened.body["targets"]),
        findings=tuple(story.findings.values()),
        plan=story.plan,
        steps=tuple(story.steps.values()),
        changes=tuple(story.recorded()),
        gates=tuple(dict.fromkeys(story.gates)),
        manual=tuple(story.manual.values()),
        warnings=tuple(dict.fromkeys(story.warnings)),
        closed_at=story.closed_at,
        error=story.error,
        paused=story.paused,
        undoing=story.undoing,
        undo_begun=story.undo_begun,
    )


@dataclass
class _Story:
    status: IncidentStatus = "running"
    findings: dict[tuple[str, ...], KnownFinding] = field(default_factory=dict)
    plan: Plan | None = None
    steps: dict[tuple[str, str], StepState] = field(default_factory=dict)
    intents: dict[int, Record] = field(default_factory=dict)
    outcomes: dict[int, Record] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    gates: list[str] = field(default_factory=list)
    manual: dict[str, ManualTask] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    closed_at: datetime | None = None
    error: str = ""
    paused: str = ""
    aborted: bool = False
    undoing: bool = False
    undo_begun: UndoBegun | None = None

    def add(self, record: Record) -> None:
        body = record.body
        match record.kind:
            case "incident.opened":
                self.status = "proposed" if body["proposed"] else "running"
                if body["finding"]:
                    self._found(body["finding"], resolved=False)
            case "finding.joined" | "finding.resolved":
                self._found(body["finding"], resolved=record.kind == "finding.resolved")
            case "incident.started" | "incident.asked":
                self._moved("running")
                self.closed_at, self.error = None, ""
            case "incident.waiting":
                self._moved("waiting")
            case "incident.paused":
                self._moved("waiting")
                self.paused = body["why"]
            case "incident.aborted":
                self.status, self.aborted, self.paused = "aborted", True, ""
                self.closed_at, self.error = record.at, body["why"]
            case "incident.closed":
                self._moved(body["status"])
                self.closed_at, self.error = record.at, body["error"] or self.error
                self.undo_begun = None
            case "undo.started":
                self.undoing = self.undoing or body["step"] is None
                self.undo_begun = UndoBegun(body["step"])
                self.error = self.paused = ""
            case "plan.made":
                self.plan = Plan.from_json(body["plan"])
                self.warnings.extend(
                    warning for step in self.plan.steps for warning in step.warnings
                )
            case "gate.requested" | "gate.skipped":
                self.gates.append(body["gate"])
            case "step.started":
                self.steps[body["step"], body["target"]] = StepState(
                    body["step"],
                    body["name"],
                    body["target"],
                    "running",
                    record.at,
                    None,
                    "",
                    {},
                    None,
                )
            case "step.finished":
                self._finish(record)
            case "verify.passed" | "verify.failed":
                self._verify(record)
            case "change.intent":
                self.intents[record.seq] = record
            case "change.outcome":
                self.outcomes[body["intent"]] = record
            case "change.undone":
                self.undone.add(body["intent"])
            case "manual.requested":
                self.manual[body["id"]] = ManualTask(body["id"], body["text"], body["by"], None, "")
            case "manual.decided":
                asked = self.manual[body["id"]]
                self.manual[body["id"]] = ManualTask(
                    asked.id, asked.text, asked.by, body["done"], body["note"]
                )
            case "warning":
                self.warnings.append(body["text"])
            case _:
                return

    def _moved(self, status: IncidentStatus) -> None:
        """What was aborted stays so, whatever the executor wrote until it knew; undoing ends it."""
        self.paused = ""
        if not self.aborted or status == "undone":
            self.status = status

    def _found(self, finding: Mapping[str, Any], *, resolved: bool) -> None:
        """Another finding, or another word of a known one, which keeps its place."""
        self.findings[finding_key(finding)] = KnownFinding(finding, resolved)

    def _finish(self, record: Record) -> None:
        body = record.body
        key = (body["step"], body["target"])
        started = self.steps[key].started if key in self.steps else record.at
        if body["status"] in {"done", "unchanged"}:
            self.settled.update(
                seq
                for seq, intent in self.intents.items()
                if (intent.body["step"], _ref(intent.body["target"]).arn) == key
            )
        self.steps[key] = StepState(
            body["step"],
            body["name"],
            body["target"],
            body["status"],
            started,
            record.at,
            body["error"],
            body["outputs"],
            None,
        )

    def _verify(self, record: Record) -> None:
        body = record.body
        key = (body["step"], body["target"])
        if key in self.steps:
            passed = record.kind == "verify.passed"
            step = self.steps[key]
            self.steps[key] = StepState(
                step.id,
                step.step,
                step.target,
                step.status,
                step.started,
                step.finished,
                body["error"] or step.error,
                step.outputs,
                passed,
            )

    def recorded(self) -> Iterator[RecordedChange]:
        for seq, intent in self.intents.items():
            if intent.body["undoes"] is not None:
                continue
            outcome = self.outcomes.get(seq)
            yield RecordedChange(
                seq=seq,
                at=intent.at,
                step=intent.body["step"],
                target=_ref(intent.body["target"]),
                change=Change.from_json(intent.body["change"]),
                outcome=outcome.body["status"] if outcome else "unknown",
                error=outcome.body["error"] if outcome else "",
                undone=seq in self.undone,
                settled=seq in self.settled,
            )


def ref_to_json(ref: TargetRef) -> dict[str, str]:
    return {"kind": ref.kind, "account": ref.account, "region": ref.region, "id": ref.id}


def _ref(data: Mapping[str, str]) -> TargetRef:
    return TargetRef(data["kind"], data["account"], data["region"], data["id"])
