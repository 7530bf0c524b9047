"""The models of playbooks.yaml: their defaults, and what they are to those who use them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from runbooks.playbook import (
    Alternative,
    ApproverGroup,
    Gate,
    Playbook,
    RouteMatch,
    RunStep,
)
from runbooks.registry import STEPS
from tests.runbooks.playbook_files import SMALL, accepted, small


def gate(**given: Any) -> Gate:
    return Gate.model_validate({"id": "g", "by": "oncall", **given})


def test_a_gate_is_strict_unless_it_says_otherwise() -> None:
    made = gate()
    assert made.within == timedelta(minutes=15)
    assert made.otherwise == "deny"
    assert made.distinct_from == ("requester",)
    assert (made.quorum, made.deny_at) == (1, 1)
    assert (made.break_glass, made.step_up) == (None, None)


def test_by_and_quorum_are_short_for_one_alternative() -> None:
    assert gate(quorum=2).alternatives == (Alternative(group="oncall", count=2),)
    several = [{"group": "oncall", "count": 2}, {"group": "leads"}]
    assert Gate.model_validate({"id": "g", "any_of": several}).alternatives == (
        Alternative(group="oncall", count=2),
        Alternative(group="leads", count=1),
    )


def test_a_gate_knows_every_group_that_it_names_once() -> None:
    made = gate(
        otherwise="escalate", escalate_to="leads", break_glass="ciso", notify=["oncall", "legal"]
    )
    assert made.groups == ("oncall", "leads", "ciso", "legal")


@pytest.mark.parametrize(
    "given",
    [
        {"otherwise": "proceed"},
        {"otherwise": "escalate"},
        {"escalate_to": "leads"},
        {"any_of": [{"group": "leads"}]},
        {"by": None},
        {"quorum": 0},
        {"quorum": True},
        {"deny_at": 0},
        {"within": "0s"},
        {"within": "31d"},
        {"distinct_from": ["nobody"]},
        {"step_up": "sms"},
        {"aproval": 1},
    ],
    ids=str,
)
def test_a_gate_that_can_not_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        gate(**given)


def test_the_same_person_counts_once() -> None:
    group = ApproverGroup(slack_team="T1", slack_users=("U1", "U1"), local_users=("alice",))
    assert group.size == 2


def test_a_steps_id_is_its_name_unless_it_has_one() -> None:
    assert RunStep.model_validate({"step": "ec2.tag"}).id == "ec2.tag"
    assert RunStep.model_validate({"step": "ec2.tag", "id": "mark"}).id == "mark"


def test_what_happens_on_failure_is_the_steps_unless_the_playbook_says() -> None:
    step = STEPS["ec2.isolate"]
    assert RunStep.model_validate({"step": step.name}).on_failure_or_default(step) == "stop"
    entry = RunStep.model_validate({"step": step.name, "on_failure": "continue"})
    assert entry.on_failure_or_default(step) == "continue"


def test_a_playbook_lists_its_steps_in_order_with_those_of_blocks() -> None:
    more = "      - parallel: [{step: ec2.snapshot}, {step: ec2.tag, with: {tags: {a: b}}}]\n"
    loaded = accepted(SMALL + more).playbooks["compromise"]
    assert [step.step for step in loaded.run_steps()] == [
        "ec2.protect",
        "ec2.isolate",
        "ec2.snapshot",
        "ec2.tag",
    ]


def test_a_playbooks_version_is_that_of_its_meaning() -> None:
    def version(document: str) -> str:
        return accepted(document).playbooks["compromise"].version

    assert version(SMALL) == version(SMALL + "# a comment\n")
    assert version(SMALL) == version(small(("quorum: 1", "")) if "quorum: 1" in SMALL else SMALL)
    assert version(SMALL) != version(small(("untrack", "leave")))
    assert version(SMALL) != version(small(("by: oncall", "by: leads")))


def test_a_playbook_survives_the_journal() -> None:
    more = (
        "      - approve: {id: b, any_of: [{group: leads}], within: 1h30m, remind_every: 5m}\n"
        "        when: \"target.id == 'x'\"\n"
        "      - manual: {text: Look, by: leads}\n"
        "      - {step: ec2.tag, with: {tags: {a: '${finding.id}'}}, timeout: 2m, when: finding.id}\n"
    )
    loaded = accepted(SMALL + more).playbooks["compromise"]
    again = Playbook.model_validate(loaded.to_json())
    assert again == loaded
    assert again.version == loaded.version


def test_one_value_of_a_route_is_a_list_of_one() -> None:
    match = RouteMatch.model_validate({"type": "Backdoor:EC2/*", "account": "111122223333"})
    assert match.type == ("Backdoor:EC2/*",)
    assert match.account == ("111122223333",)


@pytest.mark.parametrize(
    ("text", "read"), [(">= 7", ">= 7"), ("<4.5", "< 4.5"), (" == 10 ", "== 10"), ("> 0", "> 0")]
)
def test_a_severity_is_a_comparison(text: str, read: str) -> None:
    assert RouteMatch.model_validate({"severity": text}).severity == read


@pytest.mark.parametrize(
    "text", ["7", "high", ">= 11", ">= -1", "=> 7", ">= 7 && true", ">= 1e1", ""]
)
def test_anything_else_is_no_severity(text: str) -> None:
    with pytest.raises(ValidationError, match="GuardDuty's scale"):
        RouteMatch.model_validate({"severity": text})


@pytest.mark.parametrize(
    "group",
    [
        {"slack_usergroup": "S0615G0KT"},
        {"slack_team": "T1", "slack_usergroup": "oncall"},
        {"slack_team": "T1", "slack_users": ["U1"], "deputies": {"U1": "U2"}},
        {"slack_team": "T1", "slack_users": ["U1"], "deputies": {"U1": "U1"}},
    ],
    ids=str,
)
def test_slack_people_who_could_not_be_known_are_refused(group: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApproverGroup.model_validate(group)


def test_a_deputy_is_one_of_the_group() -> None:
    group = ApproverGroup(slack_team="T1", slack_users=("U1", "U2"), deputies={"U1": "U2"})
    assert group.deputies == {"U1": "U2"}
