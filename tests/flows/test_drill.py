"""A drill: a whole incident rehearsed, and nothing real reached."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows import drill as drills
from flows.conductor import Conductor
from flows.drill import Drilled, drill
from flows.gameday.worlds import client
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.settings import Settings
from runbooks.errors import InvalidInput, Refused
from tests.conftest import ROOT
from tests.flows.scene import Scene

ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'


def installation(home: Path, playbooks: Path) -> Settings:
    """That of somebody who has real accounts, a journal of their own, and credentials."""
    return Settings(
        home=home, playbooks=playbooks, journal=f"sqlite:///{home / 'live.db'}", simulate=""
    )


def records(drilled: Drilled) -> list[Record]:
    journal = Journal.open(f"sqlite:///{drilled.home / 'journal.db'}")
    try:
        return list(journal.records(drilled.incident))
    finally:
        journal.close()


@pytest.mark.timeout(240)
def test_the_shipped_playbook_is_rehearsed_to_its_end_and_nothing_but_this_machine_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = installation(tmp_path, ROOT / "playbooks.yaml")
    reached: set[str] = set()
    connect = socket.socket.connect

    def look(self: socket.socket, address: Any) -> None:
        reached.add(str(address[0]) if isinstance(address, tuple) else "this machine")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", look)
    monkeypatch.setitem(os.environ, "AWS_ENDPOINT_URL", "http://192.0.2.1")
    monkeypatch.setitem(os.environ, "CLAMPDOWN_SIMULATE", "http://127.0.0.1:1")

    drilled = drill("ec2-compromise", 7, settings)

    assert drilled.passed, drilled.shortcomings
    assert reached == {"127.0.0.1"}
    assert drilled.home.parent == tmp_path / "drills"
    assert not (tmp_path / "live.db").exists()
    told = records(drilled)
    assert told[0].body["simulate"].startswith("http://127.0.0.1:")
    assert told[0].body["finding"]["type"] == "Backdoor:EC2/C&CActivity.B"
    assert told[0].body["finding"]["source"] == "guardduty"
    kinds = [record.kind for record in told]
    assert {"gate.decided", "verify.passed", "change.undone"} <= set(kinds)
    assert kinds[-1] == "incident.closed"
    (decided,) = (record for record in told if record.kind == "gate.decided")
    assert decided.actor.id == "local:drill-1"
    with pytest.raises(OSError), socket.create_connection(_address(told[0]), 1):
        pass  # the simulated AWS is gone


def _address(opened: Record) -> tuple[str, int]:
    host, _, port = opened.body["simulate"].removeprefix("http://").partition(":")
    return host, int(port)


@pytest.fixture
def here(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The simulated AWS of the tests in place of one that is started for the drill."""
    found = scene.aws.find(
        {
            "Type": "Backdoor:EC2/C&CActivity.B",
            "Severity": 8.0,
            "Region": scene.world.region,
            "Resource": {
                "ResourceType": "Instance",
                "InstanceDetails": {"InstanceId": scene.world.victim},
            },
        }
    )
    guardduty = client(scene.aws.url, scene.world.region, "guardduty")
    (detector,) = guardduty.list_detectors()["DetectorIds"]
    (whole,) = guardduty.get_findings(DetectorId=detector, FindingIds=[found])["Findings"]

    @contextmanager
    def account(seed: int) -> Iterator[drills._Account]:
        yield drills._Account(
            scene.aws.url,
            scene.world.account,
            scene.world.region,
            scene.world.victim,
            whole["Arn"],
        )

    monkeypatch.setattr(drills, "_simulated_account", account)
    return scene


def test_as_many_stand_in_as_a_gate_takes_and_none_of_them_has_asked(here: Scene) -> None:
    here.write(f"{ONE}\n- approve: {{id: contain, by: oncall, quorum: 2, step_up: totp}}\n{TWO}")

    drilled = drill("tag-it", 0, installation(here.home, here.file))

    assert drilled.passed, drilled.shortcomings
    told = records(drilled)
    voted = [record.actor.id for record in told if record.kind == "gate.decided"]
    assert voted == ["local:drill-1", "local:drill-2"]
    assert told[0].actor.id == "local:drill"
    assert here.tags().keys().isdisjoint({"one", "two"})


def test_what_falls_short_is_said(here: Scene) -> None:
    here.write(ONE, more='guardrails: {protected: [{tag: {environment: "production"}}]}\n')

    drilled = drill("tag-it", 0, installation(here.home, here.file))

    assert not drilled.passed
    assert any("failed, not contained" in text for text in drilled.shortcomings)


def test_nobody_stands_in_where_it_is_real(scene: Scene) -> None:
    scene.write(f"- approve: {{id: contain, by: oncall}}\n{ONE}")
    waiting = scene.run(wait=False).incident
    real = replace(waiting, opened={**waiting.opened, "simulate": ""})
    responder = scene.responder()
    conductor = Conductor(responder.settings, responder.playbooks, responder.journal, prefect=False)
    account = drills._Account(scene.aws.url, scene.world.account, scene.world.region, "i-1", "")

    with pytest.raises(Refused, match="a drill decides nothing"):
        drills._Drill(conductor, responder.journal, account)._stand_in(real)
    assert "gate.decided" not in scene.kinds(waiting)


def test_a_playbook_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no playbook 'nope'"):
        drill("nope", 0, installation(tmp_path, ROOT / "playbooks.yaml"))
    assert not (tmp_path / "drills").exists()
