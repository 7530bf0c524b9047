"""Processes of their own that write to a journal or hold an incident, to be raced and killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from flows.journal.journal import Journal
from flows.journal.leases import BEAT, STALLED_AFTER
from flows.journal.record import Actor

ROOT = Path(__file__).parents[3]
WRITER = Actor("system", "writer", "test")

# Says the number of every record after it was acknowledged.
_APPEND = """
import sys
from flows.journal.journal import Journal
from flows.journal.record import Actor
url, incident, name, count = sys.argv[1:]
journal = Journal.open(url)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    record = journal.append(
        incident, "test.note", {"name": name, "number": number}, Actor("system", "writer", "test")
    )
    print(record.seq, record.hash, flush=True)
"""

# Does what it is told until it is told nothing, and says what came of it.
_HOLD = """
import sys
from datetime import timedelta
from flows.journal import leases
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Actor
url, incident, beat, stalled_after = sys.argv[1:]
leases.BEAT = timedelta(seconds=float(beat))
leases.STALLED_AFTER = timedelta(seconds=float(stalled_after))
journal = Journal.open(url)
with journal.hold(incident):
    print("ready", flush=True)
    while order := sys.stdin.readline().strip():
        try:
            if order == "append":
                journal.append(incident, "test.note", {}, Actor("system", "holder", "test"))
            else:
                journal.require_held(incident)
            print("done", flush=True)
        except JournalUnavailable as error:
            print(error, flush=True)
"""


def run(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> str:
    """The next line that a process says."""
    assert process.stdout
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], order: str = "") -> None:
    """Let a process go on that waits for a line."""
    assert process.stdin
    process.stdin.write(f"{order}\n")
    process.stdin.flush()


def asked(process: subprocess.Popen[str], order: str) -> str:
    """What a holder says to an order: to ``append``, or to ``require`` that it still holds."""
    tell(process, order)
    return told(process)


def writer(url: str, incident: str, name: str, count: int) -> subprocess.Popen[str]:
    """A process that is ready to append ``count`` records."""
    return run(_APPEND, url, incident, name, str(count))


@contextmanager
def holder(
    url: str, incident: str, *, beat: timedelta = BEAT, stalled_after: timedelta = STALLED_AFTER
) -> Iterator[subprocess.Popen[str]]:
    """A process that holds an incident; it ends with the block at the latest."""
    times = (str(time.total_seconds()) for time in (beat, stalled_after))
    process = run(_HOLD, url, incident, *times)
    try:
        assert told(process) == "ready"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def raw(journal_url: str) -> Iterator[sa.Connection]:
    """The journal's database past Clampdown, with its triggers gone: as an intruder has it."""
    engine = sa.create_engine(journal_url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            for name in ("records_no_update", "records_no_delete", "records_no_replace"):
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            for name in ("records_no_change", "records_no_truncate"):
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {name} ON records"))
        yield connection


def write(journal: Journal, incident: str, count: int) -> None:
    for number in range(1, count + 1):
        journal.append(incident, "test.note", {"number": number}, WRITER)
