"""Asking GuardDuty for findings that are only named: what somebody else passed on is not acted on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta

from flows.intake.finding import Finding, FindingRejected
from flows.intake.finding_name import FindingName
from flows.intake.parse import parse_each
from runbooks.aws import Reader, Where
from runbooks.calls import Call
from runbooks.connections import Connections
from runbooks.errors import InvalidInput

READS = ("guardduty:GetFindings", "guardduty:ListDetectors", "guardduty:ListFindings")
"""What reading findings takes, here and in the sweep that looks for those whose events were lost."""

MOST_AT_ONCE = 50
"""Ids in one call of GetFindings (API reference: "FindingIds … Maximum number of 50 items")."""


def fetch_finding(arn: str, connections: Connections) -> Finding:
    """The finding as GuardDuty has it now (GetFindings).

    Raises InvalidInput where there is none (any more), FindingRejected where it can't be
    understood, and what reads raise.
    """
    for result in _fetched([arn], connections, None):
        if isinstance(result, FindingRejected):
            raise result
        return result
    name = FindingName.read(arn)
    raise InvalidInput(
        f"GuardDuty has no finding {name.id} in {name.account}, {name.region}.",
        advice="It keeps findings for 90 days.",
    )


def fetch_findings(
    arns: Iterable[str], connections: Connections, *, patience: timedelta | None = None
) -> list[Finding]:
    """Those of the findings that GuardDuty has now, in the order of their ARNs, each once.

    What it doesn't have (any more), or has in a form that can't be understood, isn't among them.
    ``patience`` is how long it may be throttled.

    Raises InvalidInput for what isn't the ARN of a finding, and what reads raise: then nothing is
    known of any of them.
    """
    asked = list(dict.fromkeys(arns))
    found = {
        result.arn: result
        for result in _fetched(asked, connections, patience)
        if isinstance(result, Finding)
    }
    return [found[arn] for arn in asked if arn in found]


def _fetched(
    arns: list[str], connections: Connections, patience: timedelta | None
) -> Iterator[Finding | FindingRejected]:
    """What GuardDuty answers: as few calls as can be, those of one account and Region together."""
    places: dict[Where, dict[str, list[str]]] = {}
    for name in map(FindingName.read, arns):
        detectors = places.setdefault(Where(name.account, name.region), {})
        detectors.setdefault(name.detector, []).append(name.id)
    for where, detectors in places.items():
        reader = Reader(connections, where, patience=patience)
        calls = [
            Call("guardduty", "get_findings", DetectorId=detector, FindingIds=some)
            for detector, ids in detectors.items()
            for some in _in_parts(ids)
        ]
        # "The input detectorId is not owned by the current account": a detector that was deleted
        # and its findings with it, or one that somebody made up.
        for answer in reader.read_all(calls, absent=("BadRequestException",)):
            if not answer.get("Findings"):
                continue
            document = json.dumps({"Findings": answer["Findings"]}, default=str).encode()
            for result in parse_each(document):
                if isinstance(result, FindingRejected) or result.arn in arns:
                    yield result


def _in_parts(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), MOST_AT_ONCE):
        yield ids[start : start + MOST_AT_ONCE]
