"""Filters of EC2's lists: names without wildcards are compared, and not made patterns of."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

_WILD = frozenset("*?[")


def correct() -> None:
    """Have a filter of text be as fast as its comparison is."""
    from moto.ec2 import utils

    matching = utils.is_filter_matching

    def is_filter_matching(item: Any, name: str, wanted: Any) -> bool:
        value = item.get_filter_value(name)
        if not isinstance(value, str) or not isinstance(wanted, list):
            return bool(matching(_Known(value), name, wanted))
        return value in wanted or any(
            fnmatchcase(value, pattern) for pattern in wanted if not _WILD.isdisjoint(pattern)
        )

    utils.is_filter_matching = is_filter_matching


class _Known:
    """Something whose value for the filter is known."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get_filter_value(self, name: str) -> Any:
        return self._value
