"""What an incident's thread says of its findings, and of what goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.slack.server import SimulatedSlack
from flows.identity import SERVICE
from flows.intake.finding import Finding
from flows.slack.actions import APPROVE, UNDO
from flows.slack.message import Message
from flows.slack.opening import opening
from flows.slack.thread import messages
from flows.slack.told import Told
from tests.flows.people import TARGET
from tests.flows.scene import Scene
from tests.flows.slack.incidents import NAME, TAG_ONE, buttons, shown, thread, write
from tests.flows.slack.incidents import finding as finding_about_the_victim
from tests.flows.slack.limits import check_message
from tests.flows.slack.newsroom import Newsroom, hurry
from tests.flows.slack.office import ONE, TWO, Office, gate

C2 = "Backdoor:EC2/C&CActivity.B"


@pytest.fixture
def newsroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Newsroom]:
    hurry(monkeypatch)
    with SimulatedSlack(unlimited=True) as slack:
        made = Newsroom(slack, tmp_path / "journal.db")
        yield made
        made.close()


class Case:
    """An incident about which findings come in: what its thread says of that."""

    def __init__(self, newsroom: Newsroom) -> None:
        self.newsroom = newsroom
        self.id = newsroom.open()

    def find(self, identity: str = "f1", kind: str = "joined", **about: Any) -> None:
        finding = {
            "source": "guardduty",
            "account": TARGET.account,
            "region": TARGET.region,
            "id": identity,
            "type": C2,
            "severity": 8.0,
            "title": "It talks to a C2 server",
            **about,
        }
        self.newsroom.write(self.id, f"finding.{kind}", {"finding": finding})

    def told(self) -> Told:
        records = self.newsroom.journal.records(self.id)
        return Told(records, self.newsroom.playbooks, datetime.now(UTC))

    def thread(self) -> list[Message]:
        told = self.told()
        found = messages(told.records, told.playbooks, told.now)
        for message in found:
            check_message(message)
        return found

    def news(self) -> list[str]:
        return [shown(m) for m in self.thread() if m.key.startswith(("finding", "asked"))]


@pytest.fixture
def case(newsroom: Newsroom) -> Case:
    return Case(newsroom)


def test_another_finding_is_told_once_however_often_it_goes_on(case: Case) -> None:
    case.find(severity=4.0)
    case.find(severity=8.0)
    case.find("f2", type="CryptoCurrency:EC2/BitcoinTool.B", title="<!channel> it mines")
    one, two = case.news()
    assert one == (
        f"➕ *Another finding* about {TARGET.id}: `Backdoor:EC2/C&amp;CActivity.B` 4 medium "
        "It talks to a C2 server\nFinding `f1`. 1 finding by now."
    )
    assert "&lt;!channel&gt; it mines" in two
    assert "2 findings by now." in two
    said = shown(opening(case.told()))
    assert "*2 findings*" in said
    assert "*Severity*: 8 high" in said
    assert "Then `CryptoCurrency:EC2/BitcoinTool.B` 8 high" in said


def test_what_is_resolved_and_open_again_is_told_and_counted(case: Case) -> None:
    case.find("f1")
    case.find("f2")
    case.find("f1", "resolved")
    case.find("f1", "resolved")
    assert "*2 findings, 1 of them resolved*" in shown(opening(case.told()))
    assert "None of its findings is open" not in case.news()[-1]
    case.find("f2", "resolved")
    *_, first, second = case.news()
    assert first.startswith("☑️ *Archived or resolved* where it came from: `Backdoor:")
    assert f"`clampdown undo {case.id}` does" in first
    assert "None of its findings is open any more." in second
    case.find("f1")
    assert case.news()[-1].startswith("➕ *Open again, a finding* about ")
    assert len(case.news()) == 5


def test_a_flood_of_findings_is_one_message_after_the_first(case: Case) -> None:
    for number in range(50):
        case.find(f"f{number}")
    case.find("f0", "resolved")
    found = [m.key for m in case.thread() if m.key.startswith("finding")]
    assert len(found) == 21
    assert found[-1] == "findings"
    assert "30 more joined, 1 more resolved. The last: `Backdoor" in case.news()[-1]
    assert "*50 findings, 1 of them resolved*" in shown(opening(case.told()))
    assert "and 45 more" in shown(opening(case.told()))


def test_what_was_only_proposed_and_starts_by_itself_is_told(case: Case) -> None:
    body = {"automatic": True, "simulate": "", "reason": f"{C2} f1"}
    case.newsroom.write(case.id, "incident.asked", body)
    (said,) = case.news()
    assert said.startswith("▶️ *What was only proposed starts by itself now*")
    assert "C&amp;CActivity.B f1" in said
    case.newsroom.write(case.id, "incident.asked", {**body, "automatic": False})
    assert len(case.news()) == 1


def test_findings_after_the_end_are_told_in_the_same_thread(case: Case) -> None:
    newsroom = case.newsroom
    newsroom.tell()
    newsroom.step(case.id)
    newsroom.end(case.id)
    newsroom.until(lambda: newsroom.records("slack.told"))
    case.find("f1")
    case.find("f1", "resolved")
    newsroom.until(lambda: len(newsroom.posts()) == 6)
    told = newsroom.keys()
    assert [key for key in told if key.startswith("finding")] == [
        f"finding:{record.seq}"
        for kind in ("finding.joined", "finding.resolved")
        for record in newsroom.records(kind)
    ]
    first, *replies = newsroom.posts()
    assert {post.thread_ts for post in replies} == {first.ts}
    newsroom.until(lambda: "Finding, resolved" in str(newsroom.posts()[0].blocks))


# Paused


def test_a_paused_incident_waits_for_nobody_but_the_service(case: Case) -> None:
    case.newsroom.write(case.id, "incident.paused", {"why": "The service is ending."})
    said = "⏸️ Paused: the service is restarting, and goes on by itself"
    assert f"*{said}*" in shown(opening(case.told()))
    assert opening(case.told()).text.endswith(f"{said}.")
    case.newsroom.write(case.id, "incident.started", {"reason": "gone on with"})
    assert "Paused" not in shown(opening(case.told()))


def test_who_was_asked_before_a_pause_is_asked_still(case: Case) -> None:
    case.newsroom.ask(case.id)
    case.newsroom.write(case.id, "incident.paused", {"why": "The service is ending."})
    said = shown(opening(case.told()))
    assert "goes on by itself. Still to approve: contain (0/1 of oncall)*" in said
    assert "Waiting for approval" not in said
    (asked,) = [m for m in case.thread() if m.key.startswith("gate")]
    assert APPROVE in buttons(asked)


def test_a_paused_undo_says_so(case: Case) -> None:
    case.newsroom.write(case.id, "undo.started", {"step": None})
    case.newsroom.write(case.id, "incident.paused", {"why": "The service is ending."})
    assert "⏸️ The undo is paused: the service is restarting" in shown(opening(case.told()))


def test_a_service_that_ends_leaves_an_approval_that_can_be_given_meanwhile(office: Office) -> None:
    office.write(ONE, gate(), TWO)
    first = office.open()
    question = office.contain()
    first.stop()
    paused = office.until(lambda: next(iter(office.records("incident.paused")), None))
    assert paused.incident == office.incident().id
    office.post("⏸️ Paused", "Still to approve")
    office.open()
    assert office.click(office.alice, question, APPROVE).ok
    office.status("contained")
    office.post("🟢 Contained and verified", "*Target*")


# A finding that goes on

ROUTES = [{"match": {"type": "CryptoCurrency:EC2/*"}, "playbook": NAME, "mode": "automatic"}]


def test_an_end_that_is_as_it_was_is_not_told_again(scene: Scene) -> None:
    """GuardDuty repeats a finding every few minutes, and each time all is looked at again."""
    write(scene, TAG_ONE, routes=ROUTES)
    incident = _respond(scene, finding_about_the_victim(scene))
    before = thread(scene, incident)
    assert {"summary", "report"} <= set(before)
    for number in range(2):
        again = finding_about_the_victim(scene, count=number, severity=9.0)
        assert _respond(scene, again) == incident
    kinds = [record.kind for record in scene.responders[0].journal.records(incident)]
    assert (kinds.count("incident.asked"), kinds.count("incident.closed")) == (2, 3)
    after = thread(scene, incident)
    assert set(after) == set(before)
    assert UNDO in buttons(after["summary"])

    # Somebody has taken it away meanwhile: that it is contained again is news.
    scene.untag("one")
    _respond(scene, finding_about_the_victim(scene, count=9))
    changed = thread(scene, incident)
    assert {"summary:2", "report:2"} <= set(changed)
    assert UNDO not in buttons(changed["summary"])
    assert UNDO in buttons(changed["summary:2"])


def _respond(scene: Scene, about: Finding) -> str:
    return scene.responder().respond(about, SERVICE, prefect=False).incident.id
