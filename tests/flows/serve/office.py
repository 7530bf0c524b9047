"""A service with EventBridge and a queue before it, workers behind it, and a look into its journal."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from flows.incident import Incident, fold
from flows.journal.errors import IncidentHeld
from flows.journal.journal import Journal
from flows.journal.record import Record
from tests.flows.commands import Commands, Running
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
# Its gate stands only in an environment that is not this one's.
UNGATED = {
    "contain": {
        "title": "Contain without asking",
        "target": "ec2.instance",
        "steps": [
            {
                "approve": {"id": "contain", "by": "oncall"},
                "when": "account.environment == 'another'",
            },
            {"step": "ec2.isolate"},
            {"step": "ec2.tag", "with": {"tags": {"contained": "yes"}}},
        ],
    }
}


class Office:
    """Everything around a service. ``more`` is put over the environment of all commands."""

    def __init__(self, directory: Path, stage: Stage, **more: str) -> None:
        self.stage = stage
        self.clampdown = Commands(directory, stage)
        self.guardduty = GuardDuty(stage.aws, stage.world)
        self.dead = self.guardduty.sqs.create_queue(QueueName="dead")["QueueUrl"]
        self.clampdown.environment |= {
            "CLAMPDOWN_QUEUES": self.guardduty.queue,
            "CLAMPDOWN_DEAD_LETTERS": self.dead,
            "CLAMPDOWN_PORT": "0",
            "CLAMPDOWN_WEBHOOK_TOKEN": TOKEN,
            "CLAMPDOWN_SWEEP_MINUTES": "0",
            **more,
        }
        self.clampdown.write_playbooks(routes=ROUTES)

    @contextmanager
    def serving(self, *more: str, **environment: str) -> Iterator[Serving]:
        """A service without Prefect, unless it hands to workers."""
        prefect = () if "--workers" in more else ("--without-prefect",)
        arguments = ("serve", "--json", *prefect, *more)
        with self.clampdown.start(*arguments, **environment) as running:
            yield Serving(running, json.loads(running.says("}\n")))

    @contextmanager
    def working(self, **environment: str) -> Iterator[Serving]:
        """A worker."""
        with self.clampdown.start("worker", "--json", **environment) as running:
            yield Serving(running, json.loads(running.says("}\n")))

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        path = self.clampdown.home / "journal.db"
        url = self.clampdown.environment.get("CLAMPDOWN_JOURNAL", f"sqlite:///{path}")
        journal = Journal.open(url)
        try:
            yield journal
        finally:
            journal.close()

    def incidents(self) -> list[Incident]:
        """What the journal tells, the oldest first."""
        with self.journal() as journal:
            chains = journal.chains_with("incident.opened")
            return [fold(journal.records(chain)) for chain in chains]

    def records(self, incident: str) -> list[Record]:
        with self.journal() as journal:
            return journal.records(incident)

    def holder(self) -> str:
        """Who carries the newest incident out, as it is said to whoever wants to as well."""
        incident = self.incidents()[-1]
        with self.journal() as journal:
            try:
                with journal.hold(incident.id):
                    return ""
            except IncidentHeld as held:
                return held.what

    def statuses(self) -> list[str]:
        return [incident.status for incident in self.incidents()]

    def waiting_in(self, queue: str) -> int:
        """How many messages are in a queue, in anybody's hands or not."""
        return self.in_hand_of(queue) + self._counted(queue, "ApproximateNumberOfMessages")

    def in_hand_of(self, queue: str) -> int:
        """How many messages of a queue somebody has received."""
        return self._counted(queue, "ApproximateNumberOfMessagesNotVisible")

    def _counted(self, queue: str, name: str) -> int:
        answer = self.guardduty.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        return int(answer["Attributes"][name])

    @property
    def instances(self) -> list[str]:
        """The ids of what there is to be contained."""
        return [each for each in self.stage.world.ids.values() if each.startswith("i-")]

    def last_kinds(self) -> list[str]:
        """The kind of the last record of each incident, the oldest first."""
        return [self.records(incident.id)[-1].kind for incident in self.incidents()]

    def decided(self) -> list[Mapping[str, Any]]:
        """What was decided about findings, the oldest first."""
        with self.journal() as journal:
            return [record.body for record in journal.find(kind="finding.decided")]

    def changes(self) -> list[tuple[str, str]]:
        """The calls that have changed something in EC2, each with its parameters."""
        return [
            (call.operation, json.dumps(call.parameters, default=str, sort_keys=True))
            for call in self.stage.aws.calls
            if call.changes and call.service == "ec2" and not call.error
        ]

    def repeated(self) -> list[tuple[str, str]]:
        """What was done more than once."""
        return [change for change, times in Counter(self.changes()).items() if times > 1]


class Web:
    """What a service says over HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str) -> tuple[int, str]:
        return self._ask(Request(self.address + path))

    def post(self, document: bytes, token: str = TOKEN) -> tuple[int, str]:
        request = Request(self.address + "/findings", data=document, method="POST")
        request.add_header("Authorization", f"Bearer {token}")
        return self._ask(request)

    def _ask(self, request: Request) -> tuple[int, str]:
        try:
            with urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()


class Serving(Web):
    """A running service or worker."""

    def __init__(self, running: Running, said: dict[str, Any]) -> None:
        super().__init__(said.get("address", ""))
        self.running = running
        self.said = said

    def stop(self) -> None:
        self.running.signal(signal.SIGTERM)
        ended = self.running.end()
        assert ended.code == 0, ended
        assert "Traceback" not in ended.err
