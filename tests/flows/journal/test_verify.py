"""Whatever somebody does to the records, verifying names the first that is wrong, and what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.journal.journal import Journal, records_table
from flows.journal.record import Actor, canonical, record_hash
from flows.journal.verify import Problem, verify
from runbooks.errors import InvalidInput
from tests.flows.journal.test_record import BODIES, TEXT
from tests.flows.journal.writers import ROOT, WRITER, raw, write

LENGTH = 7
PLACES = range(1, LENGTH + 1)
FAKE = "f" * 64


@dataclass
class Stored:
    """An incident's rows in the hands of somebody who may change whatever he likes."""

    connection: sa.Connection
    incident: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> Stored:
        query = sa.select(records_table).where(records_table.c.incident == self.incident)
        found = self.connection.execute(query.order_by(records_table.c.seq)).mappings()
        return replace(self, rows=[dict(row) for row in found])

    def write(self, *, numbered: bool = True) -> None:
        """Put the rows back, by default numbered anew in the order in which they stand now."""
        table = records_table
        self.connection.execute(table.delete().where(table.c.incident == self.incident))
        if numbered:
            self.rows = [{**row, "seq": seq} for seq, row in enumerate(self.rows, start=1)]
        if self.rows:
            self.connection.execute(table.insert(), self.rows)

    def forged(self, seq: int, **changes: Any) -> dict[str, Any]:
        """A row as it would be at a place, whose hash and link are right."""
        before = self.rows[seq - 2]["hash"] if seq > 1 else "0" * 64
        row = {**self.rows[0], "body": '{"forged":true}', "seq": seq, "prev_hash": before}
        return rehashed({**row, **changes})


def rehashed(row: dict[str, Any]) -> dict[str, Any]:
    actor = Actor(row["actor_kind"], row["actor_id"], row["actor_via"])
    stamp, body, before = row["at"], row["body"].encode(), row["prev_hash"]
    digest = record_hash(row["incident"], row["seq"], stamp, row["kind"], actor, body, before)
    return {**row, "hash": digest}


@pytest.fixture
def journal_url(sqlite_url: str) -> str:
    """Verifying is the same in PostgreSQL: one test below holds it to that."""
    return sqlite_url


@pytest.fixture
def stored(journal: Journal, journal_url: str) -> Iterator[Stored]:
    write(journal, "inc-1", LENGTH)
    write(journal, "inc-2", 2)
    with raw(journal_url) as connection:
        yield Stored(connection, "inc-1").read()


def found(journal: Journal) -> list[tuple[int, str]]:
    """The problems, all of which are the tampered incident's."""
    result = verify(journal)
    assert result.ok == (not result.problems)
    assert {problem.incident for problem in result.problems} <= {"inc-1"}
    assert result.good["inc-2"] == 2
    if result.problems:
        assert result.good["inc-1"] == min(problem.seq for problem in result.problems) - 1
    return [(problem.seq, problem.kind) for problem in result.problems]


def at_every_place(*, last: bool = True) -> Any:
    return pytest.mark.parametrize("k", PLACES if last else PLACES[:-1])


def test_what_nobody_touched_is_whole(journal: Journal, stored: Stored) -> None:
    told: list[int] = []
    result = verify(journal, progress=told.append)
    assert (result.ok, result.incidents, result.records) == (True, 2, LENGTH + 2)
    assert result.good == {"inc-1": LENGTH, "inc-2": 2}
    assert told == [LENGTH, LENGTH + 2]
    stored.write()
    assert verify(journal).ok


def test_one_incident_is_verified_alone(journal: Journal, stored: Stored) -> None:
    stored.rows[2]["body"] = "{}"
    stored.write()
    assert verify(journal, "inc-2").ok
    result = verify(journal, "inc-1")
    assert result.problems == (
        Problem("inc-1", 3, "edited", "its content is not what was recorded"),
    )
    assert result.good == {"inc-1": 2}


def test_an_incident_that_is_not_there_is_not_called_whole(journal: Journal) -> None:
    with pytest.raises(InvalidInput, match="no incident 'inc-9'"):
        verify(journal, "inc-9")
    assert verify(journal).ok


@at_every_place()
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", '{"number":99}'),
        ("at", "2020-01-01T00:00:00.000000Z"),
        ("at", "yesterday"),
        ("kind", "gate.decided"),
        ("actor_kind", "person"),
        ("actor_id", "local:mallory"),
        ("actor_via", "slack"),
        ("hash", FAKE),
        ("prev_hash", FAKE),
    ],
)
def test_an_edited_record_is_named(
    journal: Journal, stored: Stored, k: int, column: str, value: str
) -> None:
    stored.rows[k - 1][column] = value
    stored.write()
    assert found(journal) == [(k, "edited")]


@at_every_place(last=False)
def test_a_record_that_was_rewritten_with_its_hash_is_named(
    journal: Journal, stored: Stored, k: int
) -> None:
    stored.rows[k - 1] = stored.forged(k)
    stored.write()
    # Of the last two, either may be the one that was not recorded.
    expected = [(k, "edited")] if k < LENGTH - 1 else [(LENGTH, "inserted")]
    assert found(journal) == expected


@at_every_place()
@pytest.mark.parametrize(
    "body",
    ["{", "", "[1", '{"number": 1}', '{"number":1} ', '{"b":1,"a":2}', '{"a":1,"a":1}', "NaN"],
)
def test_a_malformed_record_is_named(journal: Journal, stored: Stored, k: int, body: str) -> None:
    stored.rows[k - 1]["body"] = body
    stored.write()
    assert found(journal) == [(k, "malformed")]


def test_a_number_beyond_what_integers_hold_is_no_malformed_record(
    journal: Journal, journal_url: str
) -> None:
    journal.append("inc-1", "test.note", {"n": [2.0**53, -1e20, 1e300]}, WRITER)
    write(journal, "inc-2", 2)
    assert found(journal) == []
    with raw(journal_url) as connection:
        connection.execute(sa.text("UPDATE records SET kind = 'x' WHERE incident = 'inc-1'"))
    assert found(journal) == [(1, "edited")]


@at_every_place(last=False)
def test_a_removed_record_is_named(journal: Journal, stored: Stored, k: int) -> None:
    del stored.rows[k - 1]
    stored.write(numbered=False)
    assert found(journal) == [(k, "removed")]


@at_every_place(last=False)
def test_a_removed_record_is_named_though_the_rest_was_numbered_anew(
    journal: Journal, stored: Stored, k: int
) -> None:
    del stored.rows[k - 1]
    stored.write()
    assert found(journal) == [(k, "removed")]


@pytest.mark.parametrize("numbered", [True, False])
def test_several_removed_records_are_one_problem(
    journal: Journal, stored: Stored, numbered: bool
) -> None:
    del stored.rows[1:4]
    stored.write(numbered=numbered)
    assert found(journal) == [(2, "removed")]
    message = verify(journal).problems[0].message
    assert message in {
        "record 2 to 4 is missing",
        "3 record(s) are gone from here, and the rest has new numbers",
    }


@pytest.mark.parametrize(("i", "j"), [(i, j) for j in PLACES for i in range(1, j)])
def test_two_records_that_changed_places_are_named(
    journal: Journal, stored: Stored, i: int, j: int
) -> None:
    rows = stored.rows
    rows[i - 1], rows[j - 1] = rows[j - 1], rows[i - 1]
    stored.write()
    assert found(journal) == [(i, "reordered")]
    assert verify(journal).problems[0].message == f"records {i} and {j} changed places"


@pytest.mark.parametrize(("i", "j"), [(i, j) for j in PLACES for i in range(1, j - 1)])
def test_a_record_that_was_moved_back_is_named(
    journal: Journal, stored: Stored, i: int, j: int
) -> None:
    stored.rows.insert(j - 1, stored.rows.pop(i - 1))
    stored.write()
    assert found(journal) == [(i, "reordered")]


FORGERIES: dict[str, Callable[[Stored, int], dict[str, Any]]] = {
    "with the right link": lambda stored, k: stored.forged(k),
    "with a wrong link": lambda stored, k: stored.forged(k, prev_hash=FAKE),
    "with a wrong hash": lambda stored, k: {**stored.forged(k), "hash": FAKE},
    "with both wrong": lambda stored, k: {**stored.forged(k, prev_hash=FAKE), "hash": FAKE},
    "a copy of the first": lambda stored, k: dict(stored.rows[0]),
    "a copy of the last": lambda stored, k: dict(stored.rows[-1]),
}


@at_every_place()
@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_inserted_record_is_named(
    journal: Journal, stored: Stored, k: int, forgery: str
) -> None:
    stored.rows.insert(k - 1, FORGERIES[forgery](stored, k))
    stored.write()
    problems = found(journal)
    twice = (forgery == "a copy of the first" and k == 1) or (
        forgery == "a copy of the last" and k == LENGTH
    )
    if forgery == "a copy of the last" and k == LENGTH - 1:
        # It might as well be the last itself, with the copy after it.
        assert problems[0] == (k, "reordered")
    else:
        # Of two that are the same, the second is the one too many.
        assert problems == [(k + 1 if twice else k, "inserted")]


@pytest.mark.parametrize("forgery", ["with a wrong link", "with both wrong", "a copy of the first"])
def test_an_appended_record_is_named(journal: Journal, stored: Stored, forgery: str) -> None:
    stored.rows.append(FORGERIES[forgery](stored, LENGTH + 1))
    stored.write()
    assert found(journal) == [(LENGTH + 1, "inserted")]


def test_a_record_of_another_incident_does_not_fit(journal: Journal, stored: Stored) -> None:
    other = replace(stored, incident="inc-2").read()
    stored.rows[3] = {**other.rows[1], "incident": "inc-1"}
    stored.write()
    assert found(journal)[0][0] == 4


def test_a_whole_incident_under_another_name_is_named(journal: Journal, stored: Stored) -> None:
    stored.connection.execute(
        sa.text("UPDATE records SET incident = 'inc-3' WHERE incident = 'inc-1'")
    )
    problems = verify(journal).problems
    assert (problems[0].incident, problems[0].seq) == ("inc-3", 1)


def test_several_changes_are_all_named(journal: Journal, stored: Stored) -> None:
    stored.rows[0]["kind"] = "x"
    stored.rows[4]["body"] = "{"
    del stored.rows[2]
    stored.write(numbered=False)
    assert found(journal) == [(1, "edited"), (3, "removed"), (5, "malformed")]


@pytest.mark.parametrize(
    "change",
    [
        "body = x'ff00'",
        "body = CAST(x'ff' AS TEXT)",
        "actor_id = CAST(x'ff' AS TEXT)",
        "at = 7",
        "kind = x'00'",
        "prev_hash = 1.5",
        "hash = x'ff'",
        "seq = 'three'",
        "seq = 2.5",
    ],
)
def test_what_is_not_even_text_is_named_and_ends_nothing(sqlite_url: str, change: str) -> None:
    journal = Journal.open(sqlite_url)
    write(journal, "inc-1", LENGTH)
    write(journal, "inc-2", 2)
    with raw(sqlite_url) as connection:
        connection.exec_driver_sql(
            f"UPDATE records SET {change} WHERE incident = 'inc-1' AND seq = 3"
        )
    problems = found(journal)
    assert min(seq for seq, _ in problems) == 3
    journal.close()


def test_a_tail_that_was_cut_off_is_not_seen_and_this_is_known(
    journal: Journal, stored: Stored
) -> None:
    # The module says so: only a head that is known from elsewhere shows it.
    del stored.rows[-2:]
    stored.write()
    assert verify(journal).good["inc-1"] == LENGTH - 2


def test_verifying_is_the_same_in_postgres(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    write(journal, "inc-1", LENGTH)
    write(journal, "inc-2", 2)
    assert found(journal) == []
    with raw(postgres_url) as connection:
        stored = Stored(connection, "inc-1").read()
        rows = stored.rows
        rows[1], rows[2] = rows[2], rows[1]
        rows[4]["kind"] = "x"
        rows.append(stored.forged(LENGTH + 1, prev_hash=FAKE))
        stored.write()
    assert found(journal) == [(2, "reordered"), (5, "edited"), (LENGTH + 1, "inserted")]
    with raw(postgres_url) as connection:
        connection.execute(sa.text("DELETE FROM records WHERE seq = 1 AND incident = 'inc-1'"))
    assert found(journal)[0] == (1, "removed")
    journal.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Journal, str]]:
    path: Path = tmp_path_factory.mktemp("verify") / "journal.db"
    journal = Journal.open(f"sqlite:///{path}")
    yield journal, f"sqlite:///{path}"
    journal.close()


@dataclass(frozen=True)
class Tampering:
    """A change to a random journal. ``first`` are the records that may be named for it first."""

    name: str
    change: Callable[[Stored, int], None]
    first: Callable[[int, int], set[int]] = lambda k, length: {k}
    last: bool = True


def _edit(column: str, value: str) -> Callable[[Stored, int], None]:
    def change(stored: Stored, k: int) -> None:
        stored.rows[k - 1][column] = stored.rows[k - 1][column] + value
        stored.write()

    return change


def _remove(*, numbered: bool) -> Callable[[Stored, int], None]:
    def change(stored: Stored, k: int) -> None:
        del stored.rows[k - 1]
        stored.write(numbered=numbered)

    return change


def _rewrite(stored: Stored, k: int) -> None:
    stored.rows[k - 1] = stored.forged(k)
    stored.write()


def _insert(stored: Stored, k: int) -> None:
    stored.rows.insert(k - 1, stored.forged(k))
    stored.write()


def _swap(stored: Stored, k: int) -> None:
    stored.rows[k - 1], stored.rows[k] = stored.rows[k], stored.rows[k - 1]
    stored.write()


def _reverse(stored: Stored, k: int) -> None:
    stored.rows[k - 1 :] = reversed(stored.rows[k - 1 :])
    stored.write()


TAMPERINGS = [
    *(
        Tampering(f"edit {column}", _edit(column, "x"))
        for column in ("at", "kind", "actor_kind", "actor_id", "actor_via", "hash", "prev_hash")
    ),
    Tampering("append to the body", _edit("body", " ")),
    Tampering("remove", _remove(numbered=False), last=False),
    Tampering("remove and number anew", _remove(numbered=True), last=False),
    Tampering("rewrite", _rewrite, lambda k, length: {k, k + 1}, last=False),
    Tampering("insert", _insert),
    Tampering("swap with the next", _swap, last=False),
    Tampering("reverse from here", _reverse, last=False),
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(TEXT, TEXT, BODIES), min_size=1, max_size=8),
    st.sampled_from(TAMPERINGS),
    st.data(),
)
def test_of_any_journal_and_any_change_the_first_wrong_record_is_named(
    shared: tuple[Journal, str],
    contents: list[tuple[str, str, dict[str, Any]]],
    tampering: Tampering,
    data: st.DataObject,
) -> None:
    journal, url = shared
    incident = f"inc-{uuid.uuid4()}"
    for kind, who, body in contents:
        actor = Actor("person", who.replace("\x00", ""), "cli")
        journal.append(incident, kind.replace("\x00", ""), body, actor)
    length = len(contents)
    assert verify(journal, incident).ok
    highest = length if tampering.last else length - 1
    if highest < 1:
        return
    k = data.draw(st.integers(1, highest))
    with raw(url) as connection:
        tampering.change(Stored(connection, incident).read(), k)
        result = verify(journal, incident)
    first = min(problem.seq for problem in result.problems)
    assert first in tampering.first(k, length)
    assert result.good[incident] == first - 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_garbage_in_any_column_is_named_and_ends_nothing(
    shared: tuple[Journal, str], data: st.DataObject
) -> None:
    journal, url = shared
    incident = f"inc-{uuid.uuid4()}"
    write(journal, incident, 4)
    k = data.draw(st.integers(1, 4))
    columns = [column.name for column in records_table.columns][2:]
    column = data.draw(st.sampled_from(columns))
    value = data.draw(st.binary(max_size=8) | st.integers(0, 9) | st.floats(0, 1) | TEXT)
    with raw(url) as connection:
        connection.exec_driver_sql(
            f"UPDATE records SET {column} = ? WHERE incident = ? AND seq = ?", (value, incident, k)
        )
    assert min(problem.seq for problem in verify(journal, incident).problems) == k


def test_many_records_are_verified_in_a_moment_whatever_was_done_to_them(sqlite_url: str) -> None:
    journal = Journal.open(sqlite_url)
    rows: list[dict[str, Any]] = []
    before = "0" * 64
    for seq in range(1, 12_001):
        body = canonical({"number": seq}).decode()
        row = rehashed(
            {
                "incident": "inc-1",
                "seq": seq,
                "at": "2026-01-01T00:00:00.000000Z",
                "kind": "test.note",
                "actor_kind": WRITER.kind,
                "actor_id": WRITER.id,
                "actor_via": WRITER.via,
                "body": body,
                "prev_hash": before,
            }
        )
        before = row["hash"]
        rows.append(row)
    with raw(sqlite_url) as connection:
        connection.exec_driver_sql("BEGIN")
        connection.execute(records_table.insert(), rows)
        connection.exec_driver_sql("COMMIT")
        assert verify(journal).ok
        assert verify(journal).records == 12_000

        connection.exec_driver_sql("DELETE FROM records WHERE seq = 1")
        connection.exec_driver_sql("UPDATE records SET seq = seq - 1")
        result = verify(journal)
        assert [(problem.seq, problem.kind) for problem in result.problems] == [(1, "removed")]

        # Wrong from the first to the last, it still takes a moment only.
        begun = time.process_time()
        connection.exec_driver_sql("UPDATE records SET kind = 'x', prev_hash = seq")
        assert len(verify(journal).problems) == 11_999
        assert time.process_time() - begun < 10
    journal.close()


def clampdown(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "CLAMPDOWN_JOURNAL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_line_names_the_record_and_ends_with_4(
    journal: Journal, journal_url: str, stored: Stored
) -> None:
    whole = clampdown(journal_url, "journal", "verify")
    assert (whole.returncode, whole.stdout) == (
        0,
        f"{LENGTH + 2} records of 2 incident(s): the journal is whole.\n",
    )
    stored.rows[2]["kind"] = "x"
    with raw(journal_url):
        stored.write()
    bad = clampdown(journal_url, "journal", "verify")
    assert bad.returncode == 4
    assert "inc-1 record 3: edited: its content is not what was recorded" in bad.stdout
    assert "THE JOURNAL FAILS VERIFICATION" in bad.stdout
    document = json.loads(clampdown(journal_url, "journal", "verify", "--json").stdout)
    assert document["ok"] is False
    assert [problem["seq"] for problem in document["problems"]] == [3]
    assert clampdown(journal_url, "journal", "verify", "inc-9").returncode == 2


def test_the_command_line_takes_the_records_out(
    journal: Journal, journal_url: str, stored: Stored, tmp_path: Path
) -> None:
    lines = clampdown(journal_url, "journal", "export", "inc-1").stdout.splitlines()
    assert [json.loads(line)["hash"] for line in lines] == [row["hash"] for row in stored.rows]
    path = tmp_path / "records.csv"
    done = clampdown(journal_url, "journal", "export", "--format", "csv", "--output", str(path))
    assert done.returncode == 0, done.stderr
    assert len(path.read_text().splitlines()) == 1 + LENGTH + 2
    assert clampdown(journal_url, "journal", "export", "--format", "xml").returncode == 2
    nowhere = clampdown(journal_url, "journal", "export", "--output", str(tmp_path / "no" / "x"))
    assert nowhere.returncode == 2
    assert "can't be written: No such file or directory" in nowhere.stderr
