"""One process at a time carries an incident out, and a dead one holds nothing."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.journal.errors import IncidentHeld, JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.verify import verify
from tests.flows.journal.test_journal import end_sessions
from tests.flows.journal.writers import WRITER, holder, tell, write


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
        with pytest.raises(IncidentHeld), journal.hold("inc-1"):
            pass
        with journal.hold("inc-2"):
            pass
        # Others still read, decide and abort.
        assert journal.append("inc-1", "gate.decided", {}, WRITER).seq == 1
        tell(process)
        assert process.wait(30) == 0
        with journal.hold("inc-1"):
            write(journal, "inc-1", 1)


def test_the_refusal_names_the_process_on_this_machine(sqlite_url: str) -> None:
    journal = Journal.open(sqlite_url)
    with holder(sqlite_url, "inc-1") as process:
        with pytest.raises(IncidentHeld, match=f"process {process.pid} on "), journal.hold("inc-1"):
            pass
    journal.close()


def test_a_killed_process_holds_nothing(journal: Journal, journal_url: str) -> None:
    for _ in range(3):
        with holder(journal_url, "inc-1") as process:
            with pytest.raises(IncidentHeld), journal.hold("inc-1"):
                pass
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            held_by_nobody(journal, "inc-1")


def held_by_nobody(journal: Journal, incident: str) -> None:
    """PostgreSQL notices that a client is gone a moment later."""
    for _ in range(100):
        try:
            with journal.hold(incident):
                return
        except IncidentHeld:
            threading.Event().wait(0.05)
    pytest.fail(f"{incident} is still held")


def test_a_stopped_process_still_holds(journal: Journal, journal_url: str) -> None:
    with holder(journal_url, "inc-1") as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(IncidentHeld), journal.hold("inc-1"):
            pass
        process.send_signal(signal.SIGCONT)


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
