"""SQS: what a queue gives out, to whom and for how long, and long polls that let others in."""

from __future__ import annotations

import copy
import hashlib
import random
import threading
import time
from typing import Any
from weakref import WeakSet

from flows.gameday.aws import queue_attributes, queue_moves, queue_requests, simulated_time
from flows.gameday.aws.faults import FAULT, Fault
from flows.gameday.aws.queue_messages import (
    Messages,
    NoReceipt,
    NotAvailable,
    NotInFlight,
    Received,
    Verdict,
)

_MOST_VISIBILITY_SECONDS = 43_200
_DEDUPLICATION_SECONDS = 300

_turn = threading.Lock()


def take_turns(turn: threading.Lock) -> None:
    """Have long polls give this lock back while they wait: without it nothing could be sent to the
    queue, and no other call be answered. Whoever uses a queue holds it."""
    global _turn
    _turn = turn


def let_go() -> None:
    """End all long polls: their queues are about to be forgotten."""
    for arrivals in list(_waited_for):
        arrivals.end()


def correct() -> None:
    """Have queues take no longer because they are full, and waits be waits for messages."""
    queue_attributes.correct()
    _contents()
    _sending()
    _receiving()
    _receipts()
    queue_requests.correct()
    queue_moves.correct()


class Arrivals:
    """Those who wait for messages of one queue. It is used by who holds the lock."""

    def __init__(self) -> None:
        self._condition = threading.Condition(_turn)
        self._waiting = 0
        self.over = False
        """Whether there is nothing to wait for any more."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Arrivals:
        # Nobody waits for what is remembered.
        return Arrivals()

    def wait(self, seconds: float) -> None:
        """Wait until it is told that messages are there, and let others in meanwhile."""
        self._waiting += 1
        _waited_for.add(self)
        try:
            self._condition.wait(seconds)
        finally:
            self._waiting -= 1

    def tell(self, messages: int = 1) -> None:
        """There are so many more messages."""
        if self._waiting:
            self._condition.notify(messages)

    def tell_all(self) -> None:
        """What is there, or when something will be, is to be looked at anew."""
        if self._waiting:
            self._condition.notify_all()

    def end(self) -> None:
        self.over = True
        self.tell_all()


_waited_for: WeakSet[Arrivals] = WeakSet()


def _contents() -> None:
    from moto.sqs.models import Queue, SQSBackend

    begin = Queue.__init__

    def __init__(self: Any, name: str, region: str, account_id: str, **attributes: Any) -> None:
        begin(self, name, region, account_id, **attributes)
        # moto looks through a list for whatever is done. Its lock can't be remembered with it.
        for unused in ("_messages", "_pending_messages", "_messages_lock", "deleted_messages"):
            del self.__dict__[unused]
        told = hashlib.blake2s(f"{self.queue_arn} {self.created_timestamp}".encode(), digest_size=9)
        self.contents = Messages(told.hexdigest(), fifo=self.fifo_queue)
        self.arrivals = Arrivals()
        self.deduplicated = {}

    Queue.__init__ = __init__
    Queue.approximate_number_of_messages = property(lambda queue: queue.contents.ready)
    Queue.approximate_number_of_messages_delayed = property(lambda queue: queue.contents.delayed)
    Queue.approximate_number_of_messages_not_visible = property(
        lambda queue: queue.contents.in_flight
    )

    def purge_queue(self: Any, queue_name: str) -> None:
        self.get_queue(queue_name).contents.clear()

    SQSBackend.purge_queue = purge_queue

    delete = SQSBackend.delete_queue

    def delete_queue(self: Any, queue_name: str) -> None:
        self.get_queue(queue_name).arrivals.end()
        delete(self, queue_name)

    SQSBackend.delete_queue = delete_queue


def _sending() -> None:
    from moto.moto_api._internal import mock_random
    from moto.sqs.models import Message, Queue, SQSBackend

    def send_message(
        self: Any,
        queue_name: str,
        message_body: str,
        message_attributes: dict[str, Any] | None = None,
        delay_seconds: int | None = None,
        deduplication_id: str | None = None,
        group_id: str | None = None,
        system_attributes: dict[str, Any] | None = None,
        validate_group_id: bool = True,
    ) -> Any:
        queue = self.get_queue(queue_name)
        queue_requests.require_sendable(queue, message_body, message_attributes, delay_seconds)
        self._validate_message(
            queue, message_body, int(delay_seconds or 0), deduplication_id, group_id
        )
        message = Message(str(mock_random.uuid4()), message_body, system_attributes)
        message.message_attributes = message_attributes or {}
        message.group_id = group_id
        message.deduplication_id = deduplication_id
        message.dead_letter_source = ""
        message.mark_sent()
        if queue.fifo_queue:
            if message.deduplication_id is None:
                # "Amazon SQS uses a SHA-256 hash to generate the MessageDeduplicationId using the
                # body of the message" (SendMessage).
                message.deduplication_id = hashlib.sha256(message_body.encode()).hexdigest()
            known = _known(queue, message)
            if known is not None:
                return known
            message.sequence_number = f"{mock_random.getrandbits(64):020d}"
        queue.add_message(message, queue.delay_seconds if delay_seconds is None else delay_seconds)
        return message

    SQSBackend.send_message = send_message

    def add_message(self: Any, message: Any, delay: float = 0) -> None:
        self.contents.add(message, group=message.group_id or "", delay=float(delay))
        if delay:
            self.arrivals.tell_all()
        else:
            self.arrivals.tell()

    Queue.add_message = add_message


def _known(queue: Any, message: Any) -> Any:
    """The message of a FIFO queue that this one repeats, or None.

    "Any messages sent with the same MessageDeduplicationId are accepted successfully but aren't
    delivered during the 5-minute deduplication interval" (SendMessage).
    """
    scope = message.group_id if queue.deduplication_scope == "messageGroup" else None
    key, now = (scope, message.deduplication_id), simulated_time.monotonic()
    sent, known = queue.deduplicated.get(key, (0.0, None))
    if known is not None and now - sent < _DEDUPLICATION_SECONDS:
        return known
    queue.deduplicated[key] = (now, message)
    return None


def _receiving() -> None:
    from moto.sqs.exceptions import QueueDoesNotExist
    from moto.sqs.models import SQSBackend
    from moto.sqs.responses import SQSResponse

    def receive_message(
        self: Any,
        queue_name: str,
        count: int,
        wait_seconds_timeout: float,
        visibility_timeout: float,
        message_attribute_names: list[str] | None = None,
        fault: Fault | None = None,
    ) -> list[Any]:
        # "The duration … for which the call waits for a message to arrive in the queue before
        # returning. If a message is available, the call returns sooner" (ReceiveMessage).
        ends = time.monotonic() + wait_seconds_timeout
        queue = self.get_queue(queue_name)
        while True:
            found = _received(self, queue, count, visibility_timeout, fault)
            left = ends - time.monotonic()
            if found or left <= 0:
                names = message_attribute_names or []
                return [_as_given(received, names) for received in found]
            due = queue.contents.next_due()
            queue.arrivals.wait(left if due is None else min(left, due))
            if queue.arrivals.over:
                raise QueueDoesNotExist

    SQSBackend.receive_message = receive_message

    def receive_message_called(self: Any) -> Any:
        from moto.core.responses import ActionResult

        asked = queue_requests.read_receive(self)
        messages = self.sqs_backend.receive_message(
            self._get_queue_name(),
            asked.count,
            asked.wait,
            asked.visibility,
            asked.attributes,
            self.normalized_request.environ.get(FAULT),
        )
        said = [queue_requests.said(message, asked.system_attributes) for message in messages]
        return ActionResult({"Messages": said} if said else {})

    SQSResponse.receive_message = receive_message_called


def _received(
    backend: Any, queue: Any, count: int, visibility: float, fault: Fault | None
) -> list[Received[Any]]:
    """What can be received now; dead letters are moved on the way."""
    policy = queue.redrive_policy or {}
    dead_letters = backend.queues.get(policy.get("deadLetterTargetArn", "").rsplit(":", 1)[-1])
    oldest = (simulated_time.now().timestamp() - queue.message_retention_period) * 1000

    def judge(message: Any, receipts: int) -> Verdict:
        if message.sent_timestamp <= oldest:
            return "drop"
        # "When the ReceiveCount for a message exceeds the maxReceiveCount for a queue, Amazon SQS
        # moves the message to the dead-letter queue" (CreateQueue, RedrivePolicy).
        if dead_letters is not None and receipts >= policy["maxReceiveCount"]:
            return "dead"
        return "give"

    effect = fault.effect if fault is not None else None
    shuffle = None
    if fault is not None and effect == "reorder":
        # Each call draws otherwise, and the same every time.
        queue.shuffled = getattr(queue, "shuffled", 0) + 1
        shuffle = random.Random(f"{fault.seed} {queue.queue_arn} {queue.shuffled}")
    contents: Messages[Any] = queue.contents
    given, dead = contents.receive(
        count, visibility, judge, shuffle=shuffle, twice=effect == "duplicate"
    )
    for message in dead:
        message.dead_letter_source = queue.queue_arn
        dead_letters.add_message(message)
    for received in given:
        message = received.content
        message.approximate_receive_count += 1
        if message.approximate_first_receive_timestamp is None:
            message.approximate_first_receive_timestamp = int(
                simulated_time.now().timestamp() * 1000
            )
    return given


def _as_given(received: Received[Any], attribute_names: list[str]) -> Any:
    """The message as who received it sees it: others may receive it, too."""
    from moto.sqs.models import _filter_message_attributes

    message = copy.copy(received.content)
    message.receipt_handle = received.handle
    _filter_message_attributes(message, attribute_names)
    return message


def _receipts() -> None:
    from moto.sqs.exceptions import ReceiptHandleIsInvalid, SQSException
    from moto.sqs.models import Queue, SQSBackend

    def delete_message(self: Any, receipt_handle: str) -> None:
        try:
            self.contents.delete(receipt_handle)
        except NoReceipt:
            raise ReceiptHandleIsInvalid from None
        except NotInFlight:
            raise _not_available(
                "ReceiptHandle", receipt_handle, "The receipt handle has expired"
            ) from None
        if self.fifo_queue:
            # The others of its group can be received now.
            self.arrivals.tell_all()

    Queue.delete_message = delete_message

    def change_message_visibility(
        self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        queue = self.get_queue(queue_name)
        try:
            queue.contents.change_visibility(
                receipt_handle, float(visibility_timeout), _MOST_VISIBILITY_SECONDS
            )
        except NoReceipt:
            raise ReceiptHandleIsInvalid from None
        except NotAvailable:
            raise _not_available(
                "ReceiptHandle",
                receipt_handle,
                "Message does not exist or is not available for visibility timeout change",
            ) from None
        except NotInFlight:
            raise SQSException(
                "AWS.SimpleQueueService.MessageNotInflight",
                "The specified message isn't in flight.",
            ) from None
        except OverflowError:
            # "The 12 hour limit … starts from the time Amazon SQS receives the ReceiveMessage
            # request" (SQS Developer Guide, "Amazon SQS visibility timeout").
            raise _not_available(
                "VisibilityTimeout",
                visibility_timeout,
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            ) from None
        queue.arrivals.tell_all()

    SQSBackend.change_message_visibility = change_message_visibility


def _not_available(parameter: str, value: object, why: str) -> Exception:
    from moto.sqs.exceptions import InvalidParameterValue

    error: Exception = InvalidParameterValue(
        f"Value {value} for parameter {parameter} is invalid. Reason: {why}."
    )
    return error
