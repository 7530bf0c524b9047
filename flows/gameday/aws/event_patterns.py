"""EventBridge's patterns: what is refused of them when a rule is put."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_OPERATORS = ("<", "<=", "=", ">", ">=")
# "Comparison operators for use in event patterns" (EventBridge User Guide).
_FILTERS = frozenset(
    {
        "anything-but",
        "cidr",
        "equals-ignore-case",
        "exists",
        "numeric",
        "prefix",
        "suffix",
        "wildcard",
    }
)


def correct() -> None:
    """Have patterns be refused that EventBridge couldn't use; moto lets nothing through by them."""
    from moto.events.exceptions import InvalidEventPatternException
    from moto.events.models import EventPatternParser

    require = EventPatternParser._validate_event_pattern

    def validate_event_pattern(self: Any, pattern: dict[str, Any]) -> None:
        if not isinstance(pattern, Mapping):
            raise InvalidEventPatternException(reason="Filter is not an object")
        alternatives = pattern.get("$or")
        own = {name: value for name, value in pattern.items() if name != "$or"}
        require(self, own)
        for value in own.values():
            for item in value if isinstance(value, list) else ():
                why = _wrong(item)
                if why:
                    raise InvalidEventPatternException(reason=why)
        for alternative in alternatives or ():
            self._validate_event_pattern(alternative)

    EventPatternParser._validate_event_pattern = validate_event_pattern


def _wrong(item: Any) -> str:
    """What is wrong with one match of a field; empty where nothing is."""
    if isinstance(item, list):
        return "Match value must be String, number, true, false, or null"
    if not isinstance(item, Mapping):
        return ""
    if len(item) != 1:
        return "Only one key allowed in match expression"
    [(name, value)] = item.items()
    if name not in _FILTERS:
        return f"Unrecognized match type {name}"
    return _wrong_numbers(value) if name == "numeric" else ""


def _wrong_numbers(value: Any) -> str:
    if not isinstance(value, list) or not value or len(value) % 2 or len(value) > 4:
        return "Value of numeric must be an array of one or two comparisons"
    for operator, number in list(pairwise(value))[::2]:
        if operator not in _OPERATORS:
            return f"Unrecognized numeric range operator: {operator}"
        if isinstance(number, bool) or not isinstance(number, int | float):
            return f"Value of {operator} must be numeric"
    return ""
