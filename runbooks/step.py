"""The contract of a containment step.

A step looks at the facts of its target and changes only what differs from the contained state, all
of it through :meth:`runbooks.aws.Aws.change`. One function so gives the plan, the run, the audit
trail and the undo; running it a second time changes nothing.

Adding a step touches one new module, one line of ``registry.py``, and ``playbooks.yaml``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from runbooks.targets.fact import Fact

if TYPE_CHECKING:
    from runbooks.aws import Aws

OnFailure = Literal["continue", "stop"]

_DURATION = r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?"


def read_duration(value: object) -> timedelta:
    """``15m``, ``4h``, ``1h30m`` or ``2d`` as a duration. Raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is written with d, h, m and s, such as 15m, 4h or 1h30m")
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def write_duration(duration: timedelta) -> str:
    """The duration as :func:`read_duration` reads it; whole seconds."""
    left = int(duration.total_seconds())
    text = ""
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(read_duration),
    PlainSerializer(write_duration, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$"}),
]


class StepParams(BaseModel):
    """The parameters that a playbook gives to a step under ``with``: strict, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParams(StepParams):
    """A step without parameters."""


@dataclass(frozen=True)
class Permissions:
    """The IAM actions that a step calls beyond reading its target's facts.

    Contract tests hold them against the calls really made: none missing, none too many.
    """

    read: tuple[str, ...] = ()
    change: tuple[str, ...] = ()


TargetT = TypeVar("TargetT")
ParamsT = TypeVar("ParamsT", bound=StepParams)


class Step(ABC, Generic[TargetT, ParamsT]):
    """One containment step. The first line of its docstring is its title.

    ``facts`` says what of the target it looks at (``runbooks.targets``), so that all steps' facts
    are read once, together, before the first of them runs. ``disruptive`` steps take something
    down: the linter lets no playbook reach them without a gate. ``waits`` marks those that wait
    for AWS: everything before them is verified first.
    """

    name: ClassVar[str]
    target: ClassVar[str] = "ec2.instance"
    facts: ClassVar[tuple[type[Fact], ...]] = ()
    permissions: ClassVar[Permissions]
    Params: ClassVar[type[StepParams]] = NoParams
    disruptive: ClassVar[bool] = False
    waits: ClassVar[bool] = False
    on_failure: ClassVar[OnFailure] = "stop"

    @abstractmethod
    def contain(self, aws: Aws, target: TargetT, params: ParamsT) -> Mapping[str, Any] | None:
        """Bring the target into the contained state; what it returns is ``${steps.<id>.…}``."""

    @abstractmethod
    def verify(self, aws: Aws, target: TargetT, params: ParamsT) -> None:
        """Look at freshly read facts; raise :class:`NotContained` where they aren't as they must."""

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.name).strip().splitlines()[0]


AnyStep = Step[Any, Any]
