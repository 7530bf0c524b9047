"""Queues: what of them stays, and how long a receiver waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.flows.gameday.aws.queues import Queue

Client = Callable[[str], Any]


def test_a_queue_keeps_its_policy_when_something_else_is_changed(aws: Client) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")

    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "7"})

    known = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert known["VisibilityTimeout"] == "7"
    assert "events.amazonaws.com" in known["Policy"]

    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": ""})
    known = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert "Policy" not in known


def test_a_message_that_arrives_ends_a_long_poll_and_others_are_answered_meanwhile(
    aws: Client,
) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")

    def send() -> None:
        time.sleep(0.2)
        sqs.send_message(QueueUrl=queue.url, MessageBody="found")

    sender = threading.Thread(target=send)
    began = time.monotonic()
    sender.start()
    messages = aws("sqs").receive_message(QueueUrl=queue.url, WaitTimeSeconds=20)["Messages"]
    sender.join()

    assert [message["Body"] for message in messages] == ["found"]
    assert time.monotonic() - began < 5


def test_a_long_poll_waits_as_long_as_it_was_told(aws: Client) -> None:
    queue, began = Queue(aws, "findings"), time.monotonic()

    answer = aws("sqs").receive_message(QueueUrl=queue.url, WaitTimeSeconds=1)

    assert "Messages" not in answer
    assert 0.9 < time.monotonic() - began < 5


def test_a_short_poll_does_not_wait(aws: Client) -> None:
    queue, began = Queue(aws, "findings"), time.monotonic()

    aws("sqs").receive_message(QueueUrl=queue.url, WaitTimeSeconds=0)

    assert time.monotonic() - began < 0.5
