"""When nothing starts by itself any more: who is paged, what they read, and who lifts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.automatic import CHAIN, FROZEN, RESUMED, Automatic
from flows.gameday.slack.faults import Fault
from flows.gameday.slack.server import SimulatedSlack
from flows.identity import SERVICE
from flows.incident import Incident
from flows.journal.record import Record
from flows.slack import pace
from flows.slack.actions import RESUME_AUTOMATIC
from flows.slack.freeze import freeze_messages, freezes, paged
from flows.slack.message import Message
from flows.slack.modals import WHY
from runbooks.playbook import Playbooks
from tests.flows.people import ACCOUNT, ALICE, TEAM
from tests.flows.slack.incidents import buttons, shown
from tests.flows.slack.limits import check_message
from tests.flows.slack.made_up import BEGAN, SYSTEM
from tests.flows.slack.newsroom import Newsroom, hurry
from tests.flows.slack.office import ONE, Office
from tests.flows.test_responder import finding

C2 = "Backdoor:EC2/C&CActivity.B"
WHY_FROZEN = "11 incidents were started automatically within the last hour and the limit is 10"
SIMULATED = "http://127.0.0.1:9"
APPROVERS: dict[str, Any] = {
    "oncall": {
        "slack_team": TEAM,
        "slack_users": ["U0ANA", "U0BEN"],
        "deputies": {"U0ANA": "U0BEN"},
    },
    "leads": {"slack_team": TEAM, "slack_usergroup": "S0LEADS", "slack_users": ["U0BEN"]},
    "experts": {"slack_team": TEAM, "slack_users": ["U0BEN", "U0CAT"]},
    "terminal": {"local_users": ["carol"]},
}


def book(**slack: Any) -> Playbooks:
    steps = [{"step": "ec2.isolate"}]
    return Playbooks.model_validate(
        {
            "version": 1,
            "accounts": {ACCOUNT: {"name": "a", "environment": "test"}},
            "approvers": APPROVERS,
            "slack": {"channel": "C0INCIDENT", **slack},
            "playbooks": {"p": {"title": "t", "target": "ec2.instance", "steps": steps}},
        }
    )


def record(seq: int, kind: str, simulate: str = "", why: str = WHY_FROZEN) -> Record:
    body = {"why": why, "simulate": simulate}
    return Record(CHAIN, seq, BEGAN + timedelta(hours=seq), kind, SYSTEM, body, "", "")


def told(*records: Record, playbooks: Playbooks | None = None, **more: Any) -> list[Message]:
    now = more.pop("now", records[-1].at)
    found = freeze_messages(records, playbooks or book(), now, **more)
    for message in found:
        check_message(message)
    return found


# What there is to say


def test_a_freeze_is_lifted_by_what_comes_next_on_its_side() -> None:
    found = freezes(
        [
            record(1, FROZEN),
            record(2, FROZEN, SIMULATED),
            record(3, RESUMED),
            record(4, "slack.posted"),
            record(5, FROZEN),
            record(6, FROZEN),
            record(7, RESUMED, "http://127.0.0.1:10"),
        ]
    )
    assert [(one.seq, one.lifted and one.lifted.seq, one.simulate) for one in found] == [
        (1, 3, ""),
        (2, None, SIMULATED),
        (5, None, ""),
    ]


def test_it_says_what_happened_what_follows_and_who_lifts_it() -> None:
    (message,) = told(record(3, FROZEN))
    said = shown(message)
    assert said.startswith("🧊 LIVE Everything automatic is frozen\n")
    assert f"{WHY_FROZEN}." in said
    assert "Findings are only *proposed* meanwhile" in said
    assert "one of `oncall`, `leads`, `experts`, `terminal` lifts it" in said
    assert (message.thread, message.key) == (False, "frozen:3")
    assert buttons(message)[RESUME_AUTOMATIC]["value"] == "3"
    assert "[SIMULATED]" in shown(told(record(3, FROZEN, SIMULATED))[0])


def test_everybody_is_paged_once() -> None:
    everybody = ["<@U0ANA>", "<@U0BEN>", "<!subteam^S0LEADS>", "<@U0CAT>"]
    assert paged(book(), {}) == everybody
    some = ["<!subteam^S0LEADS>", "<@U0BEN>", "<@U0CAT>"]
    assert paged(book(triggers=["leads", "experts"]), {}) == some
    away = {"U0ANA": BEGAN + timedelta(days=1)}
    assert paged(book(triggers=["oncall"]), away) == ["<@U0BEN>"]
    assert paged(book(triggers=["terminal"]), {}) == []
    (message,) = told(record(3, FROZEN), playbooks=book(triggers=["terminal"]))
    assert "Nobody who may lift it is in Slack." in shown(message)


def test_once_lifted_it_says_by_whom_and_why_and_pings_nobody() -> None:
    first = told(record(3, FROZEN))[0]
    (after,) = told(record(3, FROZEN), record(4, RESUMED, why="a load test"))
    said = shown(after)
    assert after.key == first.key
    assert "Incidents start automatically again" in said
    assert "Lifted by clampdown" in said
    assert "a load test" in said
    assert WHY_FROZEN in said
    assert not buttons(after)
    assert "U0ANA" not in said


def test_of_old_freezes_nothing_is_told() -> None:
    old, lifted = record(1, FROZEN), record(2, RESUMED)
    now = lifted.at + timedelta(days=6, hours=23)
    assert len(told(old, lifted, now=now)) == 1
    assert told(old, lifted, now=now + timedelta(hours=2)) == []


# Telling it


@pytest.fixture
def newsroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Newsroom]:
    hurry(monkeypatch)
    with SimulatedSlack(unlimited=True) as slack:
        made = Newsroom(slack, tmp_path / "journal.db")
        yield made
        made.close()


def freeze(newsroom: Newsroom, simulate: str = "") -> int:
    body = {"why": WHY_FROZEN, "simulate": simulate}
    return newsroom.journal.append(CHAIN, FROZEN, body, SYSTEM).seq


def lift(newsroom: Newsroom, why: str = "a load test") -> None:
    Automatic(newsroom.journal, "").lift(ALICE, why, newsroom.playbooks)


def test_it_is_told_once_and_updated_by_whichever_process_tells(newsroom: Newsroom) -> None:
    first = newsroom.tell()
    seq = freeze(newsroom)
    (post,) = newsroom.until_told(f"frozen:{seq}")
    assert not post.is_reply
    newsroom.until(lambda: newsroom.records("slack.posted"))
    first.kill()
    assert Automatic(newsroom.journal, "").frozen() is not None

    second = newsroom.tell()
    lift(newsroom)
    newsroom.until(lambda: "start automatically again" in newsroom.posts()[0].text)
    assert "a load test" in str(newsroom.posts()[0].blocks)
    newsroom.until(lambda: newsroom.records("slack.told"))
    second.kill()
    assert newsroom.posts()[0].ts == post.ts
    assert Automatic(newsroom.journal, "").frozen() is None

    newsroom.tell()
    again = freeze(newsroom)
    newsroom.until_told(f"frozen:{seq}", f"frozen:{again}")


def test_while_slack_is_down_it_is_kept_and_told_when_it_is_back(newsroom: Newsroom) -> None:
    newsroom.slack.down()
    teller = newsroom.tell()
    seq = freeze(newsroom)
    incident = newsroom.open()
    newsroom.until(lambda: "no answer" in teller.poster.problem)
    assert teller.poster.behind > 0
    newsroom.slack.up()
    newsroom.until_told(f"frozen:{seq}", "opening")
    lift(newsroom)
    # Not once nothing is behind: that it was lifted may not have come to the poster yet.
    newsroom.until(lambda: "a load test" in str(newsroom.posts()[0].blocks))
    newsroom.until(lambda: teller.poster.behind == 0)
    assert {r.incident for r in newsroom.records("slack.posted")} == {CHAIN, incident}


def test_what_a_killed_process_has_posted_and_not_recorded_is_found(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_SHORTEST_PAUSE", 60.0)
    newsroom.slack.fault(Fault(method="chat.postMessage", effect="lost_answer", times=1))
    first = newsroom.tell()
    seq = freeze(newsroom)
    newsroom.until(lambda: first.poster.problem)
    first.kill()
    assert newsroom.records("slack.posted") == []
    newsroom.tell()
    newsroom.until(lambda: newsroom.records("slack.posted"))
    (post,) = newsroom.until_told(f"frozen:{seq}")
    assert newsroom.records("slack.posted")[0].body["ts"] == post.ts


def test_freezes_from_before_slack_was_set_up_are_not_told(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    for kind in (FROZEN, RESUMED, FROZEN):
        body = {"why": "then", "simulate": ""}
        newsroom.journal.append(CHAIN, kind, body, SYSTEM, at=long_ago)
    newsroom.tell()
    newsroom.open()
    newsroom.until_told("opening")
    lift(newsroom)
    newsroom.until_told("opening", "frozen:3")


# Lifting it

ROUTES = (
    "guardrails: {budgets: {automatic_isolations_per_hour: 1}}\n"
    'routes: [{match: {type: "Backdoor:EC2/*"}, playbook: tag-it, mode: automatic}]\n'
)


def respond(office: Office, name: str) -> Incident:
    """GuardDuty finds something about an instance; a route would contain it at once."""
    found = finding(office.scene, type=C2, severity=8.0, id=name)
    instance = office.scene.world.ids[name]
    about = found.resources[0].model_copy(update={"id": instance})
    found = found.model_copy(update={"resources": (about,)})
    return office.scene.responder().respond(found, SERVICE, prefect=False).incident


def frozen(office: Office) -> Any:
    """Two findings within the hour, of which one may start; the message about that."""
    office.write(ONE, more=ROUTES)
    office.open()
    assert respond(office, "victim").status == "contained"
    assert respond(office, "bystander").status == "proposed"
    return office.post("Everything automatic is frozen", RESUME_AUTOMATIC)


def test_a_freeze_pages_everybody_and_is_lifted_with_a_reason(office: Office) -> None:
    post = frozen(office)
    for person in (office.rita, office.alice, office.bob, office.carol):
        assert post in person.pings()
    assert post not in office.mallory.pings()
    assert "[SIMULATED] Everything automatic is frozen" in post.text
    assert "the limit is 1" in str(post.blocks)

    assert office.alice.open_home().ok
    office.until(lambda: office.alice.home and "is frozen" in str(office.alice.home.blocks))
    assert office.click(office.alice, post, RESUME_AUTOMATIC).ok
    form = office.modal(office.alice, "What did you find out?")
    blank = office.alice.submit(form, {WHY: " "})
    assert "Say why" in str(blank.body)
    form = office.modal(office.alice, "What did you find out?")
    assert office.alice.submit(form, {WHY: "it was a load test"}).ok
    after = office.shows(post, "start automatically again", "it was a load test")
    assert f"Lifted by <@{office.alice.id}>" in shown({"blocks": after.blocks})
    assert RESUME_AUTOMATIC not in str(after.blocks)
    office.said_to(office.alice, "Incidents start automatically again")
    (resumed,) = office.records(RESUMED)
    assert resumed.actor.id.endswith(office.alice.id)
    assert office.alice.home is not None
    office.until(lambda: "is frozen" not in str(office.alice.home.blocks))  # type: ignore[union-attr]
    assert respond(office, "standalone").status == "contained"

    # An old button, and one of another freeze, lift nothing more.
    assert office.bob.click(office.room, post.ts, RESUME_AUTOMATIC, seen=post).ok
    office.said_to(office.bob, "has lifted this already")
    assert office.bob.modal is None


def test_who_is_in_no_group_or_a_guest_lifts_nothing_and_that_is_recorded(office: Office) -> None:
    post = frozen(office)
    assert office.click(office.mallory, post, RESUME_AUTOMATIC).ok
    form = office.modal(office.mallory, "What did you find out?")
    assert office.mallory.submit(form, {WHY: "I say so"}).ok
    office.said_to(office.mallory, "is in no group of approvers")
    office.alice.become(is_restricted=True)
    assert office.alice.command("/clampdown resume-automatic because", office.room).ok
    office.said_to(office.alice, "needs a reason")
    assert office.alice.command("/clampdown resume-automatic all is well", office.room).ok
    office.said_to(office.alice, "is in no group of approvers")
    assert office.records(RESUMED) == []
    by_mallory, by_alice = office.records("slack.refused")
    assert by_mallory.actor.id.endswith(office.mallory.id)
    assert by_alice.body == {
        "what": "let incidents start automatically again",
        "why": "it is a guest",
    }
    assert RESUME_AUTOMATIC in str(office.shows(post, "is frozen").blocks)


def test_a_freeze_is_lifted_with_a_command(office: Office) -> None:
    post = frozen(office)
    reason = "looked at both, because they were mine"
    assert office.bob.command(f"/clampdown resume-automatic {reason}", office.room).ok
    office.shows(post, "start automatically again", reason, f"<@{office.bob.id}>")
    assert office.bob.command("/clampdown resume-automatic again", office.room).ok
    office.said_to(office.bob, "Nothing automatic is frozen")
