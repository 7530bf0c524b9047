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
from runbooks.errors import InvalidInput

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
    """What verifying found.

    ``good`` is, per incident, the last record before the first problem: up to it the chain holds.
    """

    incidents: int
    records: int
    problems: tuple[Problem, ...]
    good: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class _Row:
    """A stored row. ``raw`` is kept only of one that is not intact, to find out what it was."""

    seq: int
    hash: str
    prev: str
    intact: bool
    canonical: bool = True
    raw: tuple[Any, ...] = ()

    def was(self, seq: int, prev: str | None = None) -> bool:
        """Whether it was written with this number, and after the record with this hash."""
        if self.intact:
            return self.seq == seq and prev in (None, self.prev)
        return self._hash(seq, self.prev if prev is None else prev) == self.hash

    def hashes(self, seq: int) -> set[str]:
        """By what the next record may know it: the hash that is stored, or the one that was."""
        return {self.hash} if self.intact else {self.hash, self._hash(seq, self.prev)}

    def _hash(self, seq: int, prev: str) -> str:
        try:
            return _hash((self.raw[0], seq, *self.raw[2:8], prev))
        except (AttributeError, TypeError, ValueError):
            return ""


def verify(
    journal: Journal,
    incident: str | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check every record's hash and link, of one incident or of all.

    ``progress`` is told how many records have been read.

    Raises InvalidInput for an incident of which there is no record, JournalUnavailable.
    """
    problems: list[Problem] = []
    good: dict[str, int] = {}
    incidents = records = 0
    for name, group in groupby(journal.rows(incident), key=lambda row: str(row[0])):
        rows = [_checked(row) for row in group]
        incidents += 1
        records += len(rows)
        found = list(_Walk(name, rows).problems())
        problems.extend(found)
        good[name] = min((problem.seq for problem in found), default=rows[-1].seq + 1) - 1
        if progress:
            progress(records)
    if incident is not None and not records:
        # "Nothing wrong with it" would be true, and misleading.
        raise InvalidInput(
            f"There is no incident {incident!r} in the journal.",
            advice="`clampdown incidents` lists them.",
        )
    return Verification(incidents, records, tuple(problems), good)


def _checked(row: tuple[Any, ...]) -> _Row:
    """A row with its hash checked. A database may hold other types than its columns say."""
    seq, body, prev, digest = row[1], row[7], row[8], row[9]
    try:
        # Text that hashes right is the canonical text that was written; only a wrong one is parsed.
        if _hash(row[:9]) == digest:
            return _Row(seq, digest, prev, True)
        readable = _is_canonical(body)
    except (AttributeError, TypeError, ValueError):
        readable = False
    if not isinstance(seq, int):
        return _Row(0, str(digest), str(prev), False, False, row)
    return _Row(seq, str(digest), str(prev), False, readable, row)


def _hash(row: Sequence[Any]) -> str:
    incident, seq, at, kind, actor_kind, actor_id, actor_via, body, prev = row
    actor = Actor(actor_kind, actor_id, actor_via)
    return record_hash(incident, seq, at, kind, actor, body.encode(), prev)


def _is_canonical(body: str) -> bool:
    try:
        return canonical(json.loads(body, parse_int=_number)) == body.encode()
    except (ValueError, TypeError, RecursionError):
        return False


def _number(digits: str) -> int | float:
    """A whole number beyond 2^53 is a double that RFC 8785 writes without a fraction."""
    whole = int(digits)
    return whole if abs(whole) < 2**53 else float(digits)


class _Walk:
    """Goes along one incident's chain; where it breaks, finds the change that explains it.

    A row stands at a place, which has a number. Where rows changed places they are put back, and
    where rows were numbered anew (because some before them were removed or inserted) ``shift`` is
    what their numbers lack: so one change is one problem, and not one for every row after it.
    """

    def __init__(self, incident: str, rows: Sequence[_Row]) -> None:
        self._incident = incident
        self._rows = list(rows)
        self._places = [row.seq for row in rows]
        self._shift = 0
        self._known = {GENESIS}
        self._blamed = False
        self._searches = 0
        self._linked_to: dict[str, list[_Row]] = {}
        for row in rows:
            self._linked_to.setdefault(row.prev, []).append(row)

    def problems(self) -> Iterator[Problem]:
        expected = 1
        index = 0
        while index < len(self._rows):
            seq = self._places[index]
            found: list[Problem] = []
            skipped = 0
            if not self._rows[index].canonical:
                found.append(
                    self._problem(seq or expected, "malformed", "it is not canonical JSON")
                )
            elif seq != expected:
                found.extend(self._gap(index, expected))
            elif not self._holds(index):
                found, skipped = self._broken(index)
            yield from found
            self._blamed = bool(found)
            if skipped:
                # What was inserted is left out; the record that belongs here comes next.
                index += skipped
                expected += skipped
                continue
            self._known = self._rows[index].hashes(seq + self._shift)
            expected = max(expected, seq + 1)
            index += 1

    def _holds(self, index: int) -> bool:
        return self._written(index, 0) and self._rows[index].prev in self._known

    def _written(self, index: int, off: int) -> bool:
        """Whether the row was written with its place's number, or one so far off."""
        return self._rows[index].was(self._places[index] + self._shift + off)

    def _gap(self, index: int, expected: int) -> list[Problem]:
        seq = self._places[index]
        gone = f"{expected}" if seq - 1 == expected else f"{expected} to {seq - 1}"
        found = [self._problem(expected, "removed", f"record {gone} is missing")]
        if not self._written(index, 0):
            found.append(self._problem(seq, "edited", _EDITED))
        return found

    def _broken(self, index: int) -> tuple[list[Problem], int]:
        """What is wrong at a place, and how many rows from here on are to be left out."""
        row, seq = self._rows[index], self._places[index]
        rightful = self._rightful(index)
        if rightful is not None:
            return self._displaced(index, rightful)
        if row.prev in self._known:
            return [self._problem(seq, "edited", _EDITED)], 0
        if self._written(index, 0):
            return self._unlinked(index), 0
        if any(row.was(seq + self._shift, prev) for prev in self._known):
            return [self._problem(seq, "edited", "its link is not what was recorded")], 0
        return [self._renumbered(index) or self._foreign(index)], 0

    def _rightful(self, index: int) -> int | None:
        """Where the row is now that belongs at this place; None where there is none."""
        seq = self._places[index] + self._shift
        for digest in self._known:
            for row in self._linked_to.get(digest, ()):
                if row is not self._rows[index] and row.was(seq):
                    later = next(n for n, other in enumerate(self._rows) if other is row)
                    if later > index:
                        return later
        return None

    def _displaced(self, index: int, rightful: int) -> tuple[list[Problem], int]:
        seq, there = self._places[index], self._places[rightful]
        distance = rightful - index
        if self._written(index, there - seq):
            rows = self._rows
            rows[index], rows[rightful] = rows[rightful], rows[index]
            text = f"records {seq} and {there} changed places"
            return [self._problem(seq, "reordered", text)], 0
        if any(self._written(index, off) for off in range(1, min(distance, _FAR) + 1)):
            self._rows.insert(index, self._rows.pop(rightful))
            return [self._problem(seq, "reordered", f"it was moved to {there}")], 0
        self._shift -= distance
        return [
            self._problem(seq, "inserted", "the record that belongs here comes later")
        ], distance

    def _unlinked(self, index: int) -> list[Problem]:
        """A row that is as it was written, but not after the one that stands before it."""
        seq = self._places[index]
        if self._blamed:
            return []
        if index and self._vouched(index):
            text = f"record {seq} was not written after what stands here"
            return [self._problem(self._places[index - 1], "edited", text)]
        return [self._problem(seq, "inserted", "it does not follow from the record before")]

    def _renumbered(self, index: int) -> Problem | None:
        seq = self._places[index]
        self._searches += 1
        far = _FAR if self._searches <= _MANY else 1
        for off in range(1, far + 1):
            if self._written(index, off):
                self._shift += off
                text = f"{off} record(s) are gone from here, and the rest has new numbers"
                return self._problem(seq, "removed", text)
            if off < seq and self._written(index, -off) and self._is_first(index):
                self._shift -= off
                text = f"{off} record(s) were put in here, and the rest has new numbers"
                return self._problem(seq - off, "inserted", text)
        return None

    def _foreign(self, index: int) -> Problem:
        seq = self._places[index]
        if self._vouched(index):
            return self._problem(seq, "edited", "its content and link are not what was recorded")
        return self._problem(seq, "inserted", "no record around it knows it")

    def _is_first(self, index: int) -> bool:
        """Whether the row is no copy of one before it."""
        digest = self._rows[index].hash
        return all(row.hash != digest for row in self._rows[:index])

    def _vouched(self, index: int) -> bool:
        """Whether the next record was written after this one."""
        later = self._rows[index + 1] if index + 1 < len(self._rows) else None
        return later is not None and later.prev == self._rows[index].hash

    def _problem(self, seq: int, kind: Tampering, message: str) -> Problem:
        return Problem(self._incident, seq, kind, message)


_EDITED = "its content is not what was recorded"
# By how much a row may be away from its number to be recognised, and how often that is tried in an
# incident: each try is a hash, and an incident may be wrong from its first record to its last.
_FAR = 1_000
_MANY = 50
