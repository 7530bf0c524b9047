"""Workers on PostgreSQL and a Prefect server that they share: handed over, killed, stalled."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.prefect_server import EmbeddedServer, embed_prefect, require_answer
from flows.serve.prefect import READY
from tests.flows.commands import on_change, until
from tests.flows.serve.office import ROUTES, UNGATED, Office, Serving
from tests.runbooks.stage import Stage

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    home = tmp_path_factory.mktemp("prefect")
    embed_prefect(home)
    server = EmbeddedServer(home)
    require_answer(server.url, READY)
    yield server
    server.stop()


@pytest.fixture
def office(
    tmp_path: Path, simulated_aws: SimulatedAws, postgres_url: str, prefect: EmbeddedServer
) -> Office:
    stage = Stage(simulated_aws)
    stage.set_up()
    office = Office(tmp_path, stage, CLAMPDOWN_JOURNAL=postgres_url, PREFECT_API_URL=prefect.url)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


def test_workers_carry_out_what_is_handed_over_and_what_another_one_can_t_end(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One set of processes, as starting them is what takes the time."""
    ids = office.stage.world.ids
    first, second, third = [ids[name] for name in ids if ids[name].startswith("i-")][:3]
    with ExitStack() as stack:
        service = stack.enter_context(office.serving("--workers"))
        workers = [stack.enter_context(office.working()) for _ in range(2)]

        office.guardduty.find(first)
        until(lambda: office.statuses() == ["contained"], "the containment")
        [incident] = office.incidents()
        started = [r for r in office.records(incident.id) if r.kind == "incident.started"]
        assert [record.body["reason"] for record in started] == ["gone on with"]

        stalled = _hit(office, workers, second, signal.SIGSTOP, monkeypatch)
        before = office.changes()
        stalled.running.signal(signal.SIGCONT)
        # It is a worker again; what it was at is another one's.
        until(lambda: "was lost" in stalled.running.err, "it to notice")
        assert office.changes() == before

        killed = _hit(office, workers, third, signal.SIGKILL, monkeypatch)
        assert not killed.running.alive
        made = office.changes()
        assert len(made) == len(set(made))
        next(worker for worker in workers if worker is not killed).stop()
        service.stop()
    assert office.statuses() == ["contained"] * 3


def _hit(
    office: Office,
    workers: list[Serving],
    instance: str,
    by: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> Serving:
    """The worker that contains the instance is hit amid its first change of an interface, and
    another one ends it within half a minute."""
    hit: list[Serving] = []

    def act(call: Any) -> None:
        if not hit and call.operation == "ModifyNetworkInterfaceAttribute":
            holder = office.holder()
            hit.extend(worker for worker in workers if f" {worker.running.pid} " in holder)
            hit[0].running.signal(by)

    known = len(office.incidents())
    with monkeypatch.context() as patch:
        on_change(office.stage.aws, patch, act)
        office.guardduty.find(instance)
        contained = ["contained"] * (known + 1)
        until(lambda: office.statuses() == contained, "the other worker", within=30)
    return hit[0]
