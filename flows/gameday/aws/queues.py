"""SQS: policies that stay with their queues, and long polls that let others in meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOOK_SECONDS = 0.05

_turn: threading.Lock | None = None


def take_turns(turn: threading.Lock) -> None:
    """Have long polls give this lock back while they wait: without it nothing could be sent to the
    queue, and no other call be answered."""
    global _turn
    _turn = turn


def correct() -> None:
    """Have queues keep their policies, and waits be waits for messages."""
    from moto.sqs.models import Queue, SQSBackend

    change = Queue._set_attributes

    def _set_attributes(self: Any, attributes: dict[str, Any], now: float | None = None) -> None:
        # SetQueueAttributes changes the attributes that it is given; moto has a queue lose its
        # policy whenever another attribute is changed.
        if "Policy" not in attributes and "_policy_json" in self.__dict__:
            attributes = {**attributes, "Policy": self.policy}
        change(self, attributes, now)

    Queue._set_attributes = _set_attributes

    receive = SQSBackend.receive_message

    def receive_message(
        self: Any,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> Any:
        # "The duration … for which the call waits for a message to arrive in the queue before
        # returning. If a message is available, the call returns sooner" (ReceiveMessage).
        ends = time.monotonic() + (wait_seconds_timeout or 0)
        while True:
            found = receive(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
            left = ends - time.monotonic()
            if found or left <= 0:
                return found
            with _turn_of_others():
                time.sleep(min(left, _LOOK_SECONDS))

    SQSBackend.receive_message = receive_message


@contextmanager
def _turn_of_others() -> Iterator[None]:
    turn = _turn
    if turn is not None:
        turn.release()
    try:
        yield
    finally:
        if turn is not None:
            turn.acquire()
