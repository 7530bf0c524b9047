"""What is valid in playbooks.yaml and still doesn't do what its author meant."""

from __future__ import annotations

from flows.doctor import playbooks
from tests.flows.doctor.clinic import STEPS, Clinic

ROUTE = "  - {match: {type: ['Backdoor:EC2/*']%s}, playbook: tag-it, mode: automatic}\n"
GATE = "- approve: {id: contain, by: oncall%s}\n- {step: ec2.isolate}"


def test_a_good_file_is_good(clinic: Clinic) -> None:
    clinic.more = "routes:\n" + ROUTE % ""
    clinic.steps = GATE % ""

    found = clinic.examine(playbooks.checks)

    assert {result.status for result in found.values()} == {"ok"}
    assert "1 playbook, 1 route, 1 account" in found["file"].what
    assert "1 route, of which 1 start by themselves" in found["routes"].what


def test_without_routes_no_finding_starts_anything(clinic: Clinic) -> None:
    result = clinic.examine(playbooks.checks)["routes"]

    assert result.status == "warning"
    assert "No finding starts or proposes anything" in result.meaning


def test_routes_that_nothing_ever_meets_are_named(clinic: Clinic) -> None:
    clinic.more = (
        "routes:\n"
        + ROUTE % ""
        + ROUTE % ", account: ['999999999999']"
        + ROUTE % ", environment: [production]"
    )

    result = clinic.examine(playbooks.checks)["routes"]

    assert result.status == "warning"
    assert "route 2 (tag-it) is for account 999999999999" in result.what
    assert "route 3 (tag-it) is for environment production" in result.what


def test_approvers_who_can_only_be_asked_in_slack_need_slack(clinic: Clinic) -> None:
    clinic.approvers = "{oncall: {slack_team: T012AB3CD, slack_users: [U061F7AUR, U024BE7LH]}}"
    clinic.steps = GATE % ""

    result = clinic.examine(playbooks.checks)["approvers"]

    assert result.status == "problem"
    assert "gate contain of tag-it" in result.what
    assert "never done" in result.meaning

    clinic.more = "slack: {channel: C0INCIDENT}\n"
    assert clinic.examine(playbooks.checks)["approvers"].status == "ok"


def test_a_single_approver_may_be_the_one_who_asked(clinic: Clinic) -> None:
    clinic.steps = GATE % ""
    clinic.approvers = "{oncall: {local_users: [alice]}}"
    assert clinic.examine(playbooks.checks)["approvers"].status == "warning"

    clinic.steps = GATE % ", distinct_from: []"
    assert clinic.examine(playbooks.checks)["approvers"].status == "ok"

    clinic.steps = GATE % ", otherwise: escalate, escalate_to: leads"
    clinic.approvers = "{oncall: {local_users: [alice]}, leads: {local_users: [carol]}}"
    assert clinic.examine(playbooks.checks)["approvers"].status == "ok"


def test_accounts_without_regions_are_named(clinic: Clinic) -> None:
    clinic.accounts = '{"123456789012": {name: sandbox, environment: test}}'

    result = clinic.examine(playbooks.checks)["accounts"]

    assert result.status == "warning"
    assert "123456789012 (sandbox)" in result.what


def test_what_runs_without_approval_under_some_condition_is_said(clinic: Clinic) -> None:
    clinic.steps = (
        "- {approve: {id: contain, by: oncall}, when: \"target.tags.environment == 'production'\"}\n"
        "- {step: ec2.isolate}\n" + STEPS
    )

    result = clinic.examine(playbooks.checks)["gates"]

    assert result.status == "warning"
    assert "ec2.isolate runs without approval when" in result.what
