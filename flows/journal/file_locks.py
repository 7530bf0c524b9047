"""The right to carry an incident out beside SQLite: a lock on a file.

The operating system frees it with the process. One that is stopped keeps it: whoever has stopped it
is on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flows.journal.errors import IncidentHeld, JournalUnavailable

_LOOKING = ".looking"
_LOOKING_SECONDS = 5.0


def lock_file(directory: Path, incident: str, holder: str) -> FileLock:
    """Take an incident's lock; the thread that has taken it releases it.

    Raises IncidentHeld, JournalUnavailable.
    """
    lock = FileLock(directory / f"{incident}.lock", timeout=0)
    named = directory / f"{incident}.holder"
    with _explained(directory, incident):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            _take(directory, lock)
        except Timeout as error:
            raise IncidentHeld.by(incident, _read(named)) from error
        try:
            named.write_text(holder, encoding="utf-8")
        except OSError:
            lock.release()
            raise
    return lock


def is_locked(directory: Path, incident: str) -> bool:
    """Whether any process has an incident's lock. Raises JournalUnavailable."""
    path = directory / f"{incident}.lock"
    if not path.exists():
        return False
    with _explained(directory, incident):
        try:
            with _looking(directory), FileLock(path, timeout=0):
                return False
        except Timeout:
            return True


def _take(directory: Path, lock: FileLock) -> None:
    """Raises Timeout where somebody has it, and does not only look whether anybody has."""
    try:
        lock.acquire()
    except Timeout:
        with _looking(directory):
            lock.acquire()


@contextmanager
def _looking(directory: Path) -> Iterator[None]:
    """Be the only one who looks: to find out whether a lock is free is to have it for a moment."""
    with FileLock(directory / _LOOKING, timeout=_LOOKING_SECONDS, poll_interval=0.002):
        yield


@contextmanager
def _explained(directory: Path, incident: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalUnavailable(
            f"The incident {incident} can't be locked in {directory}: {error.strerror}.",
            advice="Nothing was done. Check disk space and permissions.",
        ) from error


def _read(named: Path) -> str:
    try:
        return named.read_text(encoding="utf-8")
    except OSError:
        return "another process"
