"""Appending to and reading from the journal, in SQLite or PostgreSQL through SQLAlchemy Core.

An append is durable when it returns. Nothing here changes or deletes a record, and triggers refuse
it to others; but the proof is the chain (:mod:`flows.journal.verify`), not the triggers.
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.engine import Connection, Engine

from flows.journal import queries
from flows.journal.database import (
    database,
    open_postgres,
    open_postgres_sessions,
    open_sqlite,
    reason,
)
from flows.journal.errors import (
    HeadMoved,
    IncidentHeld,
    JournalNewer,
    JournalTampered,
    JournalUnavailable,
)
from flows.journal.file_locks import is_locked, lock_file
from flows.journal.leases import SILENCE, Heartbeat, Lease, holder_of, this_process
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
from flows.journal.schema import (
    POSTGRES_TRIGGERS,
    SCHEMA_VERSION,
    SQLITE_TRIGGERS,
    metadata,
    records_table,
    schema_table,
)
from runbooks import clock

_POLL_SECONDS = 0.2
_HELD_POLL_SECONDS = 0.05
# Any number will do, as long as every Clampdown takes the same while it makes the tables.
_MAKING = 0x636C616D70


Taken = TypeVar("Taken")


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
        self._holding: dict[str, threading.Lock] = {}
        self._leases: dict[str, Lease] = {}
        self._heartbeat = Heartbeat()
        self._sessions = (
            open_postgres_sessions(engine.url, this_process(), SILENCE)
            if lock_directory is None
            else None
        )
        # The databases' names for the order of code points.
        self._collation = "C" if lock_directory is None else "BINARY"
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
        parsed = database(url)
        if parsed.get_backend_name() == "sqlite":
            engine, directory = open_sqlite(Path(parsed.database or ""))
        else:
            engine, directory = open_postgres(parsed), None
        # libpq takes a password among the options as well.
        shown = parsed.set(query={}).render_as_string(hide_password=True)
        journal = cls(engine, shown, directory)
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
                moment = at or clock.now()
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
        rows = self._read(queries.records(incident, after_seq))
        if not rows and not after_seq:
            # What is looked for in vain is begun next, most often. If another process is first,
            # its record refuses ours, and the head is read.
            self._heads.setdefault(incident, _Head(0, GENESIS))
        return [_record(row) for row in rows]

    def last(self, incident: str) -> Record | None:
        """An incident's newest record; None where it has none."""
        rows = self._read(queries.last(incident))
        return _record(rows[0]) if rows else None

    def incidents(self, prefix: str = "") -> list[IncidentHead]:
        """The chains that begin so, in the order in which they were opened."""
        return [_head(row) for row in self._read(queries.heads(prefix, self._collation))]

    def find(self, *, kind: str, since: datetime | None = None) -> Iterator[Record]:
        """Records of a kind over all incidents, the oldest first."""
        query = queries.of_kind(kind)
        if since is not None:
            query = query.where(records_table.c.at >= time_text(since))
        yield from map(_record, self._read(query))

    def chains_with(self, kind: str) -> list[str]:
        """The chains that have a record of a kind, the oldest such record first."""
        return [row[0] for row in self._read(queries.chains_with(kind))]

    def last_of(self, kinds: Collection[str], prefix: str = "inc-") -> list[Record]:
        """Of each chain that begins so, the newest record among those kinds, the oldest first."""
        query = queries.last_of(kinds, prefix, self._collation)
        return [_record(row) for row in self._read(query)]

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
    def hold(self, incident: str, wait: timedelta = timedelta(0)) -> Iterator[None]:
        """The right to carry an incident out; it dies with the process.

        In PostgreSQL the right belongs to a session. While it is held, this journal appends to the
        incident through that session only: whoever has lost the right can't write a record, and
        therefore change anything. Who shows no sign of life for 15 s loses it to whoever wants it.

        ``wait`` is for how long another thread or process that has it is waited for.

        Raises IncidentHeld where another has it, JournalUnavailable.
        """
        deadline = time.monotonic() + wait.total_seconds()
        with self._lock:
            own = self._holding.setdefault(incident, threading.Lock())
        if not own.acquire(timeout=wait.total_seconds()):
            raise IncidentHeld.by(incident, this_process())
        try:
            with self._held(incident, deadline):
                yield
        finally:
            own.release()

    def is_held(self, incident: str) -> bool:
        """Whether any process has the right to carry an incident out now; a stalled one has not."""
        if self._lock_directory is not None:
            return is_locked(self._lock_directory, incident)
        with self._explained("read"), self._connection() as connection:
            holder = holder_of(connection, incident)
        return holder is not None and not holder.stalled

    @property
    def in_hand(self) -> bool:
        """Whether a thread of this process has any right: it may be asking something just now."""
        with self._lock:
            return any(right.locked() for right in self._holding.values())

    def require_held(self, incident: str) -> None:
        """Raise JournalUnavailable where this process may have lost the right that it has taken.

        To be asked right before each change: it costs nothing. A lock on a file is not lost.
        """
        if (lease := self._leases.get(incident)) is not None:
            lease.require_current()

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
        """End every connection, those of other threads too, but not those of what is held."""
        self._heartbeat.stop()
        for connection in list(self._of_threads):
            connection.close()
        self._engine.dispose()

    @contextmanager
    def _held(self, incident: str, deadline: float) -> Iterator[None]:
        """Have the right, in this thread of this process."""
        if self._sessions is None:
            directory = self._lock_directory
            assert directory is not None
            lock = _by(deadline, lambda: lock_file(directory, incident, this_process()))
            try:
                yield
            finally:
                lock.release()
            return
        busy = self._lock_of(incident)
        with self._explained("lock"):
            session = self._sessions.connect()
            try:
                lease = _by(deadline, lambda: Lease(session, incident, busy))
            except BaseException:
                session.close()
                raise
        self._leases[incident] = lease
        self._heartbeat.add(lease)
        try:
            yield
        finally:
            self._heartbeat.remove(lease)
            with busy:
                del self._leases[incident]
                lease.give_back()

    def _lock_of(self, incident: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(incident, threading.Lock())

    @contextmanager
    def _connection(self, incident: str = "") -> Iterator[Connection]:
        """SQLite: one for each thread. PostgreSQL: the incident's lease, or one out of the pool."""
        if (lease := self._leases.get(incident)) is not None:
            with lease.session() as session:
                yield session
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
                self._make(connection, SQLITE_TRIGGERS)
            return
        with self._engine.connect() as connection:
            # Who may only append and read (the least privilege) can't make anything.
            if self._is_made(connection):
                return
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
                self._make(connection, POSTGRES_TRIGGERS)

    def _is_made(self, connection: Connection) -> bool:
        query = sa.text(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('records')"
            " AND tgname IN ('records_no_change', 'records_no_truncate') AND tgenabled <> 'D'"
        )
        if connection.execute(query).scalar() != len(POSTGRES_TRIGGERS) - 1:
            return False
        return self._refuse_newer(connection) is not None

    def _make(self, connection: Connection, triggers: Sequence[str]) -> None:
        metadata.create_all(connection)
        if self._refuse_newer(connection) is None:
            connection.execute(schema_table.insert().values(version=SCHEMA_VERSION))
        for statement in triggers:
            connection.exec_driver_sql(statement)

    def _refuse_newer(self, connection: Connection) -> int | None:
        version: int | None = connection.execute(
            sa.select(sa.func.max(schema_table.c.version))
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
                f"The journal {self._url} can't be {_PARTICIPLES[doing]}: {reason(error)}.",
                advice="Nothing is changed in AWS without it. Check disk space, permissions and "
                "CLAMPDOWN_JOURNAL.",
            ) from error
        except OSError as error:
            raise JournalUnavailable(
                f"The journal {self._url} can't be {_PARTICIPLES[doing]}: {error}."
            ) from error


_PARTICIPLES = {"open": "opened", "write": "written", "read": "read", "lock": "locked"}


# Written in C: a function of our own for every text would double the time of a verification.
_LENIENT = partial(str, encoding="utf-8", errors="surrogateescape")


def _by(deadline: float, take: Callable[[], Taken]) -> Taken:
    """What another process may have, once it has it no more. Raises IncidentHeld."""
    while True:
        try:
            return take()
        except IncidentHeld:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_HELD_POLL_SECONDS)


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


__all__ = [
    "SCHEMA_VERSION",
    "HeadMoved",
    "IncidentHead",
    "IncidentHeld",
    "Journal",
    "records_table",
]
