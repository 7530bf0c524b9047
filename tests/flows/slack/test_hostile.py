"""Whatever an intruder writes, wherever: it pings nobody, links nothing, and Slack takes the blocks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from itertools import cycle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.identity import Identity
from flows.incident_report import incident_report
from flows.journal.record import Actor, Record
from flows.slack import modals, pages
from flows.slack.budgets import Budgets
from flows.slack.commands import Contain
from flows.slack.freeze import Freeze, freeze_messages
from flows.slack.home import MOST_TASKS, Tasks, home
from flows.slack.message import Block
from flows.slack.pick import Picked
from flows.slack.thread import messages
from flows.slack.told import Told
from runbooks.calls import Plan
from tests.flows.people import ACCOUNT, TEAM
from tests.flows.slack.limits import check_message, check_view
from tests.flows.slack.made_up import BEGAN, ID, some_playbooks, some_records

NASTY = (
    "<!channel>",
    "<!here|here> <@U061F7AUR> <!subteam^S0EVIL|@ops>",
    "<https://evil.example|AWS console>",
    "https://evil.example/approve",
    "ok\n*Approved by the CISO*\n```",
    "\u202eevorppa\u202c \u200b\u2066\u2069\ufeff",
    "&lt;!channel&gt; &amp;",
    "`*_~:white_check_mark:~_*`",
    "\x00\x1b[31m\x85\u2028\u2029",
    "<pending:<!channel>>",
    "<pending:any <@U1> x>",
    "arn:aws:ec2:eu-west-1:123456789012:instance/i-0abc",
    "{names} {n} {0} %s",
    "|a|b|\\",
    "",
    " ",
)
TEXTS = st.lists(
    st.sampled_from(NASTY)
    | st.text(max_size=40)
    | st.builds(lambda text, times: text * times, st.sampled_from(NASTY), st.integers(2, 400)),
    min_size=1,
    max_size=7,
)


class Hostile:
    """Gives out the texts one after the other, again and again."""

    def __init__(self, texts: list[str]) -> None:
        self._texts: Iterator[str] = cycle(texts)

    def __call__(self) -> str:
        return next(self._texts)


def frozen(text: Hostile, *, lifted: bool = False) -> Freeze:
    """A freeze whose reasons, and who has lifted it, are a test's."""
    actor = Actor("person", f"slack:{TEAM}/{text()}", "slack")
    records = [
        Record("automatic", seq, BEGAN, kind, actor, {"why": text(), "simulate": text()}, "", "")
        for seq, kind in enumerate(("automatic.frozen", "automatic.resumed"), start=1)
    ]
    return Freeze(records[0], records[1] if lifted else None)


def views(told: Told) -> Iterator[Block]:
    """Every view that there can be of an incident."""
    incident = told.incident
    plan = incident.plan or Plan("p", "v", (), ())
    for page in (0, 1, 99):
        yield pages.every_call(ID, plan, page)
        yield pages.timeline(told.records, page)
    for gate in told.gates:
        if gate.status != "skipped":
            yield modals.deny(told, gate)
            yield modals.break_glass(told, gate)
            yield modals.step_up(told, gate)
    yield modals.undo(incident)
    yield modals.abort(incident)
    for task in incident.manual:
        yield modals.task_note(told, task.id, done=True)
        yield modals.task_note(told, task.id, done=False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.integers(1, 36), st.sampled_from([1, 4]), st.integers(0, 7200))
def test_no_text_of_others_reaches_slack_as_anything_but_text(
    texts: list[str], upto: int, many: int, seconds: int
) -> None:
    text = Hostile(texts)
    playbooks = some_playbooks(text)
    records = some_records(text, playbooks, many=many)[:upto]
    now = BEGAN + timedelta(seconds=seconds)
    away = {"U0ANA": now + timedelta(hours=1)}
    for message in messages(records, playbooks, now, away):
        check_message(message)
    told = Told(records, playbooks, now, away)
    for view in views(told):
        check_view(view)
    budgets = Budgets({ACCOUNT: 250}, 200, 3, 10)
    for user in ("U0ANA", "U0BEN", "U0RIA"):
        identity = Identity("slack", user, TEAM)
        open_ = [(told, task) for task in told.incident.manual] * MOST_TASKS
        tasks = Tasks(len(open_), open_[:MOST_TASKS])
        check_view(home(identity, [told] * 40, playbooks, budgets, away, tasks, frozen(text)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
def test_no_text_of_others_reaches_what_is_told_of_a_freeze_as_anything_but_text(
    texts: list[str],
) -> None:
    text = Hostile(texts)
    for freeze in (frozen(text), frozen(text, lifted=True)):
        records = [record for record in (freeze.frozen, freeze.lifted) if record]
        made = freeze_messages(records, some_playbooks(text), BEGAN)
        assert len(made) == 1
        check_message(made[0])
        check_view(modals.lift_freeze(freeze))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
def test_no_text_of_others_reaches_a_form_as_anything_but_text(texts: list[str]) -> None:
    text = Hostile(texts)
    view = modals.trigger(
        some_playbooks(text),
        offers_simulation=True,
        always_simulates=False,
        asked=Contain(text(), text(), text()),
        picked=Picked((text(), text()), (text(),)),
        metadata="C0INCIDENT",
    )
    for block in view["blocks"]:
        # What somebody may change before they send it stands in the field as it was typed.
        block.get("element", {}).pop("initial_value", None)
    check_view(view)
    check_view(modals.notice(text(), text(), more=[text()] * 30))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.integers(1, 36))
def test_a_report_has_no_markup_but_its_own(texts: list[str], upto: int) -> None:
    text = Hostile(texts)
    playbooks = some_playbooks(text)
    report = incident_report(some_records(text, playbooks)[:upto], playbooks)
    for line in report.splitlines():
        assert all(unicodedata.category(letter) not in ("Cc", "Cf") for letter in line)
        # Outside of code, what would begin a link or HTML is escaped.
        prose = re.sub(r"\\.|`[^`]*`", "", line)
        assert not re.search(r"[<\[]", prose), line


@pytest.mark.parametrize("nasty", NASTY)
def test_each_of_the_known_ways_alone(nasty: str) -> None:
    text = Hostile([nasty])
    playbooks = some_playbooks(text)
    records = some_records(text, playbooks)
    for upto in range(1, len(records) + 1):
        for message in messages(records[:upto], playbooks, BEGAN + timedelta(minutes=5)):
            check_message(message)
