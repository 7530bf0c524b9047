"""Every registered step keeps the contract of a step, each held to it on a simulated AWS.

A step is under test by being registered. ``EXAMPLES`` says with which parameters, on which
instance and after which other steps; a step that isn't there is run with its defaults.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest

from flows.gameday.aws.memory import Memory
from flows.gameday.aws.server import SimulatedAws
from runbooks import aws
from runbooks.calls import PlannedStep, matches, unique
from runbooks.clean_room import create
from runbooks.clean_room.template import BY_CLOUDFORMATION
from runbooks.ec2 import isolate
from runbooks.errors import (
    AwsRefused,
    ClampdownError,
    NotContained,
    OutcomeUnknown,
    ProtectedResource,
)
from runbooks.evidence import wait
from runbooks.guardrails import Protected
from runbooks.registry import STEPS
from runbooks.step import AnyStep
from runbooks.targets.reading import CORE_PERMISSIONS
from tests.runbooks.driver import Crash, Incident, MemoryLedger
from tests.runbooks.stage import Stage, State

# What is died at in every change is that AWS has done what is not recorded; and after that, it is
# undone. Before that, AWS is as the change before has left it: there changes take turns, from day
# to day. With TEST_EVERY_CRASH=1 every boundary is died at and undone after, every day.
EVERY_CRASH = bool(os.environ.get("TEST_EVERY_CRASH"))
UNINTENDED, UNSENT, UNRECORDED, RECORDED = 1, 2, 3, 0


def nothing(state: State, before: State) -> State:
    return state


def replacement(state: State, before: State) -> State:
    """The state without what a group launched meanwhile, and without its capacity for that."""
    new = {identity for kind in ("instances", "interfaces") for identity in state[kind]} - {
        identity for kind in ("instances", "interfaces") for identity in before[kind]
    }

    def forget(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: forget(item) for key, item in value.items() if key not in new}
        if isinstance(value, list):
            return [item for item in value if not new.intersection(_ID.findall(repr(item)))]
        return value

    left: State = forget(state)
    for name, group in left["scaling"].items():
        smallest, largest, desired = group["sizes"]
        launched = len(new.intersection(state["scaling"][name]["members"]))
        group["sizes"] = (smallest, largest, desired - launched)
    return left


@dataclass(frozen=True)
class Example:
    """A step with parameters, on the instance of that name, after the steps ``before``.

    ``undo_leaves`` takes what its undo is documented to leave, beyond evidence, out of a state;
    the step's own tests say that it does leave it.
    """

    step: str
    params: Mapping[str, Any] = field(default_factory=dict)
    instance: str = "victim"
    before: tuple[str, ...] = ()
    undo_leaves: Callable[[State, State], State] = nothing

    def __str__(self) -> str:
        settings = ",".join(f"{key}={value}" for key, value in self.params.items())
        after = f" after {', '.join(self.before)}" if self.before else ""
        return f"{self.step}({settings}){after}" if settings else f"{self.step}{after}"


EXAMPLES = (
    Example("ec2.contain_credentials"),
    Example("ec2.contain_credentials", {"profile": "keep", "disable_imds": True}),
    Example("ec2.contain_credentials", {"scope": "role", "disable_imds": True}),
    Example("autoscaling.detach", {"replacement": "launch"}, undo_leaves=replacement),
    Example("autoscaling.detach", {"replacement": "none"}, before=("ec2.protect",)),
    Example("autoscaling.detach", {"replacement": "standby"}),
    Example("elb.deregister"),
    Example("elb.deregister", before=("autoscaling.detach",)),
    Example("ec2.isolate"),
    Example("ec2.isolate", {"remove_public_address": True, "disable_imds": True}),
    Example("ec2.isolate", {"tracked_connections": "leave", "allow_from": ("192.0.2.0/24",)}),
    Example("ec2.isolate", {"tracked_connections": "untrack"}, instance="standalone"),
    Example("ec2.tag", {"tags": {"case": "7", "Name": "evidence"}}),
    Example("evidence.wait", before=("ec2.snapshot",)),
    Example("evidence.wait", {"lock": "compliance", "cool_off": "1h"}, before=("ec2.snapshot",)),
    Example("clean_room.create", before=("ec2.snapshot",)),
)

# Declared, and called only when something else goes wrong; who tests that.
ONLY_IN_NEED = {
    # tests/runbooks/ec2/test_isolate.py: an Elastic IP, and a group that somebody has opened.
    "ec2.isolate": {
        "ec2:AssociateAddress",
        "ec2:DisassociateAddress",
        "ec2:RevokeSecurityGroupIngress",
    },
    # tests/runbooks/ec2/test_contain_credentials.py: when the instance does not run. The others are
    # no calls: creation with tags needs two of them, and giving an instance a role needs the last.
    "ec2.contain_credentials": {
        "ec2:AssociateIamInstanceProfile",
        "ec2:DisassociateIamInstanceProfile",
        "iam:TagInstanceProfile",
        "iam:TagRole",
        "iam:PassRole",
    },
    # tests/runbooks/autoscaling/test_detach.py: when it is already terminating.
    "autoscaling.detach": {
        "autoscaling:DescribeLifecycleHooks",
        "autoscaling:RecordLifecycleActionHeartbeat",
    },
    # tests/runbooks/ec2/test_snapshot.py: when the set is refused.
    "ec2.snapshot": {"ec2:CreateSnapshot"},
    # tests/runbooks/clean_room/test_create.py: while it is made, when it can't be, and with another
    # image. The others are not the step's calls but CloudFormation's.
    "clean_room.create": {
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStackResources",
        "ec2:DescribeImages",
        "ssm:GetParameter",
        *BY_CLOUDFORMATION,
    },
}


def examples() -> list[Example]:
    known = {example.step for example in EXAMPLES}
    return [*EXAMPLES, *(Example(name) for name in STEPS if name not in known)]


def of_every_step() -> Any:
    return pytest.mark.parametrize("example", examples(), ids=str)


def test_every_example_is_of_a_registered_step() -> None:
    assert {example.step for example in EXAMPLES} <= set(STEPS)


@pytest.fixture
def stage(simulated_aws: SimulatedAws) -> Stage:
    return Stage(simulated_aws)


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wait, create):
        monkeypatch.setattr(module, "LOOK_EVERY", timedelta(milliseconds=20))
    monkeypatch.setattr(isolate, "UNTRACK_WAIT", timedelta(milliseconds=20))
    # tests/runbooks/test_aws.py: how long is waited before a call is sent again.
    monkeypatch.setattr(aws.Reader, "_pause", lambda self, seconds: self._stop.wait(seconds / 20))


@dataclass(frozen=True)
class Beginning:
    """What examples begin with, after the steps before theirs: made once, and come back to."""

    instance: str
    memory: Memory
    state: State

    @classmethod
    def of(cls, example: Example, stage: Stage) -> Beginning:
        key = (stage.url, example.instance, example.before)
        if key not in _BEGINNINGS:
            instance = stage.set_up().ids[example.instance]
            incident = Incident(stage.url)
            for name in example.before:
                incident.run(STEPS[name], instance)
            incident.close()
            _BEGINNINGS[key] = cls(instance, stage.aws.remember(), stage.state())
        return _BEGINNINGS[key]


_BEGINNINGS: dict[tuple[str, str, tuple[str, ...]], Beginning] = {}


class Scene:
    """An example on a fresh world: everything a test does to it, and what it finds out."""

    def __init__(self, example: Example, stage: Stage) -> None:
        beginning = Beginning.of(example, stage)
        stage.aws.recall(beginning.memory)
        self.stage = stage
        self.example = example
        self.step: type[AnyStep] = STEPS[example.step]
        self.params = example.params
        self.instance = beginning.instance
        self.incident = Incident(stage.url)
        self.before = beginning.state

    def plan(self) -> PlannedStep:
        return self.incident.plan(self.step, self.instance, self.params)

    def run(self, ledger: MemoryLedger, *, verify: bool = True) -> MemoryLedger:
        return self.incident.run(
            self.step, self.instance, self.params, ledger=ledger, verify=verify
        )

    def undo(self, ledger: MemoryLedger) -> None:
        self.incident.undo(ledger)

    def undone(self) -> State:
        """The state after an undo, without what is to stay."""
        return self.example.undo_leaves(self.stage.without_evidence(), self.before)

    def untouched(self) -> State:
        """The state from before, as :meth:`undone` must be."""
        return self.stage.without_evidence(self.before)

    def contained(self) -> State:
        """The state, as two runs on the same world can be compared."""
        return _without_ids(self.stage.state(), self.before)


@pytest.fixture
def scene(example: Example, stage: Stage) -> Iterator[Scene]:
    scene = Scene(example, stage)
    yield scene
    scene.incident.close()


@dataclass(frozen=True)
class Reference:
    """How an example goes when nothing goes wrong."""

    planned: PlannedStep
    ledger: MemoryLedger
    contained: State

    @property
    def actions(self) -> list[str]:
        return sorted({change.call.action for change in self.ledger.intents})


_REFERENCES: dict[str, Reference] = {}


def reference(example: Example, stage: Stage) -> Reference:
    """The undisturbed run that disturbed ones are held against; made once."""
    if str(example) not in _REFERENCES:
        scene = Scene(example, stage)
        planned = scene.plan()
        ledger = scene.run(MemoryLedger())
        _REFERENCES[str(example)] = Reference(planned, ledger, scene.contained())
        scene.incident.close()
    return _REFERENCES[str(example)]


@of_every_step()
def test_planning_changes_nothing(scene: Scene) -> None:
    scene.plan()

    assert scene.stage.changes() == []
    assert scene.stage.state() == scene.before


@of_every_step()
def test_a_run_makes_exactly_the_planned_calls(scene: Scene) -> None:
    planned = scene.plan()
    ledger = scene.run(MemoryLedger())

    made = [change.call for change in ledger.intents]
    left = list(made)
    for change in planned.changes:
        found = next((call for call in left if matches(change.call, call)), None)
        assert found is not None, f"planned and not made: {change.call}"
        left.remove(found)
    for call in left:
        assert any(matches(change.call, call) for change in planned.contingent), (
            f"made and not planned: {call}"
        )
    assert made, "an example that changes nothing tests nothing"
    assert Counter(scene.stage.changes()) == Counter(call.action for call in made)
    assert set(ledger.outcomes) == set(range(1, len(made) + 1))


@of_every_step()
def test_a_second_run_changes_nothing(scene: Scene) -> None:
    scene.run(MemoryLedger())
    scene.stage.forget_calls()

    again = scene.run(MemoryLedger())

    assert again.intents == []
    assert scene.stage.changes() == []


@of_every_step()
def test_undo_restores_the_state_from_before(scene: Scene) -> None:
    ledger = scene.run(MemoryLedger())
    assert scene.stage.state() != scene.before

    scene.undo(ledger)

    assert scene.undone() == scene.untouched()


@of_every_step()
def test_undoing_twice_is_undoing_once(scene: Scene) -> None:
    ledger = scene.run(MemoryLedger())

    scene.undo(ledger)
    scene.undo(ledger)

    assert scene.undone() == scene.untouched()


@of_every_step()
def test_a_crash_anywhere_is_made_good_by_running_again(example: Example, stage: Stage) -> None:
    undisturbed = reference(example, stage)
    last = 4 * len(undisturbed.ledger.intents)
    for boundary in boundaries(last):
        scene = Scene(example, stage)
        ledger = MemoryLedger(crash_at=boundary)
        with pytest.raises(Crash):
            scene.run(ledger)

        ledger.crash_at = None
        scene.run(ledger)

        assert scene.contained() == undisturbed.contained, f"after a crash at {boundary}"
        if EVERY_CRASH or boundary % 4 == UNRECORDED or boundary == last:
            scene.undo(ledger)
            assert scene.undone() == scene.untouched(), f"undone after a crash at {boundary}"
        scene.incident.close()


def boundaries(last: int) -> Iterator[int]:
    """Where to crash: there are four boundaries to a change."""
    today = date.today().toordinal()
    for boundary in range(1, last + 1):
        change, place = divmod(boundary, 4)
        # After one's outcome is before the next one's intent.
        if place == RECORDED and boundary != last:
            continue
        in_turn = place in (UNINTENDED, UNSENT) and (change + today) % 3 == place
        if EVERY_CRASH or place == UNRECORDED or boundary == last or in_turn:
            yield boundary


@of_every_step()
def test_permissions_cover_every_call(scene: Scene) -> None:
    step = scene.step
    declared = {
        *CORE_PERMISSIONS,
        *step.permissions.read,
        *step.permissions.change,
        *(action for fact in step.facts for action in fact.permissions),
    }
    scene.undo(scene.run(MemoryLedger()))

    assert scene.stage.actions() <= declared


@pytest.mark.parametrize("name", STEPS)
def test_no_permission_is_declared_in_vain(name: str, stage: Stage) -> None:
    step = STEPS[name]
    used: set[str] = set()
    for example in examples():
        if example.step == name:
            scene = Scene(example, stage)
            scene.undo(scene.run(MemoryLedger()))
            scene.run(MemoryLedger())
            used |= stage.actions()
            scene.incident.close()
    declared = {*step.permissions.read, *step.permissions.change}

    assert declared - used == ONLY_IN_NEED.get(name, set())


@of_every_step()
def test_throttling_of_every_call_is_outlasted(scene: Scene, stage: Stage) -> None:
    undisturbed = reference_actions(scene)
    for action in undisturbed:
        stage.throttle(action, times=2)

    ledger = scene.run(MemoryLedger())

    assert set(ledger.outcomes.values()) <= {"done"}


def reference_actions(scene: Scene) -> list[str]:
    planned = scene.plan()
    changes = planned.changes or planned.contingent
    return sorted({change.call.action for change in changes})


@of_every_step()
def test_a_denied_call_is_named_and_made_good_once_it_is_allowed(
    example: Example, stage: Stage
) -> None:
    undisturbed = reference(example, stage)
    for action in undisturbed.actions:
        scene = Scene(example, stage)
        stage.deny(action)
        ledger = MemoryLedger()

        with pytest.raises(ClampdownError, match=action) as caught:
            scene.run(ledger)

        assert isinstance(caught.value, (AwsRefused, NotContained))
        failed = {
            ledger.intents[number - 1].call.action
            for number, outcome in ledger.outcomes.items()
            if outcome == "failed"
        }
        assert failed == {action}
        stage.allow_everything()
        scene.run(ledger)
        assert scene.contained() == undisturbed.contained, f"after {action} was denied"
        scene.undo(ledger)
        assert scene.undone() == scene.untouched()
        scene.incident.close()


@of_every_step()
def test_a_lost_answer_leads_to_no_second_change(example: Example, stage: Stage) -> None:
    undisturbed = reference(example, stage)
    for action in undisturbed.actions:
        scene = Scene(example, stage)
        stage.lose_answer(action)
        ledger = MemoryLedger()

        with pytest.raises(OutcomeUnknown, match=action):
            scene.run(ledger)

        assert list(ledger.outcomes.values()).count("unknown") == 1
        stage.allow_everything()
        scene.run(ledger)
        assert scene.contained() == undisturbed.contained, f"after an answer to {action} was lost"
        scene.undo(ledger)
        assert scene.undone() == scene.untouched()
        scene.incident.close()


@of_every_step()
def test_a_protected_resource_is_refused_before_anything_is_sent(
    example: Example, stage: Stage
) -> None:
    scene = Scene(example, stage)
    planned = scene.plan()
    arns = {change.on.arn for change in (*planned.changes, *planned.contingent)}
    scene.incident.protected = [
        Protected(arn=re.sub(r"<pending:[^<>]+>", "*", arn)) for arn in arns
    ]
    ledger = MemoryLedger()

    with pytest.raises(ProtectedResource):
        scene.run(ledger)

    assert ledger.intents == []
    assert stage.changes() == []
    scene.incident.close()


# Ids of EC2 and IAM; a stack's, what CloudFormation puts behind the names that it makes up, and
# the times in tags.
_ID = re.compile(
    r"\b(?:[a-z]+-[0-9a-f]{8,17}|A[A-Z]{3}[A-Z0-9]{12,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?<=-)[A-Z0-9]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\b"
)


def _without_ids(state: State, before: State) -> State:
    """The state with ids that differ from run to run replaced.

    Those of the world get numbers in the order in which it has them; new ones are all "new".
    """
    known = {identity: str(n) for n, identity in enumerate(unique(_ID.findall(repr(before))))}

    def forget(value: Any) -> Any:
        if isinstance(value, dict):
            return {forget(key): forget(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return sorted((forget(item) for item in value), key=repr)
        if isinstance(value, str):
            return _ID.sub(lambda match: known.get(match[0], "new"), value)
        return value

    return forget(state)
