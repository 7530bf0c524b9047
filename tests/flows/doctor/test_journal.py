"""The journal: readable and whole, and what it tells of that waits for somebody."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import time_machine

from flows.approvals import SYSTEM
from flows.doctor import journal as journal_checks
from flows.doctor.check import Result
from flows.doctor.examination import examine
from flows.doctor.setup import Setup
from flows.intake.finding import FindingRejected
from flows.journal.journal import Journal
from flows.ledger import JournalLedger, Recorder
from flows.serve.dead_letters import DeadLetters
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from runbooks.calls import Call, Change, Keep, Resource
from tests.flows.people import ACCOUNT, CAROL, REGION, TARGET, Case

SIDE = "http://127.0.0.1:9"
DEAD = b"\x00not a finding"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun a moment ago counts as left, where nobody is at it."""
    monkeypatch.setattr(journal_checks, "_NOBODY_YET", timedelta())


@pytest.fixture
def book(sqlite_url: str) -> Iterator[Journal]:
    opened = Journal.open(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def case(book: Journal) -> Case:
    return Case(book, {"by": "oncall", "break_glass": "leads"})


def look(url: str, case: Case, simulate: str = SIDE, region: str = "") -> dict[str, Result]:
    """What a doctor in another process finds."""
    settings = Settings(journal=url, simulate=simulate, region=region)
    found = examine(journal_checks.checks(Setup(settings, ServeSettings(), case.playbooks())))
    return {check.name: result for check, result in found.found}


def end(case: Case) -> None:
    body = {"status": "contained", "error": ""}
    case.journal.append(case.id, "incident.closed", body, SYSTEM)


def intend(case: Case) -> None:
    """The intent of a change, as if the process had died before the outcome."""
    ledger = JournalLedger(Recorder(case.journal, case.id), "ec2.isolate", TARGET, mode="simulated")
    ledger.intend(
        Change(Call("ec2", "create_tags", Resources=["i-1"]), Resource("arn:x"), Keep("-"), "why")
    )


def test_a_good_journal_is_good(sqlite_url: str, case: Case) -> None:
    end(case)

    found = look(sqlite_url, case)

    assert found.pop("sweep").status == "not looked at"
    assert {result.status for result in found.values()} == {"ok"}
    assert "SQLite in" in found["opens"].what
    assert "The newest 1 of 1 chains are whole (2 records)" in found["whole"].what


def test_a_postgresql_is_named_without_its_password(postgres_url: str) -> None:
    url = sa.engine.make_url(postgres_url).set(password="pa55word")
    case = Case(Journal.open(postgres_url))
    end(case)

    found = look(url.render_as_string(hide_password=False), case)

    assert "PostgreSQL, database clampdown_test_" in found["opens"].what
    assert found.pop("sweep").status == "not looked at"
    assert {result.status for result in found.values()} == {"ok"}
    assert "pa55word" not in str(found)


def test_no_journal_is_made_to_look_at_it(tmp_path: Path, case: Case) -> None:
    file = tmp_path / "elsewhere" / "journal.db"

    found = look(f"sqlite:///{file}", case)

    assert {result.status for result in found.values()} == {"not looked at"}
    assert "There is no journal yet" in found["opens"].what
    assert not file.parent.exists()


@pytest.mark.parametrize("url", ["nonsense", "mysql://user:pa55word@host/database"])
def test_a_journal_that_cannot_be_opened_is_one_problem(url: str, case: Case) -> None:
    found = look(url, case)

    assert found["opens"].status == "problem"
    assert "Nothing is changed in AWS" in found["opens"].meaning
    assert {result.status for name, result in found.items() if name != "opens"} == {"not looked at"}
    assert "pa55word" not in str(found)


def test_a_record_that_was_edited_is_a_problem(sqlite_url: str, case: Case) -> None:
    end(case)
    with sqlite3.connect(sa.engine.make_url(sqlite_url).database or "") as connection:
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute("UPDATE records SET actor_id = 'mallory' WHERE seq = 1")

    result = look(sqlite_url, case)["whole"]

    assert result.status == "problem"
    assert f"{case.id} record 1: edited" in result.what
    assert "clampdown journal verify" in result.advice


def test_an_incident_that_nobody_goes_on_with_is_a_problem(sqlite_url: str, case: Case) -> None:
    found = look(sqlite_url, case)["unfinished"]

    assert found.status == "problem"
    assert case.id in found.what
    assert "clampdown resume" in found.advice
    with case.journal.hold(case.id):
        assert look(sqlite_url, case)["unfinished"].status == "ok"


def test_an_incident_that_was_begun_a_moment_ago_is_none(
    sqlite_url: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_checks, "_NOBODY_YET", timedelta(minutes=1))

    # It may be between its first record and its process's right to it.
    assert look(sqlite_url, case)["unfinished"].status == "ok"


def test_one_that_waits_for_people_needs_somebody_to_go_on(sqlite_url: str, case: Case) -> None:
    case.ask()
    case.journal.append(case.id, "incident.waiting", {"gate": "contain"}, SYSTEM)

    found = look(sqlite_url, case)

    assert found["unfinished"].status == "warning"
    assert "nobody goes on" in found["unfinished"].meaning
    assert found["gates"].status == "warning"
    assert f"gate contain of {case.id}" in found["gates"].what
    with case.journal.hold(case.id):
        held = look(sqlite_url, case)
    assert held["unfinished"].status == "ok"
    assert held["gates"].status == "warning"


def test_a_gate_whose_time_is_over_is_a_problem(sqlite_url: str, case: Case) -> None:
    case.ask(now=datetime.now(UTC) - timedelta(hours=1))

    result = look(sqlite_url, case)["gates"]

    assert result.status == "problem"
    assert f"gate contain of {case.id}" in result.what


def test_gates_of_what_has_ended_wait_for_nobody(sqlite_url: str, case: Case) -> None:
    case.ask()
    end(case)

    assert look(sqlite_url, case)["gates"].status == "ok"


def test_break_glass_that_nobody_has_reviewed_is_told(sqlite_url: str, case: Case) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=3)
    with time_machine.travel(long_ago):
        case.ask()
        case.decide(CAROL, break_glass=True, why="fire")
    end(case)

    result = look(sqlite_url, case)["gates"]

    assert result.status == "warning"
    assert f"{case.id} contain" in result.what


def test_an_unknown_outcome_is_a_problem_once_nobody_is_at_it(sqlite_url: str, case: Case) -> None:
    intend(case)
    with case.journal.hold(case.id):
        assert look(sqlite_url, case)["unknown outcomes"].status == "ok"
    end(case)

    result = look(sqlite_url, case)["unknown outcomes"]

    assert result.status == "problem"
    assert f"{case.id} (1)" in result.what


def test_the_other_side_s_incidents_are_another_doctor_s(sqlite_url: str, case: Case) -> None:
    intend(case)
    case.ask()

    found = look(sqlite_url, case, simulate="")

    assert {found[name].status for name in ("unfinished", "unknown outcomes", "gates")} == {"ok"}


def test_what_was_not_understood_is_counted_with_its_newest_reasons(
    sqlite_url: str, case: Case
) -> None:
    letters = DeadLetters(case.journal, Settings(simulate=SIDE))
    for number in range(5):
        rejected = [FindingRejected(f"it is no JSON, as {number} before it")]
        letters.put(DEAD + bytes([number]), rejected, "sqs urgent 1")

    result = look(sqlite_url, case)["rejected findings"]

    assert result.status == "warning"
    assert "5 documents not understood within the last 7 days" in result.what
    assert "as 4 before it, it is no JSON, as 3 before it" in result.what
    assert "and 2 more" in result.what


def test_what_was_not_understood_long_ago_is_only_counted(
    sqlite_url: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = DeadLetters(case.journal, Settings(simulate=SIDE))
    letters.put(DEAD, [FindingRejected("it is no JSON")], "webhook")
    monkeypatch.setattr(journal_checks, "_RECENTLY", timedelta())

    result = look(sqlite_url, case)["rejected findings"]

    assert result.status == "ok"
    assert "1 document before" in result.what


def test_a_freeze_is_a_problem_with_its_time_and_reason(sqlite_url: str, case: Case) -> None:
    body = {"why": "10 incidents within the last hour", "simulate": SIDE}
    frozen = case.journal.append("automatic", "automatic.frozen", body, SYSTEM)

    result = look(sqlite_url, case)["automatic"]

    assert result.status == "problem"
    assert f"since {frozen.at:%Y-%m-%d %H:%M} UTC: 10 incidents within" in result.what
    assert "clampdown resume-automatic" in result.advice
    assert look(sqlite_url, case, simulate="")["automatic"].status == "ok"

    case.journal.append("automatic", "automatic.resumed", body, SYSTEM)
    assert look(sqlite_url, case)["automatic"].status == "ok"


@pytest.mark.parametrize(
    ("hours", "side", "status"), [(1, SIDE, "ok"), (4, SIDE, "warning"), (1, "", "warning")]
)
def test_a_sweep_that_has_stopped_tells_that_no_service_runs(
    sqlite_url: str, case: Case, hours: int, side: str, status: str
) -> None:
    at = datetime.now(UTC) - timedelta(hours=hours)
    place = {"account": ACCOUNT, "region": REGION}
    body = {**place, "began": at.isoformat(), "found": 0, "simulate": side}
    case.journal.append("sweep", "sweep.done", body, SYSTEM, at=at)

    result = look(sqlite_url, case, region=REGION)["sweep"]

    assert result.status == status
    assert (f"{ACCOUNT}, {REGION}" in result.what) == (status == "warning")
