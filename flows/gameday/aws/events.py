"""EventBridge: what reaches a rule's targets, and the events that AWS's own services put there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flows.gameday.aws import operations
from flows.gameday.aws.authorization.policy import Asked, read_policy
from flows.gameday.aws.authorization.principals import administrator, organization_id
from flows.gameday.aws.deliveries import Sender

_LOG = logging.getLogger(__name__)
_RESERVED = "aws."
_INSTANCE_STATES = "EC2 Instance State-change Notification"


def correct() -> None:
    """Have events reach targets as AWS's do."""
    from moto.events.responses import EventsHandler

    _delivery()
    _reserved_sources()
    operations.add(EventsHandler, {"TestEventPattern": _test_event_pattern})


def emit(
    account: str,
    region: str,
    source: str,
    detail_type: str,
    detail: Mapping[str, Any],
    resources: Iterable[str] = (),
) -> None:
    """Put the event of an AWS service (``aws.guardduty``) on the account's default event bus.

    It is there that they put all their events (EventBridge User Guide, "Events from AWS services").
    """
    from moto.events.models import events_backends
    from moto.moto_api._internal import mock_random

    bus = events_backends[account][region].event_buses["default"]
    if not bus.rules:
        return
    now = time.time()
    event = {
        "version": "0",
        "id": str(mock_random.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": now,
        "region": region,
        "resources": list(resources),
        "detail": dict(detail),
        "ingestion-time": now,
    }
    for rule in list(bus.rules.values()):
        rule.send_to_targets(json.loads(json.dumps(event)))


def _delivery() -> None:
    from moto.events.models import Rule
    from moto.events.utils import EventTemplateParser

    # The envelope has the account and all else that "AWS service event metadata" (EventBridge User
    # Guide) lists; moto leaves the account out.
    parse = EventTemplateParser.parse

    def parse_template(input_template: str, input_paths_map: Any, event: dict[str, Any]) -> Any:
        if input_template:
            return parse(input_template, input_paths_map, event)
        return {name: value for name, value in event.items() if name != "ingestion-time"}

    EventTemplateParser.parse = staticmethod(parse_template)

    send = Rule.send_to_targets

    def send_to_targets(self: Any, event: dict[str, Any], transform_input: bool = True) -> None:
        # "A disabled rule won't match any events" (DisableRule), and one that has only a schedule
        # matches none either (PutRule).
        if self.state == "DISABLED" or not self.event_pattern.get_pattern():
            return
        if not self.event_pattern.matches_event(event):
            return
        targets = self.targets
        for target in list(targets):
            deliver = _OWN_DELIVERY.get(_kind(target["Arn"]))
            if deliver is not None:
                deliver(self, target, event)
                continue
            self.targets = [target]
            try:
                send(self, event, transform_input)
            except NotImplementedError:
                # A target that can't be reached is no error of whoever put the event
                # (PutEvents); targets that would run code are not simulated.
                _LOG.warning("an event for %s is not delivered: not simulated", target["Arn"])
            finally:
                self.targets = targets

    Rule.send_to_targets = send_to_targets


def _kind(arn: str) -> str:
    """What a target is: ``sns``, ``event-bus`` or the name of another service."""
    parts = arn.split(":")
    return "event-bus" if parts[5].startswith("event-bus/") else parts[2]


def _to_topic(rule: Any, target: Mapping[str, Any], event: dict[str, Any]) -> None:
    from moto.sns.models import sns_backends

    account, region = target["Arn"].split(":")[4], target["Arn"].split(":")[3]
    topic = sns_backends[account][region].topics.get(target["Arn"])
    if topic is not None and _may(rule, target, "sns:Publish"):
        topic.publish(json.dumps(_input(target, event)))


def _to_queue(rule: Any, target: Mapping[str, Any], event: dict[str, Any]) -> None:
    from moto.sqs.models import sqs_backends

    _, _, _, region, account, name = target["Arn"].split(":")
    backend = sqs_backends[account][region]
    queue = backend.queues.get(name)
    if queue is None or not _may(rule, target, "sqs:SendMessage"):
        return
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    by_content = getattr(queue, "content_based_deduplication", False)
    if queue.fifo_queue and not (group and by_content):
        # A FIFO queue has to deduplicate by content (EventBridge User Guide, "Amazon SQS targets").
        return
    backend.send_message(name, json.dumps(_input(target, event)), group_id=group)


def _to_bus(rule: Any, target: Mapping[str, Any], event: dict[str, Any]) -> None:
    # An event that goes on to another bus stays what it was: account, Region and time are those of
    # where it began ("Sending events between accounts", EventBridge User Guide). moto makes a new
    # one of the other account.
    from moto.events.models import events_backends

    _, _, _, region, account, name = target["Arn"].split(":")
    bus = events_backends[account][region].event_buses.get(name.removeprefix("event-bus/"))
    if bus is None or not (account == rule.account_id or _lets_in(bus, rule, target)):
        return
    for other in list(bus.rules.values()):
        other.send_to_targets(json.loads(json.dumps(event)))


def _may(rule: Any, target: Mapping[str, Any], action: str) -> bool:
    sender = Sender("events.amazonaws.com", rule.arn, target.get("RoleArn", ""))
    return sender.may(action, target["Arn"])


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


_OWN_DELIVERY: Mapping[str, Callable[[Any, Mapping[str, Any], dict[str, Any]], None]] = {
    "sns": _to_topic,
    "sqs": _to_queue,
    "event-bus": _to_bus,
}


def _input(target: Mapping[str, Any], event: dict[str, Any]) -> Any:
    """What the target is given: the event, or what Input, InputPath or InputTransformer make of
    it (Target)."""
    from moto.core.utils import iso_8601_datetime_without_milliseconds, utcfromtimestamp
    from moto.events.utils import EventTemplateParser

    written = dict(event)
    if not isinstance(event["time"], str):
        written["time"] = iso_8601_datetime_without_milliseconds(
            utcfromtimestamp(float(event["time"]))
        )
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


def _test_event_pattern(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.events.models import EventPattern

    pattern = EventPattern.load(asked["EventPattern"])
    return {"Result": bool(pattern.matches_event(json.loads(asked["Event"])))}


def _reserved_sources() -> None:
    from moto.events.models import EventsBackend

    put = EventsBackend.put_events

    def put_events(self: Any, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Sources that begin with "aws." are reserved: such an entry fails (EventBridge User Guide,
        # "Adding events with PutEvents").
        if len(events) > 10:
            return list(put(self, events))
        answers = iter(put(self, [event for event in events if not _is_reserved(event)]))
        return [
            {
                "ErrorCode": "NotAuthorizedForSourceException",
                "ErrorMessage": "Not authorized for the source.",
            }
            if _is_reserved(event)
            else next(answers)
            for event in events
        ]

    EventsBackend.put_events = put_events


def _is_reserved(event: Mapping[str, Any]) -> bool:
    return str(event.get("Source") or "").startswith(_RESERVED)


def correct_instances() -> None:
    """Have EC2 say how the states of its instances change."""
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.instances import Instance

    def says(method: Any, *states: str) -> Any:
        def changed(self: Any) -> Any:
            before = self.state
            result = method(self)
            if before not in states:
                _say(self, *states)
            return result

        return changed

    Instance.start = says(Instance.start, "pending", "running")
    Instance.stop = says(Instance.stop, "stopping", "stopped")
    Instance.terminate = says(Instance.terminate, "shutting-down", "terminated")

    run = EC2Backend.run_instances

    def run_instances(self: Any, *arguments: Any, **named: Any) -> Any:
        reservation = run(self, *arguments, **named)
        for instance in reservation.instances:
            _say(instance, "pending", "running")
        return reservation

    EC2Backend.run_instances = run_instances


def _say(instance: Any, *states: str) -> None:
    """Send "EC2 Instance State-change Notification" events (EC2 User Guide, "State change events
    for your instances")."""
    backend = instance.ec2_backend
    account, region = backend.account_id, backend.region_name
    arn = f"arn:{backend.partition}:ec2:{region}:{account}:instance/{instance.id}"
    for state in states:
        detail = {"instance-id": instance.id, "state": state}
        emit(account, region, "aws.ec2", _INSTANCE_STATES, detail, [arn])
