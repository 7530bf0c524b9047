from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.flows.intake.documents import changed, read, rejection, sample, without

EVENT = "cloudwatch-alarm-event.json"
NOTIFICATION = "cloudwatch-alarm-notification.json"
ARN = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:shop-web-cpu"
METRIC = "detail.configuration.metrics.0.metricStat.metric"
INSTANCE, OTHER_INSTANCE = "i-0123456789abcdef0", "i-0aaaaaaaaaaaaaaa1"


def told() -> Any:
    return json.loads(sample(NOTIFICATION)["Message"])


def test_an_alarm_is_read_in_full() -> None:
    finding = read(sample(EVENT))
    assert (finding.source, finding.shape) == ("cloudwatch", "cloudwatch-event")
    assert finding.id == finding.arn == ARN
    assert not finding.confirmable
    assert (finding.account, finding.region, finding.partition) == (
        "123456789012",
        "eu-west-1",
        "aws",
    )
    assert finding.type == "CloudWatch/shop-web-cpu"
    assert finding.severity == 4.0
    assert finding.title == "shop-web-cpu is ALARM"
    assert finding.description.startswith("An instance of the shop works as if it were mining.\nT")
    assert finding.created_at == datetime(2026, 3, 14, 9, 25, 40, 989000, UTC)
    assert not finding.archived
    assert finding.resource_role is None
    [instance] = finding.resources
    assert (instance.kind, instance.id) == ("ec2.instance", INSTANCE)


def test_an_alarm_that_a_topic_was_told_is_the_same_finding() -> None:
    differ = {"shape", "raw_sha256"}
    event = read(sample(EVENT)).model_dump(exclude=differ)
    for document in (sample(NOTIFICATION), told()):
        finding = read(document)
        assert finding.shape == "cloudwatch-notification"
        assert finding.model_dump(exclude=differ) == event


def test_an_alarm_that_is_over_is_a_later_version_of_the_same_finding() -> None:
    over = changed(sample(EVENT), "detail.state.value", "OK")
    over = changed(over, "detail.state.timestamp", "2026-03-14T10:25:40.989+0000")
    assert read(over).archived
    assert read(over).key == read(sample(EVENT)).key
    assert read(over).updated_at > read(sample(EVENT)).updated_at
    notified = changed(told(), "NewStateValue", "OK")
    assert read(notified).archived


def test_without_data_nothing_is_known_and_nothing_resolved() -> None:
    blind = changed(sample(EVENT), "detail.state.value", "INSUFFICIENT_DATA")
    assert rejection(blind).path == "detail.state.value"
    assert rejection(changed(told(), "NewStateValue", "INSUFFICIENT_DATA")).path == "NewStateValue"


def test_an_alarm_of_an_expression_names_all_its_instances() -> None:
    def metric(identity: str, instance: str) -> dict[str, Any]:
        of = {"namespace": "AWS/EC2", "name": "NetworkOut", "dimensions": {"InstanceId": instance}}
        return {"id": identity, "metricStat": {"metric": of}, "returnData": False}

    metrics = [
        {"id": "e1", "expression": "SUM(METRICS())", "returnData": True},
        metric("m1", INSTANCE),
        metric("m2", OTHER_INSTANCE),
        metric("m3", INSTANCE),
    ]
    finding = read(changed(sample(EVENT), "detail.configuration.metrics", metrics))
    assert [instance.id for instance in finding.resources] == [INSTANCE, OTHER_INSTANCE]

    def as_told(instance: str) -> dict[str, Any]:
        dimensions = [{"name": "Other", "value": "x"}, {"name": "InstanceId", "value": instance}]
        return {"Id": "m", "MetricStat": {"Metric": {"Dimensions": dimensions}, "Period": 300}}

    trigger = {"Metrics": [{"Id": "e1"}, as_told(INSTANCE), as_told(OTHER_INSTANCE)]}
    finding = read(changed(told(), "Trigger", trigger))
    assert [instance.id for instance in finding.resources] == [INSTANCE, OTHER_INSTANCE]


def test_a_composite_alarm_names_no_resource() -> None:
    rule = {"alarmRule": "ALARM(shop-web-cpu) OR ALARM(shop-web-network)"}
    finding = read(changed(sample(EVENT), "detail.configuration", rule))
    assert finding.resources == ()
    assert not finding.archived
    composite = without(told(), "Trigger")
    composite["AlarmRule"] = rule["alarmRule"]
    composite["TriggeringChildren"] = [{"Arn": ARN, "State": {"Value": "ALARM"}}]
    assert read(composite).resources == ()


@pytest.mark.parametrize("value", ["0d2b1c3e-4f5a-4b6c-8d7e-9f0a1b2c3d4e", "mi-0123456789abcdef0"])
def test_what_others_call_an_instance_is_none(value: str) -> None:
    document = changed(sample(EVENT), f"{METRIC}.dimensions", {"InstanceId": value})
    assert read(document).resources == ()


def test_names_of_alarms_may_have_anything_in_them() -> None:
    name = "CPU: web/shop (größer als 90 %) ${x}"
    document = changed(sample(EVENT), "detail.alarmName", name)
    document["resources"] = [f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}"]
    assert read(document).type == f"CloudWatch/{name}"
    assert read({**document, "resources": []}).id == document["resources"][0]


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("account", "999999999999", "resources[0]"),
        ("account", None, "account"),
        ("region", "us-east-1", "resources[0]"),
        ("region", None, "region"),
        ("resources.0", f"{ARN}-2", "resources[0]"),
        ("detail.alarmName", "another", "resources[0]"),
        ("detail.alarmName", "two\nlines", "detail.alarmName"),
        ("detail.alarmName", None, "detail.alarmName"),
        ("detail.state", None, "detail.state.value"),
        ("detail.state.value", "alarm", "detail.state.value"),
        ("detail.state.timestamp", None, "detail.state.timestamp"),
        ("detail.configuration", [], "detail.configuration"),
        (
            f"{METRIC}.dimensions.InstanceId",
            7,
            "detail.configuration.metrics[0].metricStat.metric.dimensions.InstanceId",
        ),
    ],
)
def test_events_that_contradict_themselves_or_lack_something_are_rejected(
    path: str, value: Any, where: str
) -> None:
    assert rejection(changed(sample(EVENT), path, value)).path == where


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("AWSAccountId", "999999999999", "AlarmArn"),
        ("AWSAccountId", None, "AWSAccountId"),
        ("AlarmName", "another", "AlarmArn"),
        ("AlarmArn", None, "AlarmArn"),
        ("AlarmArn", "arn:aws:cloudwatch::123456789012:alarm:shop-web-cpu", "AlarmArn"),
        ("AlarmArn", "arn:aws:sns:eu-west-1:123456789012:alarm:shop-web-cpu", "AlarmArn"),
        ("StateChangeTime", "now", "StateChangeTime"),
        ("Trigger.Dimensions", {}, "Trigger.Dimensions"),
        ("Trigger.Dimensions", ["x"], "Trigger.Dimensions[0]"),
    ],
)
def test_notifications_that_contradict_themselves_or_lack_something_are_rejected(
    path: str, value: Any, where: str
) -> None:
    assert rejection(changed(told(), path, value)).path == where


@pytest.mark.parametrize(
    "kind", ["CloudWatch Alarm Configuration Change", "CloudWatch Alarm Contributor State Change"]
)
def test_other_events_of_alarms_are_not_findings(kind: str) -> None:
    assert "are not findings" in rejection({**sample(EVENT), "detail-type": kind}).reason
