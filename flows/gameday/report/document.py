"""The report as one JSON document, and its hash.

The document has the fields of :class:`flows.gameday.assessment.Assessment` under their own names,
and beside them:

- ``document``: ``clampdown-drill-report``; ``version``: 1. A later version may add keys; one that
  takes any away or gives it another meaning has a higher number.
- ``real_changes``: whether anything real may have been changed.
- ``sha256``: of all the rest in its canonical form (RFC 8785), as the HTML report has it.

Durations and moments of the timeline are numbers of seconds, dates are ISO 8601 in UTC, shares are
between 0 and 1. ``by`` of a verdict is how many seconds were left, and negative where they were
missing. A source is ``chain#seq``: that record in the journal is what the figure was made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.assessment import Assessment, Source, Verdict
from flows.gameday.report.words import mode_of
from runbooks.calls import sha256

DOCUMENT = "clampdown-drill-report"
VERSION = 1


def to_json(assessment: Assessment) -> dict[str, Any]:
    """The whole report as a document that ``json.dumps`` takes as it is. Keys: see the module."""
    document = {
        "document": DOCUMENT,
        "version": VERSION,
        "real_changes": mode_of(assessment).style == "live",
        **_plain(assessment),
    }
    return {**document, "sha256": sha256(document)}


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | str() | int() | float():
            return value
        case Source():
            return f"{value.chain}#{value.seq}"
        case timedelta():
            return value.total_seconds()
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(_plain(item) for item in value)
        case list() | tuple():
            return [_plain(item) for item in value]
    if is_dataclass(value):
        plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {**plain, "by": _plain(value.by)} if isinstance(value, Verdict) else plain
    return str(value)
