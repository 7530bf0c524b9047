"""The right to carry an incident out: one process at a time, and gone when the process is."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.engine import Engine

from flows.journal.errors import IncidentHeld


@contextmanager
def hold_file(directory: Path, incident: str) -> Iterator[None]:
    """Hold an incident by a lock on a file, which the operating system frees with the process."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(directory / f"{incident}.lock", timeout=0)
    holder = directory / f"{incident}.holder"
    try:
        lock.acquire()
    except Timeout as error:
        raise _held(incident, _read(holder)) from error
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


@contextmanager
def hold_in_postgres(engine: Engine, incident: str) -> Iterator[None]:
    """Hold an incident by an advisory lock, which PostgreSQL frees with the session."""
    number = int.from_bytes(hashlib.sha256(incident.encode()).digest()[:8], "big", signed=True)
    with engine.connect() as connection:
        got = connection.execute(sa.select(sa.func.pg_try_advisory_lock(number))).scalar()
        if not got:
            raise _held(incident, "another process")
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(number)))


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
