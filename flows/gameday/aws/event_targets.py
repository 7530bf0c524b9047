"""EventBridge's targets: what each is given, and where what it doesn't get goes instead."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from flows.gameday.aws.authorization.policy import Asked, read_policy
from flows.gameday.aws.authorization.principals import administrator, organization_id
from flows.gameday.aws.deliveries import Sender

_LOG = logging.getLogger(__name__)
_SERVICE = "events.amazonaws.com"


class Undelivered(Exception):
    """A target doesn't get an event: ``ERROR_CODE`` and ``ERROR_MESSAGE`` of its dead letter."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def deliver(rule: Any, target: Mapping[str, Any], event: dict[str, Any]) -> bool:
    """Give a target the event, as the rule has it; False where nothing here knows such targets.

    What it doesn't get is a dead letter, where the target has a queue for them, and else dropped;
    who put the event isn't told (PutEvents).
    """
    carry_out = _BY_KIND.get(_kind(target["Arn"]))
    if carry_out is None:
        return False
    try:
        carry_out(rule, target, event)
    except Undelivered as undelivered:
        _LOG.warning("%s: %s: %s", rule.arn, target["Arn"], undelivered.message)
        _dead_letter(rule, target, event, undelivered)
    return True


def given(target: Mapping[str, Any], event: dict[str, Any]) -> Any:
    """What the target is given: the event, or what Input, InputPath or InputTransformer make of
    it (Target)."""
    from moto.events.utils import EventTemplateParser

    written = _written(event)
    if "Input" in target:
        return json.loads(target["Input"])
    if "InputPath" in target:
        from jsonpath_ng.parser import parse

        found = parse(target["InputPath"]).find(written)
        return found[0].value if found else None
    transformer = target.get("InputTransformer", {})
    return EventTemplateParser.parse(
        transformer.get("InputTemplate"), transformer.get("InputPathsMap", {}), written
    )


def _written(event: dict[str, Any]) -> dict[str, Any]:
    """The event with its time as text."""
    from moto.core.utils import iso_8601_datetime_without_milliseconds, utcfromtimestamp

    if isinstance(event["time"], str):
        return event
    at = iso_8601_datetime_without_milliseconds(utcfromtimestamp(float(event["time"])))
    return {**event, "time": at}


def _kind(arn: str) -> str:
    """What a target is: ``sns``, ``event-bus`` or the name of another service."""
    parts = arn.split(":")
    return "event-bus" if parts[5].startswith("event-bus/") else parts[2]


def _sender(rule: Any, target: Mapping[str, Any]) -> Sender:
    return Sender(_SERVICE, rule.arn, target.get("RoleArn", ""))


def _to_topic(rule: Any, target: Mapping[str, Any], event: dict[str, Any]) -> None:
    from moto.sns.models import sns_backends

    account, region = target["Arn"].split(":")[4], target["Arn"].split(":")[3]
    topic = sns_backends[account][region].topics.get(target["Arn"])
    if topic is None:
        raise Undelivered("NO_RESOURCE", "The target topic does not exist.")
    if not _sender(rule, target).may("sns:Publish", target["Arn"]):
        raise Undelivered("NO_PERMISSIONS", "The rule has no permission to publish to the topic.")
    topic.publish(json.dumps(given(target, event)))


def _to_queue(rule: Any, target: Mapping[str, Any], event: dict[str, Any]) -> None:
    queue, backend = _queue(target["Arn"])
    if queue is None:
        raise Undelivered("NO_RESOURCE", "The target queue does not exist.")
    if not _sender(rule, target).may_send(queue):
        raise Undelivered("NO_PERMISSIONS", "The rule has no permission to send to the queue.")
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    if queue.fifo_queue and not (group and queue.content_based_deduplication):
        # A FIFO queue has to deduplicate by content (EventBridge User Guide, "Amazon SQS targets").
        raise Undelivered("INVALID_PARAMETER", "The queue doesn't deduplicate by content.")
    backend.send_message(queue.name, json.dumps(given(target, event)), group_id=group)


def _to_bus(rule: Any, target: Mapping[str, Any], event: dict[str, Any]) -> None:
    # An event that goes on to another bus stays what it was: account, Region and time are those of
    # where it began ("Sending events between accounts", EventBridge User Guide). moto makes a new
    # one of the other account.
    from moto.events.models import events_backends

    _, _, _, region, account, name = target["Arn"].split(":")
    bus = events_backends[account][region].event_buses.get(name.removeprefix("event-bus/"))
    if bus is None:
        raise Undelivered("NO_RESOURCE", "The target event bus does not exist.")
    if account != rule.account_id and not _lets_in(bus, rule, target):
        raise Undelivered("NO_PERMISSIONS", "The event bus lets no events of the account in.")
    for other in list(bus.rules.values()):
        other.send_to_targets(json.loads(json.dumps(event)))


def _lets_in(bus: Any, rule: Any, target: Mapping[str, Any]) -> bool:
    """Whether a bus takes events of another account: its policy must name that (EventBridge User
    Guide, "Sending and receiving events between AWS accounts")."""
    account = rule.account_id
    asked = Asked(
        "events:PutEvents",
        target["Arn"],
        administrator(account).principal,
        {"aws:principalorgid": (organization_id(account),), "aws:sourcearn": (rule.arn,)},
    )
    policy = read_policy(bus.policy) if bus.policy else None
    return policy is not None and bool(policy.grants(asked)) and not policy.denies(asked)


_BY_KIND: Mapping[str, Callable[[Any, Mapping[str, Any], dict[str, Any]], None]] = {
    "sns": _to_topic,
    "sqs": _to_queue,
    "event-bus": _to_bus,
}


def _dead_letter(
    rule: Any, target: Mapping[str, Any], event: dict[str, Any], undelivered: Undelivered
) -> None:
    """Send what isn't delivered to the target's queue for dead letters.

    "For errors that result from missing permissions to a target, or if a target resource that no
    longer exists, no retry attempts will happen …; EventBridge sends these events directly to the
    target DLQ, if you have specified one. Each message in your DLQ will include the following
    custom attributes: …" (EventBridge User Guide, "Using dead-letter queues"). There are no other
    errors here, so that nothing is ever tried again.
    """
    arn = target.get("DeadLetterConfig", {}).get("Arn")
    queue, backend = _queue(arn) if arn else (None, None)
    # What it is sent with is the rule's own permission, not the role of the target.
    if (
        queue is None
        or backend is None
        or queue.fifo_queue
        or not Sender(_SERVICE, rule.arn).may_send(queue)
    ):
        return
    said = {
        "RULE_ARN": rule.arn,
        "TARGET_ARN": target["Arn"],
        "ERROR_CODE": undelivered.code,
        "ERROR_MESSAGE": undelivered.message,
    }
    body = {name: value for name, value in _written(event).items() if name != "ingestion-time"}
    backend.send_message(
        queue.name,
        json.dumps(body),
        message_attributes={
            name: {"DataType": "String", "StringValue": value} for name, value in said.items()
        },
    )


def _queue(arn: str) -> tuple[Any, Any]:
    """A queue by its ARN, None where there is none, and the backend where it would be."""
    from moto.sqs.models import sqs_backends

    _, _, _, region, account, name = arn.split(":")
    backend = sqs_backends[account][region]
    return backend.queues.get(name), backend
