"""Asking GuardDuty for a finding that is only named: what somebody else passed on is not acted on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from flows.intake.finding import Finding
from flows.intake.parse import parse
from runbooks.aws import IncidentContext, Once, PlanningAws, Where
from runbooks.calls import Call
from runbooks.connections import Connections
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


def fetch_finding(arn: str, connections: Connections) -> Finding:
    """The finding as GuardDuty has it now (GetFindings).

    Raises InvalidInput where there is none (any more), and what reads raise.
    """
    name = FindingName.read(arn)
    where = Where(name.account, name.region)
    reader = PlanningAws(connections, where, IncidentContext("none"), "finding", Once())
    call = Call("guardduty", "get_findings", DetectorId=name.detector, FindingIds=[name.id])
    answer = reader.read(call)
    found = answer.get("Findings") or []
    if len(found) != 1:
        raise InvalidInput(
            f"GuardDuty has no finding {name.id} in {name.account}, {name.region}.",
            advice="It keeps findings for 90 days.",
        )
    (finding,) = parse(json.dumps({"Findings": found}, default=str).encode())
    return finding
