"""The ARN of a GuardDuty finding, and what it says: with it GuardDuty itself can be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbooks.errors import InvalidInput

# GuardDuty's ARNs (Service Authorization Reference, "Resource types defined by Amazon GuardDuty").
_ARN = re.compile(
    r"arn:aws[a-z-]*:guardduty:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
    r"detector/(?P<detector>[0-9a-f]{32})/finding/(?P<id>[0-9a-f]{32})",
    re.ASCII,
)


@dataclass(frozen=True)
class FindingName:
    """Where a finding of GuardDuty is, as its ARN says."""

    account: str
    region: str
    detector: str
    id: str

    @classmethod
    def read(cls, arn: str) -> FindingName:
        """Raises InvalidInput for what isn't the ARN of a finding."""
        match = _ARN.fullmatch(arn)
        if match is None:
            raise InvalidInput(f"{arn[:100]!r} is not the ARN of a GuardDuty finding.")
        return cls(match["account"], match["region"], match["detector"], match["id"])

    @property
    def key(self) -> tuple[str, str, str]:
        """As ``Finding.key``."""
        return (self.account, self.region, self.id)
