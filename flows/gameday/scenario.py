"""A scenario: what happens to which world, who plays, and what has to come of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from flows.gameday.aws.faults import Fault
from runbooks.playbook import Name, Text
from runbooks.step import Duration

Technique = Annotated[StrictStr, StringConstraints(pattern=r"^T\d{4}(\.\d{3})?$")]
"""A technique of MITRE ATT&CK."""
Milestone = Literal[
    "noticed", "acknowledged", "decided", "isolated", "contained", "evidence", "undone"
]
Condition = Literal[
    "isolated",
    "contained",
    "in_service",
    "untouched",
    "evidence",
    "credentials_denied",
    "cut",
    "alive",
    "not_opened",
    "proposed",
    "refused",
    "undone",
    "journal_verifies",
]
Role = Literal["ACTOR", "TARGET"]
_Share = Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reaction(_Part):
    """How long somebody takes: around the median ``after``, with ``spread`` as the deviation of its
    logarithm (0 is always the median), and ``at_most``."""

    after: Duration
    spread: Annotated[StrictFloat | StrictInt, Field(ge=0, le=2)] = 0.4
    at_most: Duration | None = None


class Person(_Part):
    """Somebody who plays, stood in for where no person does.

    ``groups`` are the groups of approvers that they are in during the drill; without any they are
    in none. ``notices`` is how long they take to look at what they are told, ``decides`` how long
    they then think. ``answers`` is what they decide; ``absent`` is when they answer nothing.
    ``opens_details`` is the share of decisions before which they look at the plan.
    """

    groups: tuple[Name, ...] = ()
    notices: Reaction = Reaction(after=timedelta(minutes=2))
    decides: Reaction = Reaction(after=timedelta(minutes=1))
    answers: Literal["approve", "deny", "nothing"] = "approve"
    opens_details: _Share = 1.0


class FindingInject(_Part):
    """GuardDuty finds something.

    ``on`` is the name in the world of the instance that it is about; ``resource`` is GuardDuty's
    own ``Resource`` where it is about something else. ``id`` names it for later injects: a second
    finding of the same id is an update. ``delivered`` is how many times its event arrives, and
    ``confirmed`` whether GuardDuty has it at all (a forged event is one that it doesn't have).
    ``copies`` are as many findings of their own, for a flood.
    """

    id: Name = "finding"
    type: Text
    on: StrictStr = ""
    resource: dict[StrictStr, Any] = {}
    severity: Annotated[StrictFloat | StrictInt, Field(ge=0, le=10)] = 8
    role: Role = "ACTOR"
    remote: StrictStr = "203.0.113.80"
    archived: StrictBool = False
    sample: StrictBool = False
    confirmed: StrictBool = True
    delivered: Annotated[StrictInt, Field(ge=1, le=100)] = 1
    copies: Annotated[StrictInt, Field(ge=1, le=10_000)] = 1

    @model_validator(mode="after")
    def _about_one_thing(self) -> FindingInject:
        if bool(self.on) == bool(self.resource):
            raise ValueError(
                "a finding is either `on` an instance of the world or about a `resource`"
            )
        return self


class FaultInject(_Part):
    """The simulated AWS has a fault from then on, for ``lasts`` or until the end."""

    fault: Fault
    lasts: Duration | None = None


class AttackerInject(_Part):
    """What the intruder does with rights of their own. ``to`` names what of the world."""

    does: Literal["puts_groups_back", "attaches_interface", "opens_isolation_group", "terminates"]
    to: StrictStr


class ConnectionInject(_Part):
    """A connection is established. ``source`` and ``destination`` name things of the world, or are
    addresses."""

    id: Name
    source: StrictStr = Field(validation_alias=AliasChoices("source", "from"))
    destination: StrictStr = Field(validation_alias=AliasChoices("destination", "to"))
    port: Annotated[StrictInt, Field(ge=0, le=65535)] = 443
    protocol: Literal["tcp", "udp", "icmp"] = "tcp"


class PersonInject(_Part):
    """Somebody does something out of turn: decides at once (perhaps what they may not), starts a
    playbook, aborts, or takes everything back."""

    who: Name
    does: Literal["approve", "deny", "start", "abort", "undo"]
    gate: StrictStr = ""
    playbook: StrictStr = ""
    target: StrictStr = ""
    why: Text = "asked to by the scenario"


class DeathInject(_Part):
    """The orchestrator is killed (SIGKILL) right before its next change, or the ``change``-th from
    then on, and is back after ``back_after``."""

    change: Annotated[StrictInt, Field(ge=1, le=100)] = 1
    back_after: Duration = timedelta(seconds=30)


class Event(_Part):
    """Something that happens ``at`` a time after the scenario's start: exactly one thing."""

    at: Duration
    finding: FindingInject | None = None
    fault: FaultInject | None = None
    attacker: AttackerInject | None = None
    connection: ConnectionInject | None = None
    person: PersonInject | None = None
    dies: DeathInject | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Event:
        if len(self.things) != 1:
            raise ValueError(
                "an event is exactly one of finding, fault, attacker, connection, person and dies"
            )
        return self

    @property
    def things(self) -> tuple[str, ...]:
        """The names of what happens: one."""
        names = ("finding", "fault", "attacker", "connection", "person", "dies")
        return tuple(name for name in names if getattr(self, name) is not None)


class Objective(_Part):
    """What has to come of it: a milestone in time, or a condition at the end.

    ``until`` is reached ``within`` a time, counted from the arrival of the ``finding`` (its id in
    the timeline). ``holds`` is looked at when the scenario is over, of everything in ``of`` (names
    of the world, of connections, or of findings). ``weight`` is its part of the score, ``controls``
    what auditors call it (``NIST CSF RS.MI-01``).
    """

    id: Name
    title: Text
    until: Milestone | None = None
    within: Duration | None = None
    finding: Name = "finding"
    holds: Condition | None = None
    of: tuple[StrictStr, ...] = ()
    weight: Annotated[StrictInt, Field(ge=1, le=100)] = 1
    controls: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Objective:
        if (self.until is None) is (self.holds is None):
            raise ValueError("an objective has either `until` or `holds`")
        if (self.until is None) is not (self.within is None):
            raise ValueError("`until` and `within` belong together")
        return self


class Scenario(_Part):
    """One scenario file.

    ``world`` is the name of a world that ships, or a world file beside this one. ``lasts`` is when
    the scenario is over, in simulated time from its start, which is at ``start``.
    """

    version: Literal[1]
    title: Text
    purpose: Text
    playbook: Name = "ec2-compromise"
    techniques: tuple[Technique, ...] = ()
    world: StrictStr = "small"
    start: AwareDatetime | None = None
    lasts: Duration
    people: dict[Name, Person] = {}
    timeline: Annotated[tuple[Event, ...], Field(min_length=1, max_length=500)]
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=100)]
