"""Receiving from a queue: long polls, more of them at a time while there is much."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flows.serve.backlog import Backlog, Message
from flows.serve.backoff import Backoff
from flows.serve.receipts import Receipts
from flows.serve.sparing_log import SparingLog
from flows.serve.sqs import MOST_IN_BATCH, Queue, Sqs
from runbooks.errors import AwsRefused

MOST_RECEIVERS = 8
_FIRST_PAUSE = timedelta(seconds=0.5)
_LONGEST_PAUSE = timedelta(seconds=30)
# A poll lasts 20 s and may go unanswered for 30 s; whatever takes longer hangs.
_HANGS = timedelta(seconds=90)
_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_ORDINARY = 5.0


class Receivers:
    """The threads that receive from one queue: one while it is idle, up to eight in a flood.

    ``wait`` is how long SQS waits for a message, ``received_for`` how long it hides those that it
    gives out. ``severity_of`` says how urgent a body is.
    """

    def __init__(
        self,
        queue: Queue,
        sqs: Sqs,
        backlog: Backlog,
        receipts: Receipts,
        *,
        most_urgent: bool,
        severity_of: Callable[[bytes], float],
        wait: timedelta,
        received_for: timedelta,
        stop: threading.Event,
        log: SparingLog,
    ) -> None:
        self.queue = queue
        self._sqs = sqs
        self._backlog = backlog
        self._receipts = receipts
        self._most_urgent = most_urgent
        self._severity_of = severity_of
        self._wait = wait
        self._received_for = received_for
        self._stop = stop
        self._log = log
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, stop)
        self._lock = threading.Lock()
        self._threads = 0
        self._asked_at: float | None = None

    def start(self) -> None:
        with self._lock:
            if self._threads >= MOST_RECEIVERS:
                return
            self._threads += 1
        # A poll can't be ended: closing its connection would lose what SQS then gives out to it.
        threading.Thread(
            target=self._receive_all, name=f"sqs-receive-{self.queue.name}", daemon=True
        ).start()

    @property
    def threads(self) -> int:
        """How many threads are receiving now."""
        with self._lock:
            return self._threads

    def trouble(self) -> str:
        """What is wrong, as a sentence; empty where the queue was read lately."""
        if trouble := self._backoff.trouble:
            return f"The queue {self.queue.name} can't be read {trouble}"
        if self._asked_at is None:
            return f"The queue {self.queue.name} has not been read yet."
        silent = time.monotonic() - self._asked_at
        if silent > _HANGS.total_seconds() and self._backlog.has_room(self._most_urgent):
            return f"The queue {self.queue.name} has given no answer for {silent:.0f} s."
        return ""

    def _receive_all(self) -> None:
        received = MOST_IN_BATCH
        while not self._ends(received):
            self._backoff.wait()
            if self._backlog.expect(self._most_urgent):
                messages = self._receive()
                if not self._backlog.put(messages):
                    self._receipts.give_back(messages, timedelta(0))
                received = len(messages)
                if received >= MOST_IN_BATCH:
                    self.start()

    def _ends(self, received: int) -> bool:
        """Whether this thread is one too many."""
        with self._lock:
            ends = self._stop.is_set() or (received < MOST_IN_BATCH and self._threads > 1)
            self._threads -= ends
            return ends

    def _receive(self) -> list[Message]:
        """What one call receives; nothing where it fails."""
        self._asked_at = time.monotonic()
        try:
            answer = self._sqs.call(
                self.queue,
                "receive_message",
                MaxNumberOfMessages=MOST_IN_BATCH,
                WaitTimeSeconds=int(self._wait.total_seconds()),
                VisibilityTimeout=int(self._received_for.total_seconds()),
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            )
            messages = [self._message(item) for item in answer.get("Messages", ())]
        except Exception as error:
            self._failed(error)
            return []
        self._backoff.succeeded()
        return messages

    def _message(self, item: dict[str, Any]) -> Message:
        body = str(item["Body"]).encode("utf-8", "surrogatepass")
        attributes = item.get("Attributes", {})
        hidden = self._received_for.total_seconds()
        return Message(
            queue=self.queue,
            id=str(item["MessageId"]),
            receipt=str(item["ReceiptHandle"]),
            body=body,
            sent_at=int(attributes.get("SentTimestamp", 0)),
            received=int(attributes.get("ApproximateReceiveCount", 1)),
            severity=self._severity(body),
            hidden_until=time.monotonic() + hidden,
            hidden_for=hidden,
        )

    def _severity(self, body: bytes) -> float:
        try:
            severity = float(self._severity_of(body))
        except Exception as error:
            # Ours to mend; the message is decided about like any other.
            self._log.warn(
                "severity", f"A message's severity can't be read: {type(error).__name__}"
            )
            return _ORDINARY
        return severity if math.isfinite(severity) else _ORDINARY

    def _failed(self, error: Exception) -> None:
        if self._stop.is_set():
            return
        gone = isinstance(error, AwsRefused) and error.code in _GONE
        self._backoff.failed(str(error), _LONGEST_PAUSE if gone else timedelta(0))
        kind = f"receive {self.queue.name}: {type(error).__name__}"
        self._log.warn(kind, f"The queue {self.queue.name} can't be read: {error}")
