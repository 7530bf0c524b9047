"""``clampdown serve`` as a process: findings in, containment out, stopped, killed, started again."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.incident import Incident, fold
from flows.journal.journal import Journal
from tests.flows.commands import Commands, Running, on_change, until
from tests.flows.guardduty import GuardDuty
from tests.runbooks.stage import Stage

TOKEN = "t" * 40
ROUTES = [
    {
        "match": {"type": ["Backdoor:EC2/*"], "severity": ">= 7", "resource_role": "ACTOR"},
        "playbook": "contain",
        "mode": "automatic",
    }
]


class Office:
    """A service with a queue behind EventBridge, and a look into its journal."""

    def __init__(self, directory: Path, stage: Stage) -> None:
        self.stage = stage
        self.clampdown = Commands(directory, stage)
        self.guardduty = GuardDuty(stage.aws, stage.world)
        dead = self.guardduty.sqs.create_queue(QueueName="dead")["QueueUrl"]
        self.dead = dead
        self.clampdown.environment |= {
            "CLAMPDOWN_QUEUES": self.guardduty.queue,
            "CLAMPDOWN_DEAD_LETTERS": dead,
            "CLAMPDOWN_PORT": "0",
            "CLAMPDOWN_WEBHOOK_TOKEN": TOKEN,
            "CLAMPDOWN_SWEEP_MINUTES": "0",
        }
        self.clampdown.write_playbooks(routes=ROUTES)

    @contextmanager
    def serving(self, *more: str, **environment: str) -> Iterator[Serving]:
        arguments = ("serve", "--json", "--without-prefect", *more)
        with self.clampdown.start(*arguments, **environment) as running:
            yield Serving(running, json.loads(running.says("}\n")))

    def incidents(self) -> list[Incident]:
        url = self.clampdown.environment.get("CLAMPDOWN_JOURNAL")
        path = self.clampdown.home / "journal.db"
        if not url and not path.exists():
            return []
        journal = Journal.open(url or f"sqlite:///{path}")
        try:
            chains = journal.chains_with("incident.opened")
            return [fold(journal.records(chain)) for chain in chains]
        finally:
            journal.close()

    def statuses(self) -> list[str]:
        return [incident.status for incident in self.incidents()]


class Serving:
    """A running service, and what it says over HTTP."""

    def __init__(self, running: Running, said: dict[str, Any]) -> None:
        self.running = running
        self.said = said

    def get(self, path: str) -> tuple[int, str]:
        return self._ask(Request(self.said["address"] + path))

    def post(self, document: bytes, token: str = TOKEN) -> tuple[int, str]:
        request = Request(self.said["address"] + "/findings", data=document, method="POST")
        request.add_header("Authorization", f"Bearer {token}")
        return self._ask(request)

    def _ask(self, request: Request) -> tuple[int, str]:
        try:
            with urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        self.running.signal(signal.SIGTERM)
        ended = self.running.end()
        assert ended.code == 0, ended
        assert "Traceback" not in ended.err


@pytest.fixture
def stage(simulated_aws: SimulatedAws) -> Stage:
    stage = Stage(simulated_aws)
    stage.set_up()
    return stage


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
        until(lambda: _waiting(office, office.dead) == 3, "three dead letters")
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
    office.clampdown.write_playbooks(routes=ROUTES, playbooks={"contain": _ungated()})
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
    made = [
        (call.operation, json.dumps(call.parameters, default=str, sort_keys=True))
        for call in office.stage.aws.calls
        if call.changes and call.service == "ec2"
    ]
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
        until(lambda: _waiting(office, queue) == 0, "the flood's end")
        service.stop()


def _ungated() -> dict[str, Any]:
    return {
        "title": "Contain without asking",
        "target": "ec2.instance",
        "steps": [
            {
                "approve": {"id": "contain", "by": "oncall"},
                "when": "account.environment == 'another'",
            },
            {"step": "ec2.isolate"},
        ],
    }


def _waiting(office: Office, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = office.guardduty.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)
