"""Events that a target doesn't get, and where they go instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.queues import Queue

Client = Callable[[str], Any]
EVENTS = "events.amazonaws.com"


class Rule:
    """A rule with a queue for the dead letters of its one target."""

    def __init__(self, aws: Client, target: str, **more: Any) -> None:
        self._events, self._sqs = aws("events"), aws("sqs")
        self.target = target
        self.dead = Queue(aws, "undelivered", closed=True)
        pattern = json.dumps({"source": ["my.app"]})
        self.arn = self._events.put_rule(Name="noticed", EventPattern=pattern)["RuleArn"]
        entry = {
            "Id": "1",
            "Arn": target,
            "DeadLetterConfig": {"Arn": self.dead.arn},
            "RetryPolicy": {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185},
        }
        self._events.put_targets(Rule="noticed", Targets=[{**entry, **more}])

    def open_dead_letters(self, source: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": EVENTS},
            "Action": "sqs:SendMessage",
            "Resource": self.dead.arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=self.dead.url, Attributes={"Policy": policy})

    def put(self) -> None:
        entry = {"Source": "my.app", "DetailType": "Noticed", "Detail": '{"id": 7}'}
        assert self._events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def letters(self) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(QueueUrl=self.dead.url, MessageAttributeNames=["All"])
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found


@pytest.mark.parametrize(
    ("name", "code"),
    [("closed", "NO_PERMISSIONS"), ("nowhere", "NO_RESOURCE"), ("a.fifo", "INVALID_PARAMETER")],
)
def test_what_a_queue_does_not_get_is_a_dead_letter(
    aws: Client, world: WorldIds, name: str, code: str
) -> None:
    Queue(aws, "closed", closed=True)
    if name == "a.fifo":
        url = aws("sqs").create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
        opened = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": EVENTS},
                    "Action": "sqs:*",
                    "Resource": "*",
                }
            ],
        }
        aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(opened)})
    target = f"arn:aws:sqs:{world.region}:{world.account}:{name}"
    rule = Rule(aws, target, SqsParameters={"MessageGroupId": "g"})
    rule.open_dead_letters(rule.arn)

    rule.put()

    [letter] = rule.letters()
    event = json.loads(letter["Body"])
    assert (event["detail"], event["account"]) == ({"id": 7}, world.account)
    assert event["time"].endswith("Z")
    said = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
    assert said.pop("ERROR_MESSAGE")
    assert said == {"RULE_ARN": rule.arn, "TARGET_ARN": target, "ERROR_CODE": code}


def test_a_dead_letter_needs_a_policy_too(aws: Client) -> None:
    rule = Rule(aws, Queue(aws, "closed", closed=True).arn)

    rule.put()
    assert rule.letters() == []

    rule.open_dead_letters(f"{rule.arn}-2")
    rule.put()
    assert rule.letters() == []


def test_what_is_delivered_is_no_dead_letter(aws: Client) -> None:
    queue = Queue(aws, "open")
    rule = Rule(aws, queue.arn)
    rule.open_dead_letters(rule.arn)

    rule.put()

    assert (len(queue.take()), rule.letters()) == (1, [])


def test_a_rule_keeps_how_its_targets_are_tried_again(aws: Client) -> None:
    rule = Rule(aws, Queue(aws, "open").arn)

    [target] = aws("events").list_targets_by_rule(Rule="noticed")["Targets"]

    assert target["RetryPolicy"] == {
        "MaximumEventAgeInSeconds": 86_400,
        "MaximumRetryAttempts": 185,
    }
    assert target["DeadLetterConfig"] == {"Arn": rule.dead.arn}


@pytest.mark.parametrize(
    ("key", "delivered"),
    [("own", True), ("closed", False), ("alias/aws/sqs", False)],
)
def test_the_key_of_an_encrypted_queue_must_let_the_rule_use_it(
    aws: Client, world: WorldIds, key: str, delivered: bool
) -> None:
    queue = Queue(aws, "encrypted")
    rule = Rule(aws, queue.arn)
    rule.open_dead_letters(rule.arn)
    if key != "alias/aws/sqs":
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": EVENTS},
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": "*",
        }
        root = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{world.account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
        statements = [root, allowed] if key == "own" else [root]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        key = aws("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    aws("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"KmsMasterKeyId": key})

    rule.put()

    assert bool(queue.take()) is delivered
    assert bool(rule.letters()) is not delivered


def test_a_rule_has_five_targets_at_most(aws: Client) -> None:
    queue, events = Queue(aws, "open"), aws("events")
    events.put_rule(Name="noticed", EventPattern='{"source": ["my.app"]}')
    events.put_targets(Rule="noticed", Targets=[{"Id": str(n), "Arn": queue.arn} for n in range(5)])

    with refused("LimitExceededException"):
        events.put_targets(Rule="noticed", Targets=[{"Id": "5", "Arn": queue.arn}])

    events.put_events(Entries=[{"Source": "my.app", "DetailType": "x", "Detail": "{}"}])
    assert len(queue.take()) == 5


@pytest.mark.parametrize(
    "match",
    [
        {"numeric": [">="]},
        {"numeric": ["=>", 7]},
        {"numeric": [">=", "7"]},
        {"numeric": ">= 7"},
        {"atleast": 7},
        {"prefix": "a", "suffix": "b"},
        [7],
    ],
)
def test_a_pattern_that_can_not_be_used_is_refused(aws: Client, match: Any) -> None:
    pattern = {"source": ["aws.guardduty"], "detail": {"severity": [match]}}

    with refused("InvalidEventPatternException"):
        aws("events").put_rule(Name="urgent", EventPattern=json.dumps(pattern))


@pytest.mark.parametrize(("severity", "urgent"), [(7, True), (8.9, True), (6.9, False), (2, False)])
def test_rules_part_findings_by_their_severity(aws: Client, severity: float, urgent: bool) -> None:
    queues = {name: Queue(aws, name) for name in ("urgent", "rest")}
    events = aws("events")
    for name, numbers in (("urgent", [">=", 7]), ("rest", [">=", 0, "<", 7])):
        pattern = {"source": ["my.app"], "detail": {"severity": [{"numeric": numbers}]}}
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queues[name].arn}])

    detail = json.dumps({"severity": severity})
    events.put_events(Entries=[{"Source": "my.app", "DetailType": "x", "Detail": detail}])

    arrived = {name: len(queue.take()) for name, queue in queues.items()}
    assert arrived == {"urgent": int(urgent), "rest": int(not urgent)}
