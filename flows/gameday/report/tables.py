"""Tables of what an assessment holds as plain data, whichever keys it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.gameday.assessment import Source
from flows.gameday.report.words import name, said

_SOURCES = ("source", "sources")
_LONG = 20


@dataclass(frozen=True)
class Cell:
    """A value in words. ``figure`` is whether it is a number, which stands on the right."""

    text: str
    figure: bool

    @property
    def css(self) -> str:
        """Its class: words are only broken in the middle where there are long ones."""
        if self.figure:
            return "figure"
        return "" if any(len(word) > _LONG for word in self.text.split()) else "short"


@dataclass(frozen=True)
class Row:
    """A line of a table, and the records that it was made from."""

    cells: tuple[Cell, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Table:
    """Columns by name, and rows under them."""

    columns: tuple[Cell, ...]
    rows: tuple[Row, ...]

    @property
    def shared(self) -> tuple[Source, ...]:
        """The records that several rows were all made from alike: to be said once."""
        alike = len(self.rows) > 1 and len({row.sources for row in self.rows}) == 1
        return self.rows[0].sources if alike else ()

    @property
    def traced(self) -> bool:
        """Whether rows say, each for itself, which records they were made from."""
        return not self.shared and any(row.sources for row in self.rows)


@dataclass(frozen=True)
class Facts:
    """A mapping for a reader: single values, and under their names the lists and tables in it."""

    single: tuple[tuple[str, str], ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    tables: tuple[tuple[str, Table], ...]
    sources: tuple[Source, ...]


def rows(items: Iterable[Mapping[str, Any]], *first: str) -> Table:
    """A table of mappings: the columns of ``first`` that any of them has, then all the others."""
    kept = [(item, sources_of(item)) for item in items]
    known = dict.fromkeys(key for item, _ in kept for key in item if key not in _SOURCES)
    keys = [key for key in first if key in known] + [key for key in known if key not in first]
    figures = {
        key: all(_is_figure(item[key]) for item, _ in kept if item.get(key) is not None)
        for key in keys
    }
    return Table(
        tuple(Cell(name(key), figures[key]) for key in keys),
        tuple(
            Row(
                tuple(
                    Cell(said(item[key], key) if key in item else "", figures[key]) for key in keys
                ),
                sources,
            )
            for item, sources in kept
        ),
    )


def facts(mapping: Mapping[str, Any]) -> Facts:
    """A mapping's values sorted by how they are shown."""
    single: list[tuple[str, str]] = []
    lists: list[tuple[str, tuple[str, ...]]] = []
    tables: list[tuple[str, Table]] = []
    counts = {
        key: value
        for key, value in mapping.items()
        if isinstance(value, Mapping) and value and all(map(_is_figure, value.values()))
    }
    if counts:
        caption = name(", ".join(name(key).lower() for key in counts))
        tables.append((caption, _side_by_side(counts)))
    for key, value in mapping.items():
        if key in _SOURCES:
            continue
        if key in counts:
            continue
        if isinstance(value, Mapping) and value:
            tables.append((name(key), _by_name(value)))
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            tables.append((name(key), rows(value)))
        elif isinstance(value, (list, tuple, set, frozenset)) and len(value) > 1:
            lists.append((name(key), tuple(said(item, key) for item in value)))
        else:
            single.append((name(key), said(value, key)))
    return Facts(tuple(single), tuple(lists), tuple(tables), sources_of(mapping))


def sources_of(mapping: Mapping[str, Any]) -> tuple[Source, ...]:
    """The records that a mapping says it was made from."""
    found = [mapping[key] for key in _SOURCES if key in mapping]
    each = [item for value in found for item in (value if _is_list(value) else [value])]
    return tuple(item for item in each if isinstance(item, Source))


def _by_name(mapping: Mapping[str, Any]) -> Table:
    """``{step: {planned: 3, actual: 3}}`` and ``{step: 3}`` as rows, a line for each step."""
    return rows(
        {"name": str(key), **(value if isinstance(value, Mapping) else {"value": value})}
        for key, value in mapping.items()
    )


def _side_by_side(counts: Mapping[str, Mapping[str, float]]) -> Table:
    """Mappings of the same things to numbers as one table: a line for each, a column for each."""
    things = dict.fromkeys(thing for of_one in counts.values() for thing in of_one)
    return rows(
        {"name": thing, **{key: of_one.get(thing, 0) for key, of_one in counts.items()}}
        for thing in things
    )


def _is_figure(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
