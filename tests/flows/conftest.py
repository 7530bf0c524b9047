"""Journals to test on: SQLite always, PostgreSQL where one answers (in CI one must); and a stage."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from flows.journal.journal import Journal
from tests.flows.commands import Commands
from tests.flows.scene import Scene, hurry
from tests.runbooks.stage import Stage

POSTGRES = os.environ.get(
    "CLAMPDOWN_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test"
)


def _server() -> sa.Engine:
    return sa.create_engine(
        POSTGRES,
        isolation_level="AUTOCOMMIT",
        poolclass=sa.pool.NullPool,
        connect_args={"connect_timeout": 5},
    )


@pytest.fixture(scope="session")
def _postgres_database() -> Iterator[sa.URL]:
    """A database of this test process, gone afterwards."""
    server = _server()
    name = f"clampdown_test_{uuid.uuid4().hex[:12]}"
    try:
        with server.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
    except sa.exc.OperationalError as error:
        reason = f"no PostgreSQL at {server.url.render_as_string()}: {str(error.orig).strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(f"{reason} (CLAMPDOWN_TEST_POSTGRES names another)")
    yield server.url.set(database=name)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLAlchemy URL at which there is no journal yet, in SQLite."""
    return f"sqlite:///{tmp_path / 'state' / 'journal.db'}"


@pytest.fixture
def postgres_url(_postgres_database: sa.URL) -> Iterator[str]:
    """An SQLAlchemy URL at which there is no journal yet, in PostgreSQL: a schema of its own."""
    schema = f"test_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(
        _postgres_database, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool
    )
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    url = _postgres_database.update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest) -> str:
    """An SQLAlchemy URL at which there is no journal yet, in each database."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def journal(journal_url: str) -> Iterator[Journal]:
    """An empty journal in each database."""
    opened = Journal.open(journal_url)
    yield opened
    opened.close()


@pytest.fixture
def scene(
    simulated_aws: SimulatedAws, world: WorldIds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A stage for whole incidents, on which nothing is waited for longer than it must."""
    hurry(monkeypatch)
    made = Scene(simulated_aws, world, tmp_path)
    yield made
    made.close()


@pytest.fixture
def clampdown(tmp_path: Path, stage: Stage) -> Commands:
    """Commands as processes, with a state of their own and the stage as their AWS."""
    return Commands(tmp_path, stage)
