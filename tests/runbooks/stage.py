"""The stage on which steps are tried out: the small world in the simulated AWS, and what goes wrong.

Between two scenes it is brought back to the beginning, with the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import World, WorldIds, build, client, load_world, state

State = dict[str, Any]

_THROTTLED = {"ec2": ("RequestLimitExceeded", 503)}
_DENIED = {"ec2": ("UnauthorizedOperation", 403)}
# What is tagged by the call that makes it needs ec2:CreateTags too (Service Authorization
# Reference, "Actions, resources, and condition keys for Amazon EC2").
_TAGGED_AT_BIRTH = "TagSpecification.1.Tag.1.Key"


class Stage:
    """The simulated AWS with a world on it."""

    def __init__(self, aws: SimulatedAws) -> None:
        self.aws = aws
        self.url = aws.url
        self._plan: World = load_world("small")
        self.world: WorldIds

    def set_up(self) -> WorldIds:
        """The world as if nothing had happened yet."""
        from moto.moto_api._internal import mock_random

        # moto then chooses the same ids every time, so that two runs can be compared.
        mock_random.seed(1)
        self.aws.reset()
        mock_random.seed(2)
        self.world = build(self._plan, self.url)
        self.forget_calls()
        return self.world

    def client(self, service: str) -> Any:
        return client(self.url, self._plan.region, service)

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Look, or arrange, without it counting as a call of the step."""
        known = len(self.aws.calls)
        yield
        del self.aws.calls[known:]

    # What was called

    def forget_calls(self) -> None:
        self.aws.calls.clear()

    def changes(self) -> list[str]:
        """The actions of the changing calls that were made, in their order."""
        return [_action(call) for call in self.aws.calls if call.changes]

    def actions(self) -> set[str]:
        """The IAM actions that the calls made so far need."""
        tagged = any(_TAGGED_AT_BIRTH in call.parameters for call in self.aws.calls)
        return {*map(_action, self.aws.calls), *(["ec2:CreateTags"] if tagged else [])}

    # What goes wrong

    def throttle(self, action: str, *, times: int) -> None:
        """Throttle the first calls of the action."""
        service, operation = action.split(":")
        code, status = _THROTTLED.get(service, ("Throttling", 400))
        self.aws.fault(Fault(service, operation, code=code, status=status, times=times))

    def deny(self, action: str) -> None:
        service, operation = action.split(":")
        code, status = _DENIED.get(service, ("AccessDenied", 403))
        self.aws.fault(Fault(service, operation, code=code, status=status))

    def refuse(self, action: str, code: str, *, skip: int = 0, times: int = 1_000_000) -> None:
        """Answer the action with an error, after the first ``skip`` calls, ``times`` times."""
        service, operation = action.split(":")
        self.aws.fault(Fault(service, operation, code=code, skip=skip, times=times))

    def lose_answer(self, action: str) -> None:
        """Carry the first call of the action out, and give no answer."""
        service, operation = action.split(":")
        self.aws.fault(Fault(service, operation, effect="lost_answer", times=1))

    def allow_everything(self) -> None:
        self.aws.clear_faults()

    # What there is

    def state(self) -> State:
        with self.unrecorded():
            found = state(self.url, self._plan.region)
            locks = self.client("ec2").describe_locked_snapshots()["Snapshots"]
        kept = ("LockState", "LockDuration", "CoolOffPeriod")
        return {
            **found,
            "locks": {
                lock["SnapshotId"]: [str(lock.get(member)) for member in kept] for lock in locks
            },
        }

    def without_evidence(self, state: State | None = None) -> State:
        """The state without snapshots, their locks and their tags: an undo keeps those."""
        left = dict(self.state() if state is None else state)
        snapshots = set(left.pop("snapshots"))
        del left["locks"]
        left["tags"] = {key: tags for key, tags in left["tags"].items() if key not in snapshots}
        return left


def _action(call: Any) -> str:
    return f"{call.service}:{call.operation}"
