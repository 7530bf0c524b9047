"""Alarms: their state, and what a change of it sets off."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.queues import Queue, queue_of_rule

Client = Callable[[str], Any]


@pytest.fixture
def topic(aws: Client) -> str:
    return str(aws("sns").create_topic(Name="oncall")["TopicArn"])


@pytest.fixture
def mailed(aws: Client, topic: str) -> Queue:
    """A queue that is subscribed to the topic."""
    queue = Queue(aws, "mailed")
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    return queue


def _alarm(aws: Client, topic: str, **more: Any) -> None:
    aws("cloudwatch").put_metric_alarm(
        AlarmName="denied",
        Namespace="CloudTrailMetrics",
        MetricName="AccessDenied",
        Dimensions=[{"Name": "team", "Value": "payments"}],
        ComparisonOperator="GreaterThanThreshold",
        Threshold=5,
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
        AlarmDescription="Somebody tries what they may not.",
        AlarmActions=[topic],
        **more,
    )


def _set(aws: Client, value: str) -> None:
    aws("cloudwatch").set_alarm_state(
        AlarmName="denied", StateValue=value, StateReason="12 were denied", StateReasonData="{}"
    )


def _state(aws: Client) -> str:
    [alarm] = aws("cloudwatch").describe_alarms(AlarmNames=["denied"])["MetricAlarms"]
    return str(alarm["StateValue"])


def test_an_alarm_begins_without_data_and_keeps_its_state_when_it_is_updated(
    aws: Client, topic: str
) -> None:
    _alarm(aws, topic)
    assert _state(aws) == "INSUFFICIENT_DATA"

    _set(aws, "ALARM")
    _alarm(aws, topic)

    assert _state(aws) == "ALARM"


def test_a_change_of_state_is_an_event(aws: Client, world: WorldIds, topic: str) -> None:
    queue = queue_of_rule(
        aws,
        "alarms",
        {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]},
    )
    _alarm(aws, topic)

    _set(aws, "ALARM")

    [event] = queue.take()
    arn = f"arn:aws:cloudwatch:{world.region}:{world.account}:alarm:denied"
    assert event["resources"] == [arn]
    detail = event["detail"]
    assert detail["alarmName"] == "denied"
    assert detail["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert detail["state"]["value"] == "ALARM"
    assert detail["state"]["reason"] == "12 were denied"
    assert detail["configuration"]["description"] == "Somebody tries what they may not."
    [metric] = detail["configuration"]["metrics"]
    assert metric["metricStat"]["metric"] == {
        "namespace": "CloudTrailMetrics",
        "name": "AccessDenied",
        "dimensions": {"team": "payments"},
    }


def test_a_change_carries_out_the_actions_of_the_new_state(
    aws: Client, world: WorldIds, topic: str, mailed: Queue
) -> None:
    _alarm(aws, topic)

    _set(aws, "OK")
    assert mailed.take() == []

    _set(aws, "ALARM")
    [message] = mailed.take()
    assert message["Subject"] == 'ALARM: "denied" in Europe (Ireland)'
    said = json.loads(message["Message"])
    assert (said["NewStateValue"], said["OldStateValue"]) == ("ALARM", "OK")
    assert said["AWSAccountId"] == world.account
    assert said["Trigger"]["Dimensions"] == [{"name": "team", "value": "payments"}]

    _set(aws, "ALARM")
    assert mailed.take() == [], "the state is what it was"


def test_actions_can_be_disabled(aws: Client, topic: str, mailed: Queue) -> None:
    _alarm(aws, topic, ActionsEnabled=False)

    _set(aws, "ALARM")

    assert mailed.take() == []


def test_a_topic_whose_policy_does_not_let_cloudwatch_in_gets_nothing(
    aws: Client, topic: str, mailed: Queue
) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    aws("sns").set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    _alarm(aws, topic)

    _set(aws, "ALARM")

    assert mailed.take() == []


def test_the_state_of_an_unknown_alarm_can_not_be_set(aws: Client) -> None:
    with refused("ResourceNotFound"):
        _set(aws, "ALARM")
