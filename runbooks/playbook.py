"""The models of playbooks.yaml: accounts, approvers, guardrails, routes and playbooks."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from runbooks.calls import sha256
from runbooks.step import AnyStep, Duration, OnFailure

OWNER = "owner"
"""The group of approvers for which the team that owns the targets stands in, where it is known."""

OWNER_TAGS = ("team", "owner")
_SEVERITY = re.compile(r"\s*(>=|<=|==|>|<)\s*([0-9]{1,2}(?:\.[0-9]{1,3})?)\s*")
_LONGEST = timedelta(days=30)


def _severity(text: str) -> str:
    match = _SEVERITY.fullmatch(text)
    if match is None or float(match[2]) > 10:
        raise ValueError("must be a comparison with GuardDuty's scale of 0 to 10, such as '>= 7'")
    return f"{match[1]} {match[2]}"


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    # Python's 1 equals 1.0 and True; a version is neither.
    if type(value) is not int:
        raise ValueError("must be the whole number 1")
    return value


def _wait(duration: timedelta) -> timedelta:
    if not timedelta() < duration <= _LONGEST:
        raise ValueError("must be longer than 0s and at most 30d")
    return duration


AccountId = Annotated[StrictStr, StringConstraints(pattern=r"^\d{12}$")]
RegionName = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
RoleArn = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^arn:(aws|aws-cn|aws-us-gov):iam::\d{12}:role/[\w+=,.@/-]+$"),
]
Name = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1000)]
Member = Annotated[StrictStr, StringConstraints(min_length=1, max_length=100)]
UserGroup = Annotated[StrictStr, StringConstraints(pattern=r"^S[A-Z0-9]{5,20}$")]
Channel = Annotated[StrictStr, StringConstraints(pattern=r"^[CG][A-Z0-9]{5,20}$")]
Texts = Annotated[tuple[StrictStr, ...], BeforeValidator(_list)]
Severity = Annotated[StrictStr, AfterValidator(_severity)]
Wait = Annotated[Duration, AfterValidator(_wait)]
Count = Annotated[StrictInt, Field(ge=1, le=1_000)]
Size = Annotated[StrictInt, Field(ge=1, le=100_000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Account(_Model):
    """An account that Clampdown may act in; without a role it is entered as the caller is."""

    name: Text
    environment: Text
    role: RoleArn | None = None
    external_id: StrictStr | None = None
    regions: tuple[RegionName, ...] = ()


class ApproverGroup(_Model):
    """People who decide gates: Slack users of one workspace, and local users of this machine.

    Who is in ``slack_usergroup`` at the moment of a decision counts as well. ``same_person`` says
    which local user is which Slack user: one vote between them, and who asks as the one does not
    decide as the other. ``deputies`` says which Slack user is asked while another one is away; both
    are in the group, and may decide at any time.
    """

    slack_team: Member | None = None
    slack_users: tuple[Member, ...] = ()
    slack_usergroup: UserGroup | None = None
    local_users: tuple[Member, ...] = ()
    same_person: dict[Member, Member] = {}
    deputies: dict[Member, Member] = {}

    @model_validator(mode="after")
    def _reachable(self) -> ApproverGroup:
        for name in ("slack_users", "slack_usergroup"):
            if getattr(self, name) and not self.slack_team:
                raise ValueError(f"`{name}` are known by their `slack_team`; it is missing")
        return self

    @model_validator(mode="after")
    def _one_person(self) -> ApproverGroup:
        pairs = self.same_person
        if not (
            pairs.keys() <= set(self.local_users) and set(pairs.values()) <= set(self.slack_users)
        ):
            raise ValueError(
                "`same_person` leads from one of `local_users` to one of `slack_users`"
            )
        if len(set(pairs.values())) < len(pairs):
            raise ValueError("`same_person` leads to each Slack user once")
        return self

    @model_validator(mode="after")
    def _deputies_decide(self) -> ApproverGroup:
        if not {*self.deputies, *self.deputies.values()} <= set(self.slack_users):
            raise ValueError("`deputies` leads from one of `slack_users` to another")
        if any(away == deputy for away, deputy in self.deputies.items()):
            raise ValueError("nobody is their own deputy")
        return self

    @property
    def size(self) -> int:
        """How many people are named; those of the user group are known to Slack alone."""
        return len(set(self.slack_users)) + len(set(self.local_users)) - len(self.same_person)


class ProtectedTag(_Model):
    """Resources that carry all of these tags are never changed."""

    tag: Annotated[dict[StrictStr, StrictStr], Field(min_length=1)]


class ProtectedArn(_Model):
    """Resources whose ARN matches this glob are never changed."""

    arn: Annotated[StrictStr, StringConstraints(pattern=r"^arn:")]


class Budgets(_Model):
    """How much may happen before people have to look."""

    targets_per_incident: Size = 5
    changes_per_account_per_hour: Size = 200
    automatic_isolations_per_hour: Size = 10


class Guardrails(_Model):
    """What may never be changed, and how much may be changed at all."""

    protected: tuple[ProtectedTag | ProtectedArn, ...] = ()
    budgets: Budgets = Budgets()


class RouteMatch(_Model):
    """The conditions of a route; all that are given must hold."""

    source: StrictStr | None = None
    type: Texts = ()
    severity: Severity | None = None
    resource_role: Literal["ACTOR", "TARGET"] | None = None
    account: Texts = ()
    environment: Texts = ()
    tags: dict[StrictStr, StrictStr] = {}


class Route(_Model):
    """Which playbook a finding gets, whether it starts by itself or is proposed, and which Slack
    channel its incident is told in.

    With ``mode: shadow`` nothing is opened or changed: what would have been done, had it been
    ``automatic``, is judged and written down.
    """

    match: RouteMatch
    playbook: StrictStr
    mode: Literal["automatic", "propose", "shadow"]
    channel: Channel | None = None


class ChannelBySeverity(_Model):
    """The channel of incidents whose finding is this severe."""

    severity: Severity
    channel: Channel


class Team(_Model):
    """A team that resources belong to, by their owner tag: where its incidents are told, and who
    decides the gates that the group ``owner`` is asked for."""

    channel: Channel | None = None
    approvers: StrictStr | None = None


class SlackPlaces(_Model):
    """Where incidents are told in Slack, and who may ask for things there.

    An incident goes to its route's channel, else to the first of ``by_severity`` that fits, else to
    ``channel``; with ``incident_channels`` it gets a channel of its own as well. ``owner_tags`` are
    the tags, in order, of which the first that a resource has names the team it belongs to. Only
    people of the groups in ``triggers`` may start, undo or drill; without it, of any group.
    """

    channel: Channel
    by_severity: tuple[ChannelBySeverity, ...] = ()
    incident_channels: StrictBool = False
    owner_tags: tuple[StrictStr, ...] = OWNER_TAGS
    triggers: tuple[StrictStr, ...] = ()


class Alternative(_Model):
    """So many of this group."""

    group: StrictStr
    count: Count = 1


class Gate(_Model):
    """Who decides, until when, and what happens when nobody does.

    ``by`` and ``quorum`` are short for one alternative of ``any_of``. ``deny_at`` denials deny.
    ``distinct_from`` says who may not decide: the requester, the playbook's authors.
    ``break_glass`` is the group of which one person alone may approve in an emergency, which
    others then review within ``review_within``. ``notify`` are the groups that are told, where
    they aren't those that decide. ``step_up`` asks for a second proof of identity.
    """

    id: Name
    by: StrictStr | None = None
    quorum: Count = 1
    any_of: tuple[Alternative, ...] = ()
    deny_at: Count = 1
    within: Wait = timedelta(minutes=15)
    otherwise: Literal["deny", "escalate"] = "deny"
    escalate_to: StrictStr | None = None
    distinct_from: tuple[Literal["requester", "author"], ...] = ("requester",)
    remind_every: Wait | None = None
    notify: tuple[StrictStr, ...] = ()
    break_glass: StrictStr | None = None
    review_within: Wait = timedelta(hours=24)
    step_up: Literal["totp"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Gate:
        if bool(self.by) == bool(self.any_of):
            raise ValueError("a gate names its approvers with `by` or with `any_of`, one of both")
        if (self.otherwise == "escalate") != bool(self.escalate_to):
            raise ValueError("`otherwise: escalate` and `escalate_to` go together")
        return self

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        return self.any_of or (Alternative(group=self.by or "", count=self.quorum),)

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that the gate names, in whatever part."""
        named = [item.group for item in self.alternatives]
        others = (self.escalate_to, self.break_glass, *self.notify)
        return tuple(dict.fromkeys([*named, *(name for name in others if name)]))


class RunStep(_Model):
    """A step with its parameters. Its id is its step's name unless it has one of its own."""

    step: StrictStr
    id: Name = ""
    with_: Annotated[dict[StrictStr, Any], Field(alias="with")] = {}
    when: StrictStr | None = None
    timeout: Wait | None = None
    on_failure: OnFailure | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and "id" not in data and isinstance(data.get("step"), str):
            return {**data, "id": data["step"]}
        return data

    def on_failure_or_default(self, step: type[AnyStep]) -> OnFailure:
        return self.on_failure or step.on_failure


class Approve(_Model):
    """A gate: what stands after it never runs without its decision."""

    approve: Gate
    when: StrictStr | None = None


class Parallel(_Model):
    """Steps that run side by side."""

    parallel: Annotated[tuple[RunStep, ...], Field(min_length=1, max_length=20)]


class ManualTask(_Model):
    """Something that only people can do."""

    id: Name = "manual"
    text: Text
    by: StrictStr


class Manual(_Model):
    """People are asked; the playbook goes on."""

    manual: ManualTask


Entry = Approve | Parallel | Manual | RunStep
ENTRY_KEYS: dict[str, type[BaseModel]] = {
    "step": RunStep,
    "approve": Approve,
    "parallel": Parallel,
    "manual": Manual,
}


class Playbook(_Model):
    """What to do, in order, for one kind of target."""

    title: Text
    target: Literal["ec2.instance"]
    steps: Annotated[tuple[Entry, ...], Field(min_length=1, max_length=200)]

    def run_steps(self) -> list[RunStep]:
        """Every step, those of parallel blocks in their place."""
        found: list[RunStep] = []
        for entry in self.steps:
            if isinstance(entry, RunStep):
                found.append(entry)
            elif isinstance(entry, Parallel):
                found.extend(entry.parallel)
        return found

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

    @property
    def version(self) -> str:
        """SHA-256 of the playbook's canonical JSON."""
        return sha256(self.to_json())


class Playbooks(_Model):
    """The whole file. ``digest`` is the SHA-256 of its bytes."""

    version: Annotated[Literal[1], BeforeValidator(_whole)]
    accounts: dict[AccountId, Account]
    approvers: dict[Name, ApproverGroup] = {}
    guardrails: Guardrails = Guardrails()
    slack: SlackPlaces | None = None
    teams: dict[Member, Team] = {}
    routes: tuple[Route, ...] = ()
    playbooks: Annotated[dict[Name, Playbook], Field(min_length=1)]
    digest: Annotated[str, Field(exclude=True)] = ""

    @property
    def owner_tags(self) -> tuple[str, ...]:
        """The tags, in order, of which the first that a resource has names its team."""
        return self.slack.owner_tags if self.slack else OWNER_TAGS
