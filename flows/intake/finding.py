"""A finding, whatever shape it came in: what was seen, on which resources, from which addresses.

Every value is data that an intruder may have chosen (user names, bucket names, tags, descriptions).
It is kept exactly as it came and is never formatted, parsed as an expression or executed; faces
show it through ``for_display`` and escape it for the place where they show it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from flows.intake.finding_name import FindingName
from runbooks.errors import InvalidInput

Source = Literal["guardduty", "securityhub", "config", "inspector", "health", "cloudwatch"]
Shape = Literal[
    "guardduty-event",  # EventBridge, detail in either spelling
    "guardduty-finding",  # the detail alone, and each line of an export to S3 (accountId, …)
    "guardduty-api",  # GetFindings, as SDKs and the AWS CLI write it (AccountId, …)
    "asff-event",  # EventBridge from Security Hub
    "asff",  # GetFindings and BatchImportFindings of Security Hub
    "ocsf-event",  # EventBridge from Security Hub V2
    "ocsf",  # OCSF detection, compliance and vulnerability findings
    "config-event",  # EventBridge from AWS Config
    "config-notification",  # what AWS Config tells a topic of SNS
    "inspector-event",  # EventBridge from Amazon Inspector
    "inspector",  # ListFindings of Inspector
    "health-event",  # EventBridge from AWS Health
    "cloudwatch-event",  # EventBridge from CloudWatch
    "cloudwatch-notification",  # what an alarm tells a topic of SNS
]
ResourceRole = Literal["ACTOR", "TARGET"]

OTHER = "other"
"""The kind of every resource that no playbook can have as its target."""


class FindingRejected(InvalidInput):
    """A document isn't a finding that may be acted on. Nothing was done.

    ``reason`` is a sentence without the place, ``path`` the place in the document
    (``detail.resource.instanceDetails.instanceId``), empty where it is the whole document.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class ResourceRef(BaseModel):
    """A resource that a finding names.

    ``kind`` is one of ``ec2.instance``, ``iam.principal``, ``s3.bucket``, ``eks.cluster``,
    ``lambda.function``, ``rds.instance``, ``rds.shard-group``, ``ecs.cluster``, ``ecs.task``,
    ``kubernetes.workload``, ``container``, ``autoscaling.group`` and ``other``. ``id`` is what
    AWS's API of that service takes: an instance id, a bucket's or a user's name. ``details`` holds
    what the finding says beside that, under our own names (``access_key_id``, ``user_type``, …).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str
    id: str
    arn: str | None
    account: str
    region: str
    tags: Mapping[str, str] = Field(default_factory=dict)
    details: Mapping[str, str] = Field(default_factory=dict)

    def lookup(self) -> dict[str, JsonValue]:
        """Plain JSON, for ``${finding.resource.…}``."""
        return {
            "kind": self.kind,
            "id": self.id,
            "arn": self.arn,
            "account": self.account,
            "region": self.region,
            "tags": dict(self.tags),
            "details": dict(self.details),
        }


UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class Finding(BaseModel):
    """One finding.

    ``source`` is the service that made it: a GuardDuty finding that came through Security Hub is
    GuardDuty's, with GuardDuty's ``id`` and ``type``, so that both ways are one incident.
    ``severity`` is on GuardDuty's scale, 0 to 10. ``resource_role`` is None where the shape doesn't
    carry it. ``remote_addresses`` are public addresses at the other end, in the order in which they
    are named. ``custom_action`` is the name of the custom action with which somebody sent it from
    Security Hub: that person's wish, of whom nobody knows who it was. ``raw_sha256`` is the SHA-256
    of the finding's RFC 8785 canonical JSON, without envelopes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: Source
    shape: Shape
    id: str
    arn: str | None
    account: str
    region: str
    partition: str
    type: str
    severity: float = Field(ge=0, le=10, allow_inf_nan=False)
    title: str
    description: str
    created_at: UtcDatetime
    updated_at: UtcDatetime
    archived: bool
    sample: bool
    resource_role: ResourceRole | None
    resources: tuple[ResourceRef, ...]
    remote_addresses: tuple[str, ...]
    actions: tuple[str, ...]
    count: int = Field(ge=0)
    custom_action: str | None = None
    raw_sha256: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Account, Region and id: the same for all versions of a finding, and for no other finding.

        GuardDuty's ids stand for themselves, so that a finding is the same one whichever way it
        came. Others have their source before them: what an account imports into Security Hub has
        ids that it chose, and must not pass for a version of a finding of GuardDuty's.
        """
        own = self.source == "guardduty"
        return (self.account, self.region, self.id if own else f"{self.source}:{self.id}")

    @property
    def confirmable(self) -> bool:
        """Whether GuardDuty can be asked for it: its ARN is a GuardDuty finding's, and this one's."""
        if self.source != "guardduty" or self.arn is None:
            return False
        try:
            return FindingName.read(self.arn).key == self.key
        except InvalidInput:
            return False

    def resources_of(self, kind: str) -> tuple[ResourceRef, ...]:
        """The resources of one kind, each once, in the finding's order."""
        found: dict[tuple[str, str, str], ResourceRef] = {}
        for resource in self.resources:
            if resource.kind == kind:
                found.setdefault((resource.account, resource.region, resource.id), resource)
        return tuple(found.values())

    def lookup(self) -> dict[str, JsonValue]:
        """Plain JSON for ``${finding.…}`` in playbooks; these paths stay as they are.

        ``source``, ``shape``, ``id``, ``arn``, ``account``, ``region``, ``partition``, ``type``,
        ``severity`` (number), ``title``, ``description``, ``created_at`` and ``updated_at``
        (ISO 8601, UTC), ``archived``, ``sample``, ``resource_role``, ``remote_addresses`` (list),
        ``actions`` (list), ``count``, ``custom_action``, ``raw_sha256``, ``resources`` (list) and
        ``resource``: the one that the finding is about, or null. A resource has ``kind``, ``id``,
        ``arn``, ``account``, ``region``, ``tags`` and ``details``.
        """
        return {
            "source": self.source,
            "shape": self.shape,
            "id": self.id,
            "arn": self.arn,
            "account": self.account,
            "region": self.region,
            "partition": self.partition,
            "type": self.type,
            "severity": self.severity,
            "title": self.title,
            "description": self.description,
            "created_at": _iso(self.created_at),
            "updated_at": _iso(self.updated_at),
            "archived": self.archived,
            "sample": self.sample,
            "resource_role": self.resource_role,
            "remote_addresses": list(self.remote_addresses),
            "actions": list(self.actions),
            "count": self.count,
            "custom_action": self.custom_action,
            "raw_sha256": self.raw_sha256,
            "resource": self.resources[0].lookup() if self.resources else None,
            "resources": [resource.lookup() for resource in self.resources],
        }


def newest_of_each(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, as last updated: GuardDuty sends the same id again as it goes on.

    Order is that of the first appearance. Of two that were updated at the same time, the later
    in the list counts.
    """
    newest: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        known = newest.get(finding.key)
        if known is None or finding.updated_at >= known.updated_at:
            newest[finding.key] = finding
    return list(newest.values())


def for_display(text: str) -> str:
    """The text on one line, without characters that forge lines or turn the direction of writing.

    Line ends, tabs and other control characters become a space; bidirectional controls and other
    invisible formatting are left out. Nothing is escaped: that depends on where it is shown.
    """
    return "".join(_displayed(character) for character in text)


def _displayed(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category in ("Cf", "Cs", "Cn") else character


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
