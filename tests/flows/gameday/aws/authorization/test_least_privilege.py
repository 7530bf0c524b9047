"""Every step, carried out and undone with exactly the permissions that Clampdown says it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from flows.gameday.aws.authorization.actions import Need
from flows.gameday.aws.authorization.enforce import Authority
from flows.gameday.aws.server import SimulatedAws
from runbooks.clean_room import create
from runbooks.connections import AccountAccess, Connections
from runbooks.ec2 import isolate
from runbooks.errors import ClampdownError
from runbooks.evidence import wait
from runbooks.permissions import policy_for
from runbooks.registry import STEPS
from tests.flows.gameday.aws.authorization.conftest import ACCOUNT, Iam
from tests.flows.gameday.aws.authorization.documents import trust
from tests.runbooks.driver import REGION, Incident, MemoryLedger
from tests.runbooks.stage import Stage
from tests.runbooks.test_step_contracts import Example, examples

ROLE = "clampdown"
AGREED = "case-7"

of_every_step = pytest.mark.parametrize("example", examples(), ids=str)


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wait, create):
        monkeypatch.setattr(module, "LOOK_EVERY", timedelta(milliseconds=20))
    monkeypatch.setattr(isolate, "UNTRACK_WAIT", timedelta(milliseconds=20))


class Restricted:
    """A step and those before it, by somebody who may do what they need and nothing else."""

    def __init__(self, example: Example, aws: SimulatedAws, without: Iterable[str] = ()) -> None:
        self.example = example
        self.stage = Stage(aws)
        self.instance = self.stage.set_up().ids[example.instance]
        iam = Iam(aws, REGION)
        role = iam.role(
            ROLE,
            trust(
                f"arn:aws:iam::{ACCOUNT}:root",
                ["sts:AssumeRole", "sts:SetSourceIdentity"],
                Condition={"StringEquals": {"sts:ExternalId": AGREED}},
            ),
        )
        steps = [STEPS[name] for name in (*example.before, example.step)]
        iam.allow_role(ROLE, *_less(policy_for(steps, [role]), without))
        aws.configure(enforce_iam=True)
        self.incident = Incident(aws.url)
        self.incident.close()
        self.incident.connections = Connections(
            {ACCOUNT: AccountAccess(role, AGREED)},
            session_name=self.incident.id,
            simulate=aws.url,
        )
        self.ledger = MemoryLedger()

    def run(self) -> None:
        for name in self.example.before:
            self.incident.run(STEPS[name], self.instance)
        self.stage.forget_calls()
        step = STEPS[self.example.step]
        self.incident.run(step, self.instance, self.example.params, ledger=self.ledger)

    def undo(self) -> None:
        self.incident.undo(self.ledger)

    def refused(self) -> list[str]:
        return [call.name for call in self.stage.aws.calls if _is_refusal(call.error)]


def _is_refusal(code: str) -> bool:
    return code.startswith(("AccessDenied", "UnauthorizedOperation", "AuthFailure"))


def _less(policy: Mapping[str, Any], without: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The policy's statements without the actions."""
    for statement in policy["Statement"]:
        left = [action for action in statement["Action"] if action not in set(without)]
        if left:
            yield {**statement, "Action": left}


@of_every_step
def test_a_step_and_its_undo_need_what_its_policy_allows(
    example: Example, simulated_aws: SimulatedAws
) -> None:
    restricted = Restricted(example, simulated_aws)

    restricted.run()
    restricted.undo()

    assert restricted.ledger.intents
    assert set(restricted.ledger.outcomes.values()) == {"done"}
    assert restricted.refused() == []


@of_every_step
def test_without_one_of_its_permissions_a_step_says_which(
    example: Example, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = _needed(example, simulated_aws, monkeypatch)
    step = STEPS[example.step]
    declared = {
        *step.permissions.change,
        *step.permissions.read,
        *(action for fact in step.facts for action in fact.permissions),
    }
    assert needed & declared

    for action in sorted(needed & declared):
        restricted = Restricted(example, simulated_aws, [action])

        with pytest.raises(ClampdownError, match=f"not authorized to perform: {action}"):
            restricted.run()

        failed = {
            restricted.ledger.intents[number - 1].call.action
            for number, outcome in restricted.ledger.outcomes.items()
            if outcome == "failed"
        }
        assert len(failed) <= 1


def _needed(example: Example, aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The actions that IAM is asked about while the step runs."""
    asked: set[str] = set()
    require = Authority.require

    def recording(self: Authority, needs: Iterable[Need], about: Any = None) -> None:
        listed = list(needs)
        if self.caller.began is not None:
            asked.update(need.action for need in listed)
        require(self, listed, about)

    with monkeypatch.context() as patched:
        patched.setattr(Authority, "require", recording)
        Restricted(example, aws).run()
    return asked
