"""What waits for people is found among years of what does not."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.journal.journal import Journal
from flows.slack.inbox import Inbox
from tests.flows.people import ALICE, BOB, CAROL, Case, plan
from tests.flows.scene import until
from tests.flows.slack.office import ONE, TASK, TWO, Office, gate


@pytest.fixture
def journal(sqlite_url: str) -> Iterator[Journal]:
    opened = Journal.open(sqlite_url)
    yield opened
    opened.close()


def case(journal: Journal, number: int, *kinds: tuple[str, dict[str, Any]], **more: Any) -> Case:
    made = Case(journal, id=f"inc-20260101-{number:06x}", **more)
    for kind, body in kinds:
        journal.append(made.id, kind, body, ALICE.actor)
    return made


def closed(status: str) -> tuple[str, dict[str, Any]]:
    return "incident.closed", {"status": status, "error": "", "undo": status == "undone"}


def asked(task: str, by: str = "oncall") -> tuple[str, dict[str, Any]]:
    return "manual.requested", {"id": task, "text": f"do {task}", "by": by}


def reported(task: str) -> tuple[str, dict[str, Any]]:
    return "manual.decided", {"id": task, "done": True, "note": ""}


STARTED = ("incident.started", {"reason": "x"})
ABORTED = ("incident.aborted", {"why": "x"})
UNDO = ("undo.started", {"step": None})


def open_ones(inbox: Inbox) -> set[str]:
    found = inbox.incidents(datetime.now(UTC), {})
    return {told.id[-2:] for told in found}


def test_what_is_over_is_not_shown_and_what_goes_on_again_is(journal: Journal) -> None:
    cases = [
        case(journal, 0, STARTED),
        case(journal, 1, STARTED, closed("contained")),
        case(journal, 2, STARTED, closed("failed")),
        case(journal, 3, STARTED, closed("denied")),
        case(journal, 4, STARTED, ABORTED),
        case(journal, 5, STARTED, ABORTED, closed("interrupted")),
        case(journal, 6, STARTED, closed("contained"), UNDO, closed("undone")),
        case(journal, 7, proposed=True),
        case(journal, 8, STARTED, ("incident.paused", {"why": "x"})),
        case(journal, 9, STARTED, closed("contained"), ("incident.asked", _ASKED)),
    ]
    journal.append("fnd-0123", "finding.decided", {}, ALICE.actor)
    inbox = Inbox(journal, cases[0].playbooks())
    for _ in range(2):
        assert open_ones(inbox) == {"00", "02", "07", "08", "09"}
    journal.append(cases[1].id, "incident.started", {"reason": "x"}, ALICE.actor)
    journal.append(cases[0].id, *closed("contained"), ALICE.actor)
    assert open_ones(inbox) == {"01", "02", "07", "08", "09"}


_ASKED = {"automatic": False, "simulate": "", "reason": "x"}


def test_broken_glass_is_open_until_it_is_reviewed(journal: Journal) -> None:
    broken = case(journal, 1, settings={"by": "oncall", "break_glass": "leads"})
    broken.ask(plan())
    broken.decide(CAROL, break_glass=True, why="now")
    journal.append(broken.id, *closed("contained"), ALICE.actor)
    inbox = Inbox(journal, broken.playbooks())
    assert open_ones(inbox) == {"01"}
    broken.decide(BOB)
    assert open_ones(inbox) == set()


def test_tasks_are_open_until_somebody_reports_them_or_it_is_over(journal: Journal) -> None:
    first = case(journal, 1, asked("one"), asked("two"), closed("contained"))
    case(journal, 2, asked("one", "leads"), asked("three"), reported("three"))
    case(journal, 3, asked("one"), reported("one"), asked("one"))
    case(journal, 4, asked("one"), ABORTED)
    case(journal, 5, asked("one"), closed("contained"), UNDO, closed("undone"))
    inbox = Inbox(journal, first.playbooks())

    def tasks(*groups: str) -> list[tuple[str, str]]:
        return [(incident[-2:], task.id) for incident, task in inbox.tasks(groups)]

    assert tasks("oncall") == [("03", "one"), ("01", "two"), ("01", "one")]
    assert tasks("leads") == [("02", "one")]
    assert tasks() == []
    assert inbox.tasks(["leads"])[0][1].text == "do one"


# A thousand incidents

_SOON = 1.0


def copies(
    database: Path, incident: str, times: int, change: Callable[[dict[str, Any]], Any]
) -> None:
    """Older incidents with the records of this one, written past the journal: that is quick."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT * FROM records WHERE incident = ? ORDER BY seq", (incident,)
        ).fetchall()
        bodies = [json.dumps(change(json.loads(row[7]))) for row in rows]
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(
            f"INSERT INTO records VALUES ({marks})",
            (
                (
                    f"inc-20200101-{number:06x}",
                    row[1],
                    f"2020-01-01T{row[2][11:]}",
                    *row[3:7],
                    body,
                    *row[8:],
                )
                for number in range(times)
                for row, body in zip(rows, bodies, strict=True)
            ),
        )


def test_among_a_thousand_incidents_and_findings_answers_are_quick(office: Office) -> None:
    office.write(ONE, gate(), TWO, TASK)
    office.open()
    question = office.contain()
    assert office.click(office.alice, question, "gate_approve").ok
    done = office.status("contained").id
    until(lambda: office.records("slack.told"))
    database = office.scene.home / "journal.db"
    copies(database, done, 1_000, lambda body: body)
    with sqlite3.connect(database) as connection:
        (row,) = connection.execute("SELECT * FROM records LIMIT 1").fetchall()
        marks = ", ".join("?" * len(row))
        findings = (
            (f"fnd-{number:024x}", 1, row[2], "finding.decided", *row[4:])
            for number in range(5_000)
        )
        connection.executemany(f"INSERT INTO records VALUES ({marks})", findings)

    began = time.monotonic()
    assert office.mallory.command("/clampdown status", office.room).ok
    office.said_to(office.mallory, done, "Contained and verified")
    assert time.monotonic() - began < _SOON

    began = time.monotonic()
    assert office.alice.open_home().ok
    home = office.until(lambda: office.alice.home)
    assert time.monotonic() - began < _SOON
    assert "To do: 1001" in str(home.blocks)
    assert "… and 991 more." in str(home.blocks)

    began = time.monotonic()
    assert office.mallory.command("/clampdown incidents", office.room).ok
    office.said_to(office.mallory, done, "tag-it")
    assert time.monotonic() - began < _SOON
