"""The right to carry an incident out, in PostgreSQL: an advisory lock in a session of its own.

The server frees it when the session ends, and so at once when its process is killed. But a process
that is stopped, that hangs or that was cut off keeps its session. So whoever has the right touches
the session again and again, which the server shows to all; and who wants the right ends a session
that nobody has touched for long. The server's clock counts: where it is set forward, a right may be
taken from somebody who lives, who then stops; it is never had by two.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from flows.journal.database import reason
from flows.journal.errors import IncidentHeld, JournalUnavailable

# How often a session is touched, and for how long it may be untouched before others end it.
BEAT = timedelta(seconds=3)
STALLED_AFTER = timedelta(seconds=15)
# Together with a beat less than what a lease is trusted for: one session whose network is gone
# does not keep the others from being touched in time.
SILENCE = timedelta(seconds=8)
# Its holder trusts a lease for less time than others wait: a call needs some on its way to AWS.
_TRUSTED = 0.8
_ENDS_WITHIN = timedelta(seconds=5)
_POLL_SECONDS = 0.05
_LOG = logging.getLogger(__name__)


def this_process() -> str:
    """What others are told of who has a right."""
    return f"clampdown {os.getpid()} on {socket.gethostname()}"


class Lease:
    """An incident's right, which this process has taken, and its session.

    ``busy`` is the lock under which the session is used; without it, a lease may be asked only
    whether it is lost or current.
    """

    def __init__(self, session: Connection, incident: str, busy: threading.Lock) -> None:
        self._session = session
        self._incident = incident
        self._busy = busy
        self._given_up = ""
        self._touched = _now()
        _lock(session, incident)

    @property
    def lost(self) -> bool:
        """Whether its session has ended, or it was given up. It is never had again."""
        session = self._session
        return bool(self._given_up) or session.closed or session.invalidated

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """The session, for one statement. Raises JournalUnavailable for a lease that is lost."""
        if self.lost:
            raise self._is_lost()
        # By the time before the statement: for the server, it was touched a little later.
        begun = _now()
        yield self._session
        self._touched = begun

    def touch(self) -> None:
        """Show that this process lives; while the session is in use, its use shows it."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            if not self.lost:
                with self.session() as session:
                    session.exec_driver_sql("SELECT 1")
        except sa.exc.SQLAlchemyError as error:
            why = reason(error)
            _LOG.warning("The right to carry %s out was not renewed: %s.", self._incident, why)
        finally:
            self._busy.release()

    def require_current(self) -> None:
        """Raise JournalUnavailable where somebody else may have the right by now. Asks nobody.

        Who was away for that long gives it up for good, whether or not it was taken already.
        """
        untouched = _now() - self._touched
        if not self.lost and untouched > STALLED_AFTER.total_seconds() * _TRUSTED:
            self._given_up = (
                f"this process was stopped, or cut off from the journal, for {untouched:.0f} s"
            )
        if self.lost:
            raise self._is_lost()

    def give_back(self) -> None:
        """Free the right, and end the session. One that is gone has freed it already."""
        with suppress(sa.exc.SQLAlchemyError):
            if not self.lost:
                unlock = sa.func.pg_advisory_unlock(_key(self._incident))
                self._session.execute(sa.select(unlock))
        with suppress(sa.exc.SQLAlchemyError):
            self._session.close()

    def _is_lost(self) -> JournalUnavailable:
        why = self._given_up or "its session has ended"
        return JournalUnavailable(
            f"The right to carry {self._incident} out was lost: {why}, and another process may "
            "have taken over.",
            advice=f"Nothing more is changed by this one; `clampdown timeline {self._incident}` "
            "shows how far it is.",
        )


class Heartbeat:
    """Touches leases from a thread of its own, for as long as there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._leases: list[Lease] = []
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        with self._changed:
            self._leases.append(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="leases", daemon=True)
                self._thread.start()

    def remove(self, lease: Lease) -> None:
        with self._changed:
            if lease in self._leases:
                self._leases.remove(lease)
            self._changed.notify_all()

    def stop(self) -> None:
        """Touch nothing any more. What is still held is soon others' to take."""
        with self._changed:
            self._leases.clear()
            self._changed.notify_all()

    def _beat(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._leases, BEAT.total_seconds())
                leases = list(self._leases)
                if not leases:
                    self._thread = None
                    return
            for lease in leases:
                lease.touch()


@dataclass(frozen=True)
class Holder:
    """The session that has an incident's right, as the server shows it to this database role.

    ``hidden`` is whether it does not show what the session does.
    """

    pid: int
    name: str
    role: str
    hidden: bool
    stalled: bool


# Waiting for its client: between two statements, or for the rest of one. Untouched since then.
_STALLED = (
    "(a.wait_event_type = 'Client' AND now() - a.state_change > make_interval(secs => :limit))"
)
_HOLDER = sa.text(
    "SELECT a.pid, a.application_name AS name, a.usename AS role, a.state IS NULL AS hidden,"
    f" coalesce({_STALLED}, false) AS stalled"
    " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (l.classid::bigint << 32) | l.objid::bigint = :key"
)
_END = sa.text(
    f"SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE a.pid = :pid AND {_STALLED}"
)


def holder_of(connection: Connection, incident: str) -> Holder | None:
    """Who has an incident's right; None where nobody has."""
    values = {"key": _key(incident), "limit": STALLED_AFTER.total_seconds()}
    row = connection.execute(_HOLDER, values).first()
    return Holder(*row) if row else None


def _lock(session: Connection, incident: str) -> None:
    """Take the right, from a session that is stalled if need be. Raises IncidentHeld."""
    lock = sa.select(sa.func.pg_try_advisory_lock(_key(incident)))
    deadline = time.monotonic() + _ENDS_WITHIN.total_seconds()
    while not session.execute(lock).scalar():
        holder = holder_of(session, incident)
        if holder is not None:
            if not holder.stalled or time.monotonic() > deadline:
                raise _held(incident, holder)
            _end(session, incident, holder)
        elif time.monotonic() > deadline:
            raise IncidentHeld.by(incident, "another process")
        time.sleep(_POLL_SECONDS)


def _end(session: Connection, incident: str, holder: Holder) -> None:
    """End a stalled session, if it still is. It may take a moment to end."""
    values = {"pid": holder.pid, "limit": STALLED_AFTER.total_seconds()}
    try:
        if session.execute(_END, values).scalar():
            _LOG.warning("%s is stalled: its right to %s is taken over.", holder.name, incident)
    except sa.exc.ProgrammingError as error:
        more = f", which is stalled, but is the database role {holder.role}'s: this role may not end it"
        raise IncidentHeld.by(incident, holder.name, more) from error


def _held(incident: str, holder: Holder) -> IncidentHeld:
    more = ""
    if holder.hidden:
        more = (
            f", in a session of the database role {holder.role}, of which this role can't see "
            "whether it is stalled"
        )
    return IncidentHeld.by(incident, holder.name or "another process", more)


def _key(incident: str) -> int:
    return int.from_bytes(hashlib.sha256(incident.encode()).digest()[:8], "big", signed=True)


def _now() -> float:
    """Seconds that go on while the process is stopped and, in Linux, while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
