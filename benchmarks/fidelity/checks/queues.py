"""SQS: when a message is seen, dead letters, FIFO queues, and what is refused."""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check


class Queue:
    """A queue of its own; with ``lets``, a policy that lets an AWS service send to it."""

    def __init__(self, account: Account, name: str, *, lets: str = "", **attributes: str) -> None:
        self.api = account("sqs")
        self.url = self.api.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.arn = str(self.attributes("QueueArn")["QueueArn"])
        if lets:
            policy = allowing(lets, "sqs:SendMessage", self.arn)
            self.api.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})

    def attributes(self, *names: str) -> dict[str, str]:
        found: dict[str, str] = self.api.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=list(names)
        )["Attributes"]
        return found

    def send(self, text: str, **more: Any) -> Any:
        return self.api.send_message(QueueUrl=self.url, MessageBody=text, **more)

    def receive(self, wait: int = 0) -> list[dict[str, Any]]:
        """What is visible in it; it stays in flight."""
        answer = self.api.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=wait
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def take(self) -> list[str]:
        """The bodies of what is visible in it, which it has no more afterwards."""
        messages = self.receive()
        for message in messages:
            self.delete(message)
        return [message["Body"] for message in messages]

    def let_go(self, message: dict[str, Any]) -> None:
        """Have it be visible at once."""
        self.api.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )

    def delete(self, message: dict[str, Any]) -> None:
        self.api.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


def allowing(service: str, action: str, resource: str) -> str:
    """A resource's policy that allows an AWS service an action on it."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": action,
        "Resource": resource,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@check("sqs", "visibility and dead letters")
def _visibility(account: Account, seen: Verdicts) -> None:
    dead = Queue(account, "dead")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": "2"})
    queue = Queue(account, "main", VisibilityTimeout="1", RedrivePolicy=redrive)
    queue.send("m")
    received = len(queue.receive()), len(queue.receive())
    seen.holds("a message that was received is invisible", received == (1, 0), received)
    time.sleep(1.05)
    again = queue.receive()
    seen.holds("it is visible again when its time is over", len(again) == 1, again)
    queue.let_go(again[0])
    seen.holds("it isn't received more often than maxReceiveCount", not queue.receive())
    seen.holds("then it is in the dead-letter queue", len(dead.receive()) == 1)


@check("sqs", "messages returned and deleted")
def _messages(account: Account, seen: Verdicts) -> None:
    queue, sqs = Queue(account, "main"), account("sqs")
    queue.send("n")
    (message,) = queue.receive()
    queue.let_go(message)
    returned = queue.receive()
    seen.holds("a visibility of 0 returns it at once", len(returned) == 1, returned)
    for message in returned:
        queue.delete(message)
    count = queue.attributes("All")["ApproximateNumberOfMessages"]
    seen.holds("what is deleted is counted no more", count == "0", count)
    seen.refused(
        "a receipt handle of no message",
        "ReceiptHandleIsInvalid",
        lambda: sqs.delete_message(QueueUrl=queue.url, ReceiptHandle="bogus"),
    )
    seen.refused(
        "an unknown queue",
        ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
        lambda: sqs.get_queue_url(QueueName="nope"),
    )
    seen.refused(
        "a message of 1.1 MB", "InvalidParameterValue", lambda: queue.send("x" * 1_100_000)
    )
    began = time.monotonic()
    queue.receive(wait=1)
    waited = time.monotonic() - began
    seen.holds("a long poll waits for messages", waited > 0.9, round(waited, 2))


@check("sqs", "FIFO queues")
def _fifo(account: Account, seen: Verdicts) -> None:
    fifo = Queue(account, "f.fifo", FifoQueue="true", VisibilityTimeout="30")
    for text in ("m0", "m1"):
        fifo.send(text, MessageGroupId="g", MessageDeduplicationId="d")
    seen.holds("a deduplication id is delivered once", len(fifo.receive()) == 1)
    fifo.send("m3", MessageGroupId="g", MessageDeduplicationId="d3")
    seen.holds("a group waits while one of it is in flight", not fifo.receive())
    fifo.send("m4", MessageGroupId="h", MessageDeduplicationId="d4")
    seen.holds("another group doesn't", len(fifo.receive()) == 1)
    seen.refused("a message without a group", "MissingParameter", lambda: fifo.send("x"))
    by_content = Queue(account, "c.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    for _ in ("once", "again"):
        by_content.send("same", MessageGroupId="g")
    seen.holds("messages are deduplicated by their content", len(by_content.receive()) == 1)


@check(
    "sqs",
    "redriving dead letters",
    known={
        "dead letters are moved back": Known(
            "sqs:StartMessageMoveTask", "moto doesn't know from which queue a dead letter came"
        )
    },
)
def _redriving(account: Account, seen: Verdicts) -> None:
    dead = Queue(account, "dead")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": "1"})
    Queue(account, "main", RedrivePolicy=redrive)
    seen.done(
        "dead letters are moved back",
        lambda: account("sqs").start_message_move_task(SourceArn=dead.arn),
    )
