"""Appending to and reading from the journal, in SQLite or PostgreSQL through SQLAlchemy Core.

An append is durable when it returns. Nothing here changes or deletes a record, and triggers refuse
it to others; but the proof is the chain (:mod:`flows.journal.verify`), not the triggers.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.engine import Connection, Engine

from flows.journal.errors import (
    HeadMoved,
    IncidentHeld,
    JournalNewer,
    JournalTampered,
    JournalUnavailable,
)
from flows.journal.leases import hold_file, lock_in_postgres, unlock_in_postgres
from flows.journal.record import (
    GENESIS,
    Actor,
    Record,
    canonical,
    record_hash,
    refuse_secrets,
    refuse_unstorable,
    time_from,
    time_text,
)

SCHEMA_VERSION = 1
_BUSY = timedelta(seconds=30)
_POLL_SECONDS = 0.2
# How long PostgreSQL, or the network before it, may give no answer. By libpq's defaults that is
# without limit: a containment would hang instead of failing.
_POSTGRES_PATIENCE: dict[str, int] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

_metadata = sa.MetaData()
records_table = sa.Table(
    "records",
    _metadata,
    sa.Column("incident", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("actor_via", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("prev_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("records_by_kind", "kind", "at"),
)
_schema_table = sa.Table("journal_schema", _metadata, sa.Column("version", sa.Integer))

_SQLITE_TRIGGERS = (
    "CREATE TRIGGER IF NOT EXISTS records_no_update BEFORE UPDATE ON records"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
    "CREATE TRIGGER IF NOT EXISTS records_no_delete BEFORE DELETE ON records"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
    # INSERT OR REPLACE deletes without firing delete triggers (SQLite, "recursive_triggers").
    "CREATE TRIGGER IF NOT EXISTS records_no_replace BEFORE INSERT ON records"
    " WHEN EXISTS (SELECT 1 FROM records WHERE incident = NEW.incident AND seq = NEW.seq)"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
)
_POSTGRES_TRIGGERS = (
    "CREATE OR REPLACE FUNCTION records_append_only() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$",
    "CREATE OR REPLACE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records"
    " FOR EACH ROW EXECUTE FUNCTION records_append_only()",
    "CREATE OR REPLACE TRIGGER records_no_truncate BEFORE TRUNCATE ON records"
    " FOR EACH STATEMENT EXECUTE FUNCTION records_append_only()",
)
# Any number will do, as long as every Clampdown takes the same while it makes the tables.
_MAKING = 0x636C616D70


@dataclass(frozen=True)
class IncidentHead:
    """An incident's last record, and when its first and last were written."""

    incident: str
    opened_at: datetime
    last_at: datetime
    seq: int
    hash: str


@dataclass
class _Head:
    seq: int
    hash: str


class Journal:
    """The journal of one database. Threads and processes may append to the same incident."""

    def __init__(self, engine: Engine, url: str, lock_directory: Path | None) -> None:
        self._engine = engine
        self._url = url
        self._lock_directory = lock_directory
        self._heads: dict[str, _Head] = {}
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._leases: dict[str, Connection] = {}
        self._listeners: list[Callable[[Record], None]] = []
        self._local = threading.local()
        self._of_threads: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._insert = str(
            records_table.insert().compile(dialect=engine.dialect, compile_kwargs={})
        )

    @classmethod
    def open(cls, url: str) -> Journal:
        """Open the journal at an SQLAlchemy URL, making its tables where they aren't yet.

        Raises JournalUnavailable, JournalNewer.
        """
        parsed = _database(url)
        if parsed.get_backend_name() == "sqlite":
            engine, directory = _open_sqlite(Path(parsed.database or ""))
        else:
            engine, directory = _open_postgres(parsed), None
        journal = cls(engine, parsed.render_as_string(hide_password=True), directory)
        with journal._explained("open"):
            journal._create()
        return journal

    def append(
        self,
        incident: str,
        kind: str,
        body: Mapping[str, Any],
        actor: Actor,
        *,
        at: datetime | None = None,
        after_seq: int | None = None,
    ) -> Record:
        """Append a record to an incident's chain; it is durable when this returns.

        ``after_seq`` makes it a compare-and-set: it is appended only right after that record.

        Raises HeadMoved, JournalUnavailable, SecretInRecord, and TypeError for what isn't JSON.
        """
        refuse_unstorable(incident, kind, actor.kind, actor.id, actor.via)
        text = canonical(body)
        refuse_secrets(body)
        with self._lock_of(incident), self._explained("write"):
            while True:
                head = self._heads.get(incident) or self._read_head(incident)
                if after_seq is not None and head.seq != after_seq:
                    head = self._read_head(incident)
                    if head.seq != after_seq:
                        raise HeadMoved(f"{incident} is at record {head.seq}, not {after_seq}.")
                moment = at or datetime.now(UTC)
                stamp = time_text(moment)
                seq, prev = head.seq + 1, head.hash
                digest = record_hash(incident, seq, stamp, kind, actor, text, prev)
                row = (
                    incident,
                    seq,
                    stamp,
                    kind,
                    actor.kind,
                    actor.id,
                    actor.via,
                    text.decode(),
                    prev,
                    digest,
                )
                try:
                    self._write(incident, row)
                except sa.exc.IntegrityError:
                    # Another process was first: take its record as the head, and try again.
                    self._read_head(incident)
                    continue
                self._heads[incident] = _Head(seq, digest)
                record = Record(
                    incident, seq, time_from(stamp), kind, actor, dict(body), prev, digest
                )
                break
        for listener in list(self._listeners):
            listener(record)
        return record

    def records(self, incident: str, after_seq: int = 0) -> list[Record]:
        """An incident's records in order, those after ``after_seq``."""
        t = records_table.c
        query = (
            sa.select(records_table)
            .where(t.incident == incident, t.seq > after_seq)
            .order_by(t.seq)
        )
        return [_record(row) for row in self._read(query)]

    def incidents(self) -> list[IncidentHead]:
        """All incidents in the order in which they were opened."""
        t = records_table.c
        ends = (
            sa.select(
                t.incident,
                sa.func.max(t.seq).label("seq"),
                sa.func.min(t.at).label("first"),
                sa.func.max(t.at).label("last"),
            )
            .group_by(t.incident)
            .subquery()
        )
        query = (
            sa.select(t.incident, ends.c.first, ends.c.last, t.seq, t.hash)
            .join(ends, (ends.c.incident == t.incident) & (ends.c.seq == t.seq))
            .order_by(ends.c.first)
        )
        return [_head(row) for row in self._read(query)]

    def find(self, *, kind: str, since: datetime | None = None) -> Iterator[Record]:
        """Records of a kind over all incidents, the oldest first."""
        t = records_table.c
        query = sa.select(records_table).where(t.kind == kind).order_by(t.at, t.seq)
        if since is not None:
            query = query.where(t.at >= time_text(since))
        yield from map(_record, self._read(query))

    def chains_with(self, kind: str) -> list[str]:
        """The chains that have a record of a kind, the oldest such record first."""
        t = records_table.c
        first = sa.func.min(t.at)
        query = sa.select(t.incident).where(t.kind == kind).group_by(t.incident).order_by(first)
        return [row[0] for row in self._read(query)]

    def last_of(self, kinds: Collection[str], prefix: str = "inc-") -> list[Record]:
        """Of each chain whose name begins so, the newest record among those kinds."""
        t = records_table.c
        newest = (
            sa.select(t.incident, sa.func.max(t.seq).label("seq"))
            .where(t.kind.in_(kinds), *_begins(t.incident, prefix))
            .group_by(t.incident)
            .subquery()
        )
        query = sa.select(records_table).join(
            newest, (newest.c.incident == t.incident) & (newest.c.seq == t.seq)
        )
        return [_record(row) for row in self._read(query)]

    def last(self, incident: str) -> Record | None:
        """A chain's newest record; None where it has none."""
        t = records_table.c
        query = (
            sa.select(records_table).where(t.incident == incident).order_by(t.seq.desc()).limit(1)
        )
        found = self._read(query)
        return _record(found[0]) if found else None

    def is_held(self, incident: str) -> bool:
        """Whether any process has the right to carry an incident out now."""
        try:
            with self.hold(incident):
                return False
        except IncidentHeld:
            return True

    def wait(self, incident: str, after_seq: int, timeout: timedelta) -> list[Record]:
        """The records after ``after_seq``, as soon as there are any; none after ``timeout``."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not (found := self.records(incident, after_seq)):
            if time.monotonic() >= deadline:
                return []
            time.sleep(_POLL_SECONDS)
        return found

    @contextmanager
    def heard_by(self, listener: Callable[[Record], None]) -> Iterator[None]:
        """Have the listener told of every record that this process appends, once it is durable.

        It is told in the thread that appends, so it must be quick and raise nothing. What other
        processes append is found by reading alone.
        """
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @contextmanager
    def hold(self, incident: str) -> Iterator[None]:
        """The right to carry an incident out; it dies with the process.

        In PostgreSQL the right belongs to a session. While it is held, this journal appends to the
        incident through that session only: whoever has lost the right can't write a record, and
        therefore change anything.

        Raises IncidentHeld where another process has it, JournalUnavailable.
        """
        if self._lock_directory is not None:
            with hold_file(self._lock_directory, incident):
                yield
            return
        with self._explained("lock"):
            session = _open_postgres(self._engine.url, sa.pool.NullPool).connect()
            try:
                lock_in_postgres(session, incident)
            except BaseException:
                session.close()
                raise
        self._leases[incident] = session
        try:
            yield
        finally:
            with self._lock_of(incident):
                del self._leases[incident]
                unlock_in_postgres(session, incident)

    def rows(self, incident: str | None = None) -> Iterator[tuple[Any, ...]]:
        """The stored rows as they are, for verification, by incident and seq."""
        t = records_table.c
        query = sa.select(records_table).order_by(t.incident, t.seq)
        if incident is not None:
            query = query.where(t.incident == incident)
        with self._explained("read"), self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                # PostgreSQL streams within a transaction only.
                connection = connection.execution_options(
                    stream_results=True, isolation_level="REPEATABLE READ"
                )
            else:
                # Text that is no longer UTF-8 is a finding of the verification, not its end.
                _driver(connection).text_factory = _LENIENT
            for chunk in connection.execute(query).partitions(5_000):
                yield from map(tuple, chunk)

    def close(self) -> None:
        """End every connection, those of other threads too."""
        for connection in list(self._of_threads):
            connection.close()
        self._engine.dispose()

    def _lock_of(self, incident: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(incident, threading.Lock())

    @contextmanager
    def _connection(self, incident: str = "") -> Iterator[Connection]:
        """SQLite: one for each thread. PostgreSQL: the incident's lease, or one out of the pool."""
        if (lease := self._leases.get(incident)) is not None:
            if lease.invalidated:
                raise JournalUnavailable(
                    f"The right to carry {incident} out was lost: its session with {self._url} has "
                    "ended, and another process may have taken over.",
                    advice=f"Nothing more is changed by this one; `clampdown timeline {incident}` "
                    "shows how far it is.",
                )
            yield lease
        elif self._lock_directory is None:
            with self._engine.connect() as connection:
                yield connection
        else:
            own: Connection | None = getattr(self._local, "connection", None)
            if own is None or own.closed or own.invalidated:
                own = self._local.connection = self._engine.connect()
                self._of_threads.add(own)
            yield own

    def _read(self, query: sa.Select[Any]) -> list[Any]:
        with self._explained("read"), self._connection() as connection:
            return list(connection.execute(query).all())

    def _write(self, incident: str, row: tuple[Any, ...]) -> None:
        with self._connection(incident) as connection:
            connection.exec_driver_sql(self._insert, self._parameters(row))

    def _parameters(self, row: tuple[Any, ...]) -> Any:
        if self._engine.dialect.paramstyle in {"pyformat", "named"}:
            return dict(zip(records_table.c.keys(), row, strict=True))
        return row

    def _read_head(self, incident: str) -> _Head:
        t = records_table.c
        query = (
            sa.select(t.seq, t.hash).where(t.incident == incident).order_by(t.seq.desc()).limit(1)
        )
        with self._connection(incident) as connection:
            row = connection.execute(query).first()
        head = _Head(row[0], row[1]) if row else _Head(0, GENESIS)
        self._heads[incident] = head
        return head

    def _create(self) -> None:
        """Make what isn't there yet; one process at a time, as many may be the first."""
        if self._lock_directory is not None:
            with FileLock(self._lock_directory / ".making"), self._engine.connect() as connection:
                self._make(connection, _SQLITE_TRIGGERS)
            return
        with self._engine.connect() as connection:
            # Who may only append and read (the least privilege) can't make anything.
            if self._is_made(connection):
                return
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
                self._make(connection, _POSTGRES_TRIGGERS)

    def _is_made(self, connection: Connection) -> bool:
        query = sa.text(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('records')"
            " AND tgname IN ('records_no_change', 'records_no_truncate') AND tgenabled <> 'D'"
        )
        if connection.execute(query).scalar() != len(_POSTGRES_TRIGGERS) - 1:
            return False
        return self._refuse_newer(connection) is not None

    def _make(self, connection: Connection, triggers: Sequence[str]) -> None:
        _metadata.create_all(connection)
        if self._refuse_newer(connection) is None:
            connection.execute(_schema_table.insert().values(version=SCHEMA_VERSION))
        for statement in triggers:
            connection.exec_driver_sql(statement)

    def _refuse_newer(self, connection: Connection) -> int | None:
        version: int | None = connection.execute(
            sa.select(sa.func.max(_schema_table.c.version))
        ).scalar()
        if version is not None and version > SCHEMA_VERSION:
            raise JournalNewer(
                f"The journal {self._url} has form {version}; this Clampdown knows up to "
                f"{SCHEMA_VERSION}.",
                advice="Upgrade Clampdown.",
            )
        return version

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.SQLAlchemyError as error:
            raise JournalUnavailable(
                f"The journal {self._url} can't be {_PARTICIPLES[doing]}: {_reason(error)}.",
                advice="Nothing is changed in AWS without it. Check disk space, permissions and "
                "CLAMPDOWN_JOURNAL.",
            ) from error
        except OSError as error:
            raise JournalUnavailable(
                f"The journal {self._url} can't be {_PARTICIPLES[doing]}: {error}."
            ) from error


def _begins(column: Any, prefix: str) -> list[Any]:
    """Conditions that a text begins so, which an index can answer; none for an empty beginning."""
    if not prefix:
        return []
    return [column >= prefix, column < prefix[:-1] + chr(ord(prefix[-1]) + 1)]


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    """The database's own words, on one line."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(cause).__name__


_PARTICIPLES = {"open": "opened", "write": "written", "read": "read", "lock": "locked"}


def _database(url: str) -> sa.URL:
    """The URL's parts. What is wrong with it is said without it: it may hold a password."""
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


def _open_postgres(url: sa.URL, pool: type[sa.pool.Pool] = sa.pool.QueuePool) -> Engine:
    # A connection that the server or a firewall has dropped in the meantime is replaced unseen.
    sizes: dict[str, Any] = {"pool_size": 16} if pool is sa.pool.QueuePool else {}
    patience = {key: value for key, value in _POSTGRES_PATIENCE.items() if key not in url.query}
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        poolclass=pool,
        pool_pre_ping=True,
        connect_args=patience,
        **sizes,
    )


def _open_sqlite(path: Path) -> tuple[Engine, Path]:
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


# Written in C: a function of our own for every text would double the time of a verification.
_LENIENT = partial(str, encoding="utf-8", errors="surrogateescape")


def _driver(connection: Connection) -> Any:
    """Python's own connection to SQLite."""
    return connection.connection.driver_connection


def _record(row: Any) -> Record:
    with _readable(row):
        return Record(
            incident=row.incident,
            seq=row.seq,
            at=time_from(row.at),
            kind=row.kind,
            actor=Actor(row.actor_kind, row.actor_id, row.actor_via),
            body=json.loads(row.body),
            prev_hash=row.prev_hash,
            hash=row.hash,
        )


def _head(row: Any) -> IncidentHead:
    with _readable(row):
        first, last = time_from(row.first), time_from(row.last)
        return IncidentHead(row.incident, first, last, row.seq, row.hash)


@contextmanager
def _readable(row: Any) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalTampered(
            f"Record {row.seq} of {row.incident} can't be read: it is not what was written.",
            advice="`clampdown journal verify` shows what was changed.",
        ) from error


__all__ = ["HeadMoved", "IncidentHead", "IncidentHeld", "Journal"]
