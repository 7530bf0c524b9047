"""Appending to and reading from the journal, in SQLite or PostgreSQL through SQLAlchemy Core.

An append is durable when it returns. Nothing here changes or deletes a record, and triggers refuse
it to others; but the proof is the chain (:mod:`flows.journal.verify`), not the triggers.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from flows.journal.errors import HeadMoved, IncidentHeld, JournalNewer, JournalUnavailable
from flows.journal.leases import hold_file, hold_in_postgres
from flows.journal.record import (
    GENESIS,
    Actor,
    Record,
    canonical,
    record_hash,
    refuse_secrets,
    time_from,
    time_text,
)

SCHEMA_VERSION = 1
_BUSY = timedelta(seconds=30)
_POLL_SECONDS = 0.2

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
)
_POSTGRES_TRIGGERS = (
    "CREATE OR REPLACE FUNCTION records_append_only() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$",
    "CREATE OR REPLACE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records"
    " FOR EACH ROW EXECUTE FUNCTION records_append_only()",
)


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
        self._local = threading.local()
        self._insert = str(
            records_table.insert().compile(dialect=engine.dialect, compile_kwargs={})
        )

    @classmethod
    def open(cls, url: str) -> Journal:
        """Open the journal at an SQLAlchemy URL, making its tables where they aren't yet.

        Raises JournalUnavailable, JournalNewer.
        """
        try:
            parsed = sa.engine.make_url(url)
        except sa.exc.ArgumentError as error:
            raise JournalUnavailable(
                f"CLAMPDOWN_JOURNAL is no database URL: {url!r}.",
                advice="It looks like sqlite:////path/journal.db or postgresql+psycopg://host/db.",
            ) from error
        if parsed.get_backend_name() == "sqlite":
            engine, directory = _open_sqlite(Path(parsed.database or ""))
        else:
            engine = sa.create_engine(parsed, isolation_level="AUTOCOMMIT", pool_size=16)
            directory = None
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
        refuse_secrets(body)
        text = canonical(body)
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
                    self._write(row)
                except sa.exc.IntegrityError:
                    # Another process was first: take its record as the head, and try again.
                    self._read_head(incident)
                    continue
                self._heads[incident] = _Head(seq, digest)
                return Record(
                    incident, seq, time_from(stamp), kind, actor, dict(body), prev, digest
                )

    def records(self, incident: str, after_seq: int = 0) -> list[Record]:
        """An incident's records in order, those after ``after_seq``."""
        t = records_table.c
        query = (
            sa.select(records_table)
            .where(t.incident == incident, t.seq > after_seq)
            .order_by(t.seq)
        )
        with self._explained("read"):
            return [_record(row) for row in self._connection().execute(query)]

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
        with self._explained("read"):
            rows = self._connection().execute(query).all()
        return [
            IncidentHead(incident, time_from(first), time_from(last), seq, digest)
            for incident, first, last, seq, digest in rows
        ]

    def find(self, *, kind: str, since: datetime | None = None) -> Iterator[Record]:
        """Records of a kind over all incidents, the oldest first."""
        t = records_table.c
        query = sa.select(records_table).where(t.kind == kind).order_by(t.at, t.seq)
        if since is not None:
            query = query.where(t.at >= time_text(since))
        with self._explained("read"):
            rows = self._connection().execute(query).all()
        yield from map(_record, rows)

    def wait(self, incident: str, after_seq: int, timeout: timedelta) -> list[Record]:
        """The records after ``after_seq``, as soon as there are any; none after ``timeout``."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not (found := self.records(incident, after_seq)):
            if time.monotonic() >= deadline:
                return []
            time.sleep(_POLL_SECONDS)
        return found

    @contextmanager
    def hold(self, incident: str) -> Iterator[None]:
        """The right to carry an incident out; it dies with the process.

        Raises IncidentHeld where another process has it.
        """
        if self._lock_directory is not None:
            with hold_file(self._lock_directory, incident):
                yield
        else:
            with self._explained("lock"), hold_in_postgres(self._engine, incident):
                yield

    def rows(self, incident: str | None = None) -> Iterator[tuple[Any, ...]]:
        """The stored rows as they are, for verification, by incident and seq."""
        t = records_table.c
        query = sa.select(records_table).order_by(t.incident, t.seq)
        if incident is not None:
            query = query.where(t.incident == incident)
        compiled = query.compile(
            dialect=self._engine.dialect, compile_kwargs={"literal_binds": True}
        )
        with self._explained("read"), self._engine.connect() as connection:
            # PostgreSQL streams within a transaction only.
            if self._engine.dialect.name == "postgresql":
                connection = connection.execution_options(
                    stream_results=True, isolation_level="REPEATABLE READ"
                )
            result = connection.exec_driver_sql(str(compiled))
            for chunk in result.partitions(5_000):
                yield from map(tuple, chunk)

    def close(self) -> None:
        self._engine.dispose()

    def _lock_of(self, incident: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(incident, threading.Lock())

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed or connection.invalidated:
            connection = self._engine.connect()
            self._local.connection = connection
        return connection

    def _write(self, row: tuple[Any, ...]) -> None:
        self._connection().exec_driver_sql(self._insert, self._parameters(row))

    def _parameters(self, row: tuple[Any, ...]) -> Any:
        if self._engine.dialect.paramstyle in {"pyformat", "named"}:
            return dict(zip(records_table.c.keys(), row, strict=True))
        return row

    def _read_head(self, incident: str) -> _Head:
        t = records_table.c
        query = (
            sa.select(t.seq, t.hash).where(t.incident == incident).order_by(t.seq.desc()).limit(1)
        )
        row = self._connection().execute(query).first()
        head = _Head(row[0], row[1]) if row else _Head(0, GENESIS)
        self._heads[incident] = head
        return head

    def _create(self) -> None:
        with self._engine.connect() as connection:
            _metadata.create_all(connection)
            sqlite = self._engine.dialect.name == "sqlite"
            for statement in _SQLITE_TRIGGERS if sqlite else _POSTGRES_TRIGGERS:
                connection.exec_driver_sql(statement)
            version = connection.execute(sa.select(_schema_table.c.version)).scalar()
            if version is None:
                connection.execute(_schema_table.insert().values(version=SCHEMA_VERSION))
            elif version > SCHEMA_VERSION:
                raise JournalNewer(
                    f"The journal {self._url} has form {version}; this Clampdown knows up to "
                    f"{SCHEMA_VERSION}.",
                    advice="Upgrade Clampdown.",
                )

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.DBAPIError as error:
            raise JournalUnavailable(
                f"The journal {self._url} can't be {_PARTICIPLES[doing]}: "
                f"{str(error.orig).strip().splitlines()[0]}.",
                advice="Nothing is changed in AWS without it. Check disk space, permissions and "
                "CLAMPDOWN_JOURNAL.",
            ) from error
        except OSError as error:
            raise JournalUnavailable(
                f"The journal {self._url} can't be {_PARTICIPLES[doing]}: {error}."
            ) from error


_PARTICIPLES = {"open": "opened", "write": "written", "read": "read", "lock": "locked"}


def _open_sqlite(path: Path) -> tuple[Engine, Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The journal names people and resources: it is its owner's.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise JournalUnavailable(
            f"The journal {path} can't be opened: {error.strerror}.",
            advice="Set CLAMPDOWN_HOME to a directory that you can write to.",
        ) from error
    engine = sa.create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": _BUSY.total_seconds(), "check_same_thread": False},
        poolclass=sa.pool.NullPool,
    )

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine, path.parent / "locks"


def _record(row: Any) -> Record:
    import json

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


__all__ = ["HeadMoved", "IncidentHead", "IncidentHeld", "Journal"]
