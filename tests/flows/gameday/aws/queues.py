"""Queues that events are delivered to, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Client = Callable[[str], Any]


class Queue:
    """An SQS queue of its own. AWS's services may send to it, unless it is ``closed``."""

    def __init__(self, aws: Client, name: str, *, closed: bool = False) -> None:
        self._sqs = aws("sqs")
        self.url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = attributes["Attributes"]["QueueArn"]
        if not closed:
            services = ["events.amazonaws.com", "sns.amazonaws.com"]
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": services},
                "Action": "sqs:SendMessage",
                "Resource": self.arn,
            }
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            self._sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})

    def take(self) -> list[Any]:
        """What is in it, oldest first; it is empty afterwards."""
        taken: list[Any] = []
        while messages := self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            taken += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return taken


def queue_of_rule(aws: Client, name: str, pattern: Mapping[str, Any]) -> Queue:
    """A queue to which a rule of the default event bus delivers what matches the pattern."""
    queue, events = Queue(aws, name), aws("events")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    return queue
