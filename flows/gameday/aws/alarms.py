"""CloudWatch's alarms: a change of their state is an event, and carries out their actions.

Nothing evaluates their metrics: their state is what SetAlarmState makes it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from flows.gameday.aws import events
from flows.gameday.aws.deliveries import Sender

_LOG = logging.getLogger(__name__)
_CHANGE = "CloudWatch Alarm State Change"


def correct() -> None:
    """Have alarms begin without data, keep their state, and say and do something when it changes."""
    from moto.cloudwatch.models import CloudWatchBackend

    put = CloudWatchBackend.put_metric_alarm

    def put_metric_alarm(self: Any, name: str, *arguments: Any, **named: Any) -> Any:
        known = self.alarms.get(name)
        alarm = put(self, name, *arguments, **named)
        # A new alarm's state is INSUFFICIENT_DATA; "when you update an existing alarm, its state is
        # left unchanged" (PutMetricAlarm).
        if known is None:
            alarm.state_value = "INSUFFICIENT_DATA"
        else:
            for attribute in ("value", "reason", "reason_data", "updated_timestamp"):
                setattr(alarm, f"state_{attribute}", getattr(known, f"state_{attribute}"))
            alarm.history = known.history
        return alarm

    CloudWatchBackend.put_metric_alarm = put_metric_alarm

    change = CloudWatchBackend.set_alarm_state

    def set_alarm_state(
        self: Any, alarm_name: str, reason: str, reason_data: str, state_value: str
    ) -> None:
        alarm = self.alarms.get(alarm_name)
        before = _state(alarm) if alarm is not None else {}
        change(self, alarm_name, reason, reason_data, state_value)
        # "If the updated state differs from the previous value, the action configured for the
        # appropriate state is invoked" (SetAlarmState).
        if before["value"] != state_value:
            _changed(self, alarm, before)

    CloudWatchBackend.set_alarm_state = set_alarm_state


def _changed(backend: Any, alarm: Any, before: Mapping[str, Any]) -> None:
    detail = {
        "alarmName": alarm.name,
        "state": _state(alarm),
        "previousState": before,
        "configuration": _configuration(alarm),
    }
    account, region = backend.account_id, backend.region_name
    events.emit(account, region, "aws.cloudwatch", _CHANGE, detail, [alarm.alarm_arn])
    if not alarm.actions_enabled:
        return
    actions = {
        "ALARM": alarm.alarm_actions,
        "OK": alarm.ok_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }
    for arn in actions[alarm.state_value] or ():
        if arn.split(":")[2] == "sns":
            _notify(account, arn, alarm, before)
        else:
            _LOG.warning("the action %s of %s is not simulated", arn, alarm.name)


def _state(alarm: Any) -> dict[str, Any]:
    """A state as the event says it (CloudWatch User Guide, "Alarm events and EventBridge")."""
    at = alarm.state_updated_timestamp.replace(tzinfo=UTC)
    data = {"reasonData": alarm.state_reason_data} if alarm.state_reason_data else {}
    return {
        "value": alarm.state_value,
        "reason": alarm.state_reason,
        **data,
        "timestamp": _moment(at),
    }


def _configuration(alarm: Any) -> dict[str, Any]:
    description = {"description": alarm.description} if alarm.description else {}
    if alarm.rule:
        return {**description, "alarmRule": alarm.rule}
    metric = {
        "namespace": alarm.namespace,
        "name": alarm.metric_name,
        "dimensions": {dimension.name: dimension.value for dimension in alarm.dimensions},
    }
    stat = {"metric": metric, "period": alarm.period, "stat": alarm.statistic}
    measured = [
        {"id": query.id, "expression": query.expression, "returnData": query.return_data}
        for query in alarm.metric_data_queries
    ] or [{"id": "m1", "metricStat": stat, "returnData": True}]
    return {**description, "metrics": measured}


def _notify(account: str, topic_arn: str, alarm: Any, before: Mapping[str, Any]) -> None:
    from moto.sns.models import sns_backends

    _, _, _, region, owner, _ = topic_arn.split(":")
    topic = sns_backends[owner][region].topics.get(topic_arn)
    # Unlike other services, it comes as its account, which every topic's first policy lets in.
    sender = Sender(
        "cloudwatch.amazonaws.com", alarm.alarm_arn, context={"aws:sourceowner": account}
    )
    if topic is None or not sender.may("sns:Publish", topic_arn):
        return
    subject = f'{alarm.state_value}: "{alarm.name}" in {_region_name(alarm.region_name)}'
    topic.publish(json.dumps(_message(account, alarm, before)), subject=subject[:100])


def _message(account: str, alarm: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """What an alarm says to a topic."""
    updated = alarm.configuration_updated_timestamp.replace(tzinfo=UTC)
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": _moment(updated),
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": _state(alarm)["timestamp"],
        "Region": _region_name(alarm.region_name),
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before["value"],
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions or [],
        "InsufficientDataActions": alarm.insufficient_data_actions,
        "Trigger": {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "StatisticType": "Statistic",
            "Statistic": str(alarm.statistic or "").upper(),
            "Unit": alarm.unit,
            "Dimensions": [
                {"name": dimension.name, "value": dimension.value} for dimension in alarm.dimensions
            ],
            "Period": alarm.period,
            "EvaluationPeriods": alarm.evaluation_periods,
            "ComparisonOperator": alarm.comparison_operator,
            "Threshold": alarm.threshold,
            "TreatMissingData": alarm.treat_missing_data or "missing",
        },
    }


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


@cache
def _region_name(region: str) -> str:
    """``Europe (Ireland)`` of ``eu-west-1``."""
    from botocore.loaders import create_loader

    for partition in create_loader().load_data("partitions")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"])
    return region
