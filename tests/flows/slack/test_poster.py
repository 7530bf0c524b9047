"""Keeping Slack's threads as the journal says: whatever happens to Slack, to them, or to us."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.slack.faults import Fault
from flows.gameday.slack.limits import Limits
from flows.gameday.slack.server import SimulatedSlack
from flows.journal.journal import Journal
from flows.slack import pace, poster
from tests.flows.slack.newsroom import Newsroom, hurry


@pytest.fixture
def newsroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Newsroom]:
    """Nobody is waited for longer than one must be."""
    hurry(monkeypatch)
    with SimulatedSlack(unlimited=True) as slack:
        made = Newsroom(slack, tmp_path / "journal.db")
        yield made
        made.close()


TOLD = ("opening", "gate:contain:1", "progress", "summary", "file")


def whole(newsroom: Newsroom, number: int = 1, **more: Any) -> str:
    """A whole incident."""
    incident = newsroom.open(number, **more)
    newsroom.ask(incident)
    newsroom.approve(incident)
    newsroom.step(incident)
    newsroom.end(incident)
    return incident


def test_an_incident_is_told_in_one_thread_in_order_and_then_no_more(newsroom: Newsroom) -> None:
    newsroom.tell()
    incident = whole(newsroom)
    posts = newsroom.until_told(*TOLD)
    assert {post.thread_ts for post in posts[1:]} == {posts[0].ts}
    newsroom.until(lambda: newsroom.records("slack.told"))
    posted = [record.body["key"] for record in newsroom.records("slack.posted")]
    assert posted == [*TOLD[:4], "report"]
    assert {record.incident for record in newsroom.records("slack.posted")} == {incident}


def test_the_next_process_goes_on_in_the_same_messages(newsroom: Newsroom) -> None:
    incident = newsroom.open()
    newsroom.ask(incident)
    first = newsroom.tell()
    before = newsroom.until_told("opening", "gate:contain:1")
    first.kill()

    newsroom.approve(incident)
    newsroom.step(incident)
    newsroom.end(incident)
    newsroom.tell()
    after = newsroom.until_told(*TOLD)
    assert [post.ts for post in after[:2]] == [post.ts for post in before]
    newsroom.until(lambda: "Approved" in newsroom.posts()[1].text)
    assert "gate_approve" not in str(newsroom.posts()[1].blocks)


def test_what_was_told_to_the_end_is_not_looked_at_again(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = whole(newsroom)
    first = newsroom.tell()
    newsroom.until(lambda: newsroom.records("slack.told"))
    first.kill()

    read: list[str] = []
    records = Journal.records

    def noted(journal: Journal, chain: str, after_seq: int = 0) -> Any:
        read.append(chain)
        return records(journal, chain, after_seq)

    monkeypatch.setattr(Journal, "records", noted)
    calls = len(newsroom.slack.calls)
    newsroom.tell()
    newsroom.until(lambda: "slack" in read)
    other = newsroom.open(2)
    newsroom.until(lambda: "opening" in newsroom.keys()[len(TOLD) :])
    assert other in read
    assert told not in read
    assert [call.method for call in newsroom.slack.calls[calls:]] == ["chat.postMessage"]


def test_what_happens_after_the_end_is_told_in_the_same_thread(newsroom: Newsroom) -> None:
    incident = whole(newsroom)
    first = newsroom.tell()
    newsroom.until(lambda: newsroom.records("slack.told"))
    first.kill()
    newsroom.write(incident, "undo.started", {"step": None})
    body = {"status": "undone", "error": "", "undo": True}
    newsroom.write(incident, "incident.closed", body)
    newsroom.tell()
    posts = newsroom.until_told(*TOLD, "summary:2", "file")
    assert {post.thread_ts for post in posts[1:]} == {posts[0].ts}
    assert [post.files[0]["name"] for post in posts if post.files] == [
        f"{incident}-report.md",
        f"{incident}-report-2.md",
    ]


def test_the_end_is_not_the_end_where_something_came_meanwhile(newsroom: Newsroom) -> None:
    """Another process may begin an undo in the moment in which all seems to be told."""
    incident = whole(newsroom)
    append = newsroom.journal.append
    undone: list[str] = []

    def meanwhile(chain: str, kind: str, *args: Any, **more: Any) -> Any:
        if kind == "slack.told" and not undone:
            undone.append(chain)
            append(chain, "undo.started", {"step": None}, *args[1:])
        return append(chain, kind, *args, **more)

    newsroom.journal.append = meanwhile  # type: ignore[method-assign]
    teller = newsroom.tell()
    newsroom.until(lambda: newsroom.posts() and "aken back" in newsroom.posts()[0].text)
    teller.kill()
    assert undone == [incident]
    assert newsroom.records("slack.told") == []


# Slack gives no answer, or another one


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_message_whose_answer_was_lost_is_not_posted_again(
    newsroom: Newsroom, number: int
) -> None:
    lost = Fault(method="chat.postMessage", effect="lost_answer", nth=number, times=1)
    newsroom.slack.fault(lost)
    newsroom.tell()
    whole(newsroom)
    newsroom.until_told(*TOLD)
    newsroom.until(lambda: newsroom.records("slack.told"))
    newsroom.until_told(*TOLD)
    posted = [record.body["ts"] for record in newsroom.records("slack.posted")]
    assert posted[:4] == [post.ts for post in newsroom.posts()[:4]]


def test_a_file_whose_answer_was_lost_is_not_attached_again(newsroom: Newsroom) -> None:
    newsroom.slack.fault(
        Fault(method="files.completeUploadExternal", effect="lost_answer", times=1)
    )
    newsroom.tell()
    whole(newsroom)
    newsroom.until(lambda: newsroom.records("slack.told"))
    newsroom.until_told(*TOLD)


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_killed_process_has_posted_and_not_recorded_is_found(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(pace, "_SHORTEST_PAUSE", 60.0)
    lost = Fault(method="chat.postMessage", effect="lost_answer", nth=number, times=1)
    newsroom.slack.fault(lost)
    incident = newsroom.open()
    newsroom.ask(incident)
    first = newsroom.tell()
    newsroom.until(lambda: len(newsroom.posts()) == number)
    newsroom.until(lambda: first.poster.problem)
    first.kill()
    assert len(newsroom.records("slack.posted")) == number - 1

    newsroom.tell()
    posts = newsroom.until_told("opening", "gate:contain:1")
    newsroom.until(lambda: len(newsroom.records("slack.posted")) == 2)
    posted = [record.body["ts"] for record in newsroom.records("slack.posted")]
    assert posted == [post.ts for post in posts]


def test_while_slack_is_down_everything_is_kept_and_then_comes_in_order(
    newsroom: Newsroom,
) -> None:
    newsroom.slack.down()
    teller = newsroom.tell()
    for number in (1, 2, 3):
        whole(newsroom, number)
    newsroom.until(lambda: "no answer" in teller.poster.problem)
    assert newsroom.posts() == []
    assert teller.poster.behind > 0
    newsroom.slack.up()
    newsroom.until(lambda: len(newsroom.records("slack.told")) == 3)
    threads: dict[str, list[str]] = {}
    for post, key in zip(newsroom.posts(), newsroom.keys(), strict=True):
        threads.setdefault(post.thread_ts or post.ts, []).append(key)
    assert list(threads.values()) == [list(TOLD)] * 3
    assert (teller.poster.problem, teller.poster.behind) == ("", 0.0)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(effect="server_error", status=503, times=2),
        Fault(effect="error", code="internal_error", times=2),
        Fault(effect="error", code="fatal_error", times=2),
        Fault(effect="error", code="invalid_auth", times=2),
        Fault(effect="drop", times=2),
    ],
    ids=["503 in words", "internal_error", "fatal_error", "invalid_auth", "cut"],
)
def test_errors_of_slack_itself_delay_and_lose_nothing(newsroom: Newsroom, fault: Fault) -> None:
    newsroom.slack.fault(fault)
    newsroom.tell()
    whole(newsroom)
    newsroom.until(lambda: newsroom.records("slack.told"))
    newsroom.until_told(*TOLD)


def test_slack_is_left_alone_for_as_long_as_it_asks(newsroom: Newsroom) -> None:
    limited = Fault(method="chat.postMessage", effect="ratelimited", seconds=1, nth=2, times=1)
    newsroom.slack.fault(limited)
    newsroom.tell()
    whole(newsroom)
    newsroom.until_told(*TOLD)
    calls = newsroom.calls("chat.postMessage")
    refused = next(index for index, call in enumerate(calls) if call.status == 429)
    assert calls[refused + 1].at - calls[refused].at >= 1.0
    assert sum(call.status == 429 for call in newsroom.slack.calls) == 1


def test_one_channel_that_must_wait_keeps_no_other_from_being_told(newsroom: Newsroom) -> None:
    name = newsroom.room.id
    limited = Fault(
        method="chat.postMessage", effect="ratelimited", seconds=30, containing=name, times=1
    )
    newsroom.slack.fault(limited)
    newsroom.tell()
    newsroom.open(1)
    newsroom.until(lambda: newsroom.calls("chat.postMessage"))
    newsroom.open(2, channel=newsroom.other)
    newsroom.until_told("opening", channel=newsroom.other)
    assert newsroom.posts() == []


def test_progress_that_must_wait_keeps_no_question_from_being_asked(newsroom: Newsroom) -> None:
    """Updates are limited by workspace, posts by channel."""
    newsroom.slack.fault(Fault(method="chat.update", effect="ratelimited", seconds=30, times=1))
    newsroom.tell()
    incident = newsroom.open()
    newsroom.step(incident, "one")
    newsroom.until_told("opening", "progress")
    newsroom.step(incident, "two")
    newsroom.until(lambda: newsroom.calls("chat.update"))
    newsroom.ask(incident)
    newsroom.until_told("opening", "progress", "gate:contain:1")
    assert len(newsroom.calls("chat.update")) == 1


def test_a_message_that_slack_refuses_keeps_no_other_from_being_told(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poster, "_REFUSED_FOR", 0.3)
    newsroom.slack.fault(
        Fault(method="files.getUploadURLExternal", effect="error", code="missing_scope", times=1)
    )
    teller = newsroom.tell()
    whole(newsroom, 1)
    newsroom.until(lambda: "report of inc-20261123-000001 is refused" in teller.poster.problem)
    newsroom.open(2)
    newsroom.until_told(*TOLD[:4], "opening", "file")
    assert newsroom.calls("files.getUploadURLExternal")[1].error == ""


def test_nothing_is_posted_beside_a_thread_that_can_not_begin(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poster, "_REFUSED_FOR", 0.3)
    newsroom.slack.fault(
        Fault(method="chat.postMessage", effect="error", code="team_access_not_granted", times=1)
    )
    newsroom.tell()
    whole(newsroom)
    posts = newsroom.until_told(*TOLD)
    assert {post.thread_ts for post in posts[1:]} == {posts[0].ts}


def test_an_end_of_which_only_the_last_words_were_missing_is_told_after_a_restart(
    newsroom: Newsroom,
) -> None:
    newsroom.slack.fault(Fault(method="chat.update", effect="ratelimited", seconds=30))
    first = newsroom.tell()
    incident = newsroom.open()
    newsroom.ask(incident)
    newsroom.until_told("opening", "gate:contain:1")
    newsroom.approve(incident)
    newsroom.step(incident)
    newsroom.end(incident)
    newsroom.until(lambda: len(newsroom.records("slack.posted")) == len(TOLD))
    first.kill()
    assert newsroom.records("slack.told") == []
    newsroom.slack.clear_faults()
    newsroom.tell()
    newsroom.until(lambda: newsroom.records("slack.told"))
    assert "Contained" in newsroom.posts()[0].text
    newsroom.until_told(*TOLD)


# What people do to it


@pytest.mark.parametrize("index", [0, 1])
def test_what_somebody_has_deleted_is_posted_again(newsroom: Newsroom, index: int) -> None:
    newsroom.tell()
    incident = newsroom.open()
    newsroom.ask(incident)
    newsroom.until_told("opening", "gate:contain:1")
    newsroom.until(lambda: "Waiting for approval" in newsroom.posts()[0].text)
    deleted = newsroom.posts()[index]
    newsroom.slack.workspace.delete(newsroom.room, deleted)
    newsroom.approve(incident)
    key = ("opening", "gate:contain:1")[index]
    again = newsroom.until(
        lambda: next(
            (p for p, k in zip(newsroom.posts(), newsroom.keys(), strict=True) if k == key), None
        )
    )
    assert again.ts != deleted.ts
    newsroom.step(incident)
    progress = newsroom.until(lambda: newsroom.keys()[-1] == "progress" and newsroom.posts()[-1])
    opening = newsroom.posts()[newsroom.keys().index("opening")]
    assert progress.thread_ts == opening.ts
    assert newsroom.keys().count(key) == 1


def test_a_thread_whose_beginning_is_gone_begins_again(newsroom: Newsroom) -> None:
    newsroom.tell()
    incident = newsroom.open()
    (opening,) = newsroom.until_told("opening")
    newsroom.slack.workspace.delete(newsroom.room, opening)
    # Nothing but a reply is to be posted: the opening itself says what it said.
    newsroom.write(incident, "page.requested", {"gate": "contain", "groups": [], "why": "x"})
    posts = newsroom.until(lambda: len(newsroom.posts()) == 2 and newsroom.posts())
    assert posts[1].thread_ts == posts[0].ts


def test_what_was_told_in_an_archived_channel_is_told_in_the_usual_one(
    newsroom: Newsroom,
) -> None:
    first = newsroom.tell()
    incident = newsroom.open(channel=newsroom.other)
    newsroom.ask(incident)
    newsroom.until_told("opening", "gate:contain:1", channel=newsroom.other)
    newsroom.slack.archive(newsroom.other)
    newsroom.approve(incident)
    newsroom.until_told("opening", "gate:contain:1")
    first.kill()

    newsroom.step(incident)
    newsroom.end(incident)
    newsroom.tell()
    posts = newsroom.until_told(*TOLD)
    assert {post.thread_ts for post in posts[1:]} == {posts[0].ts}
    assert len(newsroom.posts(newsroom.other)) == 2


def test_killed_on_the_way_to_the_usual_channel_nothing_comes_twice(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = newsroom.tell()
    incident = newsroom.open(channel=newsroom.other)
    newsroom.ask(incident)
    newsroom.until_told("opening", "gate:contain:1", channel=newsroom.other)
    newsroom.slack.archive(newsroom.other)
    monkeypatch.setattr(pace, "_SHORTEST_PAUSE", 60.0)
    newsroom.slack.fault(
        Fault(method="chat.postMessage", effect="drop", containing=newsroom.room.id, nth=2)
    )
    newsroom.approve(incident)
    newsroom.until_told("opening")
    newsroom.until(lambda: "no answer" in first.poster.problem)
    first.kill()
    newsroom.slack.clear_faults()
    calls = len(newsroom.slack.calls)
    newsroom.tell()
    newsroom.until_told("opening", "gate:contain:1")
    assert newsroom.other.id not in str(newsroom.slack.calls[calls:])


def test_a_usual_channel_that_is_archived_is_waited_for(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poster, "_REFUSED_FOR", 0.2)
    newsroom.slack.archive(newsroom.room)
    teller = newsroom.tell()
    newsroom.open(1)
    newsroom.open(2, channel=newsroom.other)
    newsroom.until_told("opening", channel=newsroom.other)
    newsroom.until(lambda: "can't be written to (is_archived)" in teller.poster.problem)
    with newsroom.slack.workspace.changing():
        newsroom.room.archived = False
    newsroom.until_told("opening")


def test_what_was_just_written_is_behind_until_it_is_told(newsroom: Newsroom) -> None:
    teller = newsroom.tell()
    incident = newsroom.open()
    newsroom.until_told("opening")
    for round_ in range(1, 11):
        newsroom.until(lambda: teller.poster.behind == 0)
        newsroom.ask(incident, round_)
        assert teller.poster.behind > 0
        while teller.poster.behind > 0:
            pass
        assert newsroom.keys()[-1] == f"gate:contain:{round_}"


# What is ours


def test_of_several_processes_one_tells_and_the_next_takes_over(newsroom: Newsroom) -> None:
    first = newsroom.tell()
    incident = newsroom.open()
    newsroom.until_told("opening")
    second = newsroom.tell()
    newsroom.ask(incident)
    newsroom.until_told("opening", "gate:contain:1")
    newsroom.approve(incident)
    newsroom.until(lambda: "Approved" in newsroom.posts()[1].text)
    assert second.poster.behind == 0
    first.kill()
    newsroom.step(incident)
    newsroom.until_told("opening", "gate:contain:1", "progress")


def test_an_incident_that_can_not_be_told_keeps_no_other_from_being_told(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = poster.messages

    def broken(records: Any, *args: Any) -> Any:
        if records[0].incident.endswith("1"):
            raise ZeroDivisionError
        return messages(records, *args)

    monkeypatch.setattr(poster, "messages", broken)
    newsroom.tell()
    newsroom.open(1)
    newsroom.open(2)
    newsroom.until_told("opening")
    newsroom.ask("inc-20261123-000002")
    newsroom.until_told("opening", "gate:contain:1")


def test_a_journal_that_takes_no_record_keeps_nothing_from_being_told_once(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.journal.errors import JournalUnavailable

    append = newsroom.journal.append
    refused: list[str] = []

    def full(chain: str, kind: str, *args: Any, **more: Any) -> Any:
        if kind == "slack.posted" and len(refused) < 2:
            refused.append(kind)
            raise JournalUnavailable("The disk is full.")
        return append(chain, kind, *args, **more)

    newsroom.journal.append = full  # type: ignore[method-assign]
    first = newsroom.tell()
    incident = newsroom.open()
    newsroom.ask(incident)
    newsroom.until_told("opening", "gate:contain:1")
    first.kill()
    newsroom.tell()
    newsroom.step(incident)
    newsroom.until_told("opening", "gate:contain:1", "progress")


def test_slacks_limits_are_kept_without_being_told_of_them(tmp_path: Path) -> None:
    with SimulatedSlack(limits=Limits()) as slack:
        newsroom = Newsroom(slack, tmp_path / "journal.db")
        newsroom.tell()
        for number in range(5):
            newsroom.open(number)
        newsroom.until_told(*["opening"] * 5)
        assert {call.status for call in slack.calls} == {200}
        newsroom.close()


def test_of_many_steps_the_newest_is_shown_and_few_are_sent(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_PER_SECOND", 1.0)
    shown: list[int] = []
    messages = poster.messages

    def counted(records: Any, *args: Any) -> Any:
        shown.append(len(records))
        return messages(records, *args)

    monkeypatch.setattr(poster, "messages", counted)
    newsroom.tell()
    incident = newsroom.open()
    newsroom.step(incident, "first")
    newsroom.until_told("opening", "progress")
    began, before = time.monotonic(), len(shown)
    for number in range(100):
        newsroom.step(incident, f"step-{number}")
    newsroom.until(lambda: "step-99" in str(newsroom.posts()))
    took = time.monotonic() - began
    assert len(newsroom.calls("chat.update")) <= 2 + took
    # Each costs time that the steps themselves need.
    assert len(shown) - before <= 2 + took / 0.2


@pytest.mark.parametrize("channel", ["told", "never to be told"])
def test_a_thousand_old_incidents_cost_neither_the_start_nor_the_time_after_it(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    old = whole(newsroom)
    if channel == "told":
        first = newsroom.tell()
        newsroom.until(lambda: newsroom.records("slack.told"))
        first.kill()
    newsroom.copy(old, 1_000, told=channel == "told")
    read: list[str] = []
    shown: list[str] = []
    records, messages = Journal.records, poster.messages

    def noted(journal: Journal, chain: str, after_seq: int = 0) -> Any:
        read.append(chain)
        return records(journal, chain, after_seq)

    def counted(of: Any, *args: Any) -> Any:
        shown.append(of[0].incident)
        return messages(of, *args)

    monkeypatch.setattr(Journal, "records", noted)
    monkeypatch.setattr(poster, "messages", counted)
    newsroom.tell()
    newsroom.until(lambda: read.count("slack") >= 5)
    copies = {chain for chain in {*read, *shown} if chain.startswith("inc-9")}
    assert copies == set()
    news = newsroom.open(2)
    newsroom.until(lambda: "opening" in newsroom.keys()[-1:] and news in read)
    assert {chain for chain in shown if chain != old} == {news}
