"""CloudWatch: logs, metrics and alarms."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

from benchmarks.fidelity.account import ACCOUNT_ID, REGION, Account
from benchmarks.fidelity.checks.events import Bus
from benchmarks.fidelity.checks.lambda_functions import function
from benchmarks.fidelity.checks.queues import Queue
from benchmarks.fidelity.verdicts import Known, Verdicts, check

_GROUP, _STREAM = "/response", "a"


@check(
    "logs",
    "events, queries and subscriptions",
    known={
        "events are filtered by their JSON": Known(
            "logs:FilterLogEvents", "moto reads no JSON in logs, and Clampdown searches none"
        )
    },
)
def _logs(account: Account, seen: Verdicts) -> None:
    logs, now = account("logs"), int(time.time() * 1000)
    logs.create_log_group(logGroupName=_GROUP)
    logs.create_log_stream(logGroupName=_GROUP, logStreamName=_STREAM)
    logs.put_log_events(
        logGroupName=_GROUP,
        logStreamName=_STREAM,
        logEvents=[
            {"timestamp": now, "message": '{"case": "1"}'},
            {"timestamp": now + 1, "message": "x"},
        ],
    )
    found = logs.filter_log_events(logGroupName=_GROUP, filterPattern='{ $.case = "1" }')["events"]
    messages = [event["message"] for event in found]
    seen.holds("events are filtered by their JSON", messages == ['{"case": "1"}'], messages)
    query = seen.done(
        "a query is started",
        lambda: logs.start_query(
            logGroupName=_GROUP,
            startTime=0,
            endTime=int(time.time()) + 60,
            queryString="fields @timestamp, @message | limit 5",
        )["queryId"],
    )
    results = logs.get_query_results(queryId=query)["results"] if query else []
    seen.holds("and has results", len(results) > 0, results)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:"

    def subscribe(name: str) -> None:
        logs.put_subscription_filter(
            logGroupName=_GROUP, filterName="f", filterPattern="", destinationArn=arn + name
        )

    seen.refused(
        "a subscription of a function that isn't there",
        ("InvalidParameterException", "ResourceNotFoundException"),
        lambda: subscribe("gone"),
    )
    function(account)
    account("lambda").add_permission(
        FunctionName="respond",
        StatementId="logs",
        Action="lambda:InvokeFunction",
        Principal="logs.amazonaws.com",
    )
    seen.done("a function subscribes to a log group", lambda: subscribe("respond"))


@check(
    "cloudwatch",
    "metrics and alarms",
    known={
        "an alarm is evaluated": Known(
            "cloudwatch:PutMetricAlarm", "the state of an alarm is what SetAlarmState makes it"
        )
    },
)
def _alarms(account: Account, seen: Verdicts) -> None:
    cloudwatch, sns, now = account("cloudwatch"), account("sns"), datetime.now(UTC)
    metric = {"Namespace": "Response", "MetricName": "latency"}
    cloudwatch.put_metric_data(
        Namespace="Response",
        MetricData=[{"MetricName": "latency", "Value": 1.5, "Unit": "Seconds"}],
    )
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[
            {"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}
        ],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
    )
    values = answer["MetricDataResults"][0]["Values"]
    seen.holds("a metric has its data", values == [1.5], values)
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    mailed = Queue(account, "mailed", lets="sns.amazonaws.com")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=mailed.arn)
    changes = Bus(account).queue(
        "changes",
        {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]},
    )
    cloudwatch.put_metric_alarm(
        AlarmName="slow",
        **metric,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=1,
        EvaluationPeriods=1,
        Period=60,
        Statistic="Average",
        AlarmActions=[topic],
    )

    def state() -> str:
        return str(cloudwatch.describe_alarms(AlarmNames=["slow"])["MetricAlarms"][0]["StateValue"])

    seen.holds("an alarm is evaluated", state() == "ALARM", state())
    mailed.take(), changes.take()
    for value in ("OK", "ALARM"):
        cloudwatch.set_alarm_state(AlarmName="slow", StateValue=value, StateReason="a test")
    bodies = [json.loads(body) for body in mailed.take()]
    said = [json.loads(body["Message"])["NewStateValue"] for body in bodies]
    seen.holds("an alarm's action is carried out when it changes to ALARM", said == ["ALARM"], said)
    details = [json.loads(body)["detail"] for body in changes.take()]
    states = [detail["state"]["value"] for detail in details]
    seen.holds("each change of its state is an event", states == ["OK", "ALARM"], states)
