"""A scene: the small world in the simulated AWS, a playbook file, a journal, and people who decide."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import execution
from flows.execution import Execution, Surroundings, open_incident
from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from flows.identity import Identity
from flows.incident import Incident
from flows.journal.record import Record
from flows.responder import Responder, Started
from flows.settings import Settings
from runbooks.loader import load
from runbooks.targets.reference import TargetRef
from tests.flows.people import ALICE, REQUESTER

Hear = Callable[[Record], None]

HEAD = """\
version: 1
accounts:
  "123456789012": {name: sandbox, environment: production}
approvers:
  oncall: {local_users: [alice, bob, rita]}
  leads: {local_users: [carol]}
"""


class Scene:
    """Runs playbooks in this process, without Prefect. ``hear`` is told of every record."""

    def __init__(self, aws: SimulatedAws, world: WorldIds, home: Path) -> None:
        self.aws = aws
        self.world = world
        self.home = home
        self.file = home / "playbooks.yaml"
        self.head = HEAD
        self.hear: list[Hear] = []
        self.heard: list[Record] = []
        self.responders: list[Responder] = []

    def write(self, steps: str, *, more: str = "", name: str = "tag-it") -> None:
        """A playbook file with one playbook; ``steps`` are lines of YAML."""
        indented = "".join(f"      {line}\n" for line in steps.strip().splitlines())
        self.file.write_text(
            f"{self.head}{more}playbooks:\n  {name}:\n    title: a test\n    target: ec2.instance\n"
            f"    steps:\n{indented}"
        )

    def responder(self, **settings: Any) -> Responder:
        """Another process, as far as one can be had in this one."""
        made = Settings(
            **{
                "home": self.home,
                "playbooks": self.file,
                "simulate": self.aws.url,
                "region": self.world.region,
                **settings,
            }
        )
        responder = Responder(made, load(self.file), listener=self._listen)
        self.responders.append(responder)
        return responder

    def close(self) -> None:
        for responder in self.responders:
            responder.journal.close()

    def run(
        self, *targets: str, by: Identity = REQUESTER, playbook: str = "tag-it", **more: Any
    ) -> Started:
        chosen = list(targets) or [self.world.victim]
        return self.responder().run(playbook, chosen, by, prefect=False, **more)

    def resume(self, incident: str, by: Identity = REQUESTER, **more: Any) -> Started:
        return self.responder().resume(incident, by, prefect=False, **more)

    def execution(self, *targets: str, parallel_steps: int = 16) -> Execution:
        """An execution of a new incident, to be driven by hand."""
        responder = self.responder()
        refs = [
            TargetRef("ec2.instance", self.world.account, self.world.region, target)
            for target in targets or [self.world.victim]
        ]
        identity = "inc-20260101-abcdef"
        open_incident(
            responder.journal,
            identity,
            playbook_id="tag-it",
            playbooks=responder.playbooks,
            refs=refs,
            finding=None,
            requester=REQUESTER.actor,
            simulate=self.aws.url,
            reason="a test",
        )
        around = Surroundings(
            journal=responder.journal,
            playbooks=responder.playbooks,
            connections=responder.connections(identity),
            stop=responder.stop,
            parallel_steps=parallel_steps,
            listener=self._listen,
        )
        return Execution(identity, around)

    # People

    def when(self, kind: str, act: Callable[[Record], None], *, times: int = 1) -> None:
        """Act, from another thread, when a record of this kind is written."""
        left = [times]

        def hear(record: Record) -> None:
            if record.kind == kind and left[0] > 0:
                left[0] -= 1
                threading.Thread(target=act, args=(record,), daemon=True).start()

        self.hear.append(hear)

    def at_once(self, kind: str, act: Callable[[Record], None], *, times: int = 1) -> None:
        """Act before the writer of the record goes on."""
        left = [times]

        def hear(record: Record) -> None:
            if record.kind == kind and left[0] > 0:
                left[0] -= 1
                act(record)

        self.hear.append(hear)

    def decides(
        self, who: Identity = ALICE, answer: Any = "approve", *, times: int = 1, **more: Any
    ) -> None:
        """Somebody decides each gate that is asked for, in a process of their own."""

        def decide(record: Record) -> None:
            self.responder().decide(record.incident, record.body["gate"], who, answer, **more)

        self.when("gate.requested", decide, times=times)

    # What there is

    def ec2(self) -> Any:
        return client(self.aws.url, self.world.region, "ec2")

    def tags(self, instance: str = "") -> dict[str, str]:
        known = len(self.aws.calls)
        found = self.ec2().describe_tags(
            Filters=[{"Name": "resource-id", "Values": [instance or self.world.victim]}]
        )
        self.aws.calls.forget_after(known)
        return {tag["Key"]: tag["Value"] for tag in found["Tags"]}

    def tag(self, key: str, value: str, instance: str = "") -> None:
        """Somebody else changes a tag; that is no call of ours."""
        known = len(self.aws.calls)
        self.ec2().create_tags(
            Resources=[instance or self.world.victim], Tags=[{"Key": key, "Value": value}]
        )
        self.aws.calls.forget_after(known)

    def untag(self, key: str, instance: str = "") -> None:
        known = len(self.aws.calls)
        self.ec2().delete_tags(Resources=[instance or self.world.victim], Tags=[{"Key": key}])
        self.aws.calls.forget_after(known)

    def fault(self, operation: str, **more: Any) -> None:
        self.aws.fault(Fault(service="ec2", operation=operation, **more))

    def changes(self) -> list[str]:
        return [call.operation for call in self.aws.calls.changes]

    def records(self, incident: Incident, kind: str | None = None) -> list[Record]:
        records = self.responders[0].journal.records(incident.id)
        return [record for record in records if kind in (None, record.kind)]

    def kinds(self, incident: Incident) -> list[str]:
        return [record.kind for record in self.records(incident)]

    def _listen(self, record: Record) -> None:
        self.heard.append(record)
        for hear in list(self.hear):
            hear(record)


def statuses(incident: Incident) -> dict[str, str]:
    """How the steps stand, by id; for incidents of one target."""
    return {step.id: step.status for step in incident.steps}


def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the journal often, and give AWS no time to settle."""
    monkeypatch.setattr(execution, "_POLL", 0.02)
    monkeypatch.setattr(execution, "_SETTLING", 0.0)
