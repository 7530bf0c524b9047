"""Changes planned and made, refusals, evidence, differences, and the journal."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from flows.gameday.score.evidence import evidence, journal_of
from flows.gameday.score.reading import read
from flows.gameday.score.safety import differences, safety
from runbooks.aws import Permit, Where
from runbooks.calls import Call, Change, Keep, PlannedStep, Resource
from runbooks.connections import Connections
from runbooks.errors import (
    BudgetExceeded,
    ClampdownError,
    PlanChanged,
    ProtectedResource,
    WrongAccount,
)
from runbooks.guardrails import Guardrails, Protected
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import INCIDENT, Rehearsal, whole

CHANGE = Change(Call("ec2", "x"), Resource("arn:aws:iam::1:role/break-glass"), Keep("k"), "w")


def _refusals(drill: Rehearsal) -> list[tuple[str, str]]:
    return [(item["guard"], item["text"]) for item in safety(drill.played())["refusals"]]


def test_changes_as_planned_and_as_made(rehearse: Make) -> None:
    drill = whole(rehearse())
    # A later plan has only what is left.
    drill.planned(ec2_isolate=1)
    drill.changes("ec2.isolate", status="failed", code="AccessDenied")
    drill.changes("ec2.isolate", undoes=3)
    drill.changes("ec2.tag", status="unknown")
    found = safety(drill.played())
    assert found["planned"] == {"ec2.protect": 1, "ec2.snapshot": 1, "ec2.isolate": 2, "ec2.tag": 1}
    assert found["actual"] == {**found["planned"], "evidence.wait": 1}
    assert found["not_done"] == {"ec2.isolate": 1}
    assert found["outcome_unknown"] == {"ec2.tag": 1}
    assert (found["planned_in_all"], found["made_in_all"]) == (5, 6)


@pytest.mark.parametrize(
    ("when", "paths", "taken_back"),
    [
        ("undone", [], True),
        ("undone", ["snapshots", "tags.snap-1"], True),
        ("undone", ["interfaces.eni-1.groups", "snapshots"], False),
        ("contained", ["interfaces.eni-1.groups"], None),
    ],
)
def test_whether_all_was_taken_back_but_evidence(
    rehearse: Make, when: str, paths: list[str], taken_back: bool | None
) -> None:
    drill = rehearse()
    drill.difference(when, *paths)
    assert safety(drill.played())["taken_back"] is taken_back
    assert [item["path"] for item in differences(drill.played())] == paths


def _budget() -> None:
    Guardrails([], 0, lambda account: 0).check(CHANGE, Where("123456789012", "eu-west-1"))


def _protected() -> None:
    guard = Guardrails([Protected(arn="arn:aws:iam::*:role/break-glass*")], 1, lambda account: 0)
    guard.check(CHANGE, Where("123456789012", "eu-west-1"))


def _unplanned() -> None:
    Permit(PlannedStep("ec2.tag", "ec2.tag", "arn", "", ())).check(CHANGE.call)


def _elsewhere() -> None:
    class Elsewhere(Connections):
        def __init__(self) -> None:
            """Nothing is connected to."""

        def identity(self, account: str, region: str) -> str:
            return "999999999999"

    Elsewhere().require_account("123456789012", "eu-west-1", "")


@pytest.mark.parametrize(
    ("guard", "refuse", "error"),
    [
        ("budget", _budget, BudgetExceeded),
        ("protected resources", _protected, ProtectedResource),
        ("approved plan", _unplanned, PlanChanged),
        ("account", _elsewhere, WrongAccount),
    ],
)
def test_what_guards_refuse_is_known_by_what_they_really_say(
    rehearse: Make, guard: str, refuse: Any, error: type[ClampdownError]
) -> None:
    with pytest.raises(error) as refused:
        refuse()
    drill = rehearse()
    drill.opened()
    drill.begins("ec2.tag")
    drill.finishes("ec2.tag", status="failed", error=str(refused.value))
    assert _refusals(drill) == [(guard, str(refused.value))]


def test_refusals_of_gates_people_and_intake(rehearse: Make) -> None:
    drill = rehearse()
    drill.opened()
    drill.asks()
    drill.refuses("rita", "rita started this incident")
    drill.tell("gate.bypass_attempt", gate="contain", step="ec2.tag", why="which is not approved")
    drill.routed("unconfirmed", "GuardDuty does not have it")
    drill.routed("contained", identity="b" * 32)
    drill.person("bob", "started", refused="everything automatic is frozen", incident="")
    assert _refusals(drill) == [
        ("approvals", "rita started this incident"),
        ("gate", "ec2.tag was kept from passing the gate contain, which is not approved"),
        ("intake", "GuardDuty does not have it"),
        ("people", "everything automatic is frozen"),
    ]


def test_evidence_is_listed_with_its_state(rehearse: Make) -> None:
    drill = whole(rehearse())
    (item,) = evidence(drill.played())
    assert item == {
        "incident": INCIDENT,
        "kind": "snapshot",
        "id": "snap-1",
        "of": "vol-1",
        "complete": True,
        "locked": True,
        "sources": item["sources"],
    }
    kinds = [drill.journal.records(INCIDENT)[one.seq - 1].kind for one in item["sources"]]
    assert kinds == ["change.outcome", "change.outcome", "verify.passed"]


def test_a_snapshot_that_nobody_waited_for_is_neither_complete_nor_locked(rehearse: Make) -> None:
    drill = rehearse()
    drill.opened()
    answer = {"SnapshotId": "snap-2"}
    drill.changes("ec2.snapshot", operation="create_snapshot", answer=answer, VolumeId="vol-2")
    drill.changes("ec2.snapshot", operation="create_snapshot", status="failed", code="Denied")
    drill.finishes("clean_room.create", stack="room", volumes={"/dev/sdf": "vol-3"})
    snapshot, room = evidence(drill.played())
    assert (snapshot["id"], snapshot["of"]) == ("snap-2", "vol-2")
    assert (snapshot["complete"], snapshot["locked"]) == (False, False)
    assert (room["kind"], room["id"], room["of"]) == ("clean room", "room", "vol-3")


def test_a_journal_that_holds(rehearse: Make) -> None:
    drill = whole(rehearse())
    found = journal_of(drill.played())
    assert (found["ok"], found["chains"], found["problems"]) == (True, 2, [])
    assert found["last_hash"] == drill.drill().records[-1].hash


def test_a_journal_that_somebody_has_edited(rehearse: Make) -> None:
    drill = whole(rehearse())
    with closing(sqlite3.connect(drill.home / "journal.db")) as database:
        database.execute("DROP TRIGGER records_no_update")
        database.execute(
            "UPDATE records SET actor_id = 'x' WHERE incident = ? AND seq = 3", [INCIDENT]
        )
        database.commit()
    found = journal_of(drill.played())
    assert found["ok"] is False
    assert found["problems"][0].startswith(f"{INCIDENT}, record 3: ")


def test_a_drill_in_the_journal_of_the_installation_is_verified_there(rehearse: Make) -> None:
    drill = rehearse().drill()
    elsewhere = drill.home / "elsewhere"
    assert journal_of(read(replace(drill, home=elsewhere)))["ok"] is None
    assert not elsewhere.exists()
