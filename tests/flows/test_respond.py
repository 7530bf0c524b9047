"""A containment shown in Prefect: all of it, as it happened, and without any part in it."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from flows.journal.record import Record
from tests.flows.commands import Commands, Ended, until
from tests.runbooks.stage import Stage

# What is another one in each run: ids, numbers, hashes and times.
_OTHER = re.compile(
    r"inc-\d{8}-[0-9a-f]{6}|\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|\+00:00)?|\b[0-9a-f]{12,}\b|[0-9A-Za-z]{40,}"
)
_COUNTED = {"intent", "nonce", "latency_seconds", "request_id", "simulate"}


class Database:
    """Prefect's database, as the server has left it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "prefect" / "prefect.db"

    def __call__(self, query: str) -> list[tuple[Any, ...]]:
        try:
            with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5) as database:
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []  # It is still being made.


def contained(clampdown: Commands, stage: Stage, *more: str, **environment: str) -> Ended:
    """Run to the gate, have it approved there once Prefect shows that, and go on to the end."""
    database = Database(clampdown.home)
    with clampdown.start(
        "run", "contain", "--target", stage.world.victim, *more, **environment
    ) as command:
        waiting = Ended(0, command.says("clampdown approve"), "")
        if "--without-prefect" not in more:
            until(lambda: database("SELECT 1 FROM task_run WHERE name LIKE 'approval%'"), "Prefect")
        assert clampdown("approve", waiting.incident, "contain", "--why", "sure").code == 0
        return command.end()


@pytest.mark.timeout(240)
def test_a_run_is_a_flow_run_and_its_steps_are_task_runs_and_its_journal_is_the_same(
    clampdown: Commands, stage: Stage, tmp_path: Path
) -> None:
    ended = contained(clampdown, stage)

    assert ended.code == 0, ended
    assert ended.err == ""
    assert "`clampdown ui` shows the run in Prefect" in ended.out
    incident, database = ended.incident, Database(clampdown.home)
    [(name, state, tags)] = database("SELECT name, state_name, tags FROM flow_run")
    assert (name, state) == (f"{incident} contain", "Completed")
    assert {incident, "contain", "simulated", "account:123456789012"} <= set(json.loads(tags))
    tasks = database("SELECT name, state_name, tags FROM task_run ORDER BY start_time")
    assert [(name, state) for name, state, _ in tasks] == [
        ("ec2.protect", "Completed"),
        ("approval: contain", "Completed"),
        ("ec2.isolate", "Completed"),
    ]
    assert [json.loads(tags) for _, _, tags in tasks] == [[]] * 3
    [(key, markdown)] = database("SELECT key, data FROM artifact")
    assert key == f"plan-{incident}"
    assert "Behind the gate" in markdown
    assert (clampdown.home / "prefect" / "server.log").read_text() == ""

    (tmp_path / "other").mkdir()
    other = Commands(tmp_path / "other", stage)
    stage.set_up()
    without = contained(other, stage, "--without-prefect")
    assert story(clampdown.records(incident)) == story(other.records(without.incident))


def test_a_prefect_that_is_not_there_neither_fails_nor_delays_a_containment(
    clampdown: Commands, stage: Stage
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api"

        ended = clampdown("run", "preserve", "--target", stage.world.victim, PREFECT_API_URL=url)

    assert ended.code == 0
    assert f"Prefect's server at {url} does not answer" in ended.out
    assert ended.err == ""


def test_a_prefect_that_never_answers_is_given_up(clampdown: Commands, stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        began = time.monotonic()
        ended = clampdown("run", "preserve", "--target", stage.world.victim, PREFECT_API_URL=url)

    assert ended.code == 0
    assert "does not answer (timed out)" in ended.out
    assert time.monotonic() - began < 20


def test_a_prefect_that_can_not_start_says_why(clampdown: Commands, stage: Stage) -> None:
    clampdown.home.mkdir()
    (clampdown.home / "prefect").write_text("in the way")

    ended = clampdown("run", "preserve", "--target", stage.world.victim, "--json")

    assert ended.code == 0
    assert ended.json["status"] == "contained"
    assert "prefect" in ended.json["prefect"]["problem"]


def test_who_does_not_wait_for_people_does_not_wait_for_prefect(
    clampdown: Commands, stage: Stage
) -> None:
    ended = clampdown("run", "contain", "--target", stage.world.victim, "--no-wait")

    assert ended.code == 1
    assert "Prefect" not in ended.out
    assert not (clampdown.home / "prefect").exists()


def story(records: Sequence[Record]) -> Counter[bytes]:
    """What records tell, without what is another one in each run; steps may take turns."""
    return Counter(
        rfc8785.dumps([record.kind, record.actor.id, plain(record.body)]) for record in records
    )


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items() if k not in _COUNTED}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return _OTHER.sub("…", value) if isinstance(value, str) else value
