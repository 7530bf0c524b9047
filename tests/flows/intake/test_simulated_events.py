"""Events as the simulated AWS sends them, through rules with the patterns of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import client
from flows.intake.events import PATTERNS
from flows.intake.parse import parse
from tests.flows.gameday.aws.queues import Queue, queue_of_rule

REGION, INSTANCE = "us-east-1", "i-0123456789abcdef0"


def pattern(source: str, detail_type: str) -> Any:
    [found] = [
        event for event in PATTERNS if (event.source, event.detail_type) == (source, detail_type)
    ]
    return found.pattern()


@pytest.fixture
def aws(simulated_aws: SimulatedAws) -> Any:
    return lambda service: client(simulated_aws.url, REGION, service)


def test_an_alarm_goes_off_and_is_over_as_an_event_and_through_a_topic(aws: Any) -> None:
    by_rule = queue_of_rule(aws, "rule", pattern("aws.cloudwatch", "CloudWatch Alarm State Change"))
    by_topic = Queue(aws, "topic")
    topic = aws("sns").create_topic(Name="alarms")["TopicArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=by_topic.arn)
    cloudwatch = aws("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="shop-web-cpu",
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": INSTANCE}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=90.0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic],
        OKActions=[topic],
    )
    for state in ("ALARM", "INSUFFICIENT_DATA", "OK"):
        cloudwatch.set_alarm_state(
            AlarmName="shop-web-cpu", StateValue=state, StateReason="for a test"
        )

    events = [parse(json.dumps(event).encode()) for event in by_rule.take()]
    messages = [parse(json.dumps(message).encode()) for message in by_topic.take()]

    assert [len(findings) for findings in events] == [1, 1]
    assert [findings[0].archived for findings in events] == [False, True]
    assert events[0][0].resources[0].id == INSTANCE
    for event, message in zip(events, messages, strict=True):
        assert message[0].key == event[0].key
        assert message[0].updated_at == event[0].updated_at
        assert message[0].archived == event[0].archived
