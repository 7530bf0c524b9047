"""The disk is full: without a record nothing is changed, the message waits, and it is said."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from flows.gameday.aws.server import SimulatedAws
from tests.flows.commands import until
from tests.flows.serve.office import ROUTES, UNGATED, Office
from tests.runbooks.stage import Stage

# No page of SQLite's can be written, a few lines of a log can.
_FULL = 4096


@pytest.fixture
def office(tmp_path: Path, simulated_aws: SimulatedAws) -> Office:
    stage = Stage(simulated_aws)
    stage.set_up()
    office = Office(tmp_path, stage)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


def test_a_full_disk_changes_nothing_and_loses_nothing(office: Office) -> None:
    queue = office.guardduty.queue
    with office.serving() as service:
        until(lambda: service.get("/ready")[0] == 200, "the service to be ready")
        whole = resource.prlimit(service.running.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.running.pid, resource.RLIMIT_FSIZE, (_FULL, whole[1]))
        office.guardduty.find()
        until(lambda: "can't be written" in service.get("/ready")[1], "it to say so")
        assert service.get("/ready")[0] == 503
        assert (office.changes(), office.incidents()) == ([], [])
        assert office.waiting_in(queue) == 1

        freed = time.monotonic()
        resource.prlimit(service.running.pid, resource.RLIMIT_FSIZE, whole)
        until(lambda: office.statuses() == ["contained"], "the containment")
        assert time.monotonic() - freed < 30
        until(lambda: office.waiting_in(queue) == 0, "the queue to be empty")
        service.stop()
    assert office.repeated() == []
    assert office.clampdown("journal", "verify").code == 0
