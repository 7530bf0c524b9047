"""The right to carry an incident out: one process at a time, and gone when the process is."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.engine import Connection

from flows.journal.errors import IncidentHeld, JournalUnavailable


@contextmanager
def hold_file(directory: Path, incident: str) -> Iterator[None]:
    """Hold an incident by a lock on a file, which the operating system frees with the process."""
    lock = FileLock(directory / f"{incident}.lock", timeout=0)
    holder = directory / f"{incident}.holder"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    except Timeout as error:
        raise _held(incident, _read(holder)) from error
    except OSError as error:
        lock.release()
        raise JournalUnavailable(
            f"The incident {incident} can't be locked in {directory}: {error.strerror}.",
            advice="Nothing was done. Check disk space and permissions.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def lock_in_postgres(session: Connection, incident: str) -> None:
    """Hold an incident by an advisory lock, which PostgreSQL frees with the session."""
    got = session.execute(sa.select(sa.func.pg_try_advisory_lock(_number(incident)))).scalar()
    if not got:
        raise _held(incident, "another process")


def unlock_in_postgres(session: Connection, incident: str) -> None:
    """Give it back, and end the session. One that is gone has given it back already."""
    with suppress(sa.exc.SQLAlchemyError):
        session.execute(sa.select(sa.func.pg_advisory_unlock(_number(incident))))
    with suppress(sa.exc.SQLAlchemyError):
        session.close()


def _number(incident: str) -> int:
    return int.from_bytes(hashlib.sha256(incident.encode()).digest()[:8], "big", signed=True)


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return "another process"


def _held(incident: str, holder: str) -> IncidentHeld:
    return IncidentHeld(
        f"{incident} is being carried out by {holder}.",
        advice=f"`clampdown timeline {incident}` shows how far it is.",
    )
