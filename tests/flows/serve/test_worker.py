"""Workers on PostgreSQL, with a Prefect server and a Redis that are away again and again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from redis import Redis, RedisError

from flows.prefect_server import EmbeddedServer, embed_prefect, require_answer
from flows.serve.prefect import READY
from tests.cuttable_line import CuttableLine
from tests.flows.commands import Running, on_change, until
from tests.flows.serve.office import ROUTES, UNGATED, Office, Serving
from tests.runbooks.stage import Stage

pytestmark = pytest.mark.timeout(180)

_HOST, _REDIS_PORT = "127.0.0.1", 6379
# Redis' own default; where there are fewer it says so.
_DATABASES = 16
# As deployments/compose.yaml has it.
_ON_REDIS = {
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
}


@dataclass
class Messages:
    """The database of a Redis that messages go through, and the line to it."""

    database: int
    line: CuttableLine

    @property
    def url(self) -> str:
        """The database's, through the line."""
        return f"redis://{_HOST}:{self.line.port}/{self.database}"


@pytest.fixture
def messages() -> Iterator[Messages]:
    """A database of this test, empty before and afterwards. In CI there must be one."""
    try:
        database = _empty_database()
    except RedisError as error:
        reason = f"no Redis at {_HOST}:{_REDIS_PORT} to be used: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with CuttableLine(_REDIS_PORT) as line:
        yield Messages(database, line)
    with Redis(_HOST, _REDIS_PORT, database) as redis:
        redis.flushdb()


def _empty_database() -> int:
    """The number of a database in which there was nothing, and now is a mark that it is taken.

    The first is left alone: it is the one that everything else on a machine uses.
    """
    for number in range(1, _DATABASES):
        with Redis(_HOST, _REDIS_PORT, number, socket_timeout=5) as redis:
            if redis.dbsize() == 0 and redis.set("clampdown-test", os.getpid(), nx=True):
                return number
    raise RedisError(f"each of its databases 1 to {_DATABASES - 1} holds something")


@dataclass
class Prefect:
    """A server that all share, and the line to its API."""

    server: EmbeddedServer
    line: CuttableLine

    @property
    def url(self) -> str:
        """The API's, through the line."""
        return f"http://{_HOST}:{self.line.port}/api"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.server._process.pid, number)

    def shows(self, task_run: str) -> bool:
        """Whether it was told that a task run of that name has ended well."""
        request = Request(f"{self.server.url}/task_runs/filter", data=b"{}", method="POST")
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=20) as answer:
            known = {run["name"]: run["state_name"] for run in json.load(answer)}
        return known.get(task_run) == "Completed"


@pytest.fixture
def prefect(
    tmp_path: Path, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Prefect]:
    """It takes some seconds until it answers, and the line to it is cut."""
    home = tmp_path / "prefect"
    embed_prefect(home)
    with monkeypatch.context() as patch:
        for name, value in _ON_REDIS.items():
            patch.setenv(name, value)
        for name in ("PREFECT_SERVER_DOCKET_URL", "PREFECT_REDIS_MESSAGING_URL"):
            patch.setenv(name, messages.url)
        patch.setenv("PREFECT_HOME", str(home))
        server = EmbeddedServer(home)
    with CuttableLine(urlsplit(server.url).port or 0) as line:
        line.cut()
        yield Prefect(server, line)
    server._process.kill()
    server.stop()


@pytest.fixture
def office(tmp_path: Path, stage: Stage, postgres_url: str, prefect: Prefect) -> Office:
    office = Office(tmp_path, stage, CLAMPDOWN_JOURNAL=postgres_url, PREFECT_API_URL=prefect.url)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


def test_workers_carry_out_what_is_handed_over_what_is_not_and_what_another_one_can_t_end(
    office: Office, prefect: Prefect, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One set of processes, as starting them is what takes the time."""
    without_prefect, handed_over, without_redis, amid, again = office.instances

    def stall(worker: Running) -> None:
        worker.signal(signal.SIGSTOP)

    def kill(worker: Running) -> None:
        worker.signal(signal.SIGKILL)
        prefect.signal(signal.SIGSTOP)

    with ExitStack() as stack:
        service = stack.enter_context(office.serving("--workers"))
        workers = [stack.enter_context(office.working()) for _ in range(2)]
        _contained(office, without_prefect)
        assert "a worker will find it" in service.running.err
        for each in (service, *workers):
            assert "contained all the same" in each.running.err

        require_answer(prefect.server.url, READY)
        prefect.line.mend()
        incident = _contained(office, handed_over)
        started = [r for r in office.records(incident) if r.kind == "incident.started"]
        assert [record.body["reason"] for record in started] == ["gone on with"]
        until(lambda: prefect.shows(incident), "Prefect to show it")

        assert messages.line.connections > 0
        messages.line.cut()
        stalled = _hit(office, workers, without_redis, stall, monkeypatch)
        before = office.changes()
        stalled.running.signal(signal.SIGCONT)
        # It is a worker again; what it was at is another one's.
        until(lambda: "was lost" in stalled.running.err, "it to notice")
        assert office.changes() == before
        messages.line.mend()

        killed = _hit(office, workers, amid, kill, monkeypatch)
        assert not killed.running.alive
        prefect.signal(signal.SIGCONT)
        incident = _contained(office, again)
        until(lambda: prefect.shows(incident), "Prefect to show it")

        # What hangs there keeps nobody from ending.
        prefect.signal(signal.SIGSTOP)
        next(worker for worker in workers if worker is not killed).stop()
        service.stop()
    assert office.statuses() == ["contained"] * 5
    assert office.repeated() == []


def _contained(office: Office, instance: str) -> str:
    """Something is found on the instance, and contained; the incident."""
    known = len(office.incidents())
    office.guardduty.find(instance)
    until(lambda: office.statuses() == ["contained"] * (known + 1), "the containment", within=30)
    return office.incidents()[-1].id


def _hit(
    office: Office,
    workers: list[Serving],
    instance: str,
    by: Callable[[Running], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Serving:
    """The worker that contains the instance is hit amid its first change of an interface, and
    another one ends it within half a minute."""
    hit: list[Serving] = []

    def act(call: Any) -> None:
        if not hit and call.operation == "ModifyNetworkInterfaceAttribute":
            holder = office.holder()
            hit.extend(worker for worker in workers if f" {worker.running.pid} " in holder)
            by(hit[0].running)

    with monkeypatch.context() as patch:
        on_change(office.stage.aws, patch, act)
        _contained(office, instance)
    return hit[0]
