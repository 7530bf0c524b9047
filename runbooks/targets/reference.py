"""Which resource is meant: its kind, account, Region and id, and nothing else about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbooks.errors import InvalidInput

_INSTANCE_ID = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_INSTANCE_ARN = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):ec2:([a-z]{2}(?:-[a-z]+)+-\d):(\d{12}):instance/(i-[0-9a-f]+)",
    re.ASCII,
)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d", re.ASCII)


@dataclass(frozen=True, order=True)
class TargetRef:
    """A resource by its identity. ``account`` has twelve digits; ``id`` is AWS's id."""

    kind: str
    account: str
    region: str
    id: str

    @property
    def partition(self) -> str:
        return partition_of(self.region)

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:ec2:{self.region}:{self.account}:instance/{self.id}"


def partition_of(region: str) -> str:
    """``aws``, ``aws-cn`` or ``aws-us-gov``: the partition that the Region belongs to."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def instance_reference(text: str, *, account: str, region: str) -> TargetRef:
    """Read ``i-…`` or an instance's ARN as somebody typed it.

    ``account`` and ``region`` are those of the credentials and settings; an id is taken to be
    there, an ARN must name its own.

    Raises InvalidInput where the text is neither.
    """
    text = text.strip()
    if match := _INSTANCE_ARN.fullmatch(text):
        _, arn_region, arn_account, identity = match.groups()
        reference = TargetRef("ec2.instance", arn_account, arn_region, identity)
        if _INSTANCE_ID.fullmatch(identity) and reference.arn == text:
            return reference
    if _INSTANCE_ID.fullmatch(text):
        if not _REGION.fullmatch(region):
            raise InvalidInput(
                f"There is no Region for {text}.", advice="Give --region, or set AWS_REGION."
            )
        return TargetRef("ec2.instance", account, region, text)
    raise InvalidInput(
        f"{text[:200]!r} is not an instance.",
        advice="Give an id such as i-0123456789abcdef0, or its ARN.",
    )


def account_in(text: str) -> str | None:
    """The account that an instance's ARN names, or None where the text is no ARN."""
    match = _INSTANCE_ARN.fullmatch(text.strip())
    return match[3] if match else None
