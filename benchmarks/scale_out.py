"""What workers share: databases in PostgreSQL, and a Prefect server on them with Redis in between."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import redis
import sqlalchemy as sa

from benchmarks.service_process import Running, answers, parent, running, until

POSTGRES = os.environ.get(
    "CLAMPDOWN_BENCH_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/postgres"
)
# A database of its own: nothing else is in it, and all of it is deleted.
REDIS = os.environ.get("CLAMPDOWN_BENCH_REDIS", "redis://127.0.0.1:6379/11")


@dataclass(frozen=True)
class Shared:
    """The journal's SQLAlchemy URL, the API of the Prefect server, and processes by their names."""

    journal: str
    prefect: str
    pids: Mapping[str, int]

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers take work from Prefect: each has two lines."""
        until(lambda: self._lines() >= 2 * count, f"{count} workers")

    def _lines(self) -> int:
        return sum(len(worker["task_keys"]) for worker in ask(self.prefect, "task_workers/filter"))


@contextmanager
def shared() -> Iterator[Shared]:
    """Both databases and the server, as deployments/compose.yaml has them; gone afterwards.

    Raises sqlalchemy's and redis's errors where they don't answer, and RuntimeError for a Redis
    database that is in use.
    """
    with _databases() as (journal, prefect, postgres), _redis() as messages:
        settings = {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect,
            "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
            "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
            "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
            "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
            "PREFECT_SERVER_DOCKET_URL": REDIS,
            "PREFECT_REDIS_MESSAGING_URL": REDIS,
        }
        with prefect_server(settings) as (server, url):
            pids = {"Prefect's server": server.pid, "PostgreSQL": postgres, "Redis": messages}
            yield Shared(journal, url, pids)


@contextmanager
def prefect_server(settings: Mapping[str, str] | None = None) -> Iterator[tuple[Running, str]]:
    """``prefect server start`` until the block is left, and its API's URL. It answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with tempfile.TemporaryDirectory(dir=".", prefix="prefect-") as home:
        environment = {
            "PREFECT_HOME": str(Path(home).absolute()),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            **(settings or {}),
        }
        log = Path(home) / "server.log"
        command += ["--port", str(port)]
        with running(command, log, environment, says=False) as server:
            server.wait_until(lambda: answers(f"{url}/health"), "Prefect's server")
            yield server, url


def ask(api: str, path: str) -> list[dict[str, Any]]:
    """What Prefect's API answers to a POST that filters nothing."""
    request = Request(f"{api}/{path}", data=b"{}", method="POST")
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


@contextmanager
def _databases() -> Iterator[tuple[str, str, int]]:
    """The journal's URL, Prefect's, and the process of the server that has both."""
    engine = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    name = f"benchmark_{uuid.uuid4().hex[:12]}"
    names = [f"{name}_{use}" for use in ("journal", "prefect")]
    with engine.connect() as connection:
        for each in names:
            connection.exec_driver_sql(f"CREATE DATABASE {each}")
        session: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        server = parent(session)
    try:
        journal, prefect = (engine.url.set(database=each) for each in names)
        prefect = prefect.set(drivername="postgresql+asyncpg")
        yield (
            journal.render_as_string(hide_password=False),
            prefect.render_as_string(hide_password=False),
            server,
        )
    finally:
        with engine.connect() as connection:
            for each in names:
                connection.exec_driver_sql(f"DROP DATABASE {each} WITH (FORCE)")


@contextmanager
def _redis() -> Iterator[int]:
    """Redis's process; what is in the database afterwards is deleted."""
    client = redis.Redis.from_url(REDIS)
    if client.dbsize():
        raise RuntimeError(f"{REDIS} is in use: CLAMPDOWN_BENCH_REDIS names another database")
    try:
        yield int(client.info("server")["process_id"])
    finally:
        client.flushdb()
        client.close()
