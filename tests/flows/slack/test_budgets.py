"""What is left of the budgets counts as the guardrails do."""

from __future__ import annotations

from typing import Any

from flows.journal.record import Record
from flows.slack.budgets import budgets
from tests.flows.people import ACCOUNT
from tests.flows.slack.made_up import BEGAN, SYSTEM, some_playbooks

PLAYBOOKS = some_playbooks(lambda: "words")


def record(**body: Any) -> Record:
    return Record("inc-20261123-7f3a9c", 1, BEGAN, "x", SYSTEM, body, "", "")


def intent(mode: str = "live", *, account: str = ACCOUNT, undoes: int | None = None) -> Record:
    return record(mode=mode, target={"account": account}, undoes=undoes)


def test_changes_of_each_account_and_side_are_counted_but_no_undos() -> None:
    intents = [intent(), intent(), intent("simulated"), intent(undoes=7), intent(account="1" * 12)]
    live = budgets(PLAYBOOKS, intents, 0, "")
    assert (live.changes, live.changes_limit) == ({ACCOUNT: 2}, 200)
    assert budgets(PLAYBOOKS, intents, 0, "http://127.0.0.1:1").changes == {ACCOUNT: 1}


def test_what_has_started_automatically_stands_beside_its_limit() -> None:
    live = budgets(PLAYBOOKS, [], 3, "")
    assert (live.automatic, live.automatic_limit) == (3, 10)
