"""The events of EventBridge that are understood: one list for the parser and for the rules at AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

EXPOSED_KEYS: Mapping[str, float] = {
    "AWS_RISK_CREDENTIALS_COMPROMISED": 8.0,
    "AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED": 5.0,
    "AWS_RISK_CREDENTIALS_EXPOSED": 8.0,
    "AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED": 5.0,
}
"""The eventTypeCodes of AWS Health that are findings, and their severities.

Health rates nothing; these are as high as GuardDuty's for stolen credentials
(``UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS`` is High, 8), and medium
where AWS only suspects it.
"""

COMPLIANCES: Mapping[str, bool] = {
    "NON_COMPLIANT": False,
    "COMPLIANT": True,
    "NOT_APPLICABLE": True,
}
"""What AWS Config says that is a finding, and whether it is the end of one."""

ALARM_STATES = ("ALARM", "OK")
"""The states of an alarm that say something: INSUFFICIENT_DATA is neither a finding nor its end."""


@dataclass(frozen=True)
class EventPattern:
    """Events of one kind. ``detail`` narrows them down to those that aren't rejected anyway."""

    source: str
    detail_type: str
    detail: Mapping[str, JsonValue] = field(default_factory=dict)

    def pattern(self) -> dict[str, JsonValue]:
        """As EventBridge's rules have it ("Amazon EventBridge event patterns")."""
        pattern: dict[str, JsonValue] = {
            "source": [self.source],
            "detail-type": [self.detail_type],
        }
        return {**pattern, "detail": dict(self.detail)} if self.detail else pattern


PATTERNS: tuple[EventPattern, ...] = (
    EventPattern("aws.guardduty", "GuardDuty Finding"),
    EventPattern("aws.securityhub", "Security Hub Findings - Imported"),
    EventPattern("aws.securityhub", "Security Hub Findings - Custom Action"),
    EventPattern("aws.securityhub", "Security Hub Findings"),
    EventPattern("aws.securityhub", "Findings Imported V2"),
    EventPattern(
        "aws.config",
        "Config Rules Compliance Change",
        {"newEvaluationResult": {"complianceType": list(COMPLIANCES)}},
    ),
    EventPattern("aws.inspector2", "Inspector2 Finding"),
    EventPattern("aws.health", "AWS Health Event", {"eventTypeCode": list(EXPOSED_KEYS)}),
    EventPattern(
        "aws.cloudwatch",
        "CloudWatch Alarm State Change",
        {"state": {"value": list(ALARM_STATES)}},
    ),
)
"""All that ``parse`` understands, and nothing else."""

UNDERSTOOD = frozenset((event.source, event.detail_type) for event in PATTERNS)
"""Source and detail-type of each."""
