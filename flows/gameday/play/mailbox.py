"""GuardDuty's way to Clampdown in a drill: EventBridge, a queue, and the intake desk."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flows.gameday.play.outside import Outside
from flows.intake.finding import FindingRejected
from flows.intake_desk import Intake
from runbooks.errors import ClampdownError

_QUEUE = "findings"
_RULE = "findings"
_VIA = "sqs"


class Mailbox:
    """The queue that findings arrive in."""

    def __init__(self, outside: Outside) -> None:
        self._sqs = outside.client("sqs")
        self._arn = f"arn:aws:sqs:{outside.region}:{outside.account}:{_QUEUE}"
        self._events = outside.client("events")
        self._queue = f"{outside.url}/{outside.account}/{_QUEUE}"

    def set_up(self) -> None:
        """Have there be a queue, and a rule of EventBridge that sends findings to it."""
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": self._arn,
                }
            ],
        }
        self._sqs.create_queue(QueueName=_QUEUE, Attributes={"Policy": json.dumps(policy)})
        pattern = {"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"]}
        self._events.put_rule(Name=_RULE, EventPattern=json.dumps(pattern))
        self._events.put_targets(Rule=_RULE, Targets=[{"Id": "queue", "Arn": self._arn}])

    def put(self, event: str) -> None:
        """What somebody sends there who is not EventBridge."""
        self._sqs.send_message(QueueUrl=self._queue, MessageBody=event)

    def repeat(self, times: int, *finding_ids: str) -> None:
        """Have the events of findings that lie in the queue arrive so many times more."""
        messages = self._receive_all()
        for message in messages:
            if any(identity in message["Body"] for identity in finding_ids):
                for _ in range(times):
                    self.put(message["Body"])
        for message in messages:
            self._visible_in(message, 0)

    def take(self, intake: Intake, again: timedelta) -> tuple[int, list[ClampdownError]]:
        """Hand everything to the intake desk: how much was dealt with, and why some was not, which
        comes ``again`` after that time."""
        failed: list[ClampdownError] = []
        messages = self._receive_all()
        for message in messages:
            try:
                intake.take(message["Body"].encode(), _VIA)
            except ClampdownError as error:
                failed.append(error)
                self._visible_in(message, int(again.total_seconds()))
            else:
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
        return len(messages) - len(failed), failed

    def _receive_all(self) -> list[dict[str, Any]]:
        """What can be received, in the order in which it was sent."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
            )
            if not answer.get("Messages"):
                return found
            found += answer["Messages"]

    def _visible_in(self, message: dict[str, Any], seconds: int) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._queue,
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=seconds,
        )


class Rejected:
    """What the intake desk does not understand, or does not believe."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def put(self, document: bytes, rejected: list[FindingRejected], via: str) -> None:
        for finding in rejected:
            self._told(f"Clampdown rejects it: {finding}")
