"""What is asked about many incidents at once: right, in order, and quick however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.journal import queries
from flows.journal.journal import Journal
from flows.journal.record import GENESIS, Record
from tests.flows.journal.test_journal import raw_with_triggers
from tests.flows.journal.writers import WRITER

START = datetime(2026, 1, 1, tzinfo=UTC)
# All that stands around a beginning: with less, more, or something else after it.
AROUND = ["", "inc", "inc,", "inc-", "inc-1", "inc-ü", "inc-🔒", "inc.", "INC-2", "ind", "in"]


def write(journal: Journal, *records: tuple[str, str]) -> list[Record]:
    """A record each minute: of which chain, and of what kind."""
    return [
        journal.append(chain, kind, {"n": minute}, WRITER, at=START + timedelta(minutes=minute))
        for minute, (chain, kind) in enumerate(records)
    ]


def test_the_last_record_of_an_incident_is_found(journal: Journal) -> None:
    assert journal.last("inc-1") is None
    _, _, last, _ = write(journal, ("inc-1", "a"), ("inc-1", "b"), ("inc-1", "c"), ("inc-11", "d"))
    assert journal.last("inc-1") == last


def test_heads_are_those_of_the_chains_that_begin_so(journal: Journal) -> None:
    write(journal, *((chain, "a") for chain in AROUND))
    later = write(journal, *((chain, "b") for chain in reversed(AROUND)))
    assert [head.incident for head in journal.incidents()] == AROUND
    assert [head.incident for head in journal.incidents("inc-")] == [
        chain for chain in AROUND if chain.startswith("inc-")
    ]
    assert journal.incidents("inc-2") == []
    head = journal.incidents("inc-1")[0]
    last = next(record for record in later if record.incident == "inc-1")
    assert (head.seq, head.hash) == (2, last.hash)
    assert (head.opened_at, head.last_at) == (START + timedelta(minutes=4), last.at)


def test_heads_are_found_of_a_chain_whose_beginning_is_gone(
    journal: Journal, journal_url: str
) -> None:
    with raw_with_triggers(journal_url) as connection:
        connection.exec_driver_sql(_row("inc-1", 7, "a"))
    (head,) = journal.incidents()
    assert head.seq == 7


def test_chains_with_a_kind_are_found_the_oldest_first(journal: Journal) -> None:
    write(
        journal,
        ("inc-z", "incident.opened"),
        ("inc-b", "test.note"),
        ("fnd-1", "incident.opened"),
        ("inc-b", "incident.opened"),
        ("inc-z", "incident.opened"),
        ("inc-c", "test.note"),
    )
    assert journal.chains_with("incident.opened") == ["inc-z", "fnd-1", "inc-b"]
    assert journal.chains_with("incident.closed") == []


def test_the_newest_record_among_some_kinds_is_found_of_each_chain(journal: Journal) -> None:
    written = write(
        journal,
        ("inc-2", "incident.opened"),
        ("inc-1", "incident.opened"),
        ("inc-1", "incident.closed"),
        ("inc-1", "test.note"),
        ("inc-3", "test.note"),
        ("fnd-1", "incident.opened"),
    )
    kinds = {"incident.opened", "incident.closed"}
    assert journal.last_of(kinds) == [written[0], written[2]]
    assert journal.last_of(kinds, "fnd-") == [written[5]]
    assert journal.last_of(kinds, "") == [written[0], written[2], written[5]]
    assert journal.last_of([]) == []


def test_what_begins_so_is_the_same_whatever_language_the_database_speaks(
    postgres_url: str,
) -> None:
    journal = Journal.open(postgres_url)
    with raw_with_triggers(postgres_url) as connection:
        # As it is where the column was made with the database's own order: for English, hyphens
        # and full stops hardly count.
        connection.exec_driver_sql(
            'ALTER TABLE records ALTER incident TYPE text COLLATE "en-x-icu"'
        )
    write(journal, *((chain, "a") for chain in AROUND))
    expected = [chain for chain in AROUND if chain.startswith("inc-")]
    assert [head.incident for head in journal.incidents("inc-")] == expected
    assert [record.incident for record in journal.last_of(["a"])] == expected
    assert [head.incident for head in journal.incidents()] == AROUND
    journal.close()


# Many


INCIDENTS, RECORDS, FINDINGS = 1_000, 100, 5_000
TURNS = ["incident.opened", "incident.started", "incident.closed"]


def _row(chain: str, seq: int, kind: str) -> str:
    return (
        f"INSERT INTO records VALUES ('{chain}', {seq}, '2026-01-01T00:00:00.000000Z', '{kind}',"
        f" 'system', 'writer', 'test', '{{}}', '{GENESIS}', '{GENESIS}')"
    )


def _fill(journal_url: str, chains: str, count: int, records: int) -> None:
    """So many chains: opened, started, and all but each tenth closed."""
    numbers = (
        "WITH RECURSIVE chains(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM chains"
        f" WHERE n < {count}), seqs(s) AS (SELECT 1 UNION ALL SELECT s + 1 FROM seqs"
        f" WHERE s < {records}) "
    )
    name = f"'{chains}' || substr('0000' || n, length('0000' || n) - 4)"
    kind = (
        "CASE WHEN s = 1 THEN 'incident.opened' WHEN s = 2 THEN 'incident.started'"
        f" WHEN s = {records} AND n / 10 * 10 <> n THEN 'incident.closed' ELSE 'change.intent' END"
    )
    body = f'\'{{"text":"{"x" * 500}"}}\''
    with raw_with_triggers(journal_url) as connection:
        connection.exec_driver_sql(
            f"INSERT INTO records {numbers}SELECT {name}, s, '2026-01-01T00:00:00.000000Z',"
            f" {kind}, 'system', 'writer', 'test', {body}, '{GENESIS}', '{GENESIS}'"
            " FROM seqs, chains ORDER BY s, n"
        )


def test_a_thousand_incidents_are_looked_through_in_a_moment(
    journal: Journal, journal_url: str
) -> None:
    """On an idle machine of 2 cores: 6, 10, 8, and 0.2 ms in SQLite, and 25, 15, 10, and 0.3 ms in
    PostgreSQL; to read all records takes 600 ms and more."""
    _fill(journal_url, "inc-", INCIDENTS, RECORDS)
    _fill(journal_url, "fnd-", FINDINGS, 2)
    asked: list[tuple[Callable[[], Any], int]] = [
        (lambda: journal.incidents("inc-"), INCIDENTS),
        (lambda: journal.last_of(TURNS), INCIDENTS),
        (lambda: journal.chains_with("incident.closed"), INCIDENTS * 9 // 10),
        (lambda: [journal.last("inc-00077")], 1),
    ]
    for ask, count in asked:
        took = []
        for _ in range(3):
            begun = time.perf_counter()
            assert len(ask()) == count
            took.append(time.perf_counter() - begun)
        assert min(took) < 0.3, took
    unfinished = [record for record in journal.last_of(TURNS) if record.kind != TURNS[-1]]
    assert len(unfinished) == INCIDENTS // 10


@pytest.mark.parametrize("prefix", ["inc-", ""])
def test_no_question_about_many_incidents_reads_all_records(sqlite_url: str, prefix: str) -> None:
    journal = Journal.open(sqlite_url)
    with journal._connection() as connection:
        for query in (
            queries.heads(prefix, "BINARY"),
            queries.last_of(TURNS, prefix, "BINARY"),
            queries.chains_with(TURNS[0]),
            queries.last("inc-1"),
        ):
            text = query.compile(journal._engine, compile_kwargs={"literal_binds": True}).string
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
            steps = [row[-1] for row in plan]
            assert any("USING" in step for step in steps)
            assert not any(step.startswith("SCAN records") for step in steps), steps
    journal.close()
