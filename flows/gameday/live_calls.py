"""The changing calls of an incident, as its journal has them: how often, and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flows.journal.record import Record

_Operation = tuple[str, str]


def changing_calls(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Each operation once, as ``drill.calls`` has it; reads are in no journal."""
    counts: Counter[_Operation] = Counter()
    errors: Counter[tuple[_Operation, str]] = Counter()
    of_intents: dict[int, _Operation] = {}
    for record in records:
        body = record.body
        if record.kind == "change.intent":
            call = body["change"]["call"]
            operation = of_intents[record.seq] = (call["service"], call["operation"])
            counts[operation] += 1
        elif record.kind == "change.outcome" and body["status"] in {"failed", "unknown"}:
            errors[of_intents[body["intent"]], body["code"] or body["status"]] += 1
    return [
        {
            "service": service,
            "operation": operation,
            "changes": True,
            "count": count,
            "errors": {
                code: number
                for (known, code), number in errors.items()
                if known == (service, operation)
            },
        }
        for (service, operation), count in counts.items()
    ]
