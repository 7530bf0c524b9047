"""One process at a time carries an incident out; a dead one holds nothing, a stalled one not for
long."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.journal import leases
from flows.journal.errors import IncidentHeld, JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.leases import this_process
from flows.journal.verify import verify
from tests.cuttable_line import CuttableLine
from tests.flows.journal.test_journal import end_sessions, raw_with_triggers
from tests.flows.journal.writers import WRITER, asked, holder, tell, write

MOMENT = timedelta(seconds=0.2)
LONG = timedelta(seconds=20)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG.total_seconds()
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_incident_is_held_once_and_free_afterwards(journal: Journal) -> None:
    for _ in range(2):
        with journal.hold("inc-1"):
            with (
                pytest.raises(IncidentHeld, match="inc-1 is being carried out") as refusal,
                journal.hold("inc-1"),
            ):
                pass
            assert refusal.value.exit_code == 1
            assert "clampdown timeline inc-1" in str(refusal.value)
            with journal.hold("inc-2"):
                write(journal, "inc-2", 1)


def test_an_incident_that_another_process_holds_is_refused_at_once(
    journal: Journal, journal_url: str
) -> None:
    with holder(journal_url, "inc-1") as process:
        with pytest.raises(IncidentHeld, match=f"clampdown {process.pid} on "):
            with journal.hold("inc-1"):
                pass
        assert journal.is_held("inc-1")
        with journal.hold("inc-2"):
            pass
        # Others still read, decide and abort.
        assert journal.append("inc-1", "gate.decided", {}, WRITER).seq == 1
        tell(process)
        assert process.wait(30) == 0
        with journal.hold("inc-1"):
            write(journal, "inc-1", 1)


def test_a_killed_process_holds_nothing(journal: Journal, journal_url: str) -> None:
    with holder(journal_url, "inc-1") as process:
        with pytest.raises(IncidentHeld), journal.hold("inc-1"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        # PostgreSQL notices that a client is gone a moment later.
        with journal.hold("inc-1", wait=timedelta(seconds=5)):
            pass
        assert not journal.is_held("inc-1")


def test_a_failure_within_is_not_the_leases(journal: Journal) -> None:
    with pytest.raises(OSError, match="the network is gone"), journal.hold("inc-1"):
        raise OSError("the network is gone")
    with pytest.raises(sa.exc.OperationalError), journal.hold("inc-1"):
        raise sa.exc.OperationalError("select", {}, Exception("somebody else's"))
    with journal.hold("inc-1"):
        pass


def test_many_incidents_are_held_at_once(journal: Journal) -> None:
    # More than PostgreSQL connections are kept for.
    holding = [journal.hold(f"inc-{number}") for number in range(30)]
    for lease in holding:
        lease.__enter__()
    write(journal, "inc-7", 2)
    assert len(journal.records("inc-7")) == 2
    for lease in holding:
        lease.__exit__(None, None, None)


def test_a_place_where_nothing_can_be_locked_is_a_sentence(sqlite_url: str, tmp_path: Path) -> None:
    journal = Journal.open(sqlite_url)
    locks = tmp_path / "state" / "locks"
    for path in locks.iterdir():
        path.unlink()
    locks.rmdir()
    locks.write_text("not a directory")
    with pytest.raises(JournalUnavailable, match="inc-1 can't be locked"), journal.hold("inc-1"):
        pass
    journal.close()


def test_locks_are_their_owners_alone(sqlite_url: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal.open(sqlite_url)
        with journal.hold("inc-1"):
            assert (tmp_path / "state" / "locks").stat().st_mode & 0o077 == 0
        journal.close()
    finally:
        os.umask(before)


def test_who_has_lost_the_lease_can_not_write_any_more(postgres_url: str) -> None:
    # A process that was cut off goes on while another has taken over: its intents are refused.
    mine, others = Journal.open(postgres_url), Journal.open(postgres_url)
    with mine.hold("inc-1"):
        write(mine, "inc-1", 2)
        end_sessions(postgres_url)
        with others.hold("inc-1"):
            write(others, "inc-1", 1)
            for words in ("can't be written", "another process may have taken over"):
                with pytest.raises(JournalUnavailable, match=words):
                    write(mine, "inc-1", 1)
            write(mine, "inc-2", 1)
            assert len(mine.records("inc-1")) == 3
    with mine.hold("inc-1"):
        write(mine, "inc-1", 1)
    assert verify(mine).ok
    assert len(mine.records("inc-1")) == 4
    mine.close()
    others.close()


def test_a_lease_that_was_lost_ends_quietly(postgres_url: str) -> None:
    journal = Journal.open(postgres_url)
    with journal.hold("inc-1"):
        end_sessions(postgres_url)
    with journal.hold("inc-1"):
        pass
    journal.close()


# Who looks, and who waits


def test_whether_an_incident_is_held_is_seen_without_taking_it(journal: Journal) -> None:
    assert not journal.is_held("inc-1")
    with journal.hold("inc-1"):
        assert journal.is_held("inc-1")
        assert not journal.is_held("inc-2")
    assert not journal.is_held("inc-1")


def test_to_look_keeps_nobody_from_taking(sqlite_url: str) -> None:
    # To find out whether a lock on a file is free, whoever looks has it for a moment.
    journal, stop = Journal.open(sqlite_url), threading.Event()

    def look() -> bool:
        seen = False
        while not stop.is_set():
            seen |= journal.is_held("inc-1")
        return seen

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        try:
            for _ in range(300):
                with journal.hold("inc-1"):
                    pass
        finally:
            stop.set()
        assert all(seen.result() for seen in looks)
    journal.close()


def test_threads_wait_for_each_other_and_each_is_alone(journal: Journal) -> None:
    inside: list[int] = []
    crowds: list[int] = []

    def hold(number: int) -> None:
        with journal.hold("inc-1", wait=LONG):
            inside.append(number)
            crowds.append(len(inside))
            time.sleep(0.01)
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, range(8)))
    assert crowds == [1] * 8


def test_threads_that_wait_for_one_of_their_own_ask_no_database(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(postgres_url)
    with ThreadPoolExecutor(4) as pool:
        with journal.hold("inc-1"):
            with monkeypatch.context() as forbidden:
                forbidden.setattr(journal, "_held", None)
                waiting = [pool.submit(held_for_a_moment, journal) for _ in range(4)]
                time.sleep(MOMENT.total_seconds())
            assert not any(thread.done() for thread in waiting)
        for thread in waiting:
            thread.result(LONG.total_seconds())
    journal.close()


def held_for_a_moment(journal: Journal) -> None:
    with journal.hold("inc-1", wait=LONG):
        pass


def test_another_process_is_waited_for(journal: Journal, journal_url: str) -> None:
    with holder(journal_url, "inc-1") as process, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(held_for_a_moment, journal)
        begun = time.monotonic()
        with pytest.raises(IncidentHeld, match=this_process()):
            # The one that waits comes first.
            with journal.hold("inc-1", wait=MOMENT):
                pass
        assert time.monotonic() - begun >= MOMENT.total_seconds()
        assert not waiting.done()
        tell(process)
        waiting.result(LONG.total_seconds())


def test_waiting_for_another_process_ends_after_its_time(
    journal: Journal, journal_url: str
) -> None:
    other = Journal.open(journal_url)
    with other.hold("inc-1"):
        begun = time.monotonic()
        with pytest.raises(IncidentHeld, match="inc-1 is being carried out by clampdown"):
            with journal.hold("inc-1", wait=MOMENT):
                pass
        assert MOMENT.total_seconds() <= time.monotonic() - begun < LONG.total_seconds()
    other.close()


# Who shows no sign of life


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is still for a second counts as stalled."""
    monkeypatch.setattr(leases, "BEAT", timedelta(seconds=0.1))
    monkeypatch.setattr(leases, "STALLED_AFTER", timedelta(seconds=1))


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Journal]:
    opened = Journal.open(postgres_url)
    yield opened
    opened.close()


def test_a_stopped_process_is_taken_over_from_and_can_not_act_when_it_wakes_up(
    postgres: Journal, postgres_url: str, impatient: None
) -> None:
    times = {"beat": leases.BEAT, "stalled_after": leases.STALLED_AFTER}
    with holder(postgres_url, "inc-1", **times) as process:
        assert [asked(process, order) for order in ("append", "require")] == ["done"] * 2
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(IncidentHeld, match=f"clampdown {process.pid} on "):
            with postgres.hold("inc-1"):
                pass
        assert postgres.is_held("inc-1")
        until(lambda: not postgres.is_held("inc-1"))
        with postgres.hold("inc-1"):
            write(postgres, "inc-1", 1)
            process.send_signal(signal.SIGCONT)
            assert "The right to carry inc-1 out was lost" in asked(process, "require")
            assert "The right to carry inc-1 out was lost" in asked(process, "append")
        # Nor does it come back when it is free again.
        for order in ("append", "require"):
            assert "The right to carry inc-1 out was lost" in asked(process, order)
        tell(process)
        assert process.wait(30) == 0
    assert len(postgres.records("inc-1")) == 2
    assert verify(postgres).ok


def test_what_a_woken_process_appends_first_is_refused(
    postgres: Journal, postgres_url: str, impatient: None
) -> None:
    # Its heart does not beat: it learns by the append alone.
    times = {"beat": LONG, "stalled_after": leases.STALLED_AFTER}
    with holder(postgres_url, "inc-1", **times) as process:
        process.send_signal(signal.SIGSTOP)
        with postgres.hold("inc-1", wait=LONG):
            process.send_signal(signal.SIGCONT)
            assert "can't be written" in asked(process, "append")
            assert "was lost: its session has ended" in asked(process, "append")
            assert "was lost" in asked(process, "require")
    assert postgres.records("inc-1") == []


def test_a_process_that_only_waits_is_not_taken_over_from(
    postgres: Journal, postgres_url: str, impatient: None
) -> None:
    other = Journal.open(postgres_url)
    with postgres.hold("inc-1"), postgres.hold("inc-2"):
        # Nor does one incident that is long written to keep the others' hearts from beating.
        with postgres._lock_of("inc-2"):
            end = time.monotonic() + 1.5 * leases.STALLED_AFTER.total_seconds()
            while time.monotonic() < end:
                with pytest.raises(IncidentHeld), other.hold("inc-1"):
                    pass
                postgres.require_held("inc-1")
        write(postgres, "inc-1", 1)
    other.close()


def test_a_right_is_not_trusted_for_as_long_as_others_wait_and_then_never_again(
    postgres: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = leases._now
    postgres.require_held("inc-1")
    with postgres.hold("inc-1"):
        for late, current in [(11, True), (13, False), (0, False)]:
            monkeypatch.setattr(leases, "_now", lambda late=late: now() + late)
            if current:
                postgres.require_held("inc-1")
            else:
                with pytest.raises(JournalUnavailable, match="inc-1 out was lost"):
                    postgres.require_held("inc-1")
        with pytest.raises(JournalUnavailable, match="inc-1 out was lost"):
            write(postgres, "inc-1", 1)
    with postgres.hold("inc-1"):
        postgres.require_held("inc-1")
        write(postgres, "inc-1", 1)


def test_each_append_shows_that_its_process_lives(
    postgres: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = leases._now
    with postgres.hold("inc-1"):
        for late in (10, 20, 30):
            monkeypatch.setattr(leases, "_now", lambda late=late: now() + late)
            write(postgres, "inc-1", 1)
            postgres.require_held("inc-1")


def test_a_lock_on_a_file_is_not_lost(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(sqlite_url)
    monkeypatch.setattr(leases, "STALLED_AFTER", MOMENT)
    with holder(sqlite_url, "inc-1", stalled_after=MOMENT) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(IncidentHeld), journal.hold("inc-1", wait=2 * MOMENT):
            pass
        assert journal.is_held("inc-1")
        process.send_signal(signal.SIGCONT)
        assert asked(process, "require") == "done"
    journal.close()


def beating() -> int:
    return sum(thread.name == "leases" for thread in threading.enumerate())


def test_one_heart_beats_for_all_and_only_while_something_is_held(
    postgres: Journal, impatient: None
) -> None:
    assert beating() == 0
    for _ in range(2):
        with ExitStack() as held:
            for number in range(3):
                held.enter_context(postgres.hold(f"inc-{number}"))
            assert beating() == 1
        until(lambda: beating() == 0)
    with postgres.hold("inc-1"):
        postgres.close()
        until(lambda: beating() == 0)


def test_a_right_that_is_lost_while_nothing_is_written_is_noticed(
    postgres: Journal, postgres_url: str, impatient: None
) -> None:
    with postgres.hold("inc-1"):
        end_sessions(postgres_url)
        until(lambda: postgres._leases["inc-1"].lost)
        with pytest.raises(JournalUnavailable, match="its session has ended"):
            postgres.require_held("inc-1")


@pytest.mark.parametrize(
    ("granted", "words"),
    [
        ("", "of which this role can't see whether it is stalled"),
        ("pg_read_all_stats", "this role may not end it"),
    ],
)
def test_the_session_of_another_database_role_is_left_alone_and_named(
    postgres: Journal,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    granted: str,
    words: str,
) -> None:
    monkeypatch.setattr(leases, "STALLED_AFTER", timedelta(seconds=0.1))
    schema = str(sa.engine.make_url(postgres_url).query["options"]).rpartition("=")[2]
    role = f"{schema}_other"
    with raw_with_triggers(postgres_url) as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        connection.exec_driver_sql(
            f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {schema} TO {role}"
        )
        if granted:
            connection.exec_driver_sql(f"GRANT {granted} TO {role}")
        try:
            url = sa.engine.make_url(postgres_url)
            options = f"-csearch_path={schema} -crole={role}"
            other = Journal.open(
                url.update_query_dict({"options": options}).render_as_string(hide_password=False)
            )
            with postgres.hold("inc-1"):
                time.sleep(2 * leases.STALLED_AFTER.total_seconds())
                with pytest.raises(IncidentHeld, match=words) as refusal, other.hold("inc-1"):
                    pass
                assert this_process() in str(refusal.value)
                assert "database role" in str(refusal.value)
                write(postgres, "inc-1", 1)
            with other.hold("inc-1"):
                pass
            other.close()
        finally:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")


# The database gone for a while


def test_a_database_that_was_gone_is_used_again_but_rights_are_lost(
    postgres: Journal, postgres_url: str
) -> None:
    url = sa.engine.make_url(postgres_url)
    with CuttableLine(url.port or 5432, url.host or "127.0.0.1") as line:
        through = url.set(host="127.0.0.1", port=line.port)
        journal = Journal.open(through.render_as_string(hide_password=False))
        with journal.hold("inc-1"):
            write(journal, "inc-1", 1)
            write(journal, "inc-2", 1)
            line.cut()
            for work in (
                lambda: write(journal, "inc-1", 1),
                lambda: write(journal, "inc-2", 1),
                lambda: journal.records("inc-2"),
                lambda: journal.is_held("inc-1"),
                lambda: journal.hold("inc-3").__enter__(),
            ):
                with pytest.raises(JournalUnavailable):
                    work()
            line.mend()
            write(journal, "inc-2", 1)
            assert len(journal.records("inc-2")) == 2
            with postgres.hold("inc-1", wait=timedelta(seconds=5)):
                write(postgres, "inc-1", 1)
            for _ in range(2):
                with pytest.raises(JournalUnavailable, match="inc-1 out was lost"):
                    write(journal, "inc-1", 1)
        with journal.hold("inc-1"):
            write(journal, "inc-1", 1)
        journal.close()
    assert len(postgres.records("inc-1")) == 3
    assert verify(postgres).ok


def test_who_finds_no_connection_free_waits_for_one(postgres: Journal) -> None:
    write(postgres, "inc-1", 1)
    reading = [postgres.rows("inc-1") for _ in range(16)]
    for rows in reading:
        next(rows)
    with ThreadPoolExecutor(2) as pool:
        found = pool.submit(postgres.records, "inc-1")
        time.sleep(MOMENT.total_seconds())
        assert not found.done()
        reading[0].close()  # type: ignore[attr-defined]
        assert len(found.result(LONG.total_seconds())) == 1
    for rows in reading:
        rows.close()  # type: ignore[attr-defined]
