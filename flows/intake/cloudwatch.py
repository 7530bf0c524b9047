"""CloudWatch: an alarm, of a metric or composed of others, has gone off, or is over.

As an event ("CloudWatch Alarm State Change") and as the alarm tells it to a topic of SNS.
INSUFFICIENT_DATA is rejected: it says neither that something is wrong nor that it is over, and who
stops an instance's metrics must not have resolved the alarm with that.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.intake import values
from flows.intake.document import ABSENT, Node, shown
from flows.intake.envelope import Envelope
from flows.intake.events import ALARM_STATES
from flows.intake.finding import Finding, Shape
from flows.intake.resources import Home, Resources

_INSTANCE = "InstanceId"


def alarm_event(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read one change of an alarm's state; ``raw`` is its SHA-256.

    Account and Region are the event's, and those of the alarm's ARN among its resources.

    Raises FindingRejected.
    """
    home = _home(envelope.account, values.region(envelope.region))
    for resource in envelope.resources.each():
        _check_arn(resource, _arn(node.at("alarmName"), home))
    state, configuration = node.at("state"), node.at("configuration")
    return _finding(
        shape,
        raw,
        home,
        name=node.at("alarmName"),
        state=state.at("value"),
        reason=state.at("reason"),
        at=state.at("timestamp"),
        description=configuration.at("description"),
        instances=_dimensions_of_event(configuration),
    )


def alarm_notification(node: Node, shape: Shape, *, envelope: Envelope, raw: str) -> Finding:
    """Read what an alarm told a topic; ``raw`` is its SHA-256.

    Its Region stands only in the alarm's ARN: ``Region`` is a name for people (``EU (Ireland)``).

    Raises FindingRejected.
    """
    del envelope
    arn = node.at("AlarmArn")
    region = values.region(Node(values.arn(arn).region, arn.path))
    home = _home(node.at("AWSAccountId"), region)
    _check_arn(arn, _arn(node.at("AlarmName"), home))
    return _finding(
        shape,
        raw,
        home,
        name=node.at("AlarmName"),
        state=node.at("NewStateValue"),
        reason=node.at("NewStateReason"),
        at=node.at("StateChangeTime"),
        description=node.at("AlarmDescription"),
        instances=_dimensions_of_notification(node.at("Trigger")),
    )


def _finding(
    shape: Shape,
    raw: str,
    home: Home,
    *,
    name: Node,
    state: Node,
    reason: Node,
    at: Node,
    description: Node,
    instances: Iterator[Node],
) -> Finding:
    """The alarm's ARN is the finding's id: each change of its state is a version of one finding."""
    if state.text() not in ALARM_STATES:
        raise state.rejected(f"{shown(state.value)} is neither a finding nor the end of one")
    resources = Resources(home, lenient=False)
    # Not every InstanceId is EC2's: Amazon Connect's is a UUID.
    named = {node.text(): node for node in instances if values.is_instance_id(node)}
    for instance in named.values():
        resources.add_instance(instance, tags={})
    created, updated = values.span(at, at)
    arn = _arn(name, home)
    texts = (description.some_text(), reason.some_text())
    return Finding(
        source="cloudwatch",
        shape=shape,
        id=arn,
        arn=arn,
        account=home.account,
        region=home.region,
        partition=home.partition,
        type=f"CloudWatch/{name.text()}",
        severity=values.UNRATED,
        title=f"{name.text()} is {state.text()}",
        description="\n".join(text for text in texts if text is not None),
        created_at=created,
        updated_at=updated,
        archived=state.text() == "OK",
        sample=False,
        resource_role=None,
        resources=resources.in_order(None),
        remote_addresses=(),
        actions=(),
        count=1,
        raw_sha256=raw,
    )


def _home(account: Node, region: str) -> Home:
    return Home(values.partition(ABSENT, region), values.account(account), region)


def _arn(name: Node, home: Home) -> str:
    alarm = values.identifier(name, "name of the alarm")
    return f"arn:{home.partition}:cloudwatch:{home.region}:{home.account}:alarm:{alarm}"


def _check_arn(node: Node, arn: str) -> None:
    if node.text() != arn:
        raise node.rejected(f"the alarm is {shown(arn)}, the ARN is {shown(node.value)}")


def _dimensions_of_event(configuration: Node) -> Iterator[Node]:
    """A metric's dimensions are one object; a composite alarm has no metrics."""
    for metric in configuration.at("metrics").each():
        dimension = metric.at("metricStat", "metric", "dimensions", _INSTANCE)
        if dimension.value is not None:
            yield dimension


def _dimensions_of_notification(trigger: Node) -> Iterator[Node]:
    """One metric's dimensions, or those of each metric of an expression, are lists of pairs."""
    of_metrics = [
        metric.at("MetricStat", "Metric", "Dimensions") for metric in trigger.at("Metrics").each()
    ]
    for dimensions in (trigger.at("Dimensions"), *of_metrics):
        for dimension in dimensions.each():
            if dimension.at("name").text() == _INSTANCE:
                yield dimension.at("value")
