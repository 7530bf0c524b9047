"""The databases in which a journal is kept: their URLs, and connections to them."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from flows.journal.errors import JournalUnavailable

_BUSY = timedelta(seconds=30)
# A PostgreSQL server gives 100 connections to all processes together (its `max_connections`).
_POOL: dict[str, Any] = {"pool_size": 8, "max_overflow": 8, "pool_timeout": 30}
# How long PostgreSQL, or the network before it, may give no answer. By libpq's defaults that is
# without limit: a containment would hang instead of failing.
_PATIENCE: dict[str, int] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def database(url: str) -> sa.URL:
    """The URL's parts. What is wrong with it is said without it: it may hold a password.

    Raises JournalUnavailable.
    """
    advice = "It looks like sqlite:////path/journal.db or postgresql+psycopg://host/database."
    try:
        parsed = sa.engine.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise JournalUnavailable("CLAMPDOWN_JOURNAL is no database URL.", advice=advice) from error
    kind = parsed.get_backend_name()
    if kind not in {"sqlite", "postgresql"}:
        raise JournalUnavailable(
            f"CLAMPDOWN_JOURNAL names {kind!r}, in which no journal can be kept.", advice=advice
        )
    if kind == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise JournalUnavailable(
            "CLAMPDOWN_JOURNAL names no file: a journal in memory would prove nothing.",
            advice=advice,
        )
    if kind == "sqlite" and parsed.query:
        raise JournalUnavailable(
            "CLAMPDOWN_JOURNAL has a question mark in its path; SQLite's options aren't supported.",
            advice=advice,
        )
    return parsed


def reason(error: sa.exc.SQLAlchemyError) -> str:
    """The database's own words, on one line."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(cause).__name__


def open_postgres(url: sa.URL) -> Engine:
    """Connections that threads share; who finds none free waits for one."""
    # A connection that the server or a firewall has dropped in the meantime is replaced unseen.
    return _postgres(url, {}, pool_pre_ping=True, **_POOL)


def open_postgres_sessions(url: sa.URL, name: str, silence: timedelta) -> Engine:
    """Connections of which each is a session of its own, known to the server by a name.

    ``silence`` is how long the network may give no answer before a session counts as ended.
    """
    settings = {
        "application_name": name,
        "tcp_user_timeout": round(silence.total_seconds() * 1000),
    }
    return _postgres(url, settings, poolclass=sa.pool.NullPool)


def _postgres(url: sa.URL, settings: dict[str, Any], **pool: Any) -> Engine:
    patience = {key: value for key, value in _PATIENCE.items() if key not in url.query}
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        connect_args=patience | settings,
        **pool,
    )


def open_sqlite(path: Path) -> tuple[Engine, Path]:
    """Connections to a file, which is made where it isn't yet, and the directory of its locks.

    Raises JournalUnavailable.
    """
    directory = path.parent / "locks"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.mkdir(exist_ok=True, mode=0o700)
        _own_file(path)
    except OSError as error:
        raise JournalUnavailable(
            f"The journal {path} can't be opened: {error.strerror}.",
            advice="Set CLAMPDOWN_HOME to a directory that you can write to.",
        ) from error
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": _BUSY.total_seconds(), "check_same_thread": False},
        poolclass=sa.pool.NullPool,
    )

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine, directory


def _own_file(path: Path) -> None:
    """Make the file, its owner's alone: the journal names people and resources. Raises OSError.

    A file that is there is never opened: closing it would take away the locks that SQLite has on
    it in this process, and with them records (SQLite, "How To Corrupt An SQLite Database File",
    2.2 "Posix advisory locks canceled by a separate thread doing close()").
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
