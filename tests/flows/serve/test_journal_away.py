"""The service's journal is away for a while: nothing is changed without it, and nothing is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.conductor import Asked, Conductor
from flows.journal import leases
from flows.journal.journal import Journal
from flows.serve import http
from flows.settings import Settings
from runbooks.loader import load
from tests.cuttable_line import CuttableLine
from tests.flows.commands import on_change, until
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene
from tests.flows.serve.here import hurry, serving_here
from tests.flows.serve.office import ROUTES, UNGATED, Office
from tests.runbooks.stage import Stage

Happens = Callable[[CuttableLine], None]

_SOON = timedelta(seconds=20)
# What happens to the line, for how many seconds, and how many those who show no sign of life keep
# the right to an incident.
AWAY = {
    "cut for a moment": (CuttableLine.cut, 0.3, 15.0),
    "cut for longer than a right is kept": (CuttableLine.cut, 0.8, 0.4),
    "hung for longer than a right is kept": (CuttableLine.hold, 0.8, 0.4),
}
if os.environ.get("TEST_LONG_FAULTS"):
    AWAY |= {
        "cut for half a minute": (CuttableLine.cut, 30.0, 15.0),
        "hung for half a minute": (CuttableLine.hold, 30.0, 15.0),
    }


@pytest.fixture
def office(
    tmp_path: Path, stage: Stage, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Office:
    hurry(monkeypatch)
    office = Office(tmp_path, stage, CLAMPDOWN_JOURNAL=postgres_url)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


@pytest.fixture
def line(postgres_url: str) -> Iterator[CuttableLine]:
    url = sa.make_url(postgres_url)
    with CuttableLine(url.port or 5432, url.host or "127.0.0.1") as line:
        yield line


def through(line: CuttableLine, office: Office) -> str:
    """The journal's URL; the tests themselves look at it past the line."""
    url = sa.make_url(office.clampdown.environment["CLAMPDOWN_JOURNAL"])
    return url.set(host="127.0.0.1", port=line.port).render_as_string(hide_password=False)


@pytest.mark.parametrize(("happens", "seconds", "limit"), AWAY.values(), ids=AWAY.keys())
def test_away_amid_a_containment_nothing_is_changed_and_then_all_is_contained_once(
    happens: Happens,
    seconds: float,
    limit: float,
    office: Office,
    line: CuttableLine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(leases, "STALLED_AFTER", timedelta(seconds=limit))
    monkeypatch.setattr(leases, "BEAT", timedelta(seconds=limit / 5))
    monkeypatch.setattr(http, "_READY_WITHIN", 0.2)
    first, second, third = office.instances[:3]
    away: list[float] = []

    def act(call: Any) -> None:
        if not away and call.operation == "ModifyNetworkInterfaceAttribute":
            away.append(time.monotonic())
            happens(line)

    on_change(office.stage.aws, monkeypatch, act)
    with serving_here(office, journal=through(line, office)) as service:
        office.guardduty.find(first)
        until(lambda: away, "it to be away")
        office.guardduty.find(second)
        office.guardduty.find(third)
        until(lambda: service.get("/ready")[0] == 503, "it to say so")
        until(lambda: time.monotonic() > away[0] + seconds, "it to have lasted", within=60)
        said = service.get("/ready")[1]
        assert "The journal postgresql" in said or "has not answered within" in said
        # The two calls that were on their way, one for each interface, are all there is.
        names = [name for name, _ in office.changes()]
        assert names[:2] == ["CreateSecurityGroup", "RevokeSecurityGroupEgress"]
        assert set(names[2:]) == {"ModifyNetworkInterfaceAttribute"}
        assert office.waiting_in(office.guardduty.queue) == 2
        line.mend()
        until(lambda: office.statuses() == ["contained"] * 3, "all to be contained")
        until(lambda: service.get("/ready")[0] == 200, "it to be ready")
        until(lambda: office.waiting_in(office.guardduty.queue) == 0, "the queue to be empty")
    assert office.repeated() == []
    if happens is CuttableLine.cut:
        # One that only hangs may be back before anybody has asked for the right.
        incident = office.incidents()[0].id
        lost = f"{incident} does not go on: The right to carry {incident} out was lost"
        assert caplog.text.count(lost) == 1
        assert office.clampdown("timeline", incident).out.count("gone on with") == 2


def test_away_at_the_start_it_ends_with_a_sentence(office: Office, line: CuttableLine) -> None:
    line.cut()
    for command in (("serve", "--without-prefect"), ("worker",)):
        url = {"CLAMPDOWN_JOURNAL": through(line, office), "PREFECT_API_URL": "http://127.0.0.1:1"}
        ended = office.clampdown(*command, **url)
        assert ended.code == 1
        assert "can't be opened: connection failed" in ended.err


# Records that can't be written, for a moment


@pytest.fixture
def conductor(scene: Scene) -> Iterator[Conductor]:
    """A service's, in this process."""
    scene.write(
        """\
- {approve: {id: contain, by: oncall}, when: "account.environment == 'another'"}
- step: ec2.snapshot
- step: ec2.isolate
- {step: ec2.tag, with: {tags: {contained: "yes"}}}
"""
    )
    journal = scene.responder().journal
    settings = Settings(
        home=scene.home, playbooks=scene.file, simulate=scene.aws.url, region=scene.world.region
    )
    made = Conductor(settings, load(scene.file), journal, prefect=False)
    yield made
    made.stop(_SOON)


def lose(patch: pytest.MonkeyPatch, kind: str) -> list[str]:
    """Have the first record of a kind find no room; what was lost."""
    write, lost = Journal._write, list[str]()

    def no_room(self: Journal, incident: str, row: tuple[Any, ...]) -> None:
        if not lost and row[3] == kind:
            lost.append(kind)
            error = Exception("database or disk is full")
            raise sa.exc.OperationalError("INSERT", {}, error)
        write(self, incident, row)

    patch.setattr(Journal, "_write", no_room)
    return lost


def watched(conductor: Conductor, incident: str) -> Callable[[], bool]:
    """Whether it has ended, where what is unfinished is looked after."""

    def ended() -> bool:
        conductor.go_on_with_all()
        return not conductor.responder().incident(incident).unfinished

    return ended


@pytest.mark.parametrize(
    "kind",
    [
        "incident.started",
        "plan.made",
        "step.started",
        "change.intent",
        "change.outcome",
        "step.finished",
        "verify.passed",
        "incident.closed",
    ],
)
def test_a_record_that_is_lost_ends_nothing_and_no_change_is_made_twice(
    kind: str, scene: Scene, conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = lose(monkeypatch, kind)
    asked = Asked("tag-it", scene.world.victim)
    incident = conductor.start(asked, REQUESTER).result(_SOON.total_seconds())
    until(watched(conductor, incident), "its end")
    assert lost == [kind]
    assert conductor.responder().incident(incident).status == "contained"
    made = [(call.operation, str(call.parameters)) for call in scene.aws.calls.changes]
    assert len(made) == len(set(made))


def test_an_undo_goes_on_where_a_record_was_lost(
    scene: Scene, conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked("tag-it", scene.world.victim)
    incident = conductor.start(asked, REQUESTER).result(_SOON.total_seconds())
    until(watched(conductor, incident), "the containment")
    until(lambda: not conductor.carries(incident), "it to be let go")
    lost = lose(monkeypatch, "change.intent")
    error = conductor.undo(incident, ALICE).exception(_SOON.total_seconds())
    assert "database or disk is full" in str(error)
    until(watched(conductor, incident), "the undo")
    assert lost
    assert conductor.responder().incident(incident).status == "undone"
    assert "contained" not in scene.tags()
