"""The App Home: what waits for one person, and nothing that is for others to decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flows.approvals import groups_of
from flows.identity import Identity
from flows.journal.record import Record
from flows.slack.actions import APPROVE, AWAY, DENY, NEW, RESUME_AUTOMATIC, REVIEW, TASK_DONE
from flows.slack.away import NOBODY_AWAY, Away
from flows.slack.budgets import Budgets
from flows.slack.freeze import Freeze
from flows.slack.home import Tasks, home
from flows.slack.message import Block
from flows.slack.told import Told
from tests.flows.people import ACCOUNT, TEAM
from tests.flows.slack.incidents import buttons, shown
from tests.flows.slack.limits import check_view
from tests.flows.slack.made_up import BEGAN, ID, SYSTEM, some_playbooks, some_records

ANA, BEN, RIA = (Identity("slack", user, TEAM) for user in ("U0ANA", "U0BEN", "U0RIA"))
LEA = Identity("slack", "U0LEA", TEAM, usergroups=("S0LEADS",))
EVE = Identity("slack", "U0EVE", TEAM)
BUDGETS = Budgets({ACCOUNT: 12}, 200, 10, 10)
PLAYBOOKS = some_playbooks(lambda: "words")
RECORDS = some_records(lambda: "words", PLAYBOOKS)
NOW = BEGAN + timedelta(minutes=5)
# How far the story goes, by the kind of the last record.
ASKED = next(r.seq for r in RECORDS if r.kind == "gate.requested")
ESCALATED = next(r.seq for r in RECORDS if r.kind == "gate.escalated")
DECIDED = next(r.seq for r in RECORDS if r.kind == "gate.decided")
TASKS = max(r.seq for r in RECORDS if r.kind == "manual.requested")


def view(
    identity: Identity,
    upto: int,
    *,
    away: Away = NOBODY_AWAY,
    others: int = 0,
    freeze: Freeze | None = None,
    shadow: bool = False,
) -> Block:
    told = Told(RECORDS[:upto], PLAYBOOKS, NOW, away)
    groups = groups_of(identity, PLAYBOOKS.approvers)
    open_ = [task for task in told.incident.manual if task.done is None and task.by in groups]
    number = 0 if told.is_over else len(open_) * (1 + others)
    tasks = Tasks(number, [(told, task) for task in open_][:number])
    made = home(
        identity, [told] * (1 + others), PLAYBOOKS, BUDGETS, away, tasks, freeze, shadow=shadow
    )
    check_view(made)
    return made


def test_a_gate_waits_for_those_who_may_decide_it() -> None:
    said = shown(view(ANA, ASKED))
    assert "Waiting for you: 1" in said
    assert "*LIVE words*: `i-0123456789abcdef0` (words)" in said
    assert "leaves `words`" in said
    assert "*55 min left*, asked 4 min 56 s ago; needs 0/2 of oncall" in said
    assert f"`{ID}` gate `contain` in <#C0INCIDENT>" in said
    assert {APPROVE, DENY} <= set(buttons(view(ANA, ASKED)))


@pytest.mark.parametrize(
    "identity",
    [
        RIA,  # has asked for it
        EVE,  # is in no group
        LEA,  # is in a group that isn't asked yet
        replace(ANA, guest=True),
        replace(ANA, stranger=True),
        replace(ANA, team="T0OTHER"),
    ],
)
def test_nothing_waits_for_those_who_may_not(identity: Identity) -> None:
    said = shown(view(identity, ASKED))
    assert "Nothing waits for you" in said
    assert APPROVE not in buttons(view(identity, ASKED))


def test_an_escalated_gate_waits_for_the_next_group_as_well() -> None:
    assert "Waiting for you: 1" in shown(view(LEA, ESCALATED))
    assert "Waiting for you: 1" in shown(view(ANA, ESCALATED))


def test_broken_glass_waits_to_be_reviewed_by_somebody_else() -> None:
    said = shown(view(BEN, DECIDED))
    assert "The glass was broken: *review it*, until <!date^" in said
    assert set(buttons(view(BEN, DECIDED))) >= {REVIEW}
    assert "Nothing waits for you" in shown(view(ANA, DECIDED))


def test_nothing_waits_once_the_incident_is_aborted() -> None:
    said = shown(view(BEN, len(RECORDS)))
    assert "Nothing waits for you" in said
    assert "To do" not in said
    assert "*Open incidents*\nNone." in said


def test_tasks_wait_for_their_group() -> None:
    assert "To do: 1" in shown(view(BEN, TASKS))
    assert "☐ words\nLIVE `inc-20261123-7f3a9c` in <#C0INCIDENT>" in shown(view(BEN, TASKS))
    assert buttons(view(BEN, TASKS))[TASK_DONE]["value"] == f"{ID} call"
    assert buttons(view(LEA, TASKS))[TASK_DONE]["value"] == f"{ID} write"
    assert "To do" not in shown(view(EVE, TASKS))


def test_deputies_see_for_whom_they_stand_in() -> None:
    away = {"U0ANA": NOW + timedelta(hours=4)}
    assert "You stand in" not in shown(view(BEN, 1))
    assert "• for <@U0ANA> in `oncall`, until <!date^" in shown(view(BEN, 1, away=away))
    assert "You stand in" not in shown(view(RIA, 1, away=away))


def test_own_absence_is_shown_and_set_here() -> None:
    def offered(made: Block) -> list[str]:
        (select,) = [b["accessory"] for b in made["blocks"] if "accessory" in b]
        assert select["action_id"] == AWAY
        return [option["value"] for option in select["options"]]

    assert offered(view(ANA, 1)) == ["4h", "1d", "1w"]
    assert "You are not away" in shown(view(ANA, 1))
    away = {"U0ANA": NOW + timedelta(hours=4)}
    assert offered(view(ANA, 1, away=away)) == ["4h", "1d", "1w", "back"]
    assert "You are away until <!date^" in shown(view(ANA, 1, away=away))


def test_what_is_left_of_the_budgets() -> None:
    said = shown(view(EVE, 1))
    assert f"• words `{ACCOUNT}`: 12 of 200 changes within the last hour" in said
    assert "• 🔴 10 of 10 incidents started automatically within the last hour, 0 are left" in said


def test_a_freeze_stands_first_with_a_button_for_those_who_may_lift_it() -> None:
    body = {"why": "10 of 10 within the hour", "simulate": ""}
    freeze = Freeze(Record("automatic", 7, NOW, "automatic.frozen", SYSTEM, body, "", ""))
    said = shown(view(ANA, 1, freeze=freeze))
    assert said.startswith("🧊 LIVE Everything automatic is frozen\nSince <!date^")
    assert "10 of 10 within the hour." in said
    assert "started automatically within the last hour: *frozen* since <!date^" in said
    assert buttons(view(ANA, 1, freeze=freeze))[RESUME_AUTOMATIC]["value"] == "7"
    assert RESUME_AUTOMATIC not in buttons(view(EVE, 1, freeze=freeze))
    assert "frozen" not in shown(view(ANA, 1))


def test_open_incidents_and_how_to_begin_one() -> None:
    said = shown(view(EVE, ASKED))
    assert f"• `{ID}` LIVE words, i-0123456789abcdef0: 🟡 Waiting for approval: contain (" in said
    assert NEW in buttons(view(EVE, ASKED))
    assert "None." in shown(home(EVE, [], PLAYBOOKS, BUDGETS, {}))


def test_what_has_no_room_is_counted() -> None:
    said = shown(view(ANA, ASKED, others=40))
    assert "Waiting for you: 41" in said
    assert "… and 26 more that are due later." in said
    assert "To do: 31" in shown(view(BEN, TASKS, others=30))
    assert "… and 30 more." in shown(view(BEN, TASKS, others=30))


def test_what_is_due_first_stands_first() -> None:
    late = [replace(record, incident="inc-20261123-000000") for record in RECORDS[:ASKED]]
    body = {**late[-1].body, "expires_at": "2026-11-23T03:20:00.000000Z"}
    late[-1] = replace(late[-1], body=body)
    incidents = [Told(story, PLAYBOOKS, NOW) for story in (RECORDS[:ASKED], late)]
    said = shown(home(ANA, incidents, PLAYBOOKS, BUDGETS, {}))
    assert said.index("*3 min left*") < said.index("*55 min left*")


def test_in_shadow_it_says_so_above_all_else() -> None:
    said = shown(view(ANA, ASKED, shadow=True))
    assert said.index("SHADOW") < said.index("Waiting for you")
    assert "Nothing is opened or changed" in said
    assert "SHADOW" not in shown(view(ANA, ASKED))
