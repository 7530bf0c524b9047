"""Gates and decisions. The fifteen tests at the top are the contract, a test for each point."""

from __future__ import annotations

import base64
import multiprocessing
import os
import pwd
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows import approvals
from flows.documents import view_digest
from flows.identity import Identity, local_identity, owner_of
from flows.journal.journal import Journal
from flows.journal.record import Actor
from flows.step_up import TotpStepUp, one_time_password
from runbooks.calls import Plan
from runbooks.errors import ApprovalRefused, InvalidInput
from runbooks.loader import InvalidPlaybooks, load
from runbooks.playbook import ApproverGroup, Gate
from tests.flows.people import (
    ALICE,
    APPROVERS,
    BOB,
    CAROL,
    MALLORY,
    REQUESTER,
    SERVICE,
    SLACK_ALICE,
    TEAM,
    Case,
    plan,
)

SECRET = b"12345678901234567890"


@pytest.fixture
def book(sqlite_url: str) -> Iterator[Journal]:
    """A journal in SQLite alone: how gates stand does not depend on the database."""
    opened = Journal.open(sqlite_url)
    yield opened
    opened.close()


def later(**by: float) -> datetime:
    return datetime.now(UTC) + timedelta(**by)


# The fifteen semantics


def test_1_a_gate_is_a_durable_record_with_everything_that_decides_it(
    book: Journal, sqlite_url: str
) -> None:
    case = Case(book)
    asked = case.ask()

    reopened = Journal.open(sqlite_url)
    (record,) = [r for r in reopened.records(case.id) if r.kind == "gate.requested"]
    reopened.close()

    assert record == asked
    body = record.body
    assert (body["gate"], body["deny_at"], body["round"]) == ("contain", 1, 1)
    assert body["any_of"] == [{"group": "oncall", "count": 1}]
    assert body["digest"] == plan().behind("contain").digest == Plan.from_json(body["plan"]).digest
    assert len(body["nonce"]) == 16
    assert body["expires_at"] > record.at.isoformat()


def test_2_a_person_decides_once_and_who_comes_late_is_told_who_has_decided(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "quorum": 2})
    case.ask()
    assert case.decide(ALICE).needed == "1/2 of oncall"

    with pytest.raises(ApprovalRefused, match="local:alice has decided already"):
        case.decide(ALICE)
    with pytest.raises(ApprovalRefused, match="has decided already"):
        case.decide(ALICE, "deny", why="changed my mind")
    assert case.decide(BOB).status == "approved"

    with pytest.raises(ApprovalRefused, match=r"already approved by local:alice at .*local:bob at"):
        case.decide(SLACK_ALICE)
    assert [vote.principal for vote in case.state().votes] == ["local:alice", "local:bob"]


def test_3_neither_the_requester_nor_an_author_nor_a_bot_ever_counts(book: Journal) -> None:
    case = Case(
        book, {"by": "oncall", "distinct_from": ["requester", "author"]}, authors=["local:bob"]
    )
    case.ask()

    with pytest.raises(ApprovalRefused, match="rita started this incident"):
        case.decide(REQUESTER)
    with pytest.raises(ApprovalRefused, match="bob wrote this playbook"):
        case.decide(BOB)
    with pytest.raises(ApprovalRefused, match="it is a bot"):
        case.decide(replace(SLACK_ALICE, bot=True))

    assert case.state().status == "pending"
    assert case.decide(ALICE).status == "approved"


def test_4_quorum_is_a_list_of_alternatives_and_denials_have_a_threshold_of_their_own(
    book: Journal,
) -> None:
    alternatives = {"any_of": [{"group": "oncall", "count": 2}, {"group": "leads", "count": 1}]}
    two = Case(book, alternatives, id="inc-20260101-000001")
    two.ask()
    assert two.decide(ALICE).needed == "1/2 of oncall or 0/1 of leads"
    assert two.decide(BOB).status == "approved"

    one = Case(book, alternatives, id="inc-20260101-000002")
    one.ask()
    assert one.decide(CAROL).status == "approved"

    once = Case(book, alternatives, id="inc-20260101-000003")
    once.ask()
    once.decide(ALICE)
    assert once.decide(BOB, "deny", why="it is ours").status == "denied"

    twice = Case(book, {**alternatives, "deny_at": 2}, id="inc-20260101-000004")
    twice.ask()
    assert twice.decide(ALICE, "deny", why="it is ours").status == "pending"
    assert twice.decide(SLACK_ALICE, "deny", why="it is").status == "denied"


def test_5_no_answer_in_time_means_no_and_no_playbook_can_say_otherwise(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "within": "15m"})
    case.ask()
    assert case.state(later(minutes=14)).status == "pending"
    assert case.state(later(minutes=16)).status == "expired"

    late = Case(book, {"by": "oncall", "within": "15m"}, id="inc-20260101-000002")
    late.ask(now=later(minutes=-16))
    with pytest.raises(ApprovalRefused, match="Too late: the gate contain expired"):
        late.decide(ALICE)

    with pytest.raises(ValidationError, match="'deny' or 'escalate'"):
        Gate.model_validate({"id": "contain", "by": "oncall", "otherwise": "proceed"})


def test_6_an_answer_approves_denies_or_asks_for_more(book: Journal) -> None:
    case = Case(book)
    case.ask()

    assert case.decide(ALICE, "more_info", why="whose machine is it?").status == "pending"
    assert case.state().votes == ()
    with pytest.raises(ApprovalRefused, match="A denial needs a reason"):
        case.decide(ALICE, "deny")
    # Who asked has not decided yet.
    assert case.decide(ALICE).status == "approved"


def test_6_anything_else_that_stands_in_the_journal_opens_nothing(book: Journal) -> None:
    case = Case(book)
    asked = case.ask()
    body = case_vote(asked.body["nonce"], asked.body["digest"])
    book.append(case.id, "gate.decided", {**body, "answer": True}, ALICE.actor)
    book.append(case.id, "gate.decided", {**body, "answer": "yes"}, ALICE.actor)
    assert case.state().status == "pending"


def test_7_a_vote_counts_for_the_plan_that_was_shown_and_a_changed_one_is_asked_again(
    book: Journal,
) -> None:
    case = Case(book, {"by": "oncall", "quorum": 2})
    first = plan("sg-1")
    case.ask(first)
    case.decide(ALICE)

    second = plan("sg-1", "sg-2")
    differences = first.differences(second)
    case.ask(second, round_=2, differences=differences)

    now = case.state()
    assert (now.status, now.round, now.votes) == ("pending", 2, ())
    assert now.request["gone"] == []
    (added,) = now.request["added"]
    assert "isolate sg-2" in added
    # Alice has to look at the new plan as well.
    case.decide(ALICE)
    assert case.decide(BOB).status == "approved"
    assert case.state().digest == second.behind("contain").digest


def test_8_an_old_button_is_inert(book: Journal) -> None:
    case = Case(book)
    old = case.ask(plan("sg-1")).body["nonce"]
    new = case.ask(plan("sg-2"), round_=2).body["nonce"]
    assert old != new

    for nonce in (old, "", "\N{SNOWMAN}" * 16):
        with pytest.raises(ApprovalRefused, match="The plan has changed since this was shown"):
            case.decide(ALICE, nonce=nonce)
    assert case.decide(ALICE, nonce=new).status == "approved"


def test_9_one_person_at_two_faces_is_one_person(book: Journal) -> None:
    approvers = {
        "oncall": {
            "local_users": ["alice", "bob"],
            "slack_team": TEAM,
            "slack_users": ["U061F7AUR"],
            "same_person": {"alice": "U061F7AUR"},
        }
    }
    twice = Case(book, {"by": "oncall", "quorum": 2}, approvers, id="inc-20260101-000001")
    twice.ask()
    twice.decide(SLACK_ALICE)
    with pytest.raises(ApprovalRefused, match="local:alice has decided already"):
        twice.decide(ALICE)
    asked = twice.last("gate.requested").body
    book.append(twice.id, "gate.decided", case_vote(asked["nonce"], asked["digest"]), ALICE.actor)
    assert twice.state().needed == "1/2 of oncall"
    assert twice.decide(BOB).status == "approved"

    own = Case(book, {"by": "oncall"}, approvers, requester=ALICE.actor, id="inc-20260101-000002")
    own.ask()
    with pytest.raises(ApprovalRefused, match="started this incident"):
        own.decide(SLACK_ALICE)
    assert own.groups["oncall"].size == 2


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (replace(SLACK_ALICE, bot=True), "it is a bot"),
        (replace(SLACK_ALICE, guest=True), "it is a guest"),
        (replace(SLACK_ALICE, stranger=True), "it belongs to another organisation"),
        (replace(SLACK_ALICE, deactivated=True), "the account is deactivated"),
        (replace(SLACK_ALICE, team="T0THERTEAM"), "not on the list of approvers"),
        (replace(SLACK_ALICE, team=""), "not on the list of approvers"),
        (replace(SLACK_ALICE, id="alice"), "not on the list of approvers"),
        (Identity("local", "U061F7AUR"), "not on the list of approvers"),
        (MALLORY, "not on the list of approvers"),
        (CAROL, "not on the list of approvers"),
    ],
)
def test_9_identity_is_team_and_user_on_an_explicit_list_and_refusals_are_recorded(
    book: Journal, identity: Identity, reason: str
) -> None:
    case = Case(book)
    case.ask()

    with pytest.raises(ApprovalRefused, match=reason):
        case.decide(identity)

    assert case.state().status == "pending"
    refused = case.last("gate.refused")
    assert refused.actor.id == identity.principal
    assert reason in refused.body["why"]
    assert "gate.decided" not in case.kinds()
    assert case.decide(SLACK_ALICE).status == "approved"


def test_10_a_second_proof_is_asked_for_and_without_the_means_to_check_it_the_answer_is_no(
    book: Journal, tmp_path: Path
) -> None:
    case = Case(book, {"by": "oncall", "step_up": "totp"})
    case.ask()

    with pytest.raises(ApprovalRefused, match="not set up here"):
        case.decide(ALICE)
    with pytest.raises(ApprovalRefused, match="local:alice has no second factor"):
        case.decide(ALICE, code="123456", step_up=TotpStepUp(tmp_path / "none"))

    totp = enrolled(tmp_path, ALICE)
    with pytest.raises(ApprovalRefused, match="this one is wrong"):
        case.decide(ALICE, code="000000", step_up=totp)
    assert case.state().status == "pending"
    assert case.decide(ALICE, code=code_of(), step_up=totp).status == "approved"
    assert case.last("gate.decided").body["step_up"]["provider"] == "totp"


def test_10_a_recorded_vote_without_the_second_proof_does_not_count(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "step_up": "totp"})
    asked = case.ask()
    body = case_vote(asked.body["nonce"], asked.body["digest"])
    book.append(case.id, "gate.decided", body, ALICE.actor)
    assert case.state().status == "pending"


def test_11_broken_glass_is_one_named_person_with_a_reason_a_page_and_a_review(
    book: Journal,
) -> None:
    settings = {"by": "oncall", "quorum": 2, "break_glass": "leads", "review_within": "4h"}
    case = Case(book, settings)
    case.ask()

    with pytest.raises(ApprovalRefused, match="can only be broken by leads, with a reason"):
        case.decide(CAROL, break_glass=True)
    with pytest.raises(ApprovalRefused, match="can only be broken by leads"):
        case.decide(ALICE, break_glass=True, why="quick")
    with pytest.raises(ApprovalRefused, match="not on the list"):
        case.decide(CAROL)

    broken = case.decide(CAROL, break_glass=True, why="nobody answers, data is leaving")
    assert broken.status == "approved"
    (vote,) = broken.votes
    assert vote.break_glass
    assert broken.review_due == vote.at + timedelta(hours=4)
    page = case.last("page.requested")
    assert page.body["groups"] == ["oncall"]
    assert "nobody answers" in page.body["why"]

    with pytest.raises(ApprovalRefused, match="already approved"):
        case.decide(ALICE, "deny", why="no")
    with pytest.raises(ApprovalRefused, match="already approved"):
        case.decide(CAROL, break_glass=True, why="it was right")
    case.groups["oncall"] = ApproverGroup(local_users=("alice", "carol"))
    with pytest.raises(ApprovalRefused, match="has decided already"):
        case.decide(CAROL, why="it was right")
    assert case.decide(ALICE, why="it was right").review_due is None
    assert case.last("gate.reviewed").actor == ALICE.actor


def test_12_the_same_gate_is_decided_at_the_command_line_as_the_local_user(book: Journal) -> None:
    me = local_identity()
    assert me == Identity("local", pwd.getpwuid(os.getuid()).pw_name)
    case = Case(book, approvers={"oncall": {"local_users": [me.id], "slack_team": TEAM}})
    case.ask()

    assert case.decide(me).status == "approved"
    assert case.last("gate.decided").actor == Actor("person", me.principal, "cli")


def test_13_who_is_told_need_not_be_who_decides(book: Journal) -> None:
    case = Case(book, {"by": "leads", "notify": ["oncall"]})
    asked = case.ask()
    assert asked.body["notify"] == ["oncall"]
    with pytest.raises(ApprovalRefused, match=r"not on the list of approvers .*\(leads\)"):
        case.decide(ALICE)

    silent = Case(book, {"by": "leads"}, id="inc-20260101-000002")
    assert silent.ask().body["notify"] == ["leads"]


@pytest.mark.parametrize(
    "gate",
    [
        "{id: contain, type: approval, by: oncall}",
        "{id: contain, by: oncall, quorum: 0}",
        "{id: contain, by: nobody-of-that-name}",
        "{id: contain, by: oncall, quorum: 4}",
        "{id: contain, by: oncall, step_up: webauthn}",
        "{id: contain, by: oncall, any_of: [{group: oncall}]}",
        "{id: contain}",
        "{id: contain, by: oncall, otherwise: escalate}",
        "{id: contain, by: oncall, otherwise: proceed}",
        "{id: contain, by: oncall, within: 0s}",
    ],
)
def test_14_a_gate_that_is_not_understood_keeps_the_playbook_from_loading(
    tmp_path: Path, gate: str
) -> None:
    file = tmp_path / "playbooks.yaml"
    file.write_text(
        "version: 1\n"
        'accounts: {"123456789012": {name: a, environment: test}}\n'
        "approvers: {oncall: {local_users: [alice, bob, carol]}}\n"
        "playbooks:\n"
        "  contain-it:\n"
        "    title: t\n"
        "    target: ec2.instance\n"
        "    steps:\n"
        f"      - approve: {gate}\n"
        "      - step: ec2.isolate\n"
    )
    with pytest.raises(InvalidPlaybooks):
        load(file)


def test_15_a_decision_records_what_was_seen_and_how_long_it_took(book: Journal) -> None:
    case = Case(book)
    case.ask(now=later(seconds=-90))
    before = case.state()
    case.decide(ALICE, seen=view_digest(before))

    body = case.last("gate.decided").body
    assert body["seen"] == view_digest(before)
    assert len(body["seen"]) == 64
    # Counted from the request's record, which was written just now.
    assert 0 <= body["latency_seconds"] < 30


# Decisions at once


def test_of_many_threads_one_decides(journal: Journal) -> None:
    case = Case(journal)
    case.ask()
    everybody = [ALICE, BOB, SLACK_ALICE] * 4
    start = threading.Barrier(len(everybody))

    def vote(who: Identity) -> str:
        start.wait()
        try:
            return case.decide(who).status
        except ApprovalRefused:
            return "refused"

    with ThreadPoolExecutor(len(everybody)) as pool:
        results = list(pool.map(vote, everybody))

    assert sorted(results) == ["approved", *["refused"] * (len(everybody) - 1)]
    assert case.kinds().count("gate.decided") == 1
    assert case.kinds().count("gate.refused") == len(everybody) - 1


def test_of_two_processes_with_opposite_answers_one_decides(journal_url: str) -> None:
    journal = Journal.open(journal_url)
    case = Case(journal)
    case.ask()
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Barrier(2), spawn.Queue()
    votes = [("alice", "approve"), ("bob", "deny")]
    processes = [
        spawn.Process(target=_vote, args=(journal_url, case.id, *vote, start, results))
        for vote in votes
    ]
    for process in processes:
        process.start()
    outcomes = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(timeout=60)

    decided = [record for record in journal.records(case.id) if record.kind == "gate.decided"]
    assert len(decided) == 1
    status = {"approve": "approved", "deny": "denied"}[decided[0].body["answer"]]
    assert outcomes == {status, f"The gate contain is already {status}"}
    assert case.state().status == status
    journal.close()


def _vote(url: str, incident: str, user: str, answer: Any, start: Any, results: Any) -> None:
    journal = Journal.open(url)
    groups = {name: ApproverGroup.model_validate(group) for name, group in APPROVERS.items()}
    start.wait(timeout=60)
    try:
        gate = approvals.decide(
            journal, incident, "contain", Identity("local", user), answer, groups, why="a reason"
        )
        results.put(gate.status)
    except ApprovalRefused as refusal:
        results.put(refusal.what.split(" by ")[0])


def test_a_decision_is_not_lost_when_the_executor_writes_at_the_same_time(book: Journal) -> None:
    case = Case(book)
    case.ask()
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            book.append(case.id, "warning", {"step": "s", "text": "t"}, approvals.SYSTEM)

    busy = threading.Thread(target=write)
    busy.start()
    try:
        assert case.decide(ALICE).status == "approved"
    finally:
        over.set()
        busy.join()


# Who may decide


def test_an_empty_list_is_nobody(book: Journal) -> None:
    case = Case(book, {"by": "nobody"})
    case.ask()
    for identity in (ALICE, SLACK_ALICE, CAROL, Identity("slack", "", ""), Identity("local", "")):
        with pytest.raises(ApprovalRefused, match="not on the list"):
            case.decide(identity)


def test_a_group_that_is_gone_from_the_file_is_nobody(book: Journal) -> None:
    case = Case(book)
    case.ask()
    case.groups.clear()
    with pytest.raises(ApprovalRefused, match="not on the list"):
        case.decide(ALICE)


def test_a_vote_no_longer_counts_once_its_voter_is_off_the_list(book: Journal) -> None:
    case = Case(book)
    case.ask()
    assert case.decide(ALICE).status == "approved"

    case.groups["oncall"] = ApproverGroup(local_users=("bob",))

    assert case.state().status == "pending"
    assert case.decide(BOB).status == "approved"


def test_broken_glass_no_longer_counts_once_its_breaker_is_out_of_that_group(
    book: Journal,
) -> None:
    case = Case(
        book,
        {"by": "oncall", "quorum": 2, "break_glass": "leads"},
        approvers={
            "oncall": {"local_users": ["alice", "bob"]},
            "leads": {"local_users": ["alice"]},
        },
    )
    case.ask()
    assert case.decide(ALICE, break_glass=True, why="now").status == "approved"

    case.groups["leads"] = ApproverGroup(local_users=("carol",))

    # What is left is the vote of one of two.
    assert case.state().status == "pending"
    assert case.state().needed == "1/2 of oncall"


def test_who_starts_what_was_proposed_has_asked_for_it(book: Journal) -> None:
    case = Case(book, requester=SERVICE, proposed=True)
    book.append(case.id, "incident.started", {"reason": "resumed"}, ALICE.actor)
    case.ask()

    with pytest.raises(ApprovalRefused, match="alice started this incident"):
        case.decide(ALICE)
    assert case.decide(BOB).status == "approved"


def test_who_only_goes_on_with_an_incident_may_decide_it(book: Journal) -> None:
    case = Case(book)
    book.append(case.id, "incident.started", {"reason": "opened"}, REQUESTER.actor)
    case.ask()
    case.decide(ALICE)
    book.append(case.id, "incident.started", {"reason": "resumed"}, ALICE.actor)
    assert case.state().status == "approved"


def test_the_requester_may_decide_where_the_playbook_says_so(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "distinct_from": []})
    case.ask()
    assert case.decide(REQUESTER).status == "approved"


def test_nobody_decides_while_the_author_that_must_not_is_unknown(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "distinct_from": ["author"]}, authors=[])
    case.ask()
    with pytest.raises(ApprovalRefused, match="who wrote this playbook is not known"):
        case.decide(ALICE)


def test_the_author_is_who_owns_the_file(tmp_path: Path) -> None:
    file = tmp_path / "playbooks.yaml"
    file.write_text("version: 1\n")
    assert owner_of(file) == (local_identity().principal,)
    assert owner_of(tmp_path / "none") == ()


def test_the_requester_does_not_break_the_glass_either(book: Journal) -> None:
    settings = {"by": "oncall", "quorum": 2, "break_glass": "leads"}
    case = Case(book, settings, requester=CAROL.actor)
    case.ask()
    with pytest.raises(ApprovalRefused, match="carol started this incident"):
        case.decide(CAROL, break_glass=True, why="alone here")


# Time


def test_nobody_answers_and_the_next_group_is_asked_once(book: Journal) -> None:
    case = Case(
        book, {"by": "oncall", "within": "15m", "otherwise": "escalate", "escalate_to": "leads"}
    )
    case.ask(now=later(minutes=-16))
    expired = case.state()
    assert expired.status == "expired"

    assert approvals.escalate(book, case.id, expired)

    asked = case.state()
    assert (asked.status, asked.escalated) == ("pending", True)
    assert asked.needed == "0/1 of oncall or 0/1 of leads"
    assert asked.expires_at is not None
    assert asked.expires_at > later(minutes=14)
    assert not approvals.escalate(book, case.id, asked)
    assert not approvals.escalate(book, case.id, replace(asked, status="expired"))
    assert case.decide(CAROL).status == "approved"


def test_nothing_escalates_where_the_playbook_says_deny(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "within": "15m"})
    case.ask(now=later(minutes=-16))
    assert not approvals.escalate(book, case.id, case.state())


def test_a_vote_from_before_the_deadline_counts_after_it(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "within": "15m"})
    case.ask()
    case.decide(ALICE)
    assert case.state(later(days=2)).status == "approved"


def test_a_vote_that_was_recorded_after_the_deadline_does_not_count(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "within": "15m"})
    asked = case.ask()
    body = case_vote(asked.body["nonce"], asked.body["digest"])
    book.append(case.id, "gate.decided", body, ALICE.actor, at=later(minutes=16))
    assert case.state(later(minutes=17)).status == "expired"


# Replay, forgery, and what a gate is not


def test_a_replayed_decision_is_one_decision(book: Journal) -> None:
    case = Case(book, {"by": "oncall", "quorum": 2})
    nonce = case.ask().body["nonce"]
    case.decide(SLACK_ALICE, nonce=nonce)
    for _ in range(3):
        with pytest.raises(ApprovalRefused, match="has decided already"):
            case.decide(SLACK_ALICE, nonce=nonce)
    assert case.kinds().count("gate.decided") == 1
    assert case.state().status == "pending"


@pytest.mark.parametrize(
    ("change", "actor"),
    [
        ({"nonce": "0" * 16}, ALICE.actor),
        ({"digest": "0" * 64}, ALICE.actor),
        ({"principal": "local:bob"}, ALICE.actor),
        ({}, Actor("service", "local:alice", "cli")),
        ({}, approvals.SYSTEM),
        ({"principal": "local:mallory"}, MALLORY.actor),
        ({"principal": "local:rita"}, REQUESTER.actor),
    ],
)
def test_a_record_of_another_plan_request_or_person_opens_nothing(
    book: Journal, change: dict[str, Any], actor: Actor
) -> None:
    case = Case(book)
    asked = case.ask()
    body = case_vote(asked.body["nonce"], asked.body["digest"])
    book.append(case.id, "gate.decided", {**body, **change}, actor)
    assert case.state().status == "pending"


def test_a_gate_that_was_not_asked_for_can_not_be_decided(book: Journal) -> None:
    case = Case(book)
    assert approvals.state(book.records(case.id), "contain", case.groups) is None
    with pytest.raises(InvalidInput, match="no gate 'contain' that is waiting"):
        case.decide(ALICE)
    with pytest.raises(InvalidInput):
        approvals.decide(book, "inc-20260101-000000", "contain", ALICE, "approve", case.groups)


def test_a_gate_that_is_not_needed_can_not_be_decided_until_it_is(book: Journal) -> None:
    case = Case(book)
    book.append(case.id, "gate.skipped", {"gate": "contain", "why": "not x"}, approvals.SYSTEM)
    assert case.state().status == "skipped"
    with pytest.raises(ApprovalRefused, match="was not needed: not x"):
        case.decide(ALICE)

    case.ask()
    assert case.state().status == "pending"


def test_a_decision_on_an_aborted_incident_is_refused(book: Journal) -> None:
    case = Case(book)
    case.ask()
    book.append(case.id, "incident.aborted", {"why": "false alarm"}, BOB.actor)
    with pytest.raises(ApprovalRefused, match="is aborted: there is nothing to decide"):
        case.decide(ALICE)


# The second proof


def enrolled(directory: Path, *identities: Identity, secret: bytes = SECRET) -> TotpStepUp:
    for identity in identities:
        name = identity.principal.replace(":", "_").replace("/", "_")
        file = directory / name
        file.write_bytes(base64.b32encode(secret))
        file.chmod(0o600)
    return TotpStepUp(directory)


def code_of(step: int = 0) -> str:
    return one_time_password(SECRET, int(time.time()) // 30 + step)


def case_vote(nonce: str, digest: str) -> dict[str, Any]:
    return {
        "gate": "contain",
        "nonce": nonce,
        "answer": "approve",
        "digest": digest,
        "principal": "local:alice",
        "groups": ["oncall"],
        "why": "",
        "break_glass": False,
        "seen": "",
        "step_up": None,
        "latency_seconds": 1.0,
    }


@pytest.mark.parametrize(
    ("seconds", "password"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_passwords_are_those_of_the_standard(seconds: int, password: str) -> None:
    # RFC 6238, appendix B, the last six of the eight digits.
    assert one_time_password(SECRET, seconds // 30) == password


def test_a_code_is_used_up_in_every_incident(book: Journal, tmp_path: Path) -> None:
    settings = {"by": "oncall", "quorum": 2, "step_up": "totp"}
    totp = enrolled(tmp_path, ALICE, BOB)
    one = Case(book, settings, id="inc-20260101-000001")
    other = Case(book, settings, id="inc-20260101-000002")
    one.ask()
    other.ask()
    code = code_of()
    one.decide(ALICE, code=code, step_up=totp)

    with pytest.raises(ApprovalRefused, match="used already"):
        other.decide(ALICE, code=code, step_up=totp)
    # Nor does an older one that is still valid by the clock.
    with pytest.raises(ApprovalRefused, match="used already"):
        other.decide(ALICE, code=code_of(-1), step_up=totp)
    assert other.state().votes == ()


def test_wrong_codes_are_not_taken_for_ever(book: Journal, tmp_path: Path) -> None:
    case = Case(book, {"by": "oncall", "step_up": "totp"})
    case.ask()
    totp = enrolled(tmp_path, ALICE, BOB)
    wrong = f"{(int(code_of()) + 500_000) % 1_000_000:06d}"
    for _ in range(5):
        with pytest.raises(ApprovalRefused, match="this one is wrong"):
            case.decide(ALICE, code=wrong, step_up=totp)
    with pytest.raises(ApprovalRefused, match="no more are taken"):
        case.decide(ALICE, code=code_of(), step_up=totp)
    assert case.decide(BOB, code=code_of(), step_up=totp).status == "approved"


@pytest.mark.parametrize("code", ["", "12345", "１２３４５６", "\N{SNOWMAN}", "0" * 5000])
def test_a_code_that_is_none_is_wrong(tmp_path: Path, code: str) -> None:
    with pytest.raises(ApprovalRefused, match="this one is wrong"):
        enrolled(tmp_path, ALICE).verify(ALICE, code)


@pytest.mark.parametrize("secret", [b"", b"short"])
def test_a_secret_that_anybody_can_guess_proves_nothing(tmp_path: Path, secret: bytes) -> None:
    totp = enrolled(tmp_path, ALICE, secret=secret)
    with pytest.raises(ApprovalRefused, match="too short"):
        totp.verify(ALICE, one_time_password(secret, int(time.time()) // 30))


def test_a_secret_that_others_can_read_proves_nothing(tmp_path: Path) -> None:
    totp = enrolled(tmp_path, ALICE)
    (tmp_path / "local_alice").chmod(0o644)
    with pytest.raises(ApprovalRefused, match="can be read by others"):
        totp.verify(ALICE, code_of())


def test_a_secret_that_is_no_base32_is_none(tmp_path: Path) -> None:
    totp = enrolled(tmp_path, ALICE)
    (tmp_path / "local_alice").write_text("not base32!")
    with pytest.raises(ApprovalRefused, match="has no second factor"):
        totp.verify(ALICE, code_of())


# User groups of Slack


def test_who_is_in_the_user_group_when_they_decide_counts_and_goes_on_to(book: Journal) -> None:
    approvers = {"oncall": {"slack_team": TEAM, "slack_usergroup": "S0615G0KT"}}
    case = Case(book, approvers=approvers)
    case.ask()
    member = Identity("slack", "U0STRANGER", TEAM, usergroups=("S0615G0KT",))

    for other in (
        replace(member, usergroups=()),
        replace(member, usergroups=("S0OTHER00",)),
        replace(member, team="T0ELSEWHERE"),
        replace(member, guest=True),
    ):
        with pytest.raises(ApprovalRefused):
            case.decide(other)
    assert case.decide(member).status == "approved"
    # The one who counts the votes later may not be able to ask Slack.
    assert case.state().status == "approved"
