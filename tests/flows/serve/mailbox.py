"""Queues in the simulated AWS, and a stand-in for whoever decides about messages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import client
from flows.serve.queue import Queue
from flows.settings import Settings

REGION = "eu-west-1"


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something to come true, and fail where it doesn't."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come true in time"
        time.sleep(0.01)


def settings_of(aws: SimulatedAws, home: Path) -> Settings:
    return Settings(home=home, simulate=aws.url, region=REGION)


def finding(severity: float, number: int = 0) -> str:
    return json.dumps({"severity": severity, "number": number})


def severity_of(body: bytes) -> float:
    return float(json.loads(body)["severity"])


class Mailbox:
    """A queue in the simulated AWS, seen from the side of those who send to it."""

    def __init__(self, aws: SimulatedAws, name: str, settings: Settings, **attributes: str) -> None:
        self.sqs = client(aws.url, REGION, "sqs")
        self.url = str(self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])
        self.queue = Queue.read(self.url, settings)

    def send(self, *bodies: str) -> None:
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": body}
                for number, body in enumerate(bodies[start : start + 10])
            ]
            assert not self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries).get("Failed")

    def counts(self) -> tuple[int, int]:
        """How many messages there are to be had, and how many somebody has."""
        name = "ApproximateNumberOfMessages"
        names = [name, f"{name}NotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        visible, hidden = (int(answer["Attributes"][name]) for name in names)
        return visible, hidden

    def is_empty(self) -> bool:
        """Whether everything that was sent has been deleted."""
        return self.counts() == (0, 0)

    def receive(self, wait: int = 5) -> list[dict[str, Any]]:
        """Receive as another consumer would."""
        answer = self.sqs.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages


class Desk:
    """Decides about messages: remembers them, and waits or fails when it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.failing: Callable[[bytes], Exception | None] = lambda body: None
        self._lock = threading.Lock()
        self.tried: list[tuple[bytes, str]] = []
        self.taken: list[bytes] = []

    def take(self, body: bytes, via: str) -> None:
        with self._lock:
            self.tried.append((body, via))
        assert self.open.wait(20)
        error = self.failing(body)
        if error is not None:
            raise error
        with self._lock:
            self.taken.append(body)
