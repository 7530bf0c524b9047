"""The disk is full: without a record nothing is changed, the message waits, and it is said."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.commands import on_change, until
from tests.flows.serve.here import hurry, serving_here
from tests.flows.serve.office import ROUTES, UNGATED, Office
from tests.runbooks.stage import Stage


@pytest.fixture
def office(tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Office:
    hurry(monkeypatch)
    office = Office(tmp_path, stage)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


@pytest.fixture(autouse=True)
def _room() -> Iterator[None]:
    yield
    limit_files(resource.RLIM_INFINITY)


def limit_files(size: int) -> None:
    """Have no file of this process grow beyond that, as if its disk were full."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (most if size == resource.RLIM_INFINITY else size, most)
    )


def test_full_amid_a_containment_nothing_more_is_changed_and_nothing_is_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = office.guardduty.queue
    first, second = office.instances[:2]
    log = office.clampdown.home / "journal.db-wal"

    def fill(call: Any) -> None:
        if call.operation == "CreateSecurityGroup":
            until(lambda: office.waiting_in(queue) == 0, "the first message's end")
            limit_files(log.stat().st_size)

    with serving_here(office) as service:
        until(lambda: service.get("/ready")[0] == 200, "the service to be ready")
        with monkeypatch.context() as patch:
            on_change(office.stage.aws, patch, fill)
            office.guardduty.find(first)
            # Nothing else has come that could not be taken.
            until(lambda: "does not go on" in service.get("/ready")[1], "it to say so")
        office.guardduty.find(second)
        until(lambda: "Findings can't be taken" in service.get("/ready")[1], "it to say so")
        code, said = service.get("/ready")
        assert (code, "can't be written" in said) == (503, True)
        # Its intent was written; of what it has led to, and what comes after it, nothing can be.
        assert [name for name, _ in office.changes()] == ["CreateSecurityGroup"]
        assert (len(office.incidents()), office.waiting_in(queue)) == (1, 1)

        limit_files(resource.RLIM_INFINITY)
        until(lambda: office.statuses() == ["contained"] * 2, "both to be contained")
        until(lambda: office.waiting_in(queue) == 0, "the queue to be empty")
        until(lambda: service.get("/ready")[0] == 200, "the service to be ready")
    assert f"{office.incidents()[0].id} does not go on: The journal" in caplog.text
    assert "It is kept, and tried again." in caplog.text
    assert office.repeated() == []
    assert office.clampdown("journal", "verify").code == 0
