"""The queues that findings come through, and EventBridge's rules that feed them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.doctor import queues
from flows.doctor.check import Result
from flows.doctor.queue_policy import open_to, rules_of
from flows.gameday.aws.faults import Fault
from tests.flows.doctor.clinic import Clinic

ACCOUNT, REGION = "123456789012", "eu-west-1"
RULES = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/"
URGENT: dict[str, Any] = {
    "source": ["aws.guardduty"],
    "detail-type": ["GuardDuty Finding"],
    "detail": {"severity": [{"numeric": [">=", 7]}]},
}


class Findings:
    """A queue ``urgent`` with its dead letters and the rule ``to-urgent``, made as it should be."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.sqs, self.events = clinic.client("sqs"), clinic.client("events")
        self.dead, self.dead_arn = self._queue("dead")
        self.undelivered, self.undelivered_arn = self._queue("undelivered")
        self.url, self.arn = self._queue("urgent")
        clinic.queues = [self.url]
        self.set(
            RedrivePolicy=json.dumps({"deadLetterTargetArn": self.dead_arn, "maxReceiveCount": 5}),
        )
        self.let_in(Condition={"ArnEquals": {"aws:SourceArn": f"{RULES}to-urgent"}})
        self.put_rule("to-urgent", URGENT)
        clinic.scene.aws.calls.clear()

    def _queue(self, name: str) -> tuple[str, str]:
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        known = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, known["Attributes"]["QueueArn"]

    def set(self, **attributes: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes=attributes)

    def let_in(self, **more: Any) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            **more,
        }
        self.set(Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def put_rule(self, name: str, pattern: Mapping[str, Any], **more: Any) -> None:
        self.events.put_rule(Name=name, EventPattern=json.dumps(pattern), **more)
        target = {"Id": "q", "Arn": self.arn, "DeadLetterConfig": {"Arn": self.undelivered_arn}}
        self.events.put_targets(Rule=name, Targets=[target])

    def send(self, url: str, count: int = 1) -> None:
        for _ in range(count):
            self.sqs.send_message(QueueUrl=url, MessageBody="{}")

    def examine(self) -> dict[str, Result]:
        return self.clinic.examine(queues.checks)

    @property
    def rules(self) -> Result:
        return self.examine()["urgent in eu-west-1, rules"]


@pytest.fixture
def findings(clinic: Clinic) -> Findings:
    return Findings(clinic)


def test_a_good_queue_is_good_and_nothing_is_changed_or_taken_out(findings: Findings) -> None:
    found = findings.examine()

    assert {name: result.status for name, result in found.items()} == {
        "urgent in eu-west-1": "ok",
        "urgent in eu-west-1, rules": "ok",
        "urgent in eu-west-1, dead letters": "ok",
        "urgent in eu-west-1, policy": "ok",
        "urgent in eu-west-1, encryption": "ok",
    }, found
    assert found["urgent in eu-west-1"].what == "0 messages waiting, 0 in hand."
    assert found["urgent in eu-west-1, rules"].what == "to-urgent on."
    assert found["urgent in eu-west-1, dead letters"].what == "undelivered, dead: empty."
    calls = findings.clinic.scene.aws.calls
    assert {call.operation for call in calls.changes} <= {"TestEventPattern"}
    assert not calls.of("sqs", "ReceiveMessage")


def test_without_queues_there_is_nothing_to_look_at(clinic: Clinic) -> None:
    found = clinic.examine(queues.checks)

    assert {name: result.status for name, result in found.items()} == {
        "CLAMPDOWN_QUEUES": "not looked at"
    }


@pytest.mark.parametrize(
    "url", ["{simulated}/123456789012/none", "https://example.com/x", "nonsense"]
)
def test_a_queue_that_cannot_be_read_is_one_problem(clinic: Clinic, url: str) -> None:
    clinic.queues = [url.format(simulated=clinic.scene.aws.url)]

    [first, *others] = clinic.examine(queues.checks).values()

    assert first.status == "problem"
    assert "start nothing" in first.meaning
    assert {result.status for result in others} == {"not looked at"}


# What is in it


def test_what_waits_is_counted(findings: Findings) -> None:
    findings.send(findings.url, 2)

    result = findings.examine()["urgent in eu-west-1"]

    assert result == Result("ok", "2 messages waiting, 0 in hand.")


def test_much_that_waits_is_a_warning(findings: Findings) -> None:
    findings.send(findings.url, 101)

    assert findings.examine()["urgent in eu-west-1"].status == "warning"


@pytest.mark.parametrize(("minutes", "status"), [(3, "ok"), (12, "problem")])
def test_what_waits_for_long_tells_that_nobody_takes_it(
    findings: Findings, monkeypatch: pytest.MonkeyPatch, minutes: int, status: str
) -> None:
    findings.send(findings.url)
    read = queues.Reader.read

    def metrics(self: Any, call: Any, **more: Any) -> Any:
        if call.operation != "get_metric_statistics":
            return read(self, call, **more)
        assert call.params["Dimensions"] == [{"Name": "QueueName", "Value": "urgent"}]
        now = datetime.now(UTC)
        return {
            "Datapoints": [
                {"Timestamp": now - timedelta(minutes=2), "Maximum": 1.0},
                {"Timestamp": now, "Maximum": 60.0 * minutes},
            ]
        }

    monkeypatch.setattr(queues.Reader, "read", metrics)

    result = findings.examine()["urgent in eu-west-1"]

    assert result.status == status
    assert f"the oldest is {minutes} min old" in result.what


@pytest.mark.parametrize(
    ("queue", "why"), [("dead", "tried 5 times in vain"), ("undelivered", "could not be delivered")]
)
def test_dead_letters_are_a_problem(findings: Findings, queue: str, why: str) -> None:
    findings.send(getattr(findings, queue), 2)

    result = findings.examine()["urgent in eu-west-1, dead letters"]

    assert result.status == "problem"
    assert f"2 messages in {queue}: it {'was' if queue == 'dead' else 'could'}" in result.what
    assert why in result.what


def test_a_queue_without_dead_letters_is_a_warning(findings: Findings) -> None:
    findings.set(RedrivePolicy="")

    result = findings.examine()["urgent in eu-west-1, dead letters"]

    assert result.status == "warning"
    assert "no redrive policy" in result.what


def test_dead_letters_that_are_gone_are_a_problem(findings: Findings) -> None:
    findings.sqs.delete_queue(QueueUrl=findings.dead)

    assert findings.examine()["urgent in eu-west-1, dead letters"].status == "problem"


def test_what_was_rejected_waits_in_its_own_queue(findings: Findings) -> None:
    findings.clinic.dead_letters = findings.dead
    assert findings.examine()["dead in eu-west-1 (CLAMPDOWN_DEAD_LETTERS)"].status == "ok"
    findings.send(findings.dead)

    result = findings.examine()["dead in eu-west-1 (CLAMPDOWN_DEAD_LETTERS)"]

    assert result.status == "warning"
    assert "1 document in it" in result.what


def test_what_is_not_encrypted_is_a_warning(findings: Findings) -> None:
    findings.set(SqsManagedSseEnabled="false")
    assert findings.examine()["urgent in eu-west-1, encryption"].status == "warning"

    findings.set(KmsMasterKeyId="alias/aws/sqs")
    assert "alias/aws/sqs" in findings.examine()["urgent in eu-west-1, encryption"].what


# What feeds it


def test_a_rule_that_is_switched_off_is_named(findings: Findings) -> None:
    findings.events.disable_rule(Name="to-urgent")

    assert findings.rules.status == "problem"
    assert "The rule to-urgent is switched off" in findings.rules.what
    assert "DisableRule" in findings.rules.advice


def test_a_rule_that_is_gone_is_named_by_the_queue_s_policy(findings: Findings) -> None:
    findings.events.remove_targets(Rule="to-urgent", Ids=["q"])
    assert "The rule to-urgent does not send to this queue" in findings.rules.what

    findings.events.delete_rule(Name="to-urgent")
    assert findings.rules.status == "problem"
    assert "There is no rule to-urgent" in findings.rules.what
    assert "DeleteRule" in findings.rules.advice


def test_without_any_rule_nothing_comes(findings: Findings) -> None:
    findings.let_in(Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}})
    findings.events.remove_targets(Rule="to-urgent", Ids=["q"])

    assert findings.rules.status == "problem"
    assert "No rule of EventBridge sends GuardDuty's findings to it" in findings.rules.what


def test_a_pattern_that_takes_nothing_in_is_a_problem(findings: Findings) -> None:
    nothing = {**URGENT, "detail": {"severity": [{"numeric": [">", 10]}]}}
    findings.put_rule("to-urgent", nothing)

    assert findings.rules.status == "problem"
    assert "takes in no finding" in findings.rules.what


def test_rules_for_other_sources_may_be_off(findings: Findings) -> None:
    findings.put_rule("config", {"source": ["aws.config"]}, State="DISABLED")

    assert findings.rules == Result("ok", "to-urgent on; off, for other sources: config.")


@pytest.mark.parametrize("operation", ["ListRuleNamesByTarget", "DescribeRule"])
def test_rules_that_may_not_be_looked_at_are_said(findings: Findings, operation: str) -> None:
    findings.clinic.scene.aws.fault(Fault(service="events", operation=operation, effect="deny"))

    assert findings.rules.status == "not looked at"
    assert f"events:{operation}" in findings.rules.what
    assert findings.examine()["urgent in eu-west-1, dead letters"].status == "ok"


@pytest.mark.parametrize("operation", ["TestEventPattern", "ListTargetsByRule"])
def test_less_is_looked_at_where_less_is_allowed(findings: Findings, operation: str) -> None:
    findings.clinic.scene.aws.fault(Fault(service="events", operation=operation, effect="deny"))

    assert findings.rules.status == "ok"


# Whom it lets in


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": [f"arn:aws:iam::{ACCOUNT}:root", "*"]}},
        {"Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalArn": "*"}}},
        {"Principal": "*", "Condition": {"ArnEqualsIfExists": {"aws:SourceArn": "arn:aws:x"}}},
        {"Principal": "*", "Condition": {"ArnNotEquals": {"aws:SourceArn": "arn:aws:x"}}},
        {
            "Principal": "*",
            "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "0.0.0.0/0"]}},
        },
        {"NotPrincipal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}},
    ],
    ids=json.dumps,
)
def test_a_policy_that_lets_anybody_in_is_a_problem(statement: dict[str, Any]) -> None:
    policy = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", **statement}]}

    assert open_to(json.dumps(policy)) == (["sqs:SendMessage"], [])


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}},
        {"Principal": "*", "Condition": {"ArnEquals": {"aws:SourceArn": f"{RULES}a"}}},
        {"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}},
        {"Principal": "*", "Effect": "Deny"},
        {
            "Principal": {"Service": "events.amazonaws.com"},
            "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        },
    ],
    ids=json.dumps,
)
def test_a_policy_that_says_who_is_fine(statement: dict[str, Any]) -> None:
    policy = {"Statement": {"Effect": "Allow", "Action": "sqs:SendMessage", **statement}}

    assert open_to(json.dumps(policy)) == ([], [])


@pytest.mark.parametrize("policy", ["", "nonsense", "[]", '{"Statement": ["x"]}', "{}"])
def test_what_is_no_policy_allows_nobody(policy: str) -> None:
    assert open_to(policy) == ([], [])
    assert rules_of(policy) == []


def test_an_open_queue_is_told(findings: Findings) -> None:
    findings.let_in(Principal="*", Action="sqs:*")

    result = findings.examine()["urgent in eu-west-1, policy"]

    assert result.status == "problem"
    assert "lets anybody do sqs:*" in result.what


def test_a_service_that_sends_for_anybody_is_a_warning(findings: Findings) -> None:
    findings.let_in()

    result = findings.examine()["urgent in eu-west-1, policy"]

    assert result.status == "warning"
    assert "events.amazonaws.com" in result.what


def test_the_rules_that_a_policy_expects_are_read_from_it() -> None:
    statement = {
        "Effect": "Allow",
        "Condition": {
            "ArnEquals": {"aws:SourceArn": [f"{RULES}a", f"{RULES}b"]},
            "ArnLike": {"aws:SourceArn": [f"{RULES}*", "arn:aws:sns:eu-west-1:1:topic"]},
        },
    }

    assert rules_of(json.dumps({"Statement": [statement]})) == [f"{RULES}a", f"{RULES}b"]
