"""The breaker: frozen by the budget, lifted by an approver, each side by itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.approvals import SYSTEM
from flows.automatic import Automatic
from flows.identity import SERVICE
from flows.journal.journal import Journal
from runbooks.errors import InvalidInput, Refused
from runbooks.playbook import Playbooks
from tests.flows.commands import Commands
from tests.flows.people import ALICE, APPROVERS, MALLORY, TARGET

LIVE, SIMULATED = "", "http://127.0.0.1:9"


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    journal = Journal.open(f"sqlite:///{tmp_path / 'journal.db'}")
    yield journal
    journal.close()


def playbooks(limit: int) -> Playbooks:
    steps = [{"step": "ec2.tag"}]
    return Playbooks.model_validate(
        {
            "version": 1,
            "accounts": {},
            "approvers": APPROVERS,
            "guardrails": {"budgets": {"automatic_isolations_per_hour": limit}},
            "playbooks": {"tag": {"title": "t", "target": "ec2.instance", "steps": steps}},
        }
    )


def started(journal: Journal, number: int, simulate: str = LIVE, **more: Any) -> None:
    body = {"automatic": True, "simulate": simulate, "targets": [TARGET.id], **more}
    journal.append(f"inc-20260101-{number:06x}", "incident.opened", body, SYSTEM)


def test_the_first_one_over_the_budget_freezes_all_that_come_after_it(journal: Journal) -> None:
    automatic = Automatic(journal, LIVE)
    started(journal, 1)
    assert automatic.frozen_or_spent(playbooks(2)) == ""
    started(journal, 2)
    assert "the limit is 2" in automatic.frozen_or_spent(playbooks(2))
    # Whatever the budget is now: people have to look first.
    assert "frozen since" in automatic.frozen_or_spent(playbooks(100))
    assert len(journal.records("automatic")) == 1


def test_what_people_have_started_counts_for_nothing(journal: Journal) -> None:
    started(journal, 1, automatic=False)
    started(journal, 2, simulate=SIMULATED)
    assert Automatic(journal, LIVE).frozen_or_spent(playbooks(1)) == ""


def test_a_simulation_freezes_nothing_that_is_live(journal: Journal) -> None:
    started(journal, 1, simulate=SIMULATED)
    assert Automatic(journal, SIMULATED).frozen_or_spent(playbooks(1))
    assert Automatic(journal, LIVE).frozen() is None


def test_lifted_by_an_approver_the_budget_begins_anew(journal: Journal) -> None:
    automatic = Automatic(journal, LIVE)
    started(journal, 1)
    assert automatic.frozen_or_spent(playbooks(1))
    automatic.lift(ALICE, "all of them were real", playbooks(1))
    assert automatic.frozen() is None
    assert automatic.frozen_or_spent(playbooks(1)) == ""
    started(journal, 2)
    assert "the limit is 1" in automatic.frozen_or_spent(playbooks(1))
    [frozen, resumed, again] = journal.records("automatic")
    assert (resumed.actor, resumed.body["why"]) == (ALICE.actor, "all of them were real")
    assert again.at - frozen.at < timedelta(minutes=1)


@pytest.mark.parametrize("who", [MALLORY, SERVICE])
def test_nobody_else_lifts_it(journal: Journal, who: Any) -> None:
    automatic = Automatic(journal, LIVE)
    started(journal, 1)
    automatic.frozen_or_spent(playbooks(1))
    with pytest.raises(Refused, match="in no group of approvers"):
        automatic.lift(who, "let me", playbooks(1))
    assert automatic.frozen() is not None


@pytest.mark.parametrize(("why", "says"), [("  ", "needs a reason"), ("so", "Nothing automatic")])
def test_it_takes_a_reason_and_something_to_lift(journal: Journal, why: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Automatic(journal, LIVE).lift(ALICE, why, playbooks(1))


def test_it_is_lifted_from_the_command_line(tmp_path: Path) -> None:
    clampdown = Commands(tmp_path)
    assert clampdown("resume-automatic", "--why", "nothing").code == 2
    journal = Journal.open(f"sqlite:///{clampdown.home / 'journal.db'}")
    body = {"why": "a flood", "simulate": ""}
    journal.append("automatic", "automatic.frozen", body, SYSTEM)
    lifted = clampdown("resume-automatic", "--why", "looked at all of them", "--json")
    assert (lifted.code, lifted.json) == (0, {"frozen": False})
    assert journal.records("automatic")[-1].body["why"] == "looked at all of them"
    journal.close()
