"""How urgent a document probably is, before anybody has read it: for the order of work only.

Nothing is decided by it. It looks where each shape has its severity and believes what it finds;
``parse`` is what understands, and rejects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from flows.intake.asff import LABELS
from flows.intake.events import EXPOSED_KEYS
from flows.intake.inspector import SEVERITIES as INSPECTOR_SEVERITIES
from flows.intake.ocsf import SEVERITIES as OCSF_SEVERITIES
from flows.intake.values import UNRATED

LAST = 0.0
"""For what can't be read, and what has no severity: last.

It will be rejected, so nobody waits for it, and rejecting it loses nothing for being late. Were it
first, whoever can send rubbish could keep the critical findings waiting behind it.
"""
_MOST_FINDINGS = 100
_MOST_ENVELOPES = 3


def severity_of(document: bytes) -> float:
    """A guess at the document's severity, 0 to 10: the highest of its findings. Never raises."""
    try:
        value = json.loads(document)
        for _ in range(_MOST_ENVELOPES):
            message = value.get("Message") if isinstance(value, dict) else None
            if not isinstance(message, str):
                break
            value = json.loads(message)
    except (ValueError, RecursionError):
        return LAST
    return max(map(_severity, islice(_findings(value), _MOST_FINDINGS)), default=LAST)


def _findings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        detail = value.get("detail")
        value = detail if isinstance(detail, dict) else value
        found = value.get("findings") or value.get("Findings") or [value]
    else:
        found = value
    if isinstance(found, list):
        yield from (item for item in found if isinstance(item, dict))


def _severity(finding: dict[str, Any]) -> float:
    if "severity_id" in finding:  # OCSF, which has a word in "severity"
        return OCSF_SEVERITIES.get(int(_number(finding["severity_id"])), LAST)
    if "inspectorScore" in finding:
        return _number(finding["inspectorScore"])
    said = finding.get("severity", finding.get("Severity"))
    if isinstance(said, dict):
        return _of_asff(said, str(finding.get("ProductArn", "")))
    if isinstance(said, str) and said in INSPECTOR_SEVERITIES:
        return INSPECTOR_SEVERITIES[said]
    if said is not None:
        return _number(said)
    code = finding.get("eventTypeCode")
    if isinstance(code, str):
        return EXPOSED_KEYS.get(code, LAST)
    unrated = ("newEvaluationResult", "alarmName", "AlarmName")
    return UNRATED if any(name in finding for name in unrated) else LAST


def _of_asff(said: dict[str, Any], product: str) -> float:
    if "Product" in said and product.endswith("/aws/guardduty"):
        return _number(said["Product"])
    if "Normalized" in said:
        return _number(said["Normalized"], highest=100) / 10
    label = said.get("Label")
    return LABELS.get(label, LAST) if isinstance(label, str) else LAST


def _number(value: Any, *, highest: float = 10) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return LAST
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return LAST
    return min(max(number, 0.0), highest) if math.isfinite(number) else LAST
