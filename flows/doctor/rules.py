"""EventBridge: the rules that feed a queue, whether they are switched on, and what they take in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runbooks.aws import Reader
from runbooks.calls import Call
from runbooks.errors import AccessDenied

# One to the urgent queue and one to the ordinary one.
_SEVERITIES = (8.0, 4.0)


@dataclass(frozen=True)
class Rule:
    """A rule that sends to the queue, or that the queue's policy lets send.

    ``state`` is empty where there is no such rule. ``guardduty`` is whether it is about GuardDuty's
    findings, ``takes`` whether it takes them in (None: that can't be asked). ``dead_letters`` is the
    ARN of the queue of what it could not deliver.
    """

    name: str
    state: str = ""
    sends: bool = False
    guardduty: bool = False
    takes: bool | None = None
    dead_letters: str = ""

    @property
    def enabled(self) -> bool:
        return self.state.startswith("ENABLED")


def rules_of(reader: Reader, queue: str, expected: list[str]) -> list[Rule]:
    """The rules of the default event bus that send to a queue, and those that are expected to.

    ``queue`` and ``expected`` are ARNs. The reader's Region is the queue's: a rule sends to queues
    of its own (EventBridge User Guide, "Event bus targets"). Rules of other accounts are left out.

    Raises AwsRefused and its kinds, AwsUnreachable, NoCredentials.
    """
    account = queue.split(":")[4]
    sending = reader.read(Call("events", "list_rule_names_by_target", TargetArn=queue))["RuleNames"]
    named = [
        arn.partition(":rule/")[2]
        for arn in expected
        # Those of other event buses have a second name.
        if arn.split(":")[4] == account and "/" not in arn.partition(":rule/")[2]
    ]
    return [
        _rule(reader, name, queue, name in sending) for name in dict.fromkeys([*sending, *named])
    ]


def _rule(reader: Reader, name: str, queue: str, sends: bool) -> Rule:
    found = reader.read(
        Call("events", "describe_rule", Name=name), absent=("ResourceNotFoundException",)
    )
    if not found:
        return Rule(name)
    pattern = str(found.get("EventPattern") or "")
    guardduty = "aws.guardduty" in pattern
    return Rule(
        name,
        str(found["State"]),
        sends,
        guardduty,
        _takes(reader, pattern, queue) if guardduty else None,
        next(_dead_letters(reader, name, queue), "") if sends else "",
    )


def _takes(reader: Reader, pattern: str, queue: str) -> bool | None:
    try:
        return any(
            reader.read(
                Call(
                    "events",
                    "test_event_pattern",
                    EventPattern=pattern,
                    Event=json.dumps(_finding(severity, queue)),
                )
            )["Result"]
            for severity in _SEVERITIES
        )
    except AccessDenied:
        return None


def _dead_letters(reader: Reader, name: str, queue: str) -> Iterator[str]:
    try:
        targets = reader.read(Call("events", "list_targets_by_rule", Rule=name))["Targets"]
    except AccessDenied:
        return
    for target in targets:
        if target["Arn"] == queue and (arn := target.get("DeadLetterConfig", {}).get("Arn")):
            yield str(arn)


def _finding(severity: float, queue: str) -> dict[str, Any]:
    """The event of a finding, as far as rules look at it."""
    account, region = queue.split(":")[4], queue.split(":")[3]
    return {
        "version": "0",
        "id": "00000000-0000-0000-0000-000000000000",
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "account": account,
        "time": "2026-01-01T00:00:00Z",
        "region": region,
        "resources": [],
        "detail": {
            "schemaVersion": "2.0",
            "accountId": account,
            "region": region,
            "type": "Backdoor:EC2/C&CActivity.B!DNS",
            "severity": severity,
            "service": {"serviceName": "guardduty", "resourceRole": "ACTOR", "archived": False},
        },
    }
