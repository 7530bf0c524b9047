"""What people read in a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from flows.approvals import SYSTEM
from flows.console.incident_view import show_incidents, show_status, show_timeline
from flows.console.live_view import LiveView
from flows.console.plan_view import show_plan
from flows.console.sentences import sentence
from flows.console.terminal import console, shown
from flows.documents import gate_document, incident_document, record_document
from flows.execution import open_incident
from flows.incident import fold
from flows.journal.journal import Journal
from flows.ledger import JournalLedger, Recorder
from flows.plan_text import plan_markdown, summary
from runbooks.aws import Progress
from runbooks.calls import Call, Change, Keep, Resource
from runbooks.errors import OutcomeUnknown
from tests.flows.people import ALICE, CAROL, TARGET, Case, plan

EVIL = "\x1b[2J[red]x[/red]\ncontained \N{RIGHT-TO-LEFT OVERRIDE}"


@pytest.fixture
def book(sqlite_url: str) -> Iterator[Journal]:
    opened = Journal.open(sqlite_url)
    yield opened
    opened.close()


def printed(show: Callable[[Console], None]) -> str:
    out = io.StringIO()
    show(console(out))
    return out.getvalue()


def story(book: Journal, text: str = "because") -> Case:
    """An incident in which everything happens that a record can tell of."""
    case = Case(book, {"by": "oncall", "quorum": 2, "break_glass": "leads"})
    recorder = Recorder(book, case.id)
    write = recorder.append
    ledger = JournalLedger(recorder, "ec2.isolate", TARGET, mode="simulated")
    step = {"step": "ec2.isolate", "name": "ec2.isolate", "target": TARGET.arn}
    write("incident.started", {"reason": text})
    write("plan.made", {"plan": plan().to_json(), "why": text})
    case.ask()
    case.ask(plan("sg-2"), round_=2, differences=([text], [text]))
    case.decide(ALICE, "more_info", why=text)
    case.decide(CAROL, break_glass=True, why=text)
    case.decide(ALICE, why=text)
    write("gate.skipped", {"gate": "other", "why": text})
    for kind in ("gate.escalated", "gate.reminded", "gate.expired", "gate.bypass_attempt"):
        body = {"gate": "other", "to": "leads", "needed": "1 of leads", "step": text, "why": text}
        write(kind, body)
    write("gate.refused", {"gate": "contain", "answer": "approve", "why": text})
    write("step.started", step)
    change = Change(
        Call("ec2", "create_tags", Resources=["i-1"]), Resource("arn:x"), Keep(text), text
    )
    number = ledger.intend(change)
    ledger.done(number, "req-1", {})
    lost = ledger.intend(change)
    ledger.unknown(lost, OutcomeUnknown(text))
    write("change.undone", {"intent": number})
    write("step.finished", {**step, "status": "failed", "outputs": {}, "error": text})
    write("verify.passed", {**step, "error": ""})
    write("verify.failed", {**step, "error": text})
    write("manual.requested", {"id": "legal", "text": text, "by": "oncall"})
    write("manual.decided", {"id": "legal", "done": True, "note": text})
    write("manual.requested", {"id": "press", "text": text, "by": "oncall"})
    write("undo.started", {"step": None})
    write("undo.started", {"step": "ec2.isolate"})
    write("warning", {"step": "ec2.isolate", "text": text})
    write("incident.waiting", {"gate": "contain"})
    write("finding.joined", {"finding": _finding("f1", text)})
    write("finding.joined", {"finding": _finding("f2", text)})
    write("finding.resolved", {"finding": _finding("f1", text)})
    for automatic in (True, False):
        write("incident.asked", {"automatic": automatic, "simulate": "", "reason": text})
    write("incident.paused", {"why": text})
    write("slack.channel", {"channel": text})
    write("incident.aborted", {"why": text}, ALICE.actor)
    write("incident.closed", {"status": "aborted", "error": text})
    return case


def _finding(identity: str, text: str) -> dict[str, Any]:
    return {"source": "guardduty", "id": identity, "type": text, "severity": 8.0, "title": text}


def test_every_kind_of_record_has_a_sentence(book: Journal) -> None:
    case = story(book)
    records = book.records(case.id)
    for record in records:
        said = sentence(record)
        assert said != record.kind, record.kind
        assert said.strip()
    assert len({record.kind for record in records}) == 32


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (
            "automatic.frozen",
            {"why": "11 of 10", "simulate": ""},
            "everything automatic is frozen: 11 of 10",
        ),
        (
            "automatic.resumed",
            {"why": "looked", "simulate": "http://127.0.0.1:9"},
            "incidents start automatically again (simulated at http://127.0.0.1:9): looked",
        ),
        (
            "finding.decided",
            {
                "type": "Backdoor:EC2/C&CActivity.B",
                "severity": 7.5,
                "id": "f1",
                "via": "sqs",
                "outcome": "contained",
                "incident": "inc-1",
                "why": ["one", "two"],
            },
            "Backdoor:EC2/C&CActivity.B (severity 7.5) f1 by sqs: contained (inc-1): one; two",
        ),
        (
            "finding.decided",
            {"via": "sqs", "outcome": "unrouted", "incident": "", "why": []},
            "? (severity ?) by sqs: unrouted",
        ),
        (
            "finding.rejected",
            {"via": "webhook", "path": "detail.id", "reason": "it is missing"},
            "not understood, by webhook: detail.id: it is missing",
        ),
        ("dead-letter.sent", {"queue": "https://q", "sha256": "a" * 64}, "sent to https://q: aaaa"),
        (
            "sweep.done",
            {"account": "1", "region": "eu-west-1", "found": 1, "simulate": ""},
            "swept 1 eu-west-1: 1 new finding",
        ),
        ("slack.refused", {"what": "undo it", "why": "a guest"}, "could not undo it: a guest"),
        ("person.away", {"user": "U1", "until": "2026"}, "U1 is away until 2026"),
        ("person.away", {"user": "U1", "until": ""}, "U1 is back"),
    ],
)
def test_records_of_other_chains_have_a_sentence(
    book: Journal, kind: str, body: dict[str, Any], said: str
) -> None:
    assert sentence(book.append("chain", kind, body, SYSTEM)).startswith(said)


def test_a_status_says_which_findings_there_are_and_which_are_resolved(book: Journal) -> None:
    case = story(book, "Backdoor:EC2/X")
    text = printed(lambda out: show_status(out, fold(book.records(case.id)), []))
    assert "finding: Backdoor:EC2/X (severity 8) f1  resolved\n" in text
    assert "finding: Backdoor:EC2/X (severity 8) f2\n" in text
    for number in range(30):
        body = {"finding": _finding(f"more-{number}", "x")}
        book.append(case.id, "finding.joined", body, SYSTEM)
    text = printed(lambda out: show_status(out, fold(book.records(case.id)), []))
    assert text.count("finding: ") == 20
    assert "… and 12 more findings" in text


def test_what_waits_is_marked_with_whom_it_waits_for(book: Journal) -> None:
    Case(book, proposed=True, id="inc-20260101-00aaaa")
    for number, kind in enumerate(("incident.waiting", "incident.paused", "incident.started")):
        case = Case(book, id=f"inc-20260101-00000{number}")
        body = {"gate": "contain", "why": "The service is ending.", "reason": "x"}
        book.append(case.id, kind, body, SYSTEM)
    found = [fold(book.records(head.incident)) for head in book.incidents()]
    text = printed(lambda out: show_incidents(out, found))
    marks = {line.split()[0]: line.rstrip() for line in text.splitlines() if "inc-2" in line}
    assert marks["inc-20260101-00aaaa"].endswith("somebody to start it")
    assert marks["inc-20260101-000000"].endswith("a decision")
    assert marks["inc-20260101-000001"].endswith("the service")
    assert marks["inc-20260101-000002"].endswith(TARGET.id)
    assert "1 incident waits for somebody to start: `clampdown resume INCIDENT`" in text
    paused = fold(book.records("inc-20260101-000001"))
    assert "paused: The service is ending." in printed(lambda out: show_status(out, paused, []))
    proposed = fold(book.records("inc-20260101-00aaaa"))
    said = printed(lambda out: show_status(out, proposed, []))
    assert "nothing is done until somebody starts it" in said
    assert "clampdown resume inc-20260101-00aaaa" in said
    assert incident_document(paused, [])["paused"] == "The service is ending."
    assert incident_document(proposed, [])["paused"] is None


def test_what_was_paused_is_so_no_more_once_anybody_goes_on_or_stops_it(book: Journal) -> None:
    for number, (kind, body) in enumerate(
        {
            "incident.started": {"reason": "gone on with"},
            "incident.aborted": {"why": "x"},
            "incident.closed": {"status": "failed", "error": "x"},
            "undo.started": {"step": None},
        }.items()
    ):
        case = Case(book, id=f"inc-20260101-00000{number}")
        book.append(case.id, "incident.paused", {"why": "ending"}, SYSTEM)
        paused = fold(book.records(case.id))
        assert (paused.status, paused.paused) == ("waiting", "ending")
        book.append(case.id, kind, body, SYSTEM)
        assert fold(book.records(case.id)).paused == ""


def test_a_record_from_a_newer_clampdown_is_shown_by_its_kind(book: Journal) -> None:
    case = Case(book)
    assert sentence(book.append(case.id, "something.new", {}, SYSTEM)) == "something.new"


def test_a_status_says_what_was_done_what_is_unknown_and_who_must_act(book: Journal) -> None:
    case = story(book)
    records = book.records(case.id)
    text = printed(lambda out: show_status(out, fold(records), [case.state()]))
    for said in (
        f"{case.id}  aborted  simulated",
        f"contain-it on {TARGET.arn}",
        "by local:rita",
        "outcome unknown: ec2.create_tags",
        f"`clampdown resume {case.id}` reads back",
        "gate contain: approved",
        "approve by local:carol",
        "task legal for oncall: done",
        "task press for oncall: open",
        f"clampdown approve {case.id} press",
        "2 changes, 1 of them not taken back",
    ):
        assert said in text


def test_a_live_incident_says_so(book: Journal) -> None:
    case = Case(book)
    open_incident(
        book,
        "inc-20260101-00live",
        playbook_id="contain-it",
        playbooks=case.playbooks(),
        refs=[TARGET],
        finding=None,
        requester=ALICE.actor,
        simulate="",
        reason="",
    )
    live = fold(book.records("inc-20260101-00live"))
    assert "running  live" in printed(lambda out: show_status(out, live, []))
    listed = printed(lambda out: show_incidents(out, [live, fold(book.records(case.id))]))
    assert re.search(r"inc-20260101-00live +running +live", listed)
    assert re.search(rf"{case.id} +running +simulated", listed)
    assert "No incidents." in printed(lambda out: show_incidents(out, []))
    assert "(LIVE)" in sentence(book.records("inc-20260101-00live")[0])


def test_a_pending_gate_says_how_to_decide_it(book: Journal) -> None:
    case = Case(book)
    case.ask()
    text = printed(lambda out: show_status(out, fold(book.records(case.id)), [case.state()]))
    assert "needs 0/1 of oncall" in text
    assert f"clampdown approve {case.id} contain" in text
    assert f"clampdown deny {case.id} contain --why" in text


def test_a_review_that_is_overdue_is_said_to_be(book: Journal) -> None:
    settings = {"by": "oncall", "break_glass": "leads", "review_within": "4h"}
    case = Case(book, settings)
    case.ask()
    gate = case.decide(CAROL, break_glass=True, why="now")
    incident = fold(book.records(case.id))
    assert "OVERDUE" not in printed(lambda out: show_status(out, incident, [gate]))
    late = type(gate)(**{**vars(gate), "review_due": datetime.now(UTC) - timedelta(hours=1)})
    assert "OVERDUE" in printed(lambda out: show_status(out, incident, [late]))


def test_a_timeline_has_a_line_for_each_record(book: Journal) -> None:
    case = story(book)
    records = book.records(case.id)
    lines = printed(lambda out: show_timeline(out, records)).strip().splitlines()
    assert len(lines) == len(records) + 1
    assert "local:carol" in "\n".join(lines)
    assert lines[1].split()[0] == "0.000"


@pytest.mark.parametrize("view", ["status", "timeline", "live"])
def test_nothing_in_a_text_is_markup_moves_the_cursor_or_forges_a_line(
    book: Journal, view: str
) -> None:
    case = story(book, EVIL)
    records = book.records(case.id)

    def show(out: Console) -> None:
        if view == "status":
            show_status(out, fold(records), [case.state()])
        elif view == "timeline":
            show_timeline(out, records)
        else:
            live = LiveView(out, calls=True)
            for record in records:
                live.record(record)

    text = printed(show)
    assert "[red]x[/red] contained" in text
    assert "\x1b" not in text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text
    assert not any(line.startswith("contained") for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\n  a line\n", "\n  a line\n"),
        ("one\r\nanother", "one  another"),
        ("\n\n", "\n\n"),
        ("", ""),
        ("\x00\x07", "\N{REPLACEMENT CHARACTER}" * 2),
        ("grün [b]", "grün [b]"),
    ],
)
def test_text_is_shown_as_it_is(text: str, plain: str) -> None:
    assert shown(text).plain == plain


def test_the_live_view_tells_a_step_by_its_changes_and_how_to_decide(book: Journal) -> None:
    case = story(book)
    out = io.StringIO()
    view = LiveView(console(out))
    for record in book.records(case.id):
        view.record(record)
    text = out.getvalue()
    for said in (
        f"clampdown approve {case.id} contain",
        "no longer: because",
        "new: because",
        f"✗ ec2.isolate on {TARGET.id}: because",
        "! unknown: because",
        ": gate contain: approve (broke the glass)",
        "✓ ec2.isolate: verified",
        "▸ local:alice: aborted: because",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("done", "✓ ec2.isolate on i-0123456789abcdef0: nothing to change"),
        ("skipped", "- ec2.isolate on i-0123456789abcdef0: left out, x"),
        ("interrupted", "! ec2.isolate on i-0123456789abcdef0: stopped, x"),
        ("failed", "✗ ec2.isolate on i-0123456789abcdef0: x"),
    ],
)
def test_the_live_view_tells_how_a_step_ended(book: Journal, status: str, said: str) -> None:
    case = Case(book)
    body = {"step": "ec2.isolate", "name": "x", "target": TARGET.arn, "status": status}
    record = book.append(case.id, "step.finished", {**body, "outputs": {}, "error": "x"}, SYSTEM)
    out = io.StringIO()
    LiveView(console(out)).record(record)
    assert said in out.getvalue()


def test_progress_is_shown_now_and_then_and_at_the_end() -> None:
    out = io.StringIO()
    view = LiveView(console(out))
    for share in (0.1, 0.2, 0.3):
        view.progress("snapshots", Progress(False, "pending", share))
    view.progress("snapshots", Progress(True, "completed", 1.0))
    lines = out.getvalue().strip().splitlines()
    assert len(lines) == 2
    assert "pending  10%" in lines[0]
    assert "completed 100%" in lines[1]


def test_a_plan_shows_each_call_with_its_undo_behind_its_gate() -> None:
    text = printed(lambda out: show_plan(out, plan("sg-1", "sg-2"), "A plan", calls=True))
    assert "── behind the gate contain ──" in text
    assert "isolate sg-1" in text
    assert "ec2.modify_network_interface_attribute(NetworkInterfaceId=eni-sg-2)" in text
    assert 'undo: ec2.modify_network_interface_attribute(Groups=["sg-1"])' in text
    short = printed(lambda out: show_plan(out, plan("sg-1"), "A plan", calls=False))
    assert "undo:" not in short


def test_in_a_plan_as_markdown_names_are_neither_links_nor_html() -> None:
    made = plan("`[x](http://evil)`<b>\n# Approved")
    text = plan_markdown(made, "A plan")
    assert made.digest in text
    assert "- isolate \\`\\[x\\](http://evil)\\`\\<b\\> # Approved: `ec2." in text
    assert "\n# Approved" not in text
    assert "eni-'[x](http://evil)'<b>" in text
    assert summary(made) == "1 changes on 1 target(s), with approval: contain"
    assert summary(plan(gate="")) == "1 changes on 1 target(s), without approval"


def test_documents_are_plain_and_stable(book: Journal) -> None:
    import json

    case = story(book)
    records = book.records(case.id)
    document: dict[str, Any] = incident_document(fold(records), [case.state()])
    assert json.loads(json.dumps(document)) == document
    assert (document["incident"], document["status"]) == (case.id, "aborted")
    assert document["steps"][0]["error"] == "because"
    assert [task["done"] for task in document["manual"]] == [True, None]
    assert len(document["unknown"]) == 1
    found = [(known["id"], known["resolved"]) for known in document["findings"]]
    assert found == [("f1", True), ("f2", False)]
    gate = gate_document(case.state())
    assert gate["votes"][0]["break_glass"]
    assert json.loads(json.dumps(record_document(records[0])))["hash"] == records[0].hash
