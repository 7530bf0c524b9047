"""Findings as criteria and filters see them: fields by path, compared with what is looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any


def values_at(item: Any, path: str) -> list[Any]:
    """All values of a field, ``Resource.InstanceDetails.Tags.Key``; lists along the way are
    looked through. Names are compared without regard to case: criteria write them in camelCase."""
    found = [item]
    for name in path.split("."):
        found = [value for node in found for value in _members(node, name)]
    return [value for value in _flat(found) if value is not None]


def sort_key(value: Any) -> tuple[int, float, str]:
    """Orders values of any kind: numbers by size, all else as text, what is missing first."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def epoch_milliseconds(value: Any) -> float | None:
    """A time as criteria compare it: milliseconds since 1970, from a number or ISO 8601 text."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp() * 1000
    except ValueError:
        return None


def _members(node: Any, name: str) -> Iterable[Any]:
    usual = name[:1].upper() + name[1:]
    for item in _flat([node]):
        if not isinstance(item, Mapping):
            continue
        if usual in item:
            yield item[usual]
        else:
            yield from (value for key, value in item.items() if key.lower() == name.lower())


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value
