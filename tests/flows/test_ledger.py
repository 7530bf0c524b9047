"""The journal as steps see it, and as those who look on do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from flows.approvals import SYSTEM
from flows.journal import leases
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.ledger import JournalLedger, Recorder, Spent
from flows.stopping import Stop
from runbooks.aws import Progress
from runbooks.calls import Call, Change, Keep, Resource
from runbooks.errors import AccessDenied, Interrupted, OutcomeUnknown
from tests.flows.people import ACCOUNT, ALICE, BOB, TARGET, Case

CHANGE = Change(
    Call("ec2", "create_tags", Resources=["i-1"]), Resource("arn:aws:ec2:::i-1"), Keep("x"), "tag"
)


@pytest.fixture
def book(sqlite_url: str) -> Iterator[Journal]:
    opened = Journal.open(sqlite_url)
    yield opened
    opened.close()


def ledger(recorder: Recorder, mode: str = "simulated", **more: Any) -> JournalLedger:
    return JournalLedger(recorder, "ec2.tag", TARGET, mode=mode, **more)


def test_an_intent_is_in_the_journal_when_it_returns(book: Journal, sqlite_url: str) -> None:
    case = Case(book)
    book_of_another_process = Journal.open(sqlite_url)

    number = ledger(Recorder(book, case.id)).intend(CHANGE)

    record = book_of_another_process.records(case.id)[-1]
    book_of_another_process.close()
    assert (record.seq, record.kind, record.actor) == (number, "change.intent", SYSTEM)
    assert record.body["change"]["call"]["operation"] == "create_tags"
    assert record.body["target"]["id"] == TARGET.id
    assert (record.body["mode"], record.body["undoes"]) == ("simulated", None)


def test_no_intent_returns_that_could_not_be_written(
    book: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(book, Case(book).id)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(book, "_write", full)
    with pytest.raises(JournalUnavailable, match="No space left"):
        ledger(recorder).intend(CHANGE)


def test_outcomes_say_what_became_of_the_intent(book: Journal) -> None:
    case = Case(book)
    written = ledger(Recorder(book, case.id))
    number = written.intend(CHANGE)
    written.done(number, "req-1", {"GroupId": "sg-1"})
    written.accepted(number, "req-2", "InvalidGroup.Duplicate")
    written.failed(number, AccessDenied("not allowed", code="UnauthorizedOperation"))
    written.failed(number, Interrupted("stopped"))
    written.unknown(number, OutcomeUnknown("no answer"))

    outcomes = [r.body for r in book.records(case.id) if r.kind == "change.outcome"]
    assert [(body["status"], body["code"], body["error"]) for body in outcomes] == [
        ("done", "", ""),
        ("accepted", "InvalidGroup.Duplicate", ""),
        ("failed", "UnauthorizedOperation", "not allowed"),
        ("failed", "Interrupted", "stopped"),
        ("unknown", "", "no answer"),
    ]
    assert outcomes[0]["identifiers"] == {"GroupId": "sg-1"}
    assert {body["intent"] for body in outcomes} == {number}
    assert written.changes == 1


def test_only_warnings_that_the_plan_has_not_shown_are_written(book: Journal) -> None:
    case = Case(book)
    written = ledger(Recorder(book, case.id), foreseen=("known",))
    written.warn("known")
    written.warn("new")
    (warning,) = [r.body for r in book.records(case.id) if r.kind == "warning"]
    assert warning == {"step": "ec2.tag", "text": "new"}


def test_progress_is_shown_and_not_written(book: Journal) -> None:
    case = Case(book)
    said: list[tuple[str, Progress]] = []
    recorder = Recorder(
        book, case.id, progress=lambda what, progress: said.append((what, progress))
    )
    before = case.kinds()
    ledger(recorder).progress("snapshots", Progress(False, "40 %", 0.4))
    assert said == [("ec2.tag: snapshots", Progress(False, "40 %", 0.4))]
    assert case.kinds() == before
    ledger(Recorder(book, case.id)).progress("nobody looks", Progress(True, ""))


# Who looks on


def test_each_record_of_others_is_told_once_and_those_from_before_never(book: Journal) -> None:
    case = Case(book)
    case.ask()
    told: list[Record] = []
    recorder = Recorder(book, case.id, listener=told.append)

    own = recorder.append("warning", {"step": "s", "text": "ours"})
    case.decide(ALICE)
    recorder.overhear()
    recorder.overhear()
    shown = case.ask(round_=2)
    recorder.show(shown)
    recorder.overhear()
    recorder.show(shown)
    case.decide(BOB)
    recorder.overhear()
    recorder.append("incident.started", {"reason": "x"}, ALICE.actor)
    recorder.overhear()

    assert told[0] == own
    assert [record.kind for record in told] == [
        "warning",
        "gate.decided",
        "gate.requested",
        "gate.decided",
        "incident.started",
    ]


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O on a closed file")])
def test_who_looks_on_and_goes_away_stops_nothing(book: Journal, error: Exception) -> None:
    case = Case(book)
    shown: list[object] = []

    def closed(*what: object) -> None:
        shown.append(what)
        raise error

    recorder = Recorder(book, case.id, listener=closed, progress=closed)
    written = ledger(recorder)
    for _ in range(2):
        written.done(written.intend(CHANGE), "req-1", {})
        written.progress("snapshots", Progress(False, "40 %", 0.4))
    assert case.kinds()[1:] == ["change.intent", "change.outcome"] * 2
    assert len(shown) == 2


def test_with_many_writing_at_once_each_record_is_still_told_once(book: Journal) -> None:
    case = Case(book)
    told: list[int] = []
    lock = threading.Lock()

    def listen(record: Record) -> None:
        with lock:
            told.append(record.seq)

    recorder = Recorder(book, case.id, listener=listen)

    def write(own: bool) -> None:
        for number in range(20):
            body = {"step": "s", "text": str(number)}
            if own:
                recorder.append("warning", body)
            else:
                book.append(case.id, "warning", body, ALICE.actor)
            recorder.overhear()

    threads = [threading.Thread(target=write, args=(own,)) for own in (True, False) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.overhear()
    assert sorted(told) == list(range(2, 2 + 120))


def test_no_change_is_intended_once_somebody_has_aborted(book: Journal) -> None:
    case = Case(book)
    recorder = Recorder(book, case.id)
    written = ledger(recorder)
    written.intend(CHANGE)

    book.append(case.id, "incident.aborted", {"why": "false alarm"}, ALICE.actor)

    for _ in range(2):
        with pytest.raises(Interrupted, match=r"ec2:CreateTags was not sent: local:alice has"):
            written.intend(CHANGE)
    assert case.kinds().count("change.intent") == 1


def test_an_abort_at_the_very_moment_of_an_intent_is_not_missed(book: Journal) -> None:
    case = Case(book)
    appended = book.append

    class Racing(Recorder):
        def append(self, kind: str, body: Any, actor: Any = SYSTEM) -> Record:
            if kind == "change.intent":
                appended(case.id, "incident.aborted", {"why": "false alarm"}, ALICE.actor)
            return super().append(kind, body, actor)

    written = ledger(Racing(book, case.id))
    with pytest.raises(Interrupted, match="has aborted the incident"):
        written.intend(CHANGE)
    assert case.kinds()[1:] == ["incident.aborted", "change.intent", "change.outcome"]
    assert case.last("change.outcome").body["status"] == "failed"
    assert written.changes == 0


def test_an_abort_from_before_does_not_keep_an_undo_from_going_on(book: Journal) -> None:
    case = Case(book)
    book.append(case.id, "incident.aborted", {"why": "false alarm"}, ALICE.actor)
    ledger(Recorder(book, case.id), undoes=2).intend(CHANGE)
    assert case.kinds()[-1] == "change.intent"


# The right to act


def test_no_change_is_made_once_the_right_may_be_lost(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(postgres_url)
    case = Case(journal)
    now = leases._now

    class StoppedAfterTheIntent(Recorder):
        def append(self, kind: str, body: Any, actor: Any = SYSTEM) -> Record:
            record = super().append(kind, body, actor)
            monkeypatch.setattr(leases, "_now", lambda: now() + 60)
            return record

    with journal.hold(case.id):
        written = ledger(StoppedAfterTheIntent(journal, case.id))
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="cut off from the journal, for 60 s"):
                written.intend(CHANGE)
    # What became of it is unknown to whoever goes on, who looks at AWS.
    assert case.kinds()[1:] == ["change.intent"]
    assert written.changes == 0
    journal.close()


def test_a_change_that_was_not_made_has_failed_where_that_can_still_be_written(
    book: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(book)

    def lost(incident: str) -> None:
        raise JournalUnavailable(f"The right to carry {incident} out was lost.")

    monkeypatch.setattr(book, "require_held", lost)
    with pytest.raises(JournalUnavailable, match="was lost"):
        ledger(Recorder(book, case.id)).intend(CHANGE)
    assert case.last("change.outcome").body["status"] == "failed"


# Budgets


def test_what_was_spent_is_counted_by_account_and_side_and_without_undos(
    book: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(book, Case(book).id)
    for _ in range(3):
        ledger(recorder).intend(CHANGE)
    ledger(recorder, mode="live").intend(CHANGE)
    ledger(recorder, undoes=2).intend(CHANGE)

    spent = Spent(book, "simulated")
    assert spent(ACCOUNT) == 3
    assert spent("999999999999") == 0
    # Its own are counted on without reading the journal again.
    assert spent(ACCOUNT) == 4
    monkeypatch.setattr(Spent, "_REFRESH", timedelta(0))
    assert spent(ACCOUNT) == 3


def test_what_one_incident_spends_counts_for_all_of_the_process_at_once(book: Journal) -> None:
    spenders = [Spent(book, "simulated") for _ in range(8)]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda each=each: found.extend(each(ACCOUNT) for _ in range(50)))
        for each in spenders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(400))
    assert Spent(book, "live")(ACCOUNT) == 0


def test_what_other_processes_spend_is_found_when_the_journal_is_read_again(
    book: Journal, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = Spent(book, "simulated")
    assert spent(ACCOUNT) == 0
    elsewhere = Journal.open(sqlite_url)
    ledger(Recorder(elsewhere, Case(elsewhere).id)).intend(CHANGE)
    elsewhere.close()
    # One more was asked for here, and has not been written.
    assert spent(ACCOUNT) == 1
    monkeypatch.setattr(Spent, "_REFRESH", timedelta(0))
    assert spent(ACCOUNT) == 1
    assert Spent(book, "simulated")(ACCOUNT) == 1


def test_what_was_spent_an_hour_ago_counts_no_more(book: Journal) -> None:
    case = Case(book)
    number = ledger(Recorder(book, case.id)).intend(CHANGE)
    body = book.records(case.id)[number - 1].body
    old = book.records(case.id)[-1].at - timedelta(hours=1, minutes=1)
    book.append(case.id, "change.intent", body, SYSTEM, at=old)
    assert Spent(book, "simulated")(ACCOUNT) == 1


# Stopping


def test_what_hangs_on_a_stop_stops_with_it_and_by_itself() -> None:
    process = Stop()
    incident, other = process.hang(), process.hang()
    step = incident.hang()

    step.set()
    assert (step.is_set(), incident.is_set()) == (True, False)
    incident.set()
    assert (incident.is_set(), other.is_set(), process.is_set()) == (True, False, False)
    process.set()
    assert other.is_set()
    assert process.hang().is_set()


def test_a_stop_wakes_whoever_waits_on_what_hangs_on_it() -> None:
    process = Stop()
    step = process.hang().hang()
    woken = threading.Event()
    waiting = threading.Thread(target=lambda: step.wait(10) and woken.set())
    waiting.start()
    process.set()
    waiting.join(5)
    assert woken.is_set()
