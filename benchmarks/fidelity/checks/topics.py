"""SNS: which messages reach which subscription, and in what form."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.checks.queues import Queue
from benchmarks.fidelity.verdicts import Verdicts, check

_SERVICE = "sns.amazonaws.com"


@check("sns", "subscriptions of queues")
def _queues(account: Account, seen: Verdicts) -> None:
    sns, queue = account("sns"), Queue(account, "alarms", lets=_SERVICE)
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    subscription = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue.arn,
        Attributes={"FilterPolicy": json.dumps({"severity": ["high"]})},
    )["SubscriptionArn"]

    def publish(message: str, severity: str) -> Any:
        attributes = {"severity": {"DataType": "String", "StringValue": severity}}
        return sns.publish(TopicArn=topic, Message=message, MessageAttributes=attributes)

    publish("a", "high")
    publish("b", "low")
    bodies = [json.loads(body) for body in queue.take()]
    messages = [body["Message"] for body in bodies]
    seen.holds("a filter policy lets through what it names", messages == ["a"], messages)
    seen.holds("a message is signed", all("Signature" in body for body in bodies), bodies)
    sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    publish("c", "high")
    raw = queue.take()
    seen.holds("raw delivery has no envelope", raw == ["c"], raw)


@check("sns", "policies of queues")
def _policies(account: Account, seen: Verdicts) -> None:
    sns = account("sns")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    closed, open_ = Queue(account, "closed"), Queue(account, "open", lets=_SERVICE)
    for queue in (closed, open_):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    seen.done(
        "who publishes isn't told what isn't delivered",
        lambda: sns.publish(TopicArn=topic, Message="a"),
    )
    delivered = len(closed.take()), len(open_.take())
    seen.holds("only a queue whose policy lets it gets messages", delivered == (0, 1), delivered)


@check("sns", "subscriptions of people, and what is refused")
def _people(account: Account, seen: Verdicts) -> None:
    sns = account("sns")
    topic = sns.create_topic(Name="alarms")["TopicArn"]

    def subscribe(**more: Any) -> Any:
        return sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com", **more)

    arn = subscribe()["SubscriptionArn"]
    seen.holds("a subscription by email is pending", arn.lower() == "pending confirmation", arn)
    listed = [
        item["SubscriptionArn"]
        for item in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    ]
    seen.holds("and listed so", listed == ["PendingConfirmation"], listed)
    arn = subscribe(ReturnSubscriptionArn=True)["SubscriptionArn"]
    seen.holds("its ARN is returned to who asks for it", arn.startswith(f"{topic}:"), arn)
    seen.refused(
        "an unknown topic",
        ("NotFound", "NotFoundException"),
        lambda: sns.publish(TopicArn=f"{topic}x", Message="c"),
    )
