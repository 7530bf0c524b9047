"""Appending and reading: durable, in order, without gaps, by many at once, and never half."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.journal.errors import (
    HeadMoved,
    JournalNewer,
    JournalTampered,
    JournalUnavailable,
    SecretInRecord,
)
from flows.journal.journal import SCHEMA_VERSION, Journal
from flows.journal.record import GENESIS, Actor, Record
from flows.journal.verify import verify
from tests.flows.journal.writers import ROOT, WRITER, raw, tell, told, write, writer

ALICE = Actor("person", "local:alice", "cli")


def chained(journal: Journal, incident: str, count: int) -> None:
    """The incident has so many records, one gapless chain of them."""
    records = journal.records(incident)
    assert [record.seq for record in records] == list(range(1, count + 1))
    links = [GENESIS, *(record.hash for record in records)]
    assert [record.prev_hash for record in records] == links[:-1]
    assert verify(journal, incident).ok


def test_a_record_is_read_as_it_was_appended(journal: Journal) -> None:
    body = {"text": "Müller\u2028\x00🔒", "list": [1, 2.5, None, True, {"": {}}], "tiny": 1e-7}
    at = datetime(2026, 2, 3, 4, 5, 6, 7, UTC)
    appended = journal.append("inc-1", "incident.opened", body, ALICE, at=at)
    assert journal.records("inc-1") == [appended]
    assert (appended.seq, appended.prev_hash, appended.at) == (1, GENESIS, at)
    assert appended.body == body
    assert appended.actor == ALICE


def test_another_process_reads_what_was_appended(journal: Journal, journal_url: str) -> None:
    write(journal, "inc-1", 3)
    other = Journal.open(journal_url)
    assert other.records("inc-1") == journal.records("inc-1")
    assert other.append("inc-1", "test.note", {}, WRITER).seq == 4
    # The first one's idea of the last record is out of date now.
    assert journal.append("inc-1", "test.note", {}, WRITER).seq == 5
    chained(journal, "inc-1", 5)
    other.close()


def test_records_after_one_are_read(journal: Journal) -> None:
    write(journal, "inc-1", 4)
    assert [record.seq for record in journal.records("inc-1", 2)] == [3, 4]
    assert journal.records("inc-1", 4) == []
    assert journal.records("inc-2") == []


def test_incidents_are_listed_in_the_order_in_which_they_were_opened(journal: Journal) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for minute, incident in enumerate(["inc-z", "inc-a", "inc-z"]):
        at = start + timedelta(minutes=minute)
        last = journal.append(incident, "test.note", {}, WRITER, at=at)
    first, second = journal.incidents()
    assert (first.incident, first.seq, first.hash) == ("inc-z", 2, last.hash)
    assert (first.opened_at, first.last_at) == (start, start + timedelta(minutes=2))
    assert (second.incident, second.seq) == ("inc-a", 1)


def test_records_of_a_kind_are_found_over_all_incidents(journal: Journal) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for minute, (incident, kind) in enumerate(
        [("inc-b", "change.intent"), ("inc-a", "test.note"), ("inc-a", "change.intent")]
    ):
        journal.append(incident, kind, {}, WRITER, at=start + timedelta(minutes=minute))
    found = list(journal.find(kind="change.intent"))
    assert [record.incident for record in found] == ["inc-b", "inc-a"]
    late = list(journal.find(kind="change.intent", since=start + timedelta(minutes=1)))
    assert [record.incident for record in late] == ["inc-a"]


def test_waiting_ends_with_the_record_that_is_waited_for(journal: Journal) -> None:
    write(journal, "inc-1", 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(journal.wait, "inc-1", 1, timedelta(seconds=20))
        time.sleep(0.3)
        assert not waiting.done()
        appended = journal.append("inc-1", "gate.decided", {}, ALICE)
        assert waiting.result() == [appended]


def test_waiting_ends_after_its_time(journal: Journal) -> None:
    begun = time.monotonic()
    assert journal.wait("inc-1", 0, timedelta(milliseconds=300)) == []
    assert 0.3 <= time.monotonic() - begun < 5


def test_a_compare_and_set_appends_after_that_record_only(journal: Journal) -> None:
    first = journal.append("inc-1", "test.note", {}, WRITER, after_seq=0)
    journal.append("inc-1", "test.note", {}, WRITER, after_seq=first.seq)
    with pytest.raises(HeadMoved, match="inc-1 is at record 2, not 1"):
        journal.append("inc-1", "test.note", {}, WRITER, after_seq=1)
    with pytest.raises(HeadMoved):
        journal.append("inc-1", "test.note", {}, WRITER, after_seq=3)
    chained(journal, "inc-1", 2)


def test_a_compare_and_set_sees_what_another_process_appended(
    journal: Journal, journal_url: str
) -> None:
    write(journal, "inc-1", 1)
    other = Journal.open(journal_url)
    write(other, "inc-1", 1)
    with pytest.raises(HeadMoved):
        journal.append("inc-1", "test.note", {}, WRITER, after_seq=1)
    assert journal.append("inc-1", "test.note", {}, WRITER, after_seq=2).seq == 3
    other.close()


def test_a_chain_that_was_looked_for_in_vain_is_begun_without_being_looked_for_again(
    journal: Journal, journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(incident: str) -> Any:
        raise AssertionError(f"the head of {incident} was read again")

    assert journal.records("fnd-1") == []
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_read_head", again)
        first = journal.append("fnd-1", "test.note", {}, WRITER)
    assert (first.seq, first.prev_hash) == (1, GENESIS)

    # Another process may begin it meanwhile.
    assert journal.records("fnd-2") == []
    other = Journal.open(journal_url)
    theirs = other.append("fnd-2", "test.note", {"by": "another"}, WRITER)
    other.close()
    ours = journal.append("fnd-2", "test.note", {"by": "us"}, WRITER)
    assert (ours.seq, ours.prev_hash) == (2, theirs.hash)
    assert journal.records("fnd-2") == [theirs, ours]
    assert verify(journal, "fnd-2").ok


def test_one_of_many_compare_and_sets_wins(journal: Journal, journal_url: str) -> None:
    others = [Journal.open(journal_url) for _ in range(4)]
    barrier = threading.Barrier(8)

    def decide(number: int) -> bool:
        barrier.wait()
        try:
            others[number % 4].append("inc-1", "gate.decided", {"n": number}, ALICE, after_seq=0)
        except HeadMoved:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(decide, range(8))) == 1
    chained(journal, "inc-1", 1)
    for other in others:
        other.close()


def test_many_threads_append_to_one_gapless_chain(journal: Journal) -> None:
    # More threads than PostgreSQL connections are kept for.
    def append(thread: int) -> list[int]:
        body = {"thread": thread}
        return [journal.append("inc-1", "test.note", body, WRITER).seq for _ in range(10)]

    with ThreadPoolExecutor(64) as pool:
        seen = [seq for seqs in pool.map(append, range(64)) for seq in seqs]
    assert sorted(seen) == list(range(1, 641))
    chained(journal, "inc-1", 640)


def test_threads_that_live_on_do_not_starve_others(journal: Journal) -> None:
    done, leave = threading.Barrier(41), threading.Event()

    def append() -> None:
        journal.append("inc-1", "test.note", {}, WRITER)
        done.wait(20)
        leave.wait(20)

    threads = [threading.Thread(target=append) for _ in range(40)]
    for thread in threads:
        thread.start()
    done.wait(20)
    leave.set()
    for thread in threads:
        thread.join()
    chained(journal, "inc-1", 40)


def test_many_processes_append_to_one_gapless_chain(journal: Journal, journal_url: str) -> None:
    processes = [writer(journal_url, "inc-1", f"writer-{n}", 100) for n in range(4)]
    for process in processes:
        assert told(process) == "ready"
    for process in processes:
        tell(process)
    told_hashes = set()
    for process in processes:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        told_hashes |= {line.split()[1] for line in said.splitlines()}
    chained(journal, "inc-1", 400)
    records = journal.records("inc-1")
    assert {record.hash for record in records} == told_hashes
    for n in range(4):
        numbers = [r.body["number"] for r in records if r.body["name"] == f"writer-{n}"]
        assert numbers == list(range(100))


def test_many_processes_make_the_journal_at_once(journal_url: str) -> None:
    processes = [writer(journal_url, "inc-1", str(n), 1) for n in range(6)]
    for process in processes:
        process.communicate("\n", timeout=60)
    assert [process.returncode for process in processes] == [0] * 6
    journal = Journal.open(journal_url)
    chained(journal, "inc-1", 6)
    journal.close()


def test_a_killed_writer_leaves_a_whole_chain_with_every_acknowledged_record(
    journal_url: str,
) -> None:
    acknowledged: list[tuple[int, str]] = []
    chance = random.Random(20260203)
    for round_ in range(8):
        process = writer(journal_url, "inc-1", f"round-{round_}", 100_000)
        assert told(process) == "ready"
        tell(process)
        time.sleep(chance.uniform(0.005, 0.15))
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate(timeout=30)
        # The last line may have been cut off by the kill.
        lines = said.split("\n")[:-1]
        acknowledged += [(int(line.split()[0]), line.split()[1]) for line in lines]

        journal = Journal.open(journal_url)
        records = {record.seq: record.hash for record in journal.records("inc-1")}
        assert verify(journal, "inc-1").ok
        assert set(acknowledged) <= set(records.items())
        journal.close()
    assert len(acknowledged) > 8


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = '{}' WHERE seq = 2",
        "UPDATE records SET seq = 9 WHERE seq = 2",
        "DELETE FROM records WHERE seq = 2",
        "DELETE FROM records",
    ],
)
def test_triggers_refuse_changes(journal: Journal, journal_url: str, statement: str) -> None:
    refused(journal, journal_url, statement)


def test_triggers_refuse_replacing_in_sqlite(sqlite_url: str) -> None:
    journal = Journal.open(sqlite_url)
    refused(
        journal,
        sqlite_url,
        "INSERT OR REPLACE INTO records SELECT incident, seq, at, 'forged', actor_kind, actor_id,"
        " actor_via, body, prev_hash, hash FROM records WHERE seq = 2",
    )
    journal.close()


def test_triggers_refuse_truncating_in_postgres(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    refused(journal, postgres_url, "TRUNCATE records")
    refused(
        journal,
        postgres_url,
        "INSERT INTO records SELECT * FROM records WHERE seq = 2"
        " ON CONFLICT (incident, seq) DO UPDATE SET body = '{}'",
    )
    journal.close()


def refused(journal: Journal, url: str, statement: str) -> None:
    write(journal, "inc-1", 3)
    before = list(journal.rows())
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="append-only"):
        connection.exec_driver_sql(statement)
    assert list(journal.rows()) == before


def test_triggers_that_were_dropped_are_back_when_the_journal_is_opened(journal_url: str) -> None:
    Journal.open(journal_url).close()
    with raw(journal_url):
        pass
    journal = Journal.open(journal_url)
    refused(journal, journal_url, "DELETE FROM records")
    journal.close()


def test_a_secret_is_refused_and_nothing_is_written(journal: Journal) -> None:
    write(journal, "inc-1", 1)
    with pytest.raises(SecretInRecord):
        journal.append("inc-1", "change.outcome", {"result": {"SecretAccessKey": "x"}}, WRITER)
    chained(journal, "inc-1", 1)


@pytest.mark.parametrize(
    ("incident", "kind", "who", "body"),
    [
        ("inc-\x00", "k", "a", {}),
        ("inc-1", "k\ud800", "a", {}),
        ("inc-1", "k", "a\x00", {}),
        ("inc-1", "k", "a", {"n": float("nan")}),
    ],
)
def test_what_can_not_be_stored_is_refused_and_nothing_is_written(
    journal: Journal, incident: str, kind: str, who: str, body: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        journal.append(incident, kind, body, Actor("person", who, "cli"))
    assert journal.incidents() == []
    write(journal, "inc-1", 2)
    chained(journal, "inc-1", 2)


def test_a_newer_journal_is_refused_with_advice(journal_url: str) -> None:
    Journal.open(journal_url).close()
    with raw(journal_url) as connection:
        version = SCHEMA_VERSION + 1
        connection.execute(sa.text(f"UPDATE journal_schema SET version = {version}"))
    with pytest.raises(JournalNewer, match="Upgrade Clampdown") as refusal:
        Journal.open(journal_url)
    assert refusal.value.exit_code == 2


def test_a_record_that_can_not_be_read_is_a_sentence(journal: Journal, journal_url: str) -> None:
    write(journal, "inc-1", 3)
    with raw(journal_url) as connection:
        connection.execute(sa.text("UPDATE records SET body = '{' WHERE seq = 2"))
        connection.execute(sa.text("UPDATE records SET at = 'today' WHERE seq = 3"))
    with pytest.raises(JournalTampered, match=r"Record 2 of inc-1 .*journal verify") as failure:
        journal.records("inc-1")
    assert failure.value.exit_code == 4
    with pytest.raises(JournalTampered, match="Record 3 of inc-1"):
        journal.incidents()


# Where it can't be written


def test_the_journal_is_its_owners_alone(sqlite_url: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal.open(sqlite_url)
        write(journal, "inc-1", 1)
        files = sorted(path.name for path in (tmp_path / "state").iterdir())
        assert files == ["journal.db", "journal.db-shm", "journal.db-wal", "locks"]
        for name in files[:3]:
            assert stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) & 0o022 == 0
        journal.close()
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "journal.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////tmp/a.db?mode=memory",
        "mysql://u:hunter2@h/db",
        "postgresql//u:hunter2@h/db",
        "postgresql://u:hunter2@h:port/db",
        "nonsense://u:hunter2@h/db",
    ],
)
def test_a_url_that_names_no_journal_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(JournalUnavailable, match="CLAMPDOWN_JOURNAL") as failure:
        Journal.open(url)
    assert "sqlite:////path/journal.db" in str(failure.value)
    assert "hunter2" not in str(failure.value)


def test_a_database_that_does_not_answer_is_a_sentence_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(JournalUnavailable, match="can't be opened") as failure:
            Journal.open(f"postgresql://clampdown:hunter2@127.0.0.1:{port}/test")
    assert "hunter2" not in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("obstacle", ["file instead of the directory", "directory", "no database"])
def test_a_place_at_which_there_can_be_no_journal_is_a_sentence(
    obstacle: str, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "journal.db"
    if obstacle == "file instead of the directory":
        path.parent.write_text("not a directory")
    elif obstacle == "directory":
        path.mkdir(parents=True)
    else:
        path.parent.mkdir()
        path.write_bytes(b"not a database" * 1_000)
    with pytest.raises(JournalUnavailable, match="can't be opened") as failure:
        Journal.open(f"sqlite:///{path}")
    assert str(path.parent) in str(failure.value)


# Root may write anywhere: as root, the process becomes somebody else first.
_OPEN_AS_ANYBODY = """
import os, sys
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Actor
import sqlite3, sqlalchemy.dialects.sqlite
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    journal = Journal.open("sqlite:///" + sys.argv[1])
    journal.append("inc-1", "test.note", {}, Actor("system", "writer", "test"))
except JournalUnavailable as error:
    print(error)
    sys.exit(17)
"""


@pytest.mark.parametrize("what", ["journal.db", "."])
def test_a_journal_that_may_not_be_written_is_a_sentence(what: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    journal = Journal.open(f"sqlite:///{state}/journal.db")
    write(journal, "inc-1", 2)
    journal.close()
    before = (state / "journal.db").read_bytes()
    for path in (state, state / "locks"):
        path.chmod(0o777)
    for path in (state / "journal.db", *(state / "locks").iterdir()):
        path.chmod(0o666)
    (state / what).chmod(0o555 if what == "." else 0o444)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    if what == ".":
        (state / "journal.db").unlink()
    done = subprocess.run(
        [sys.executable, "-c", _OPEN_AS_ANYBODY, str(state / "journal.db")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 17, done.stderr
    assert str(state / "journal.db") in done.stdout
    assert "Permission denied" in done.stdout
    if what != ".":
        assert (state / "journal.db").read_bytes() == before


_FILL = """
import resource, sys
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Actor
journal = Journal.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    while True:
        record = journal.append("inc-1", "test.note", {"x": "y" * 900}, Actor("system", "w", "test"))
        print(record.seq, record.hash, flush=True)
except JournalUnavailable as error:
    print(error)
    sys.exit(17)
"""


def test_a_full_disk_is_a_sentence_and_leaves_no_half_record(sqlite_url: str) -> None:
    Journal.open(sqlite_url).close()
    done = subprocess.run(
        [sys.executable, "-c", _FILL, sqlite_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 17, done.stderr
    *acknowledged, sentence = done.stdout.splitlines()
    assert "can't be written" in sentence
    assert "Nothing is changed in AWS without it. Check disk space" in sentence
    journal = Journal.open(sqlite_url)
    records = [f"{record.seq} {record.hash}" for record in journal.records("inc-1")]
    assert acknowledged
    assert records == acknowledged
    write(journal, "inc-1", 1)
    chained(journal, "inc-1", len(acknowledged) + 1)
    journal.close()


def test_a_journal_that_has_no_more_room_goes_on_when_there_is_room_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(sqlite_url)
    write(journal, "inc-1", 2)
    with journal._connection() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalUnavailable, match="database or disk is full"):
            journal.append("inc-1", "test.note", {"x": "y" * 20_000}, WRITER)
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    write(journal, "inc-1", 1)
    chained(journal, "inc-1", 3)
    journal.close()


def test_another_writer_in_sqlite_is_waited_for(sqlite_url: str) -> None:
    journal = Journal.open(sqlite_url)
    write(journal, "inc-1", 1)
    engine = sa.create_engine(sqlite_url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as other, ThreadPoolExecutor(1) as pool:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        appending = pool.submit(write, journal, "inc-1", 1)
        time.sleep(0.5)
        assert not appending.done()
        other.exec_driver_sql("ROLLBACK")
        appending.result(timeout=30)
    chained(journal, "inc-1", 2)
    journal.close()


# PostgreSQL gone midway


def end_sessions(url: str) -> int:
    """End every session of the test's database but one's own, as a restart does."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        ended = connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).all()
    return len(ended)


def test_a_session_that_was_ended_is_replaced(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    write(journal, "inc-1", 2)
    assert end_sessions(postgres_url) >= 1
    assert len(journal.records("inc-1")) == 2
    end_sessions(postgres_url)
    write(journal, "inc-1", 1)
    chained(journal, "inc-1", 3)
    journal.close()


def test_sessions_that_end_again_and_again_never_break_the_chain(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(0.05):
            end_sessions(postgres_url)

    def append(thread: int) -> list[str]:
        acknowledged = []
        for number in range(40):
            with contextlib.suppress(JournalUnavailable):
                body = {"thread": thread, "number": number}
                acknowledged.append(journal.append("inc-1", "test.note", body, WRITER).hash)
        return acknowledged

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            acknowledged = [h for hashes in pool.map(append, range(4)) for h in hashes]
    finally:
        stop.set()
        disturber.join()
    records = journal.records("inc-1")
    assert set(acknowledged) <= {record.hash for record in records}
    assert len(acknowledged) == len(set(acknowledged)) > 40
    chained(journal, "inc-1", len(records))
    journal.close()


def test_a_role_that_may_only_append_and_read_is_enough(postgres_url: str) -> None:
    Journal.open(postgres_url).close()
    schema = str(sa.engine.make_url(postgres_url).query["options"]).rpartition("=")[2]
    role = f"{schema}_writer"
    with raw_with_triggers(postgres_url) as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT ON records TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON journal_schema TO {role}")
    try:
        url = sa.engine.make_url(postgres_url)
        options = f"-csearch_path={schema} -crole={role}"
        journal = Journal.open(
            url.update_query_dict({"options": options}).render_as_string(hide_password=False)
        )
        write(journal, "inc-1", 2)
        chained(journal, "inc-1", 2)
        with journal.hold("inc-1"):
            write(journal, "inc-1", 1)
        journal.close()
    finally:
        with raw_with_triggers(postgres_url) as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")


@contextlib.contextmanager
def raw_with_triggers(url: str) -> Any:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        yield connection


def test_opening_the_journal_once_more_keeps_sqlites_locks(sqlite_url: str) -> None:
    # A lock that is lost lets another process take the records' file away.
    first = Journal.open(sqlite_url)
    write(first, "inc-1", 1)
    second = Journal.open(sqlite_url)
    for name in "abc":
        process = writer(sqlite_url, "inc-1", name, 5)
        said, _ = process.communicate("\n", timeout=60)
        acknowledged = {line.split()[1] for line in said.splitlines()[1:]}
        assert acknowledged <= {record.hash for record in first.records("inc-1")}
        assert acknowledged <= {record.hash for record in second.records("inc-1")}
    write(first, "inc-1", 1)
    chained(second, "inc-1", 17)
    first.close()
    second.close()


def test_who_listens_is_told_of_what_this_process_appends_while_it_listens(
    journal: Journal,
) -> None:
    heard: list[Record] = []
    with journal.heard_by(heard.append):
        first = journal.append("inc-1", "test.note", {}, WRITER)
    journal.append("inc-1", "test.note", {}, WRITER)
    assert heard == [first]
