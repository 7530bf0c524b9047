"""Runs ``clampdown`` as processes, as somebody at a terminal does, against the simulated AWS.

Importing what a command needs takes Python a second. So one process has imported it, and forks a
new one for each command: it has its own memory, signals, streams and exit code. ``Commands.python``
starts the interpreter itself, where that is what matters.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.recording import RecordedCall
from flows.gameday.aws.server import SimulatedAws
from flows.identity import local_identity
from flows.intake.sample import write_sample
from flows.journal.journal import Journal
from flows.journal.record import Record
from tests.conftest import ROOT
from tests.runbooks.stage import Stage

ME = local_identity().id
SAMPLES = ROOT / "samples" / "findings"
EVENT = "eventbridge-backdoor-ec2-cactivity.json"
_SECONDS = 60.0
_INCIDENT = re.compile(r"inc-\d{8}-[0-9a-f]{6}")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.flows.preloaded"])


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed. A negative ``code`` is the signal that killed it."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that is all of standard output."""
        return json.loads(self.out)

    @property
    def incident(self) -> str:
        """The incident that it speaks of first."""
        found = _INCIDENT.search(self.out + self.err)
        assert found, self
        return found[0]


class Running:
    """A command that has not ended yet, or that nobody has asked how."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], files: Path):
        self._out, self._err = files.with_suffix(".out"), files.with_suffix(".err")
        self._process = _FORKS.Process(
            target=_command, args=(list(arguments), dict(environment), self._out, self._err)
        )
        self._process.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8") if self._out.exists() else ""

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8") if self._err.exists() else ""

    def says(self, text: str) -> str:
        """Wait until it has printed the text; everything that it has printed by then."""
        until(lambda: text in self.out or not self._process.is_alive(), f"{text!r} to be printed")
        out = self.out
        assert text in out, f"it ended without {text!r}:\n{out}\n{self._err.read_text()}"
        return out

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, within: float = _SECONDS) -> Ended:
        """Wait for its end."""
        self._process.join(within)
        assert self._process.exitcode is not None, f"it does not end:\n{self.out}"
        err = self._err.read_text(encoding="utf-8")
        return Ended(self._process.exitcode, self.out, err)


class Commands:
    """Commands with a state, playbooks and a simulated AWS of their own."""

    def __init__(self, directory: Path, stage: Stage | None = None) -> None:
        self.directory = directory
        self.home = directory / "state"
        self.playbooks = directory / "playbooks.yaml"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "eu-west-1",
            "CLAMPDOWN_HOME": str(self.home),
            "CLAMPDOWN_PLAYBOOKS": str(self.playbooks),
        }
        if stage:
            self.environment["CLAMPDOWN_SIMULATE"] = stage.url
        self._count = 0
        self.write_playbooks()

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run a command to its end."""
        with self.start(*arguments, **environment) as running:
            ended = running.end()
        assert "Traceback" not in ended.out + ended.err, ended.err
        return ended

    def start(self, *arguments: str, **environment: str) -> Running:
        """Begin a command. ``environment`` is put over that of all commands."""
        self._count += 1
        return Running(
            arguments, {**self.environment, **environment}, self.directory / str(self._count)
        )

    def python(self, *arguments: str, **environment: str) -> Ended:
        """Run a command in an interpreter that begins with it."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            env={**self.environment, **environment},
            cwd=ROOT,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def write_playbooks(self, **changes: Any) -> None:
        """The playbooks of these tests, with some of the file's parts replaced."""
        text = yaml.safe_dump({**_playbooks(), **changes}, sort_keys=False)
        self.playbooks.write_text(text, encoding="utf-8")

    def ship_playbooks(self, **params: Mapping[str, Any]) -> None:
        """The playbooks that Clampdown ships, with whoever runs the tests as every approver.

        ``params`` are parameters by step, with ``_`` for the dot.
        """
        data = yaml.safe_load((ROOT / "playbooks.yaml").read_text(encoding="utf-8"))
        for group in data["approvers"].values():
            group["local_users"] = [ME]
        for playbook in data["playbooks"].values():
            for entry in playbook["steps"]:
                if "approve" in entry:
                    entry["approve"]["distinct_from"] = []
                if given := params.get(entry.get("step", "").replace(".", "_")):
                    entry["with"] = dict(given)
        self.write_playbooks(**data)

    def finding(self, stage: Stage, sample: str = EVENT, **fields: Any) -> Path:
        """A sample event about the stage's victim; ``fields`` are put over those of its detail."""
        ids = stage.world.ids
        event: Any = write_sample(
            SAMPLES / sample,
            instance_id=ids["victim"],
            account=stage.world.account,
            region=stage.world.region,
            private_ip=ids["victim_ip"],
            network_interface_id=ids["victim_eni"],
        )
        detail = event["detail"]
        if "id" in fields:
            detail["arn"] = detail["arn"].replace(detail["id"], fields["id"])
        detail |= fields
        return self.write("finding.json", event)

    def write(self, name: str, document: Any) -> Path:
        path = self.directory / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def records(self, incident: str) -> list[Record]:
        """What the journal holds of an incident."""
        journal = Journal.open(f"sqlite:///{self.home / 'journal.db'}")
        try:
            return journal.records(incident)
        finally:
            journal.close()


def on_change(
    aws: SimulatedAws, patch: pytest.MonkeyPatch, act: Callable[[RecordedCall], Fault | None]
) -> None:
    """Act when a changing call has come to the simulated AWS, before anything is done about it.

    The simulated AWS runs in this process, so that the moment is exact. What ``act`` returns is the
    fault that the call meets.
    """

    def meet(
        service: str, operation: str, parameters: Mapping[str, Any], caller: str
    ) -> Fault | None:
        now = datetime.now(UTC)
        call = RecordedCall(service, operation, parameters, "", "", now, 0.0, 200)
        return act(call) if call.changes else None

    patch.setattr(aws._faults, "meet", meet)


def until(holds: Callable[[], object], what: str, within: float = _SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def _playbooks() -> dict[str, Any]:
    gate = {"id": "contain", "by": "oncall", "within": "5m", "distinct_from": []}
    tag = {"step": "ec2.tag", "with": {"tags": {"clampdown:finding": "${finding.id}"}}}
    return {
        "version": 1,
        "accounts": {
            "123456789012": {
                "name": "sandbox",
                "environment": "production",
                "regions": ["eu-west-1"],
            }
        },
        "approvers": {"oncall": {"local_users": [ME, "bob"]}, "others": {"local_users": ["carol"]}},
        "guardrails": {"protected": [{"tag": {"clampdown:protected": "true"}}]},
        "routes": [
            {
                "match": {"type": ["Backdoor:EC2/*"], "severity": ">= 7", "resource_role": "ACTOR"},
                "playbook": "preserve",
                "mode": "automatic",
            },
            {"match": {"type": ["*:EC2/*"]}, "playbook": "preserve", "mode": "propose"},
        ],
        "playbooks": {
            "preserve": {
                "title": "Preserve evidence",
                "target": "ec2.instance",
                "steps": [{"step": "ec2.protect"}, {"step": "ec2.snapshot"}, tag],
            },
            "contain": {
                "title": "Contain",
                "target": "ec2.instance",
                "steps": [
                    {"step": "ec2.protect"},
                    {"approve": gate},
                    {"step": "ec2.isolate"},
                    {"manual": {"id": "legal", "text": "Open a case with Legal", "by": "oncall"}},
                ],
            },
        },
    }


def _command(arguments: list[str], environment: dict[str, str], out: Path, err: Path) -> None:
    """In the new process: become the command."""
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", write_through=True)  # type: ignore[type-var]
        for number in (1, 2)
    )
    sys.argv = ["clampdown", *arguments]
    os.chdir(ROOT)

    from flows.cli import main

    main()
