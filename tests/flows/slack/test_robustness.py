"""The Slack app when things go wrong: slow, repeated, at once, down, cut, killed. Once is once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlencode

import httpx
import pytest

from flows.conductor import Asked
from flows.gameday.aws.faults import Fault as AwsFault
from flows.gameday.slack.delivery import Ack, signed
from flows.gameday.slack.faults import Fault
from flows.gameday.slack.records import Message
from flows.gameday.slack.server import SimulatedSlack
from flows.gameday.slack.web_api import Call
from flows.identity import local_identity
from flows.incident import fold
from flows.journal.record import Record
from flows.slack import service
from flows.slack.modals import WHY
from flows.slack.service import SlackUnavailable
from tests.flows.commands import Running as Command
from tests.flows.people import ALICE, REQUESTER
from tests.flows.scene import Scene
from tests.flows.slack.newsroom import hurry
from tests.flows.slack.office import ONE, TASK, TWO, Office, Running, gate

ME = local_identity().id
BOTH = pytest.mark.parametrize("http", [False, True], ids=["Socket Mode", "HTTP"])
# Slack waits 3 s; the app itself is to take no part of that which anybody would notice.
AT_ONCE = 0.5
# It gives up after three (Slack, "Acknowledging interactions"); this machine may be busy.
IN_TIME = 2.5


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(service, "_PING_EVERY", 0.2)
    monkeypatch.setattr(service, "_REACHED_WITHIN", 0.3)


def decided(office: Office) -> list[str]:
    """Whose decisions count, by user id."""
    return [record.actor.id.rpartition("/")[2] for record in office.records("gate.decided")]


def refused(office: Office) -> list[Record]:
    return office.records("gate.refused")


def thread(office: Office) -> list[str]:
    """What is told in the room, in order, by the messages' keys; files as ``file``."""
    return [_key(post) for post in office.posts()]


def _key(post: Message) -> str:
    if post.files:
        return "file"
    return str(((post.metadata or {}).get("event_payload") or {}).get("key"))


def until_told(office: Office, *keys: str) -> list[Message]:
    """The posts in the room as soon as they are these, in this order, and none else."""
    with suppress(TimeoutError):
        office.until(lambda: thread(office) == list(keys))
    assert thread(office) == list(keys)
    return office.posts()


WHOLE = ("opening", "gate:contain:1", "progress", "summary", "file")


# Acknowledged at once, whatever is slow


@BOTH
def test_slack_is_answered_at_once_although_aws_is_slow(office: Office, http: bool) -> None:
    office.open(http=http)
    office.scene.aws.fault(AwsFault(effect="latency", seconds=1.5))
    victim = office.scene.world.victim
    ack = office.rita.command(f"/clampdown contain {victim}", office.room)
    assert (ack.error, ack.seconds < AT_ONCE) == ("", True)
    office.scene.aws.clear_faults()
    office.said_to(office.rita, victim)


@BOTH
def test_slack_is_answered_at_once_although_slack_is_slow(office: Office, http: bool) -> None:
    """Its Web API, that is: also the very first acknowledgement asks nothing of it."""
    office.open(http=http)
    office.slack.fault(Fault(effect="slow", seconds=1.5))
    ack = office.mallory.command("/clampdown help", office.room)
    assert (ack.error, ack.seconds < AT_ONCE) == ("", True)
    office.slack.clear_faults()


@contextmanager
def locked(office: Office) -> Iterator[None]:
    """Somebody else has the journal locked: nothing can be written."""
    database = sqlite3.connect(office.scene.home / "journal.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


@BOTH
def test_slack_is_answered_at_once_although_the_journal_is_locked(
    office: Office, http: bool
) -> None:
    office.open(http=http)
    post = office.contain()
    with locked(office):
        acks = office.slack.at_once(
            *[lambda: office.click(office.alice, post, "gate_approve")] * 10,
            *[lambda: office.mallory.command("/clampdown incidents", office.room)] * 15,
        )
        # All ten wait for the journal when Bob wants to see something.
        asked = ("users.info", office.alice.id)
        office.until(lambda: sum(_about(call) == asked for call in office.slack.calls) == 10)
        acks.append(office.click(office.bob, post, "gate_deny"))
        assert [ack.error for ack in acks if ack.error] == []
        assert max(ack.seconds for ack in acks) < IN_TIME
        assert office.records("gate.decided") == []
        # What needs no record is shown meanwhile.
        office.modal(office.bob, WHY)
    office.status("contained")
    assert decided(office) == [office.alice.id]


def _about(call: Call) -> tuple[str, str]:
    return call.method, str(call.arguments.get("user", ""))


# Once is once


@BOTH
def test_the_same_request_again_decides_nothing_again(office: Office, http: bool) -> None:
    office.open(http=http)
    post = office.contain()
    ack = office.click(office.alice, post, "gate_approve")
    office.status("contained")
    assert [office.slack.replay(ack).error for _ in range(3)] == [""] * 3
    office.until(lambda: len(refused(office)) == 3)
    office.said_to(office.alice, "already approved by", office.alice.id)
    assert decided(office) == [office.alice.id]


def test_the_same_command_again_starts_nothing_again(office: Office) -> None:
    office.open(http=True)
    victim = office.scene.world.victim
    ack = office.rita.command(f"/clampdown contain {victim}", office.room)
    office.post("“contain”", "Approve")
    assert office.slack.replay(ack).ok
    # The second answer names the same incident as the first.
    office.until(lambda: len(office.whispers(office.rita)) == 2)
    incident = office.incident().id
    assert all(incident in said for said in office.whispers(office.rita))


def test_an_event_that_slack_sends_again_changes_nothing(office: Office) -> None:
    office.open(http=True)
    ack = office.alice.open_home()
    office.until(lambda: office.alice.home)
    before = len(office.records("person.away"))
    for _ in range(3):
        assert office.slack.replay(ack).ok
    office.until(lambda: sum(c.method == "views.publish" for c in office.slack.calls) >= 4)
    assert {call.error for call in office.slack.calls} == {""}
    assert len(office.records("person.away")) == before


def test_a_double_click_decides_once(office: Office) -> None:
    office.open()
    post = office.contain()
    acks = office.slack.at_once(*[lambda: office.click(office.alice, post, "gate_approve")] * 3)
    assert all(ack.ok for ack in acks)
    office.until(lambda: len(refused(office)) == 2)
    assert decided(office) == [office.alice.id]
    office.status("contained")


def test_of_two_people_at_once_one_decides_and_the_other_is_told_who(office: Office) -> None:
    office.open()
    post = office.contain()
    people = {office.alice.id: office.alice, office.bob.id: office.bob}
    acks = office.slack.at_once(
        lambda: office.click(office.alice, post, "gate_approve"),
        lambda: office.click(office.bob, post, "gate_approve"),
    )
    assert all(ack.ok for ack in acks)
    office.until(lambda: refused(office))
    (winner,) = decided(office)
    (loser,) = set(people) - {winner}
    office.said_to(people[loser], "already approved by", winner)
    assert "approved by" not in str(office.whispers(people[winner]))
    # And all who look at the thread see it.
    assert winner in str(office.post("Approved", "contain").blocks)


def test_of_yes_and_no_at_once_one_counts(office: Office) -> None:
    office.open()
    post = office.contain()
    assert office.click(office.bob, post, "gate_deny").ok
    form = office.modal(office.bob, WHY)
    acks = office.slack.at_once(
        lambda: office.click(office.alice, post, "gate_approve"),
        lambda: office.bob.submit(form, {WHY: "it is the wrong one"}),
    )
    assert all(ack.ok for ack in acks)
    office.until(lambda: refused(office))
    (winner,) = decided(office)
    assert office.status("contained" if winner == office.alice.id else "denied")
    loser = office.bob if winner == office.alice.id else office.alice
    office.said_to(loser, "is already", winner)


def test_a_quorum_of_two_needs_two_people(office: Office) -> None:
    office.write(ONE, gate(quorum=2), TWO)
    office.open()
    post = office.contain()
    assert "0/2" in str(post.blocks)
    assert office.click(office.alice, post, "gate_approve").ok
    office.said_to(office.alice, "You approved", "still needs")
    assert office.post("“contain”", "1/2", office.alice.id).ts == post.ts
    assert office.click(office.alice, post, "gate_approve").ok
    office.said_to(office.alice, "nobody counts twice")
    assert office.incident().status == "running"
    assert office.click(office.bob, post, "gate_approve").ok
    office.status("contained")
    assert decided(office) == [office.alice.id, office.bob.id]


# A click on what is no longer so


def test_an_old_button_says_that_the_plan_has_changed(office: Office) -> None:
    office.open()
    old = office.contain()
    office.scene.tag("two", "2")
    assert office.click(office.alice, old, "gate_approve").ok
    new = office.post("“contain”", "changed after it was approved")
    assert new.ts != old.ts
    assert office.click(office.bob, old, "gate_approve").ok
    office.said_to(office.bob, "The plan has changed since this was shown")
    assert office.click(office.bob, old, "gate_deny").ok
    office.said_to(office.bob, "was asked for again since", "an old one")
    assert office.incident().status == "running"
    assert office.click(office.bob, new, "gate_approve").ok
    office.status("contained")


@pytest.mark.parametrize("action", ["gate_approve", "gate_deny"])
def test_an_old_button_says_who_has_decided(office: Office, action: str) -> None:
    office.open()
    old = office.contain()
    assert office.click(office.alice, old, "gate_deny").ok
    form = office.modal(office.alice, WHY)
    assert office.alice.submit(form, {WHY: "the wrong one"}).ok
    office.status("denied")
    assert office.bob.click(office.room, old.ts, action, seen=old).ok
    office.said_to(office.bob, "already denied", office.alice.id)
    assert decided(office) == [office.alice.id]


def test_an_old_button_says_that_it_is_too_late(office: Office) -> None:
    office.write(ONE, gate(within="1s"), TWO)
    office.open()
    old = office.contain()
    office.status("denied")
    assert office.bob.click(office.room, old.ts, "gate_approve", seen=old).ok
    office.said_to(office.bob, "Too late", "expired")


def test_an_old_button_says_that_the_incident_was_stopped(office: Office) -> None:
    office.open()
    old = office.contain()
    incident = office.incident().id
    office.scene.responder().abort(incident, ALICE, "a false alarm")
    assert office.bob.click(office.room, old.ts, "gate_approve", seen=old).ok
    office.said_to(office.bob, "is aborted: there is nothing to decide")
    assert office.records("gate.decided") == []


def test_an_old_button_of_a_task_does_no_harm(office: Office) -> None:
    office.write(ONE, TASK)
    office.open()
    assert office.rita.command(f"/clampdown contain {office.scene.world.victim}", office.room).ok
    old = office.post("Tell Legal", "Not possible")
    assert office.alice.click(office.room, old.ts, "task_done").ok
    office.until(lambda: office.incident().manual[0].done)
    assert office.bob.click(office.room, old.ts, "task_impossible", seen=old).ok
    office.modal(office.bob, WHY)


# Slack is down, or has had enough


def starts(office: Office, running: Running, *, victim: str = "victim") -> str:
    """Somebody at a terminal, or a finding, has the app contain something; the incident's id."""
    asked = Asked("tag-it", office.scene.world.ids[victim], "a test")
    return running.service.face.desk.conductor.start(asked, REQUESTER).result(10)


def approve(office: Office, incident: str) -> None:
    responder = office.scene.responder()
    office.until(lambda: responder.gates(responder.incident(incident)))
    responder.decide(incident, "contain", ALICE, "approve")
    office.until(lambda: responder.incident(incident).status == "contained")


def took(office: Office, incident: str) -> float:
    records = office.scene.responder().journal.records(incident)
    own = [record for record in records if not record.kind.startswith("slack.")]
    return (own[-1].at - own[0].at).total_seconds()


@pytest.mark.parametrize("how", ["down", "rate limited", "slow"])
def test_slack_delays_no_containment_and_is_told_all_of_it_later(office: Office, how: str) -> None:
    running = office.open()
    instances = [name for name, id_ in office.scene.world.ids.items() if id_.startswith("i-")]
    well = starts(office, running, victim=instances[-1])
    approve(office, well)
    office.until(lambda: office.records("slack.told"))
    before = len(office.posts())

    if how == "down":
        office.slack.down()
    elif how == "rate limited":
        office.slack.fault(Fault(method="chat.*", effect="ratelimited", seconds=1, times=2))
    else:
        office.slack.fault(Fault(method="chat.*", effect="slow", seconds=1.5, times=1))
    ill = starts(office, running)
    approve(office, ill)
    assert len(office.posts()) <= before + 1
    assert took(office, ill) < took(office, well) + 0.8

    office.slack.clear_faults()
    office.slack.up()
    office.until(lambda: len(office.records("slack.told")) == 2)
    assert thread(office)[before:] == list(WHOLE)
    assert {post.thread_ts for post in office.posts()[before + 1 :]} == {office.posts()[before].ts}


LOST = [Fault(effect="drop"), Fault(effect="server_error", status=502), Fault(code="fatal_error")]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.effect)
def test_what_can_not_be_told_where_somebody_is_is_told_directly(
    office: Office, fault: Fault
) -> None:
    office.open()
    post = office.contain()
    office.slack.fault(fault.model_copy(update={"method": "chat.postEphemeral"}))
    assert office.click(office.mallory, post, "gate_approve").ok
    office.until(office.mallory.direct_messages)
    office.said_to(office.mallory, "is not on the list of approvers")
    assert office.mallory.ephemerals() == []


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.effect)
def test_a_home_that_can_not_be_shown_changes_nothing_about_a_decision(
    office: Office, fault: Fault
) -> None:
    office.open()
    post = office.contain()
    assert office.alice.open_home().ok
    office.until(lambda: office.alice.home)
    office.slack.fault(fault.model_copy(update={"method": "views.publish"}))
    assert office.click(office.alice, post, "gate_approve").ok
    office.status("contained")
    office.said_to(office.alice, "You approved")
    office.until(lambda: any(call.error for call in office.slack.calls))
    assert len(office.whispers(office.alice)) == 1


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.effect)
def test_a_form_that_slack_does_not_open_is_told_of(office: Office, fault: Fault) -> None:
    office.open()
    post = office.contain()
    office.slack.fault(fault.model_copy(update={"method": "views.open"}))
    assert office.click(office.bob, post, "gate_deny").ok
    office.said_to(office.bob, "Slack did not take Clampdown's answer", "try again")
    office.slack.clear_faults()
    assert office.click(office.bob, post, "gate_deny").ok
    office.modal(office.bob, WHY)


def command(office: Office, *arguments: str, **environment: str) -> Command:
    """``clampdown`` as a process of its own, by whoever runs the tests."""
    home = office.scene.home
    tokens = office.slack.installation
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": office.scene.world.region,
        "CLAMPDOWN_HOME": str(home),
        "CLAMPDOWN_PLAYBOOKS": str(office.scene.file),
        "CLAMPDOWN_SIMULATE": office.scene.aws.url,
        "CLAMPDOWN_SLACK_API_URL": office.slack.api_url,
        "CLAMPDOWN_SLACK_BOT_TOKEN": tokens.bot_token,
        "CLAMPDOWN_SLACK_APP_TOKEN": tokens.app_token,
    }
    return Command(arguments, {**given, **environment}, home / arguments[0])


def test_approved_at_a_terminal_while_slack_is_down_and_the_thread_shows_it_afterwards(
    office: Office,
) -> None:
    office.scene.head = office.scene.head.replace("[alice]", f"[{ME}]")
    office.scene.write("\n".join((ONE, gate(), TWO)))
    office.open()
    post = office.contain()
    incident = office.incident().id
    office.slack.down()
    with command(office, "approve", incident, "contain") as running:
        assert running.end().code == 0
    office.status("contained")
    assert "gate_approve" in str(office.posts()[1].blocks)

    office.slack.up()
    posts = until_told(office, *WHOLE)
    assert posts[1].ts == post.ts
    shown = office.post("Approved", ME)
    assert (shown.ts, "gate_approve" in str(shown.blocks)) == (post.ts, False)


def test_slack_that_is_down_keeps_the_app_from_neither_starting_nor_going_on(
    office: Office,
) -> None:
    office.scene.run(by=REQUESTER, wait=False)
    incident = office.incident().id
    office.scene.responder().decide(incident, "contain", ALICE, "approve")
    office.slack.down()
    running = office.open()
    assert (running.service.resumed, running.service.face.team) == ((incident,), "")
    office.status("contained")
    assert office.posts() == []

    office.slack.up()
    posts = until_told(office, *WHOLE)
    office.until(lambda: office.slack.connections)
    assert office.alice.click(office.room, posts[0].ts, "show_calls").ok
    office.modal(office.alice, "Every call")


@pytest.mark.parametrize("method", ["auth.test", "apps.connections.open"])
def test_an_app_that_slack_does_not_let_in_starts_nothing(office: Office, method: str) -> None:
    office.scene.run(by=REQUESTER, wait=False)
    office.slack.fault(Fault(method=method, effect="error", code="invalid_auth"))
    with pytest.raises(SlackUnavailable, match="invalid_auth"):
        office.open()
    assert len(office.records("incident.started")) == 1


# Connections are cut, processes are killed


@pytest.mark.parametrize("how", ["cut", "renewed", "renewed without a warning"])
def test_after_all_connections_are_lost_clicks_arrive_again(scene: Scene, how: str) -> None:
    """A click in the moment itself may be lost; whoever clicked sees that, and clicks again."""
    with SimulatedSlack(unlimited=True, warning_seconds=0.2, ack_seconds=0.5) as slack:
        office = Office(scene, slack)
        try:
            office.open()
            post = office.contain()
            if how == "cut":
                slack.cut_sockets()
            else:
                slack.renew_sockets(warn=how == "renewed")
            clicks = [office.click(office.alice, post, "gate_approve").error]
            while clicks[-1] and len(clicks) < 5:
                office.until(lambda: slack.connections)
                clicks.append(office.click(office.alice, post, "gate_approve").error)
            assert clicks[-1] == ""
            office.status("contained")
            assert decided(office) == [office.alice.id]
            until_told(office, *WHOLE)
        finally:
            office.close()


@BOTH
def test_the_app_that_is_started_again_goes_on_in_the_same_messages(
    office: Office, http: bool
) -> None:
    first = office.open(http=http)
    post = office.contain()
    before = office.posts()
    first.stop()
    office.open(http=http)
    assert office.click(office.alice, post, "gate_approve").ok
    office.status("contained")
    after = until_told(office, *WHOLE)
    assert [old.ts for old in before] == [new.ts for new in after[: len(before)]]
    assert "gate_approve" not in str(office.post("Approved", office.alice.id).blocks)


def test_an_app_that_was_killed_is_gone_on_with_by_the_next(office: Office) -> None:
    with command(office, "slack", "--without-prefect") as killed:
        killed.says("Ctrl-C ends it")
        post = office.contain()
        before = office.posts()
        killed.signal(signal.SIGKILL)
        killed.end()
    running = office.open()
    assert running.service.resumed == (office.incident().id,)
    assert office.click(office.alice, post, "gate_approve").ok
    office.status("contained")
    after = until_told(office, *WHOLE)
    assert [old.ts for old in before] == [new.ts for new in after[: len(before)]]


def test_what_is_approved_and_nobody_carries_out_any_more_goes_on(office: Office) -> None:
    """Whoever began it at a terminal has gone home, or was killed."""
    office.open()
    run = ("run", "tag-it", "--target", office.scene.world.victim, "--without-prefect")
    with command(office, *run) as killed:
        post = office.post("“contain”", "Approve")
        killed.signal(signal.SIGKILL)
        killed.end()
    assert office.incident().status == "running"
    assert office.click(office.alice, post, "gate_approve").ok
    office.status("contained")
    last = office.records("incident.started")[-1]
    assert last.actor.id.endswith(office.alice.id)
    until_told(office, *WHOLE)


def test_the_end_of_the_app_waits_for_no_undo(office: Office) -> None:
    """What is under way ends after the call in flight; the rest is gone on with later."""
    office.write(ONE, TWO)
    running = office.open()
    incident = starts(office, running)
    office.status("contained")
    office.scene.fault("DeleteTags", effect="latency", seconds=0.5)
    assert office.alice.command(f"/clampdown undo {incident}", office.room).ok
    assert office.alice.submit(office.modal(office.alice, "Undo"), {}).ok
    office.until(lambda: len(office.records("change.intent")) == 3)
    running.stop()
    left = office.scene.responder().incident(incident)
    assert "the undo goes on by itself" in left.paused
    assert left.to_undo() != []
    office.post("⏸️ The undo is paused", "*Target*")


def test_a_journal_in_postgresql_tells_the_same(office: Office, postgres_url: str) -> None:
    first = office.open(journal=postgres_url)
    journal = first.service.face.desk.journal
    post = office.contain()
    (head,) = journal.incidents()
    first.stop()

    second = office.open(journal=postgres_url)
    journal = second.service.face.desk.journal
    acks = office.slack.at_once(
        *[lambda: office.click(office.alice, post, "gate_approve")] * 2,
        lambda: office.click(office.bob, post, "gate_approve"),
    )
    assert all(ack.ok for ack in acks)
    office.until(lambda: fold(journal.records(head.incident)).status == "contained")
    until_told(office, *WHOLE)
    office.until(lambda: len(list(journal.find(kind="gate.refused"))) == 2)
    assert len(list(journal.find(kind="gate.decided"))) == 1
    posted = [record.body["ts"] for record in journal.find(kind="slack.posted")]
    assert posted[:4] == [post.ts for post in office.posts()[:4]]


# What a request brings along


def test_no_address_in_a_request_is_ever_called(office: Office) -> None:
    """Signed as Slack's or not: what it names as ``response_url`` is not what is answered."""
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)

        do_GET = do_POST

    running = office.open(http=True)
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/latest/meta-data"
        post = office.contain()
        requests = [_command(office, address), _click(office, post, address)]
        for body in requests:
            headers = signed(body, office.slack.installation.signing_secret)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = httpx.post(running.service.address, content=body, headers=headers)
            assert answer.status_code == 200
        office.said_to(office.mallory, "Clampdown contains compromised instances")
        office.said_to(office.rita, "started this incident")
        server.shutdown()
    assert asked == []


def _command(office: Office, address: str) -> bytes:
    sent = office.mallory.command("/clampdown help", office.room)
    return _changed(sent, address)


def _click(office: Office, post: Message, address: str) -> bytes:
    return _changed(office.click(office.rita, post, "gate_approve"), address)


def _changed(ack: Ack, address: str) -> bytes:
    assert ack.request is not None
    payload = {**ack.request.payload, "response_url": address}
    if ack.request.kind == "slash_commands":
        return urlencode(payload).encode()
    return urlencode({"payload": json.dumps(payload)}).encode()
