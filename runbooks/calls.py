"""AWS calls as plain data: what is sent, how it is taken back, and the plan that people approve.

A plan is made by running the steps with changes recorded instead of sent. What AWS has yet to
choose (an id, a time) stands in it as a *pending* value, ``<pending:ec2.isolate/1/GroupId>``. The
same plan later says whether a call about to be sent is one of those planned: a pending value
matches whatever AWS chose, everything else must be equal.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import rfc8785

IAM_PREFIXES = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing"}

_PENDING = re.compile(r"<pending:[^<>]+>")


def pending(name: str) -> str:
    """A value that AWS will choose when the plan is carried out, under a readable name."""
    return f"<pending:{name}>"


def is_pending(value: object) -> bool:
    """Whether any part of the value is still to be chosen by AWS."""
    if isinstance(value, str):
        return _PENDING.search(value) is not None
    if isinstance(value, Mapping):
        return any(is_pending(item) for item in value.values())
    if isinstance(value, Sequence):
        return any(is_pending(item) for item in value)
    return False


@dataclass(frozen=True, init=False)
class Call:
    """One call of the AWS API, named as boto3 names it.

    ``params`` are the API's own parameters, as JSON-like data.
    """

    service: str
    operation: str
    params: Mapping[str, Any]

    def __init__(self, service: str, operation: str, /, **params: Any) -> None:
        object.__setattr__(self, "service", service)
        object.__setattr__(self, "operation", operation)
        object.__setattr__(self, "params", params)

    @property
    def api_name(self) -> str:
        """``DescribeInstances`` for ``describe_instances``: as IAM and CloudTrail write it."""
        return "".join(word.capitalize() for word in self.operation.split("_"))

    @property
    def action(self) -> str:
        """The IAM action that the call needs, such as ``ec2:CreateTags``."""
        return f"{IAM_PREFIXES.get(self.service, self.service)}:{self.api_name}"

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={_short(value)}" for key, value in self.params.items())
        return f"{self.service}.{self.operation}({arguments})"

    def __hash__(self) -> int:
        return hash((self.service, self.operation, canonical(self.params)))

    def to_json(self) -> dict[str, Any]:
        return {"service": self.service, "operation": self.operation, "params": _plain(self.params)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Call:
        return cls(data["service"], data["operation"], **data["params"])


@dataclass(frozen=True)
class Found:
    """A value that an undo looks up when it runs: whatever then carries this incident's mark.

    What Clampdown creates is undone by its mark and not by the id in AWS's answer, because the
    answer can be lost while the creation happened. Every value found gets a call of its own;
    none found means nothing is left to undo.

    ``by`` is a read, ``path`` a JMESPath into its answer.
    """

    by: Call
    path: str


@dataclass(frozen=True)
class Undo:
    """The call that takes a change back.

    ``unless`` holds AWS's error codes that mean there is nothing to take back any more, or that it
    must stay (``DependencyViolation``: another incident uses the isolation group).
    """

    call: Call
    unless: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"call": self.call.to_json(), "unless": list(self.unless)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Undo:
        call = data["call"]
        params = {key: _unplain(value) for key, value in call["params"].items()}
        return cls(Call(call["service"], call["operation"], **params), tuple(data["unless"]))


@dataclass(frozen=True)
class Keep:
    """The change stays when the incident is undone, and why: evidence, for one."""

    reason: str


@dataclass(frozen=True)
class Resource:
    """What a call changes, for the guardrails: its ARN, and its tags where they are known."""

    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A call that changes something, what it changes, and how it is taken back.

    ``accept`` holds AWS's error codes that mean that the state asked for is there already, or that
    somebody else was faster: nothing was done, and the step goes on.
    """

    call: Call
    on: Resource
    undo: Call | Undo | tuple[Undo, ...] | Keep
    why: str
    accept: tuple[str, ...] = ()

    @property
    def undos(self) -> tuple[Undo, ...]:
        """The calls that take it back, in the order in which they are to run."""
        if isinstance(self.undo, Keep):
            return ()
        if isinstance(self.undo, Call):
            return (Undo(self.undo),)
        return self.undo if isinstance(self.undo, tuple) else (self.undo,)

    def to_json(self) -> dict[str, Any]:
        kept = {"kept": self.undo.reason} if isinstance(self.undo, Keep) else {}
        return {
            "why": self.why,
            "on": self.on.arn,
            "call": self.call.to_json(),
            "undo": [undo.to_json() for undo in self.undos],
            **kept,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Change:
        kept = data.get("kept")
        undos = tuple(Undo.from_json(item) for item in data["undo"])
        undo = Keep(kept) if kept else undos
        return cls(Call.from_json(data["call"]), Resource(data["on"]), undo, data["why"])


@dataclass(frozen=True)
class PlannedStep:
    """What one step would do to one target: its changes in order, and what it can't do.

    ``contingent`` changes are made only if they turn out to be needed. ``id`` is the step's id in
    the playbook, ``target`` the target's ARN, ``gate`` the id of the last gate before it (empty
    where none stands before it).
    """

    id: str
    step: str
    target: str
    gate: str
    changes: tuple[Change, ...]
    contingent: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "step": self.step,
            "target": self.target,
            "gate": self.gate,
            "skipped": self.skipped,
            "changes": [change.to_json() for change in self.changes],
            "contingent": [change.to_json() for change in self.contingent],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlannedStep:
        return cls(
            data["id"],
            data["step"],
            data["target"],
            data["gate"],
            tuple(Change.from_json(item) for item in data["changes"]),
            tuple(Change.from_json(item) for item in data["contingent"]),
            tuple(data["warnings"]),
            data["skipped"],
        )


@dataclass(frozen=True)
class Plan:
    """Every changing call of a playbook for its targets, in order.

    ``version`` is the SHA-256 of the playbook as it was read; the answers of reads are no part of
    a plan.
    """

    playbook: str
    version: str
    targets: tuple[str, ...]
    steps: tuple[PlannedStep, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical form of playbook version, targets and ordered calls."""
        calls = [
            [
                step.id,
                step.target,
                [change.call.to_json() for change in step.changes],
                [change.call.to_json() for change in step.contingent],
            ]
            for step in self.steps
            if step.changes or step.contingent
        ]
        return sha256(
            {
                "playbook": self.playbook,
                "version": self.version,
                "targets": list(self.targets),
                "calls": calls,
            }
        )

    def all_changes(self) -> Iterator[tuple[PlannedStep, Change]]:
        for step in self.steps:
            for change in step.changes:
                yield step, change

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(change for _, change in self.all_changes())

    def behind(self, gate: str) -> Plan:
        """The part of the plan that the gate lets through: what its approvers decide on."""
        return replace(self, steps=tuple(step for step in self.steps if step.gate == gate))

    def step(self, step_id: str, target: str) -> PlannedStep | None:
        """What the plan has for one step and one target."""
        for step in self.steps:
            if step.id == step_id and step.target == target:
                return step
        return None

    def same_as(self, other: Plan) -> bool:
        """Whether both make the same calls, and as often, pending values matching any."""
        return self.differences(other) == ([], [])

    def differences(self, newer: Plan) -> tuple[list[str], list[str]]:
        """The calls that only this plan has, and those that only the newer one has, as sentences."""
        gone = list(self._lines(newer))
        added = list(newer._lines(self))
        return gone, added

    def _lines(self, other: Plan) -> Iterator[str]:
        for step in self.steps:
            theirs = other.step(step.id, step.target)
            left = list(theirs.changes) if theirs else []
            for change in step.changes:
                if not _take(change, left) and not _foreseen(change, theirs):
                    yield f"{step.id}: {change.why}: {change.call}"
            for change in step.contingent:
                if not _foreseen(change, theirs):
                    yield f"{step.id}: if needed, {change.why}: {change.call}"

    def to_json(self) -> dict[str, Any]:
        return {
            "playbook": self.playbook,
            "version": self.version,
            "digest": self.digest,
            "targets": list(self.targets),
            "steps": [step.to_json() for step in self.steps],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(
            data["playbook"],
            data["version"],
            tuple(data["targets"]),
            tuple(PlannedStep.from_json(item) for item in data["steps"]),
        )


def matches(planned: Call, actual: Call, chosen: dict[str, str] | None = None) -> bool:
    """Whether a call is the planned one: equal, but for what AWS had yet to choose.

    ``chosen`` holds what is known of that already, and learns from a call that matches.
    """
    return (planned.service, planned.operation) == (actual.service, actual.operation) and _match(
        _plain(planned.params), _plain(actual.params), {} if chosen is None else chosen
    )


def _same(one: Change, other: Change) -> bool:
    return matches(one.call, other.call) or matches(other.call, one.call)


def _take(change: Change, left: list[Change]) -> bool:
    """Take the change's counterpart out of those that are left, so that it counts once."""
    for theirs in left:
        if _same(change, theirs):
            left.remove(theirs)
            return True
    return False


def _foreseen(change: Change, step: PlannedStep | None) -> bool:
    return step is not None and any(_same(change, theirs) for theirs in step.contingent)


def bind_answer(name: str, answer: Any, chosen: dict[str, str]) -> None:
    """Learn from AWS's answer which values it chose for the pending ones named ``name/…``."""
    if isinstance(answer, Mapping):
        for key, value in answer.items():
            bind_answer(f"{name}/{key}", value, chosen)
    elif isinstance(answer, list) and len(answer) == 1:
        bind_answer(name, answer[0], chosen)
    elif isinstance(answer, str):
        chosen[pending(name)] = answer


def _match(planned: Any, actual: Any, chosen: dict[str, str]) -> bool:
    if is_pending(planned) and type(actual) is int:
        actual = str(actual)
    if isinstance(planned, str) and isinstance(actual, str):
        return _match_text(planned, actual, chosen)
    if isinstance(planned, dict) and isinstance(actual, dict):
        return planned.keys() == actual.keys() and all(
            _match(planned[key], actual[key], chosen) for key in planned
        )
    if isinstance(planned, list) and isinstance(actual, list):
        if len(actual) > 1 and len(planned) == 1 and isinstance(planned[0], str):
            # One pending item stands for as many as AWS makes (default rules of a new group).
            return (
                is_pending(planned[0])
                and planned[0] not in chosen
                and all(_match(planned[0], item, {}) for item in actual)
            )
        return len(planned) == len(actual) and all(
            _match(ours, theirs, chosen) for ours, theirs in zip(planned, actual, strict=True)
        )
    return type(planned) is type(actual) and bool(planned == actual)


def _match_text(planned: str, actual: str, chosen: dict[str, str]) -> bool:
    tokens = _PENDING.findall(planned)
    if not tokens:
        return planned == actual
    fixed = [re.escape(part) for part in _PENDING.split(planned)]
    pattern = "(.+?)".join(fixed)
    match = re.fullmatch(pattern, actual, re.DOTALL)
    if match is None:
        return False
    return all(
        chosen.setdefault(token, value) == value
        for token, value in zip(tokens, match.groups(), strict=True)
    )


def canonical(data: Any) -> bytes:
    """RFC 8785 canonical JSON: one form for everything that is hashed."""
    return rfc8785.dumps(_plain(data))


def sha256(data: Any) -> str:
    """The SHA-256 of the canonical JSON, as lower-case hex."""
    return hashlib.sha256(canonical(data)).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Found):
        return {"$found": {"by": value.by.to_json(), "path": value.path}}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _unplain(value: Any) -> Any:
    if isinstance(value, Mapping) and set(value) == {"$found"}:
        return Found(Call.from_json(value["$found"]["by"]), value["$found"]["path"])
    return value


def _short(value: Any) -> str:
    if isinstance(value, Found):
        return f"<found by {value.by.service}.{value.by.operation}>"
    text = value if isinstance(value, str) else json.dumps(_plain(value), default=str)
    return text if len(text) <= 120 else f"{text[:117]}…"


def unique(items: Iterable[str]) -> list[str]:
    """The items without repetition, in their order."""
    return list(dict.fromkeys(items))
