"""EventBridge: which events a rule lets through, and what reaches its targets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, REGION, Account
from benchmarks.fidelity.checks.queues import Queue, allowing
from benchmarks.fidelity.verdicts import Verdicts, check

_SERVICE = "events.amazonaws.com"
_ENVELOPE = {
    "version",
    "id",
    "detail-type",
    "source",
    "account",
    "time",
    "region",
    "resources",
    "detail",
}
# Patterns of an event's detail, each with a detail that it lets through and one that it doesn't.
_PATTERNS: Mapping[str, tuple[Any, Any, Any]] = {
    "anything-but": ({"a": [{"anything-but": ["x"]}]}, {"a": "y"}, {"a": "x"}),
    "exists": ({"a": [{"exists": True}]}, {"a": "y"}, {"b": "y"}),
    "prefix": ({"a": [{"prefix": "ab"}]}, {"a": "abc"}, {"a": "bc"}),
    "suffix": ({"a": [{"suffix": "bc"}]}, {"a": "abc"}, {"a": "ab"}),
    "wildcard": ({"a": [{"wildcard": "a*c"}]}, {"a": "abc"}, {"a": "ab"}),
    "cidr": ({"a": [{"cidr": "10.0.0.0/8"}]}, {"a": "10.1.1.1"}, {"a": "11.1.1.1"}),
    "$or": ({"$or": [{"a": ["x"]}, {"b": ["y"]}]}, {"b": "y"}, {"a": "y"}),
    "equals-ignore-case": ({"a": [{"equals-ignore-case": "ABC"}]}, {"a": "abc"}, {"a": "ab"}),
    "a member of a list": ({"a": ["x"]}, {"a": ["w", "x"]}, {"a": ["w"]}),
}


class Bus:
    """The default event bus, or another."""

    def __init__(self, account: Account, name: str = "default") -> None:
        self._account, self._name = account, name
        self.api = account("events")
        self.arn = f"arn:aws:events:{REGION}:{ACCOUNT_ID}:event-bus/{name}"

    def rule(self, name: str, pattern: Mapping[str, Any], target: str, **more: Any) -> None:
        self.api.put_rule(Name=name, EventBusName=self._name, EventPattern=json.dumps(pattern))
        self.api.put_targets(
            Rule=name, EventBusName=self._name, Targets=[{"Id": "1", "Arn": target, **more}]
        )

    def queue(self, name: str, pattern: Mapping[str, Any], **more: Any) -> Queue:
        """A queue to which a rule of the same name delivers what matches the pattern."""
        queue = Queue(self._account, name, lets=_SERVICE)
        self.rule(name, pattern, queue.arn, **more)
        return queue

    def put(self, source: str, detail: object, kind: str = "Noticed") -> Any:
        text = detail if isinstance(detail, str) else json.dumps(detail)
        entry = {"Source": source, "DetailType": kind, "Detail": text, "EventBusName": self._name}
        return self.api.put_events(Entries=[entry])


@check("events", "rules")
def _rules(account: Account, seen: Verdicts) -> None:
    bus = Bus(account)
    queue = bus.queue(
        "findings",
        {
            "source": ["aws.guardduty", "my.guardduty"],
            "detail-type": ["GuardDuty Finding"],
            "detail": {"severity": [{"numeric": [">=", 7]}]},
        },
    )

    def find(severity: int) -> list[str]:
        bus.put("my.guardduty", {"severity": severity, "id": "x"}, "GuardDuty Finding")
        return queue.take()

    arrived = find(8)
    seen.holds("an event that matches arrives", len(arrived) == 1, arrived)
    envelope = set(json.loads(arrived[0])) if arrived else set()
    seen.holds("in its whole envelope", envelope >= _ENVELOPE, sorted(envelope))
    seen.holds("one that doesn't match doesn't", find(3) == [])
    bus.api.disable_rule(Name="findings")
    seen.holds("a disabled rule delivers nothing", find(9) == [])
    bus.api.enable_rule(Name="findings")
    seen.holds("an enabled one does again", len(find(9)) == 1)
    event = {
        "id": "1",
        "account": ACCOUNT_ID,
        "source": "a",
        "time": "2020-01-01T00:00:00Z",
        "region": REGION,
        "resources": [],
        "detail-type": "d",
        "detail": {},
    }
    answer = seen.done(
        "a pattern is tested",
        lambda: bus.api.test_event_pattern(
            EventPattern='{"source": ["a"]}', Event=json.dumps(event)
        ),
    )
    seen.holds("and matches or doesn't", (answer or {}).get("Result") is True, answer)


@check("events", "patterns")
def _patterns(account: Account, seen: Verdicts) -> None:
    bus = Bus(account)
    for number, (name, (pattern, passing, other)) in enumerate(_PATTERNS.items()):
        queue = bus.queue(f"pattern-{number}", {"source": ["pattern"], "detail": pattern})
        for detail in (passing, other):
            bus.put("pattern", detail)
        details = [json.loads(body)["detail"] for body in queue.take()]
        seen.holds(f"pattern: {name}", details == [passing], details)
        bus.api.remove_targets(Rule=f"pattern-{number}", Ids=["1"])
        bus.api.delete_rule(Name=f"pattern-{number}")


@check("events", "targets and buses")
def _targets(account: Account, seen: Verdicts) -> None:
    bus, sns = Bus(account), account("sns")
    transformer = {
        "InputPathsMap": {"id": "$.detail.id"},
        "InputTemplate": '{"case": "<id>"}',
    }
    queue = bus.queue("transformed", {"source": ["t"]}, InputTransformer=transformer)
    bus.put("t", {"id": "77"})
    bodies = [json.loads(body) for body in queue.take()]
    seen.holds("an InputTransformer is applied", bodies == [{"case": "77"}], bodies)

    bus.api.create_event_bus(Name="response")
    other = Bus(account, "response")
    queue = other.queue("on-response", {"source": ["r"]})
    other.put("r", {})
    seen.holds("a bus of one's own delivers", len(queue.take()) == 1)
    bus.put("r", {})
    seen.holds("what is put on another bus isn't seen there", queue.take() == [])
    central = other.queue("central", {"source": ["f"]})
    bus.rule("forward", {"source": ["f"]}, other.arn)
    bus.put("f", {})
    seen.holds("a bus is the target of another", len(central.take()) == 1)

    topic = sns.create_topic(Name="events")["TopicArn"]
    sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=allowing(_SERVICE, "sns:Publish", topic),
    )
    subscribed = Queue(account, "subscribed", lets="sns.amazonaws.com")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=subscribed.arn)
    bus.rule("published", {"source": ["s"]}, topic)
    bus.put("s", {})
    bodies = subscribed.take()
    seen.holds("a topic is a target", len(bodies) == 1, bodies)
    seen.done(
        "events are archived",
        lambda: bus.api.create_archive(ArchiveName="archive", EventSourceArn=bus.arn),
    )


@check("events", "what is refused")
def _refused(account: Account, seen: Verdicts) -> None:
    bus = Bus(account)
    answer = bus.put("aws.ec2", {})
    codes = [entry.get("ErrorCode") for entry in answer["Entries"]]
    seen.holds(
        "an event of AWS itself fails",
        codes == ["NotAuthorizedForSourceException"] and answer["FailedEntryCount"] == 1,
        answer,
    )
    answer = bus.put("my.app", "not json")
    seen.holds("a detail that isn't JSON fails", answer["FailedEntryCount"] == 1, answer)
    closed = Queue(account, "closed")
    bus.rule("closed", {"source": ["q"]}, closed.arn)
    seen.holds("who puts an event isn't told", bus.put("q", {})["FailedEntryCount"] == 0)
    seen.holds("a queue whose policy doesn't let it gets no event", closed.take() == [])


@check("events", "events of EC2")
def _of_ec2(account: Account, seen: Verdicts) -> None:
    bus, instance = Bus(account), account.ids.victim
    queue = bus.queue(
        "states",
        {"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]},
    )
    account("ec2").stop_instances(InstanceIds=[instance])
    said = [json.loads(body)["detail"] for body in queue.take()]
    states = [detail["state"] for detail in said if detail["instance-id"] == instance]
    seen.holds("a change of an instance's state is an event", "stopping" in states, said)
