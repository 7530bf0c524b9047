"""The journal holds more than incidents: what the command line says of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.journal.journal import Journal
from runbooks.errors import InvalidInput
from tests.flows.commands import Commands
from tests.flows.people import ALICE, SERVICE, Case


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands of this process find their playbooks and their journal."""
    for name, value in Commands(tmp_path).environment.items():
        if name.startswith("CLAMPDOWN_"):
            monkeypatch.setenv(name, value)
    return tmp_path / "state"


def clampdown(*arguments: str) -> str:
    """What a command prints, in this process: starting another takes a second."""
    ended = CliRunner().invoke(app, arguments)
    if ended.exception:
        raise ended.exception
    return ended.stdout


@pytest.fixture
def case(home: Path) -> Iterator[Case]:
    """An incident that is only proposed, and a chain of each other kind."""
    journal = Journal.open(f"sqlite:///{home / 'journal.db'}")
    case = Case(journal, proposed=True)
    finding = {"source": "guardduty", "id": "f1", "type": "Backdoor:EC2/X", "severity": 8.0}
    journal.append(case.id, "finding.joined", {"finding": finding}, SERVICE)
    why = {"why": "11 of 10 within the hour", "simulate": ""}
    journal.append("automatic", "automatic.frozen", why, SERVICE)
    journal.append("automatic", "automatic.resumed", {"why": "a test", "simulate": ""}, ALICE.actor)
    body = {**finding, "via": "sqs", "outcome": "unrouted", "incident": "", "why": ["no route"]}
    journal.append("fnd-0123", "finding.decided", body, SERVICE)
    body = {"via": "sqs", "path": "", "reason": "no JSON"}
    journal.append("dead-letters", "finding.rejected", body, SERVICE)
    yield case
    journal.close()


def test_what_is_no_incident_is_verified_and_counted_apart(case: Case) -> None:
    said = clampdown("journal", "verify")
    assert said == "6 records of 1 incident(s) and 3 other chain(s): the journal is whole.\n"
    document = json.loads(clampdown("journal", "verify", "--json"))
    assert (document["incidents"], document["other_chains"], document["records"]) == (1, 3, 6)
    assert "2 records of 1 incident(s): " in clampdown("journal", "verify", case.id)
    alone = json.loads(clampdown("journal", "verify", "automatic", "--json"))
    assert (alone["ok"], alone["incidents"], alone["other_chains"]) == (True, 0, 1)


def test_every_chain_can_be_read_and_taken_out(case: Case) -> None:
    said = clampdown("timeline", "automatic")
    assert "everything automatic is frozen: 11 of 10 within the hour" in said
    assert "local:alice" in said
    assert "incidents start automatically again: a test" in said
    assert "by sqs: unrouted: no route" in clampdown("timeline", "fnd-0123")
    assert "not understood, by sqs: no JSON" in clampdown("timeline", "dead-letters")
    for nothing in (["timeline", "no-such-chain"], ["journal", "export", "nothing"]):
        with pytest.raises(InvalidInput, match="There is no"):
            clampdown(*nothing)
    assert clampdown("journal", "export", "automatic").count("\n") == 2
    assert clampdown("journal", "export").count("\n") == 6


def test_incidents_lists_incidents_alone_and_marks_what_nobody_has_started(case: Case) -> None:
    said = clampdown("incidents")
    assert case.id in said
    assert "somebody to start it" in said
    assert "1 incident waits for somebody to start: `clampdown resume INCIDENT`" in said
    assert "fnd-" not in said
    assert "automatic" not in said
    (listed,) = json.loads(clampdown("incidents", "--json"))["incidents"]
    assert (listed["status"], [one["id"] for one in listed["findings"]]) == ("proposed", ["f1"])
    status = clampdown("status", case.id)
    assert "finding: Backdoor:EC2/X (severity 8) f1" in status
    assert f"clampdown resume {case.id}" in status
