"""``clampdown serve`` as a process: findings in, containment out, stopped, killed, started again."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.flows.commands import on_change, until
from tests.flows.serve.office import ROUTES, UNGATED, Office
from tests.runbooks.stage import Stage


@pytest.fixture
def office(tmp_path: Path, stage: Stage) -> Office:
    return Office(tmp_path, stage)


def test_a_finding_on_the_queue_is_contained_and_what_needs_people_waits_for_them(
    office: Office,
) -> None:
    with office.serving() as service:
        assert service.get("/health")[0] == 200
        until(lambda: service.get("/ready")[0] == 200, "the service to be ready")
        office.guardduty.find()
        until(lambda: office.statuses() == ["running"] and office.incidents()[0].gates, "the gate")
        [incident] = office.incidents()
        # The steps before the gate are done; somebody at a terminal decides.
        approved = office.clampdown("approve", incident.id, "contain", "--why", "sure")
        assert approved.code == 0, approved
        until(lambda: office.statuses() == ["contained"], "the containment")
        figures = service.get("/metrics")[1]
        assert 'clampdown_findings_total{outcome="contained",source="guardduty"} 1.0' in figures
        service.stop()
    assert office.guardduty.events() == []


def test_what_is_not_understood_is_in_the_dead_letters_and_the_queue_goes_on(
    office: Office,
) -> None:
    send = office.guardduty.sqs.send_message
    with office.serving() as service:
        for body in ("not json", "{}", '{"detail": {}, "source": "x", "detail-type": "y"}'):
            send(QueueUrl=office.guardduty.queue, MessageBody=body)
        office.guardduty.find()
        until(lambda: len(office.incidents()) == 1, "the finding behind them")
        until(lambda: office.waiting_in(office.dead) == 3, "three dead letters")
        service.stop()
    assert office.guardduty.events() == []


def test_the_webhook_takes_findings_with_its_token_only(office: Office) -> None:
    event = office.guardduty.event()
    with office.serving() as service:
        assert service.post(event, token="x" * 40)[0] == 401
        assert office.incidents() == []
        code, answer = service.post(event)
        assert (code, len(json.loads(answer)["incidents"])) == (202, 1)
        assert len(office.incidents()) == 1
        service.stop()


def test_stopped_in_the_middle_it_goes_on_by_itself_when_it_is_back(office: Office) -> None:
    with office.serving() as service:
        office.guardduty.find()
        until(lambda: office.statuses() == ["running"] and office.incidents()[0].gates, "the gate")
        service.stop()
    assert office.statuses() == ["waiting"]
    [incident] = office.incidents()
    assert office.clampdown("approve", incident.id, "contain").code == 0
    with office.serving() as service:
        assert service.said["resumed"] == [incident.id]
        until(lambda: office.statuses() == ["contained"], "the containment")
        service.stop()


def test_killed_in_the_middle_it_goes_on_and_nothing_is_done_twice(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    killed: list[str] = []
    with office.serving() as service:

        def kill(call: Any) -> None:
            if not killed and call.operation == "ModifyNetworkInterfaceAttribute":
                killed.append(call.operation)
                service.running.signal(signal.SIGKILL)

        with monkeypatch.context() as patch:
            on_change(office.stage.aws, patch, kill)
            office.guardduty.find()
            until(lambda: not service.running.alive, "its death")
    with office.serving() as service:
        until(lambda: office.statuses() == ["contained"], "the containment")
        service.stop()
    made = office.changes()
    assert {"CreateSecurityGroup", "ModifyNetworkInterfaceAttribute"} <= {name for name, _ in made}
    assert len(made) == len(set(made))


def test_a_flood_keeps_nothing_critical_waiting(office: Office) -> None:
    sqs, queue = office.guardduty.sqs, office.guardduty.queue
    mild = office.guardduty.event(severity=2.0)
    document = json.loads(mild)
    for number in range(40):
        entries = []
        for part in range(10):
            document["detail"] |= {"id": f"{number:016x}{part:016x}"}
            entries.append({"Id": str(part), "MessageBody": json.dumps(document)})
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    office.guardduty.find(severity=9.0)
    with office.serving() as service:
        until(lambda: bool(office.incidents()), "the critical one")
        until(lambda: office.waiting_in(queue) == 0, "the flood's end")
        service.stop()
