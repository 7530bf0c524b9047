"""Topics: which subscriptions get what is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.accounts import clients_of
from tests.flows.gameday.aws.queues import Queue

Client = Callable[[str], Any]


@pytest.fixture
def topic(aws: Client) -> str:
    return str(aws("sns").create_topic(Name="alarms")["TopicArn"])


def _publish(aws: Client, topic: str) -> None:
    aws("sns").publish(TopicArn=topic, Message="found")


def test_a_queue_gets_messages_only_where_its_policy_says_so(aws: Client, topic: str) -> None:
    open_, closed = Queue(aws, "open"), Queue(aws, "closed", closed=True)
    for queue in (open_, closed):
        aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)

    _publish(aws, topic)

    [message] = open_.take()
    assert (message["Message"], message["TopicArn"]) == ("found", topic)
    assert closed.take() == []


def test_a_queue_of_another_account_gets_messages(aws: Client, world: WorldIds, topic: str) -> None:
    theirs = Queue(clients_of(world, aws), "theirs")
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=theirs.arn)

    _publish(aws, topic)

    assert [message["Message"] for message in theirs.take()] == ["found"]


def test_a_queue_that_is_gone_is_no_error_of_who_publishes(aws: Client, topic: str) -> None:
    queue = Queue(aws, "gone")
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    aws("sqs").delete_queue(QueueUrl=queue.url)

    _publish(aws, topic)


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [("email", "oncall@example.com"), ("https", "https://hooks.example.com/findings")],
)
def test_a_subscription_is_pending_until_it_is_confirmed(
    aws: Client, topic: str, protocol: str, endpoint: str
) -> None:
    sns = aws("sns")
    asked = {"TopicArn": topic, "Protocol": protocol, "Endpoint": endpoint}

    assert sns.subscribe(**asked)["SubscriptionArn"] == "pending confirmation"
    arn = sns.subscribe(**asked, ReturnSubscriptionArn=True)["SubscriptionArn"]
    assert arn.startswith(topic)
    _publish(aws, topic)

    [listed] = sns.list_subscriptions()["Subscriptions"]
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == [listed]
    assert (listed["SubscriptionArn"], listed["Endpoint"]) == ("PendingConfirmation", endpoint)
    known = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert known["PendingConfirmation"] == "true"


def test_a_subscription_of_a_queue_needs_no_confirmation(aws: Client, topic: str) -> None:
    sns, queue = aws("sns"), Queue(aws, "open")

    arn = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)["SubscriptionArn"]

    [listed] = sns.list_subscriptions()["Subscriptions"]
    assert listed["SubscriptionArn"] == arn
    known = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert known["PendingConfirmation"] == "false"


def test_messages_are_filtered_and_raw_as_subscribed(aws: Client, topic: str) -> None:
    queue = Queue(aws, "open")
    aws("sns").subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue.arn,
        Attributes={
            "RawMessageDelivery": "true",
            "FilterPolicy": json.dumps({"severity": ["high"]}),
        },
    )

    for severity in ("high", "low"):
        aws("sns").publish(
            TopicArn=topic,
            Message=json.dumps({"severity": severity}),
            MessageAttributes={"severity": {"DataType": "String", "StringValue": severity}},
        )

    assert queue.take() == [{"severity": "high"}]
