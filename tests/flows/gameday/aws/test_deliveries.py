"""What AWS's services deliver: by the policies of those who get it, and by roles."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.queues import Queue

Client = Callable[[str], Any]
EVENTS = "events.amazonaws.com"


class Rule:
    """A rule that delivers to a queue which nobody may send to at first."""

    def __init__(self, aws: Client, **target: Any) -> None:
        self._events, self._sqs = aws("events"), aws("sqs")
        self.queue = Queue(aws, "findings", closed=True)
        pattern = json.dumps({"source": ["my.app"]})
        self.arn = self._events.put_rule(Name="noticed", EventPattern=pattern)["RuleArn"]
        self._events.put_targets(
            Rule="noticed", Targets=[{"Id": "1", "Arn": self.queue.arn, **target}]
        )

    def let(self, *statements: dict[str, Any]) -> None:
        """Give the queue a policy."""
        policy = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {"Action": "sqs:SendMessage", "Resource": self.queue.arn, **statement}
                    for statement in statements
                ],
            }
        )
        self._sqs.set_queue_attributes(QueueUrl=self.queue.url, Attributes={"Policy": policy})

    def delivers(self) -> bool:
        entry = {"Source": "my.app", "DetailType": "Noticed", "Detail": "{}"}
        assert self._events.put_events(Entries=[entry])["FailedEntryCount"] == 0
        return bool(self.queue.take())


def _allow(service: str = EVENTS, **condition: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        **({"Condition": condition} if condition else {}),
    }


def test_a_queue_gets_events_only_where_its_policy_says_so(aws: Client) -> None:
    rule = Rule(aws)
    assert not rule.delivers()

    rule.let(_allow("sns.amazonaws.com"))
    assert not rule.delivers()

    rule.let(_allow())
    assert rule.delivers()

    rule.let(_allow(), {"Effect": "Deny", "Principal": "*"})
    assert not rule.delivers()


def test_a_policy_can_name_the_rule_and_its_account(aws: Client, world: WorldIds) -> None:
    rule = Rule(aws)

    rule.let(_allow(ArnEquals={"aws:SourceArn": f"{rule.arn}-2"}))
    assert not rule.delivers()
    rule.let(_allow(StringEquals={"aws:SourceAccount": "999999999999"}))
    assert not rule.delivers()

    rule.let(
        _allow(
            ArnEquals={"aws:SourceArn": rule.arn},
            StringEquals={"aws:SourceAccount": world.account},
        )
    )
    assert rule.delivers()


@pytest.mark.parametrize(("action", "delivered"), [("sqs:*", True), ("sns:*", False)])
def test_a_role_lets_its_rule_deliver_without_a_policy(
    aws: Client, action: str, delivered: bool
) -> None:
    iam = aws("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": EVENTS}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="deliverer",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    may = {"Effect": "Allow", "Action": action, "Resource": "*"}
    iam.put_role_policy(
        RoleName="deliverer",
        PolicyName="may",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [may]}),
    )

    assert Rule(aws, RoleArn=role).delivers() is delivered


def test_a_role_that_is_not_there_delivers_nothing(aws: Client, world: WorldIds) -> None:
    rule = Rule(aws, RoleArn=f"arn:aws:iam::{world.account}:role/gone")
    rule.let(_allow())

    assert not rule.delivers()
