"""EventBridge: what reaches a rule's targets, and the events that AWS's own services put there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from flows.gameday.aws import event_patterns, event_targets, operations, simulated_time

_LOG = logging.getLogger(__name__)
_RESERVED = "aws."
# "Targets per rule: 5" (EventBridge quotas); "Valid Range" (RetryPolicy).
_MOST_TARGETS = 5
_RETRIES = {"MaximumEventAgeInSeconds": (60, 86_400), "MaximumRetryAttempts": (0, 185)}
_INSTANCE_STATES = "EC2 Instance State-change Notification"


def correct() -> None:
    """Have events reach targets as AWS's do."""
    from moto.events.responses import EventsHandler

    _delivery()
    _reserved_sources()
    _targets()
    event_patterns.correct()
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
    now = simulated_time.now().timestamp()
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
            if event_targets.deliver(self, target, event):
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


def _targets() -> None:
    from moto.events.models import EventsBackend

    put = EventsBackend.put_targets

    def put_targets(
        self: Any, name: str, event_bus_arn: str | None, targets: list[dict[str, Any]]
    ) -> None:
        bus = self._get_event_bus(self._normalize_event_bus_arn(event_bus_arn))
        rule = bus.rules.get(name)
        known = {target["Id"] for target in rule.targets} if rule is not None else set()
        if len(known | {target["Id"] for target in targets}) > _MOST_TARGETS:
            raise operations.error(
                "LimitExceededException",
                "The requested resource exceeds the maximum number allowed.",
            )
        for target in targets:
            retries = target.get("RetryPolicy", {})
            for key, (least, most) in _RETRIES.items():
                if key in retries and not least <= int(retries[key]) <= most:
                    raise operations.error(
                        "ValidationException", f"Value {retries[key]} at '{key}' is not valid."
                    )
        put(self, name, event_bus_arn, targets)

    EventsBackend.put_targets = put_targets


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
