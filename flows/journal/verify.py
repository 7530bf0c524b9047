"""Verifying the chain: which record was edited, removed, reordered or inserted.

A chain shows every change but one: a tail that was cut off, or everything rewritten from the
start. Only a head that is known from elsewhere shows that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from flows.journal.journal import Journal
from flows.journal.record import GENESIS, Actor, canonical, record_hash

Tampering = Literal["edited", "removed", "reordered", "inserted", "malformed"]


@dataclass(frozen=True)
class Problem:
    """A place at which the chain does not hold."""

    incident: str
    seq: int
    kind: Tampering
    message: str


@dataclass(frozen=True)
class Verification:
    """What verifying found. ``good`` is, per incident, the last record that can be trusted."""

    incidents: int
    records: int
    problems: tuple[Problem, ...]
    good: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class _Row:
    seq: int
    hash: str
    prev: str
    computed: str
    canonical: bool


def verify(
    journal: Journal,
    incident: str | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check every record's hash and link, of one incident or of all.

    ``progress`` is told how many records have been read.
    """
    problems: list[Problem] = []
    good: dict[str, int] = {}
    incidents = records = 0
    for name, group in groupby(journal.rows(incident), key=lambda row: str(row[0])):
        rows = [_checked(row) for row in group]
        incidents += 1
        records += len(rows)
        found = list(_problems(name, rows))
        problems.extend(found)
        good[name] = min((problem.seq for problem in found), default=rows[-1].seq + 1) - 1
        if progress:
            progress(records)
    return Verification(incidents, records, tuple(problems), good)


def _checked(row: Sequence[Any]) -> _Row:
    incident, seq, at, kind, actor_kind, actor_id, actor_via, body, prev, digest = row
    actor = Actor(actor_kind, actor_id, actor_via)
    computed = record_hash(incident, seq, at, kind, actor, body.encode(), prev)
    # Text that hashes right is the canonical text that was written; only a wrong one is parsed.
    return _Row(seq, digest, prev, computed, computed == digest or _is_canonical(body))


def _is_canonical(body: str) -> bool:
    try:
        return canonical(json.loads(body)) == body.encode()
    except (ValueError, TypeError, RecursionError):
        return False


def _problems(incident: str, rows: Sequence[_Row]) -> Iterator[Problem]:
    """Walk the chain; where it breaks, say what broke it."""
    expected_seq, expected_prev = 1, GENESIS
    skip: set[int] = set()
    for index, row in enumerate(rows):
        if row.seq in skip:
            pass
        elif row.seq != expected_seq:
            last = row.seq - 1
            gone = f"{expected_seq}" if last == expected_seq else f"{expected_seq} to {last}"
            yield Problem(incident, expected_seq, "removed", f"record {gone} is missing")
        elif not row.canonical:
            yield Problem(incident, row.seq, "malformed", "its body is not canonical JSON")
        else:
            yield from _link(incident, rows, index, expected_prev, skip)
        expected_seq, expected_prev = row.seq + 1, row.hash


def _link(
    incident: str, rows: Sequence[_Row], index: int, expected_prev: str, skip: set[int]
) -> Iterator[Problem]:
    row = rows[index]
    intact, linked = row.computed == row.hash, row.prev == expected_prev
    if intact and linked:
        return
    later = rows[index + 1] if index + 1 < len(rows) else None
    renumbered = not intact and not linked and _follows(rows, index, expected_prev)
    if renumbered and later is not None:
        # A later record is the one that belongs here.
        skip.add(later.seq)
        yield Problem(
            incident, row.seq, "reordered", f"records {row.seq} and {later.seq} changed places"
        )
        return
    if linked and not intact:
        yield Problem(incident, row.seq, "edited", "its content is not what was recorded")
    elif intact:
        yield Problem(incident, row.seq, "inserted", "it does not follow from the record before")
    elif later is None or later.prev != row.hash:
        yield Problem(incident, row.seq, "inserted", "no record around it knows it")
    else:
        yield Problem(incident, row.seq, "removed", "the record before it was another one")


def _follows(rows: Sequence[_Row], index: int, expected_prev: str) -> bool:
    return any(other.prev == expected_prev for other in rows[index + 1 :])
