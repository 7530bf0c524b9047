"""``clampdown doctor`` as people run it: exit codes, output, no changes, no secrets, no hang."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

import pytest

from flows.approvals import SYSTEM
from flows.doctor.checks import checks
from flows.doctor.examination import examine
from flows.gameday.aws.faults import Fault
from flows.journal.journal import Journal
from tests.flows.commands import Commands
from tests.flows.doctor.clinic import Clinic
from tests.flows.people import Case
from tests.runbooks.stage import Stage

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "canary-aws",
    "CLAMPDOWN_SLACK_APP_TOKEN": "xapp-canary",
    "CLAMPDOWN_SLACK_BOT_TOKEN": "xoxb-canary",
    "CLAMPDOWN_SLACK_SIGNING_SECRET": "canary-canary-canary-canary",
    "CLAMPDOWN_WEBHOOK_TOKEN": "canary-canary-canary-canary-canary-canary",
    "PREFECT_API_AUTH_STRING": "admin:canary",
    "PREFECT_API_URL": "http://admin:canary@127.0.0.1:9/api",
}
GROUPS = ["playbooks", "machine", "journal", "AWS", "queues", "Prefect", "Slack"]


@pytest.fixture
def guardduty(stage: Stage) -> None:
    with stage.unrecorded():
        stage.client("guardduty").create_detector(
            Enable=True, FindingPublishingFrequency="FIFTEEN_MINUTES"
        )


@pytest.mark.usefixtures("guardduty")
def test_a_good_set_up_ends_with_0_and_nothing_is_changed(
    clampdown: Commands, stage: Stage
) -> None:
    url = f"sqlite:///{clampdown.home / 'journal.db'}"
    case = Case(Journal.open(url))
    case.journal.append(case.id, "incident.closed", {"status": "contained", "error": ""}, SYSTEM)
    heads = case.journal.incidents()
    stage.forget_calls()

    ended = clampdown("doctor", "--json")

    assert ended.code == 0, ended
    document = ended.json
    counts = Counter(check["status"] for check in document["checks"])
    assert document["healthy"]
    assert document["problems"] == counts["problem"] == 0
    assert document["ok"] == counts["ok"] > 10
    assert document["seconds"] < 10
    assert list(dict.fromkeys(check["group"] for check in document["checks"])) == GROUPS
    assert stage.changes() == []
    assert case.journal.incidents() == heads


def test_a_problem_ends_with_1_in_a_line_that_says_what_to_do(clampdown: Commands) -> None:
    ended = clampdown("doctor")

    assert ended.code == 1
    assert ended.err == ""
    lines = ended.out.splitlines()
    [line] = [line for line in lines if line.startswith("problem: ")]
    assert line.startswith("problem: AWS, 123456789012 (sandbox), GuardDuty in eu-west-1: ")
    assert "Nothing is found there" in line
    assert "Turn GuardDuty on" in line
    assert lines[-1].startswith("1 problem, ")
    assert not clampdown.home.exists()


def test_invalid_playbooks_end_with_2_as_ever(clampdown: Commands) -> None:
    clampdown.playbooks.write_text("version: 2\n")

    assert clampdown("doctor").code == 2


def test_no_secret_is_printed(clampdown: Commands) -> None:
    slack = {"channel": "C0INCIDENT"}
    group = {"slack_team": "T012AB3CD", "slack_users": ["U061F7AUR"]}
    account = {
        "name": "payments",
        "environment": "test",
        "role": "arn:aws:iam::222222222222:role/clampdown",
        "external_id": "canary-external-id",
        "regions": ["eu-west-1"],
    }
    clampdown.write_playbooks(
        slack=slack, accounts={"222222222222": account}, approvers={"oncall": group}
    )
    # Nobody answers there, and what is said about that must not say with which password.
    database = "postgresql+psycopg://clampdown:canary@127.0.0.1:9/journal?password=canary"

    ended = clampdown(
        "doctor",
        **SECRETS,
        CLAMPDOWN_JOURNAL=database,
        CLAMPDOWN_SLACK_API_URL="http://127.0.0.1:9/api/",
    )

    assert ended.code == 1
    assert "problem: journal, opens: The journal postgresql+psycopg://clampdown:***@" in ended.out
    assert "canary" not in ended.out + ended.err


def test_an_aws_that_hangs_is_a_problem_and_not_a_hang(clinic: Clinic) -> None:
    clinic.scene.aws.fault(Fault(service="guardduty", effect="latency", seconds=2))
    began = time.monotonic()

    found = examine(checks(clinic.setup()), within=timedelta(seconds=1))

    assert time.monotonic() - began < 2
    results = {check.name: result for check, result in found.found}
    hangs = results["123456789012 (sandbox), GuardDuty in eu-west-1"]
    assert hangs.status == "problem"
    assert "no answer within 1 s" in hangs.what
    assert results["123456789012 (sandbox)"].status == "ok"
