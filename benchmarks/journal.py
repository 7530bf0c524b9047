"""Durable appends and verified records per second."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Actor
from flows.journal.verify import verify

POSTGRES = os.environ.get(
    "CLAMPDOWN_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test"
)
_ACTOR = Actor("system", "clampdown", "benchmark")


def measure(appends: int = 5_000, verified: int = 100_000) -> dict[str, str]:
    """SQLite on this machine's disk, and PostgreSQL where one answers."""
    figures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=".") as directory:
        journal = Journal.open(f"sqlite:///{directory}/journal.db")
        figures["SQLite: durable appends/s (at least 2000)"] = f"{_appends(journal, appends):.0f}"
        _fill(journal, verified - appends)
        started = time.perf_counter()
        found = verify(journal)
        rate = found.records / (time.perf_counter() - started)
        figures["SQLite: verified records/s (at least 50000)"] = f"{rate:.0f}"
        journal.close()
    try:
        with _postgres_schema() as url:
            postgres = Journal.open(url)
            rate = _appends(postgres, appends // 5)
            figures["PostgreSQL: durable appends/s"] = f"{rate:.0f}"
            postgres.close()
    except (JournalUnavailable, sa.exc.OperationalError) as error:
        figures["PostgreSQL"] = f"left out: {error}"
    return figures


@contextmanager
def _postgres_schema() -> Iterator[str]:
    """A journal's URL in a schema of its own, gone afterwards."""
    server = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    schema = f"benchmark_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    try:
        url = server.url.update_query_dict({"options": f"-csearch_path={schema}"})
        yield url.render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))


def _body(number: int) -> dict[str, object]:
    call = {"service": "ec2", "operation": "modify_network_interface_attribute"}
    params = {"NetworkInterfaceId": f"eni-{number:017x}", "Groups": ["sg-0123456789abcdef0"]}
    return {"step": "ec2.isolate", "change": {"call": {**call, "params": params}, "why": "x" * 60}}


def _appends(journal: Journal, count: int) -> float:
    incident = f"inc-{uuid.uuid4()}"
    started = time.perf_counter()
    for number in range(count):
        journal.append(incident, "change.intent", _body(number), _ACTOR)
    return count / (time.perf_counter() - started)


def _fill(journal: Journal, count: int) -> None:
    for number in range(count):
        journal.append(f"inc-filler-{number % 50}", "change.intent", _body(number), _ACTOR)


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:58} {value}")
