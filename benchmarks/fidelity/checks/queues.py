"""SQS: when a message is seen, dead letters, FIFO queues, and what is refused."""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check


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


@check("sqs", "redriving dead letters")
def _redriving(account: Account, seen: Verdicts) -> None:
    dead, sqs = Queue(account, "dead"), account("sqs")
    redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": "1"})
    queue = Queue(account, "main", RedrivePolicy=redrive)
    sent = queue.send("m")["MessageId"]
    for message in queue.receive():
        queue.let_go(message)
    queue.receive()
    (letter,) = sqs.receive_message(
        QueueUrl=dead.url, MessageSystemAttributeNames=["All"], VisibilityTimeout=0
    ).get("Messages") or [{}]
    seen.holds("a dead letter keeps its id", letter.get("MessageId") == sent, letter)
    attributes = letter.get("Attributes", {})
    origin = attributes.get("DeadLetterQueueSourceArn")
    seen.holds("and says where it came from", origin == queue.arn, attributes)
    count = attributes.get("ApproximateReceiveCount")
    seen.holds("its receives are counted across queues", count == "2", count)
    seen.done(
        "dead letters are moved back", lambda: sqs.start_message_move_task(SourceArn=dead.arn)
    )
    seen.holds("to their queue", queue.take() == ["m"])
    seen.refused(
        "of a queue that is no dead-letter queue, nothing is",
        (
            "InvalidParameterValue",
            "UnsupportedOperation",
            "AWS.SimpleQueueService.UnsupportedOperation",
        ),
        lambda: sqs.start_message_move_task(SourceArn=queue.arn),
    )


@check("sqs", "receipts")
def _receipts(account: Account, seen: Verdicts) -> None:
    queue, sqs = Queue(account, "main"), account("sqs")
    queue.send("m")
    (first,) = queue.receive()
    queue.let_go(first)
    seen.refused(
        "the visibility of what isn't in flight isn't changed",
        (
            "MessageNotInflight",
            "AWS.SimpleQueueService.MessageNotInflight",
            "InvalidParameterValue",
        ),
        lambda: queue.let_go(first),
    )
    (second,) = queue.receive()
    handles = first["ReceiptHandle"], second["ReceiptHandle"]
    seen.holds("each receipt has a handle of its own", handles[0] != handles[1], handles)
    seen.done("an old receipt handle is accepted", lambda: queue.delete(first))
    queue.let_go(second)
    seen.holds("but doesn't delete the message", len(queue.receive()) == 1)
    seen.refused(
        "nor changes its visibility",
        ("InvalidParameterValue", "ReceiptHandleIsInvalid"),
        lambda: queue.let_go(first),
    )
    queue.send("n")
    (message,) = queue.receive()
    time.sleep(0.01)
    seen.refused(
        "twelve hours of visibility are counted from the receipt on",
        "InvalidParameterValue",
        lambda: sqs.change_message_visibility(
            QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=43_200
        ),
    )
    queue.delete(message)
    seen.done("what is deleted can be deleted again", lambda: queue.delete(message))


@check("sqs", "batches")
def _batches(account: Account, seen: Verdicts) -> None:
    queue, sqs = Queue(account, "main"), account("sqs")

    def send(*texts: str) -> Any:
        entries = [{"Id": str(n), "MessageBody": text} for n, text in enumerate(texts)]
        return sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)

    answer = seen.done("a batch is sent", lambda: send("a", "b\x00", "c")) or {}
    failed = [(entry["Id"], entry["Code"]) for entry in answer.get("Failed", [])]
    expected = [("1", "InvalidMessageContents")]
    seen.holds("what can't be sent of it is said", failed == expected, failed)
    messages = queue.receive()
    bodies = sorted(message["Body"] for message in messages)
    seen.holds("the rest is sent", bodies == ["a", "c"], bodies)
    entries = [
        {"Id": str(number), "ReceiptHandle": handle}
        for number, handle in enumerate([message["ReceiptHandle"] for message in messages] + ["x"])
    ]
    answer = (
        seen.done(
            "a batch is deleted",
            lambda: sqs.delete_message_batch(QueueUrl=queue.url, Entries=entries),
        )
        or {}
    )
    failed = [(entry["Id"], entry["Code"]) for entry in answer.get("Failed", [])]
    expected = [(str(len(messages)), "ReceiptHandleIsInvalid")]
    seen.holds("what isn't deleted of it is said", failed == expected, failed)
    left = queue.attributes("All")
    gone = left["ApproximateNumberOfMessages"], left["ApproximateNumberOfMessagesNotVisible"]
    seen.holds("the rest is deleted", gone == ("0", "0"), gone)
    twice = [{"Id": "same", "ReceiptHandle": handle} for handle in ("x", "y")]
    seen.refused(
        "entries of the same id",
        ("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        lambda: sqs.delete_message_batch(QueueUrl=queue.url, Entries=twice),
    )
    many = [{"Id": str(number), "ReceiptHandle": "x"} for number in range(11)]
    seen.refused(
        "eleven entries",
        ("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        lambda: sqs.delete_message_batch(QueueUrl=queue.url, Entries=many),
    )
    seen.refused(
        "a batch of more than 1 MiB",
        ("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong"),
        lambda: send("x" * 600_000, "y" * 600_000),
    )


@check("sqs", "contents of messages")
def _contents(account: Account, seen: Verdicts) -> None:
    queue = Queue(account, "main", MaximumMessageSize="1024")

    def send(text: str, **attributes: str) -> Any:
        named = {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        }
        return queue.send(text, MessageAttributes=named)

    invalid = "InvalidParameterValue"
    seen.refused("an empty message", ("MissingParameter", invalid), lambda: send(""))
    seen.refused("a control character", "InvalidMessageContents", lambda: send("\x07"))
    seen.refused("a size is in bytes, not in letters", invalid, lambda: send("ä" * 600))
    seen.refused("attributes count towards it", invalid, lambda: send("x" * 1000, a="y" * 100))
    seen.refused("an empty attribute", invalid, lambda: send("x", path=""))
    names = {f"a{number}": "x" for number in range(11)}
    seen.refused("eleven attributes", invalid, lambda: send("x", **names))
    seen.refused("a reserved name", invalid, lambda: send("x", **{"AWS.reason": "x"}))
    seen.done("what is within the limits", lambda: send("x" * 900, reason="not JSON"))
    (message,) = queue.api.receive_message(
        QueueUrl=queue.url, MessageAttributeNames=["All"], AttributeNames=["All"]
    )["Messages"]
    value = message["MessageAttributes"]["reason"]["StringValue"]
    seen.holds("attributes come with their message", value == "not JSON", value)
    sent = int(message["Attributes"]["SentTimestamp"]) / 1000
    seen.holds("and the time at which it was sent", abs(time.time() - sent) < 5, sent)


@check("sqs", "attributes of queues")
def _attributes(account: Account, seen: Verdicts) -> None:
    sqs = account("sqs")
    queue = Queue(account, "main")

    def change(**attributes: str) -> Any:
        return sqs.set_queue_attributes(QueueUrl=queue.url, Attributes=attributes)

    sse = queue.attributes("SqsManagedSseEnabled")["SqsManagedSseEnabled"]
    seen.holds("a queue is encrypted by SQS's own keys", sse == "true", sse)
    change(KmsMasterKeyId=account.ids.key)
    found = queue.attributes("All")
    kinds = found.get("KmsMasterKeyId"), found.get("SqsManagedSseEnabled")
    seen.holds("or by a key of KMS", kinds == (account.ids.key, "false"), kinds)
    values = "InvalidAttributeValue"
    seen.refused(
        "a visibility of more than 12 h", values, lambda: change(VisibilityTimeout="43201")
    )
    seen.refused(
        "a long poll of more than 20 s", values, lambda: change(ReceiveMessageWaitTimeSeconds="21")
    )
    seen.refused(
        "a retention of less than 60 s", values, lambda: change(MessageRetentionPeriod="59")
    )
    seen.refused("a policy that isn't JSON", values, lambda: change(Policy="{"))
    seen.refused("an unknown attribute", "InvalidAttributeName", lambda: change(Nonsense="1"))
    nowhere = json.dumps({"deadLetterTargetArn": f"{queue.arn}-x", "maxReceiveCount": 3})
    seen.refused(
        "dead letters that go nowhere",
        ("InvalidParameterValue", "AWS.SimpleQueueService.NonExistentQueue"),
        lambda: change(RedrivePolicy=nowhere),
    )
    allowed = json.dumps({"redrivePermission": "denyAll"})
    closed = Queue(account, "closed", RedriveAllowPolicy=allowed)
    redrive = json.dumps({"deadLetterTargetArn": closed.arn, "maxReceiveCount": 3})
    seen.refused(
        "a dead-letter queue that takes none",
        "InvalidParameterValue",
        lambda: change(RedrivePolicy=redrive),
    )
    created = queue.attributes("CreatedTimestamp")["CreatedTimestamp"]
    seen.holds("times are whole seconds", created.isdecimal(), created)
