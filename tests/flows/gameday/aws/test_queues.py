"""Queues: what of them stays, how long a receiver waits, and what comes twice or out of order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused, until
from tests.flows.gameday.aws.queues import Queue

Client = Callable[[str], Any]


def _messages(sqs: Any, url: str, **more: Any) -> list[dict[str, Any]]:
    answer = sqs.receive_message(**{"QueueUrl": url, "MaxNumberOfMessages": 10, **more})
    found: list[dict[str, Any]] = answer.get("Messages", [])
    return found


def _bodies(sqs: Any, url: str, **more: Any) -> list[str]:
    return [message["Body"] for message in _messages(sqs, url, **more)]


def _send(sqs: Any, url: str, *bodies: str) -> None:
    for first in range(0, len(bodies), 10):
        entries = [
            {"Id": str(number), "MessageBody": body}
            for number, body in enumerate(bodies[first : first + 10])
        ]
        assert not sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")


def test_a_queue_keeps_its_policy_when_something_else_is_changed(aws: Client) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")

    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "7"})

    known = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert known["VisibilityTimeout"] == "7"
    assert "events.amazonaws.com" in known["Policy"]

    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": ""})
    known = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert "Policy" not in known


# Long polls


@pytest.mark.parametrize("returned", [False, True], ids=["sent", "returned"])
def test_a_message_that_arrives_ends_a_long_poll_at_once(aws: Client, returned: bool) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    if returned:
        _send(sqs, queue.url, "found")
        [held] = _messages(sqs, queue.url)
    arrived: list[float] = []

    def poll() -> list[str]:
        bodies = _bodies(aws("sqs"), queue.url, WaitTimeSeconds=20)
        arrived.append(time.monotonic())
        return bodies

    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(poll)
        time.sleep(0.1)
        sent = time.monotonic()
        if returned:
            sqs.change_message_visibility(
                QueueUrl=queue.url, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0
            )
        else:
            _send(sqs, queue.url, "found")
        assert polled.result() == ["found"]
    # 5 ms on an idle machine.
    assert arrived[0] - sent < 1


def test_a_long_poll_ends_when_a_message_is_visible_again(aws: Client) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    _send(sqs, queue.url, "found")
    _messages(sqs, queue.url, VisibilityTimeout=1)
    began = time.monotonic()

    assert _bodies(sqs, queue.url, WaitTimeSeconds=20) == ["found"]
    assert 0.9 < time.monotonic() - began < 5


def test_many_long_polls_wait_and_each_message_ends_one(aws: Client) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    polls = 32

    def poll(number: int) -> list[str]:
        return _bodies(aws("sqs"), queue.url, WaitTimeSeconds=20, MaxNumberOfMessages=1)

    with ThreadPoolExecutor(polls) as pool:
        polled = [pool.submit(poll, number) for number in range(polls)]
        time.sleep(0.2)
        began = time.monotonic()
        aws("ec2").describe_vpcs()
        for number in range(polls):
            sqs.send_message(QueueUrl=queue.url, MessageBody=str(number))
        bodies = [body for item in polled for body in item.result()]

    assert time.monotonic() - began < 10
    assert sorted(bodies, key=int) == [str(number) for number in range(polls)]


def test_a_long_poll_waits_as_long_as_it_was_told(aws: Client) -> None:
    queue, began = Queue(aws, "findings"), time.monotonic()

    answer = aws("sqs").receive_message(QueueUrl=queue.url, WaitTimeSeconds=1)

    assert "Messages" not in answer
    assert 0.9 < time.monotonic() - began < 5


def test_a_short_poll_does_not_wait(aws: Client) -> None:
    queue, began = Queue(aws, "findings"), time.monotonic()

    aws("sqs").receive_message(QueueUrl=queue.url, WaitTimeSeconds=0)

    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("end", ["delete", "reset"])
def test_a_long_poll_ends_with_its_queue(
    aws: Client, simulated_aws: SimulatedAws, end: str
) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")

    def poll() -> None:
        with refused("AWS.SimpleQueueService.NonExistentQueue"):
            aws("sqs").receive_message(QueueUrl=queue.url, WaitTimeSeconds=20)

    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(poll)
        time.sleep(0.1)
        if end == "delete":
            sqs.delete_queue(QueueUrl=queue.url)
        else:
            simulated_aws.reset()
        polled.result(timeout=5)


# Many messages


def test_a_full_queue_is_as_fast_as_an_empty_one(aws: Client) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    waiting = 2_000
    with ThreadPoolExecutor(4) as pool:
        batches = [[f"{first + n}" for n in range(10)] for first in range(0, waiting, 10)]
        list(pool.map(lambda bodies: _send(aws("sqs"), queue.url, *bodies), batches))

    def took(calls: int = 10) -> float:
        began = time.process_time()
        for _ in range(calls):
            for message in _messages(sqs, queue.url):
                sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
        return time.process_time() - began

    full = took()
    sqs.purge_queue(QueueUrl=queue.url)
    _send(sqs, queue.url, *map(str, range(100)))
    # moto took 40 times as long.
    assert full < 5 * took()


# Twice, and out of order


def test_a_message_can_be_delivered_once_more_after_it_was_deleted(
    aws: Client, simulated_aws: SimulatedAws
) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    _send(sqs, queue.url, "a", "b")
    simulated_aws.fault(
        Fault(service="sqs", operation="ReceiveMessage", effect="duplicate", times=1)
    )

    first, second, third = (queue_taken(sqs, queue.url) for _ in range(3))

    assert [message["Body"] for message in first] == ["a", "b"]
    assert [message["MessageId"] for message in first] == [m["MessageId"] for m in second]
    assert not {m["ReceiptHandle"] for m in first} & {m["ReceiptHandle"] for m in second}
    assert third == []


def queue_taken(sqs: Any, url: str) -> list[dict[str, Any]]:
    """Received and deleted."""
    messages = _messages(sqs, url, AttributeNames=["All"])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return messages


def test_messages_can_come_in_another_order_which_follows_from_the_seed(
    aws: Client, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    sqs, sent = aws("sqs"), [str(number) for number in range(30)]

    def received(seed: int) -> list[str]:
        queue = Queue(aws, "findings")
        _send(sqs, queue.url, *sent)
        simulated_aws.fault(
            Fault(service="sqs", operation="ReceiveMessage", effect="reorder", seed=seed)
        )
        bodies = [body for _ in range(4) for body in _bodies(sqs, queue.url)]
        simulated_aws.clear_faults()
        sqs.delete_queue(QueueUrl=queue.url)
        return bodies

    first, second, other = received(3), received(3), received(4)
    assert sorted(first, key=int) == sent
    assert first == second
    assert first not in (other, sent)


def test_a_receipt_whose_answer_is_lost_is_in_flight_nevertheless(
    aws: Client, simulated_aws: SimulatedAws
) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "1"})
    _send(sqs, queue.url, "a")
    simulated_aws.fault(
        Fault(service="sqs", operation="ReceiveMessage", effect="lost_answer", times=1)
    )

    with pytest.raises(Exception, match="Connection"):
        _messages(sqs, queue.url)

    assert _bodies(sqs, queue.url) == []
    [message] = _messages(sqs, queue.url, WaitTimeSeconds=5, AttributeNames=["All"])
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"


# Dead letters


def test_dead_letters_are_moved_once_they_were_received_too_often(aws: Client) -> None:
    dead, sqs = Queue(aws, "dead"), aws("sqs")
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
    queue = Queue(aws, "findings")
    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"RedrivePolicy": policy})
    _send(sqs, queue.url, "poison", "good")

    for _ in range(2):
        for message in _messages(sqs, queue.url):
            if message["Body"] == "good":
                sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
            else:
                sqs.change_message_visibility(
                    QueueUrl=queue.url,
                    ReceiptHandle=message["ReceiptHandle"],
                    VisibilityTimeout=0,
                )

    with ThreadPoolExecutor(1) as pool:
        letters = pool.submit(
            _messages, aws("sqs"), dead.url, WaitTimeSeconds=5, AttributeNames=["All"]
        )
        assert _bodies(sqs, queue.url) == []
        [letter] = letters.result()
    assert letter["Body"] == "poison"
    assert letter["Attributes"]["ApproximateReceiveCount"] == "3"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == queue.arn


def test_queues_are_remembered_with_what_is_in_them(
    aws: Client, simulated_aws: SimulatedAws
) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    _send(sqs, queue.url, "a")
    memory = simulated_aws.remember()
    queue_taken(sqs, queue.url)

    simulated_aws.recall(memory)

    assert _bodies(sqs, queue.url) == ["a"]
    waiting = threading.Thread(target=lambda: _bodies(aws("sqs"), queue.url, WaitTimeSeconds=20))
    waiting.start()
    _send(sqs, queue.url, "b")
    waiting.join(timeout=5)
    assert not waiting.is_alive()


def test_what_is_in_a_queue_is_counted(aws: Client) -> None:
    queue, sqs = Queue(aws, "findings"), aws("sqs")
    _send(sqs, queue.url, "a", "b", "c")
    sqs.send_message(QueueUrl=queue.url, MessageBody="later", DelaySeconds=1)
    sqs.receive_message(QueueUrl=queue.url)

    def counts() -> list[str]:
        known = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        kinds = ("", "NotVisible", "Delayed")
        return [known[f"ApproximateNumberOfMessages{kind}"] for kind in kinds]

    assert counts() == ["2", "1", "1"]
    assert until(lambda: counts() == ["3", "1", "0"])
