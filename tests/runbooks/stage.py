"""The stage on which steps are tried out: the small world in the simulated AWS, and what goes wrong.

Between two scenes it is brought back to the beginning, with the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.memory import Memory
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, build, client, load_world, state
from runbooks.calls import IAM_PREFIXES

State = dict[str, Any]
_SMALL = load_world("small")
_BUILT: dict[str, tuple[WorldIds, Memory]] = {}

_THROTTLED = {"ec2": ("RequestLimitExceeded", 503)}
_DENIED = {"ec2": ("UnauthorizedOperation", 403)}
# What is tagged by the call that makes it needs ec2:CreateTags too (Service Authorization
# Reference, "Actions, resources, and condition keys for Amazon EC2").
_TAGGED_AT_BIRTH = "TagSpecifications"


def set_up_world(aws: SimulatedAws) -> WorldIds:
    """Nothing in the simulated AWS but the small world, with the same ids every time.

    It is built once for each simulated AWS and brought back after that.
    """
    if aws.url not in _BUILT:
        aws.reset()
        _BUILT[aws.url] = build(_SMALL, aws.url), aws.remember()
    world, memory = _BUILT[aws.url]
    aws.recall(memory)
    return world


class Stage:
    """The simulated AWS with a world on it."""

    def __init__(self, aws: SimulatedAws) -> None:
        self.aws = aws
        self.url = aws.url
        self.world: WorldIds

    def set_up(self) -> WorldIds:
        """The world as if nothing had happened yet."""
        self.world = set_up_world(self.aws)
        return self.world

    def client(self, service: str) -> Any:
        return client(self.url, _SMALL.region, service)

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Look, or arrange, without it counting as a call of the step."""
        known = len(self.aws.calls)
        yield
        self.aws.calls.forget_after(known)

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
        code, status = _THROTTLED.get(action.split(":")[0], ("Throttling", 400))
        self._fault(action, code=code, status=status, times=times)

    def deny(self, action: str) -> None:
        code, status = _DENIED.get(action.split(":")[0], ("AccessDenied", 403))
        self._fault(action, code=code, status=status)

    def refuse(
        self, action: str, code: str, *, nth: int = 1, times: int | None = None, about: str = ""
    ) -> None:
        """Answer the action with an error from its ``nth`` call on, ``times`` times (None: always).

        ``about`` narrows it to calls with that text in their parameters, for example an id.
        """
        self._fault(action, code=code, nth=nth, times=times, containing=about)

    def lose_answer(self, action: str) -> None:
        """Carry the first call of the action out, and give no answer."""
        self._fault(action, effect="lost_answer", times=1)

    def allow_everything(self) -> None:
        self.aws.clear_faults()

    def _fault(self, action: str, **rule: Any) -> None:
        service, operation = action.split(":")
        # The APIs elb and elbv2 are one service to IAM.
        service = "elb*" if service == "elasticloadbalancing" else service
        self.aws.fault(Fault(service=service, operation=operation, **rule))

    # What there is

    def state(self) -> State:
        with self.unrecorded():
            found = state(self.url, _SMALL.region)
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
    return f"{IAM_PREFIXES.get(call.service, call.service)}:{call.operation}"
