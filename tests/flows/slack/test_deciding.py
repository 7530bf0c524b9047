"""Deciding in Slack, from the question to what becomes of it."""

from __future__ import annotations

import base64
import logging
import os
import time
from typing import Any

import pytest

from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Message
from flows.slack import poster
from flows.slack.actions import APPROVE, BREAK_GLASS, CALLS_ON, DENY, RESUME, REVIEW, SHOW_CALLS
from flows.slack.modals import CODE_GIVEN, WHY
from flows.step_up import one_time_password
from tests.flows.slack.incidents import shown
from tests.flows.slack.office import ONE, TWO, Office, gate

SECRET = b"12345678901234567890"
NO_BUTTONS = ("gate_approve", "gate_deny", "gate_break_glass")


def read(post: Message) -> str:
    """What somebody reads in a post."""
    return shown({"blocks": post.blocks})


def code() -> str:
    return one_time_password(SECRET, int(time.time()) // 30)


def enrol(office: Office, person: Person) -> None:
    """Give somebody an authenticator."""
    directory = office.scene.home / "totp"
    directory.mkdir(exist_ok=True)
    file = directory / f"slack_{office.slack.workspace.team.id}_{person.id}"
    file.write_bytes(base64.b32encode(SECRET))
    os.chmod(file, 0o600)


def test_one_approval_carries_on_and_the_question_says_who_gave_it(office: Office) -> None:
    office.open()
    question = office.contain()
    said = read(question)
    assert f"Not <@{office.rita.id}>, who asked for this" in said
    assert "0/1 of `oncall` must approve" in said
    assert question in office.alice.pings()
    assert question in office.bob.pings()
    assert said.splitlines()[-1] == f"Asked: <@{office.alice.id}> <@{office.bob.id}>"

    assert office.click(office.alice, question, APPROVE).ok
    office.status("contained")
    decided = office.shows(question, "✅ Approved")
    said = read(decided)
    (vote,) = office.records("gate.decided")
    assert f"✅ approved: <@{office.alice.id}>, <!date^{int(vote.at.timestamp())}^" in said
    assert not any(button in str(decided.blocks) for button in NO_BUTTONS)
    assert office.scene.tags()["two"] == "2"


def test_who_denies_says_why_and_a_blank_is_no_reason(office: Office) -> None:
    office.open()
    question = office.contain()
    assert office.click(office.alice, question, DENY).ok
    form = office.modal(office.alice, "Why not?")
    blank = office.alice.submit(form, {WHY: "  "})
    assert "Say why" in str(blank.body)
    assert office.alice.modal is not None
    assert office.records("gate.decided") == []

    assert office.alice.submit(office.alice.modal, {WHY: "it is the wrong one"}).ok
    office.status("denied")
    said = read(office.shows(question, "⛔ Denied"))
    assert f"⛔ denied: <@{office.alice.id}>" in said
    assert "it is the wrong one" in said
    assert "two" not in office.scene.tags()


def test_a_quorum_is_counted_in_the_question(office: Office) -> None:
    office.write(ONE, gate(quorum=2), TWO)
    office.open()
    question = office.contain()
    assert "0/2 of `oncall`" in read(question)
    assert office.click(office.alice, question, APPROVE).ok
    one = office.shows(question, "1/2 of `oncall`")
    assert f"✅ approved: <@{office.alice.id}>" in read(one)
    office.said_to(office.alice, "still needs 1/2 of oncall")

    assert office.click(office.alice, question, APPROVE).ok
    office.said_to(office.alice, "has decided already")
    assert office.click(office.bob, question, APPROVE).ok
    office.status("contained")
    said = read(office.shows(question, "✅ Approved"))
    assert said.count("✅ approved: ") == 2


def test_each_alternative_is_counted_and_the_first_that_is_met_counts(office: Office) -> None:
    groups = "[{group: oncall, count: 2}, {group: leads, count: 1}]"
    office.write(ONE, gate(any_of=groups), TWO)
    office.open()
    question = office.contain()
    assert "0/2 of `oncall` *or* 0/1 of `leads` must approve" in read(question)
    assert office.click(office.alice, question, APPROVE).ok
    assert "1/2 of `oncall` *or* 0/1 of `leads`" in read(office.shows(question, "1/2"))
    assert office.click(office.carol, question, APPROVE).ok
    office.status("contained")
    said = read(office.shows(question, "✅ Approved"))
    assert f"<@{office.alice.id}>" in said
    assert f"<@{office.carol.id}>" in said


def test_neither_the_requester_nor_a_stranger_to_the_groups_decides(office: Office) -> None:
    office.open()
    question = office.contain()
    for person, why in (
        (office.rita, "started this incident"),
        (office.mallory, "not on the list of approvers"),
    ):
        assert office.click(person, question, APPROVE).ok
        office.said_to(person, f"<@{person.id}>", why)
    assert office.records("gate.decided") == []
    refused = office.records("gate.refused")
    assert [record.actor.id.rpartition("/")[2] for record in refused] == [
        office.rita.id,
        office.mallory.id,
    ]
    assert office.status("running")


def test_an_old_button_says_what_has_happened_since(office: Office) -> None:
    office.open()
    question = office.contain()
    assert office.click(office.alice, question, APPROVE).ok
    office.status("contained")
    assert office.bob.click(office.room, question.ts, APPROVE, seen=question).ok
    office.said_to(office.bob, "already approved")
    assert office.bob.click(office.room, question.ts, DENY, seen=question).ok
    office.said_to(office.bob, "contain", "already approved", office.alice.id)
    assert office.bob.modal is None
    assert len(office.records("gate.decided")) == 1


def test_double_clicks_and_two_people_at_once_decide_once(office: Office) -> None:
    office.open()
    question = office.contain()

    def click(person: Person) -> Any:
        return lambda: office.click(person, question, APPROVE)

    clicks = [click(office.alice), click(office.alice), click(office.bob)]
    assert all(ack.ok for ack in office.slack.at_once(*clicks))
    office.status("contained")
    assert len(office.records("gate.decided")) == 1


def test_the_time_that_is_left_counts_down(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster, "_RENEW_EVERY", 0.1)
    office.write(ONE, gate(within="61s"), TWO)
    office.open()
    question = office.contain()
    (asked,) = office.records("gate.requested")
    until = int(asked.at.timestamp()) + 61
    assert "*1 min left*, until <!date^" in read(question)
    assert str(until) in read(question) or str(until + 1) in read(question)
    assert "No answer means *no*" in read(question)
    later = office.shows(question, "less than a minute left")
    assert later.ts == question.ts


def test_nobody_answers_and_the_next_group_is_pinged_by_its_user_group(office: Office) -> None:
    group = office.slack.group("security-leads", office.carol)
    settings = {"within": "1s", "otherwise": "escalate", "escalate_to": "leads"}
    office.write(ONE, gate(**settings), TWO, leads=f"slack_usergroup: {group.id}")
    office.open()
    question = office.contain()
    assert "Then `leads` is asked" in read(question)
    assert question not in office.carol.pings()

    handed_on = office.post(f"<!subteam^{group.id}>: nobody decided", APPROVE)
    assert handed_on in office.carol.pings()
    assert handed_on not in office.alice.pings()
    assert handed_on.thread_ts == question.thread_ts
    assert office.click(office.carol, handed_on, APPROVE).ok
    office.status("contained")
    decided = office.shows(handed_on, "✅ Approved")
    assert not any(button in str(decided.blocks) for button in NO_BUTTONS)
    assert f"<@{office.carol.id}>" in read(office.shows(question, "✅ Approved"))


def test_the_next_group_is_pinged_by_its_people_where_it_has_no_user_group(office: Office) -> None:
    settings = {"within": "1s", "otherwise": "escalate", "escalate_to": "leads"}
    office.write(ONE, gate(**settings), TWO)
    office.open()
    office.contain()
    handed_on = office.post(f"<@{office.carol.id}>: nobody decided")
    assert handed_on in office.carol.pings()


def test_no_answer_means_no_until_somebody_asks_again(office: Office) -> None:
    office.write(ONE, gate(within="1s"), TWO)
    office.open()
    question = office.contain()
    office.status("denied")
    over = office.shows(question, "Nobody decided in time", RESUME)
    assert not any(button in str(over.blocks) for button in NO_BUTTONS)

    assert office.alice.click(office.room, question.ts, RESUME).ok
    again = office.post("Asked again", APPROVE)
    assert again.ts != question.ts
    assert office.click(office.bob, again, APPROVE).ok
    office.status("contained")


def test_a_plan_that_changed_after_the_approval_is_asked_again_with_the_difference(
    office: Office,
) -> None:
    office.open()
    question = office.contain()
    office.scene.tag("two", "2")
    assert office.click(office.alice, question, APPROVE).ok
    again = office.post("The plan changed after it was approved", APPROVE)
    said = read(again)
    (gone,) = (line for line in said.splitlines() if line.startswith("➖ no longer: two: tag"))
    (added,) = (line for line in said.splitlines() if line.startswith("➕ new: two: tag"))
    assert office.scene.world.victim in gone
    assert office.scene.world.victim not in added
    assert again.ts != question.ts
    assert again in office.alice.pings()
    first = office.shows(question, "asked for again since")
    assert not any(button in str(first.blocks) for button in NO_BUTTONS)

    assert office.click(office.bob, question, APPROVE).ok
    office.said_to(office.bob, "The plan has changed since this was shown")
    assert office.click(office.bob, again, APPROVE).ok
    office.status("contained")
    assert len(office.records("gate.decided")) == 2


def test_a_gate_that_asks_for_a_code_takes_none_but_the_right_one(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    office.write(ONE, gate(step_up="totp"), TWO)
    enrol(office, office.alice)
    office.open()
    question = office.contain()
    assert "Asks for the code of your authenticator" in read(question)
    assert office.click(office.alice, question, APPROVE).ok
    wrong = f"{(int(code()) + 500_000) % 1_000_000:06d}"
    assert office.alice.submit(office.modal(office.alice, CODE_GIVEN), {CODE_GIVEN: wrong}).ok
    office.said_to(office.alice, "this one is wrong")
    assert office.records("gate.decided") == []

    assert office.click(office.alice, question, APPROVE).ok
    given = code()
    assert office.alice.submit(office.modal(office.alice, CODE_GIVEN), {CODE_GIVEN: given}).ok
    office.status("contained")
    (vote,) = office.records("gate.decided")
    assert vote.body["step_up"]["provider"] == "totp"
    journal = str(list(office.scene.responder().journal.rows()))
    for secret in (given, wrong, SECRET.decode(), base64.b32encode(SECRET).decode()):
        assert secret not in journal
        assert secret not in office.slack.text()
        assert secret not in caplog.text


def test_who_has_no_authenticator_is_told_so(office: Office) -> None:
    office.write(ONE, gate(step_up="totp"), TWO)
    office.open()
    question = office.contain()
    assert office.click(office.alice, question, APPROVE).ok
    assert office.alice.submit(office.modal(office.alice, CODE_GIVEN), {CODE_GIVEN: "123456"}).ok
    office.said_to(office.alice, "has no second factor set up")


def test_the_glass_is_broken_with_a_reason_and_reviewed_by_somebody_else(office: Office) -> None:
    office.write(ONE, gate(quorum=2, break_glass="oncall"), TWO)
    office.open()
    question = office.contain()
    assert "one of `oncall` alone may break the glass" in read(question)
    assert office.click(office.alice, question, BREAK_GLASS).ok
    form = office.modal(office.alice, "You alone", "What is the emergency?")
    assert "Say why" in str(office.alice.submit(form, {WHY: " "}).body)
    form = office.modal(office.alice, "You alone")
    assert office.alice.submit(form, {WHY: "data is leaving"}).ok
    office.status("contained")

    paged = office.post("glass broken: data is leaving")
    assert paged in office.bob.pings()
    broken = office.shows(question, "by breaking the glass", "must review", REVIEW)
    assert "🔨 broke the glass: " in read(broken)
    assert APPROVE not in str(broken.blocks)

    assert office.click(office.alice, broken, REVIEW).ok
    office.said_to(office.alice, "has decided already")
    assert office.records("gate.reviewed") == []
    assert office.click(office.bob, broken, REVIEW).ok
    reviewed = office.shows(question, f"Broken glass reviewed by <@{office.bob.id}>")
    assert REVIEW not in str(reviewed.blocks)


def test_who_may_not_break_the_glass_does_not(office: Office) -> None:
    office.write(ONE, gate(quorum=2, break_glass="leads"), TWO)
    office.open()
    question = office.contain()
    assert office.click(office.alice, question, BREAK_GLASS).ok
    form = office.modal(office.alice, "You alone")
    assert office.alice.submit(form, {WHY: "I want to"}).ok
    office.said_to(office.alice, "leads")
    assert office.records("gate.decided") == []


def test_every_call_is_one_click_away_and_its_pages_turn(office: Office) -> None:
    many = [
        f'- {{step: ec2.tag, id: t{number}, with: {{tags: {{"t{number}": "1"}}}}}}'
        for number in range(22)
    ]
    office.write(ONE, gate(), *many)
    office.open()
    question = office.contain()
    assert office.click(office.mallory, question, SHOW_CALLS).ok
    page = office.modal(office.mallory, "Every call 1 of 2")
    whole = shown({"blocks": page.blocks})
    assert "ec2.create_tags {" in whole
    assert "undo: `ec2.delete_tags" in whole
    assert office.scene.world.victim in whole
    assert "`t21`" not in whole

    assert office.mallory.use(page, CALLS_ON).ok
    page = office.modal(office.mallory, "Every call 2 of 2")
    assert "`t21`" in shown({"blocks": page.blocks})
    assert office.mallory.use(page, "calls_back").ok
    office.modal(office.mallory, "Every call 1 of 2")
