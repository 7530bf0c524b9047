from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.accounts import OTHER_ACCOUNT, clients_of
from tests.flows.gameday.aws.answers import instance
from tests.flows.gameday.aws.queues import Queue, queue_of_rule

Client = Callable[[str], Any]


def _put(events: Any, **entry: Any) -> dict[str, Any]:
    event = {"Source": "my.app", "DetailType": "Noticed", "Detail": '{"id": "77"}', **entry}
    answer: dict[str, Any] = events.put_events(Entries=[event])
    return answer


def test_an_event_arrives_with_its_whole_envelope(aws: Client, world: WorldIds) -> None:
    queue = queue_of_rule(aws, "noticed", {"source": ["my.app"]})

    _put(aws("events"), Resources=["arn:aws:ec2:::thing"])

    [event] = queue.take()
    assert set(event) == {
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
    assert event["account"] == world.account
    assert event["region"] == world.region
    assert event["detail"] == {"id": "77"}
    assert event["time"].endswith("Z")


def test_a_disabled_rule_delivers_nothing(aws: Client) -> None:
    queue, events = queue_of_rule(aws, "noticed", {"source": ["my.app"]}), aws("events")
    events.disable_rule(Name="noticed")

    _put(events)
    assert queue.take() == []

    events.enable_rule(Name="noticed")
    _put(events)
    assert len(queue.take()) == 1


def test_a_topic_can_be_a_target(aws: Client) -> None:
    sns, events, queue = aws("sns"), aws("events"), Queue(aws, "subscribed")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue.arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    events.put_rule(Name="noticed", EventPattern=json.dumps({"source": ["my.app"]}))
    events.put_targets(Rule="noticed", Targets=[{"Id": "1", "Arn": topic}])

    _put(events)

    [event] = queue.take()
    assert event["detail"] == {"id": "77"}


@pytest.mark.parametrize(
    ("shaping", "delivered"),
    [
        ({"Input": '{"always": "this"}'}, {"always": "this"}),
        ({"InputPath": "$.detail"}, {"id": "77"}),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"id": "$.detail.id"},
                    "InputTemplate": '{"case": "<id>"}',
                }
            },
            {"case": "77"},
        ),
    ],
)
def test_a_target_is_given_what_its_input_makes_of_the_event(
    aws: Client, shaping: dict[str, Any], delivered: dict[str, str]
) -> None:
    queue, events = queue_of_rule(aws, "noticed", {"source": ["my.app"]}), aws("events")
    events.put_targets(Rule="noticed", Targets=[{"Id": "queue", "Arn": queue.arn, **shaping}])

    _put(events)

    assert queue.take() == [delivered]


def test_an_event_stays_of_its_account_on_the_bus_of_another(aws: Client, world: WorldIds) -> None:
    central = clients_of(world, aws)
    queue = queue_of_rule(central, "all", {"source": ["my.app"]})
    bus = f"arn:aws:events:{world.region}:{OTHER_ACCOUNT}:event-bus/default"
    central("events").put_permission(
        Action="events:PutEvents", Principal=world.account, StatementId="members"
    )
    events = aws("events")
    events.put_rule(Name="forward", EventPattern=json.dumps({"source": ["my.app"]}))
    events.put_targets(Rule="forward", Targets=[{"Id": "bus", "Arn": bus}])

    _put(events)

    [event] = queue.take()
    assert event["account"] == world.account


def test_nobody_can_put_an_event_of_aws_itself(aws: Client) -> None:
    queue = queue_of_rule(aws, "guardduty", {"source": ["aws.guardduty", "my.app"]})

    answer = aws("events").put_events(
        Entries=[
            {"Source": "aws.guardduty", "DetailType": "GuardDuty Finding", "Detail": "{}"},
            {"Source": "my.app", "DetailType": "Noticed", "Detail": '{"real": true}'},
        ]
    )

    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    assert [event["source"] for event in queue.take()] == ["my.app"]


def test_a_target_that_runs_code_is_no_error_of_who_puts_the_event(aws: Client) -> None:
    queue, events = queue_of_rule(aws, "noticed", {"source": ["my.app"]}), aws("events")
    function = "arn:aws:lambda:eu-west-1:123456789012:function:respond"
    events.put_targets(Rule="noticed", Targets=[{"Id": "function", "Arn": function}])

    assert _put(events)["FailedEntryCount"] == 0
    assert len(queue.take()) == 1


def test_ec2_says_how_the_state_of_an_instance_changes(aws: Client, world: WorldIds) -> None:
    queue = queue_of_rule(aws, "states", {"source": ["aws.ec2"]})
    ec2, victim = aws("ec2"), world.ids["bystander"]

    ec2.stop_instances(InstanceIds=[victim])
    ec2.start_instances(InstanceIds=[victim])
    ec2.terminate_instances(InstanceIds=[victim])

    said = [event for event in queue.take() if event["detail"]["instance-id"] == victim]
    assert [event["detail"]["state"] for event in said] == [
        "stopping",
        "stopped",
        "pending",
        "running",
        "shutting-down",
        "terminated",
    ]
    assert {event["detail-type"] for event in said} == {"EC2 Instance State-change Notification"}
    arn = f"arn:aws:ec2:{world.region}:{world.account}:instance/{victim}"
    assert all(event["resources"] == [arn] for event in said)


def test_ec2_says_that_an_instance_was_launched(aws: Client, world: WorldIds) -> None:
    queue, ec2 = queue_of_rule(aws, "states", {"source": ["aws.ec2"]}), aws("ec2")
    victim = instance(ec2, world.ids["victim"])

    launched = ec2.run_instances(
        ImageId=victim["ImageId"], MinCount=1, MaxCount=1, SubnetId=victim["SubnetId"]
    )["Instances"][0]["InstanceId"]

    said = [(event["detail"]["instance-id"], event["detail"]["state"]) for event in queue.take()]
    assert said == [(launched, "pending"), (launched, "running")]


def test_rules_and_what_was_delivered_are_gone_after_a_reset(
    aws: Client, simulated_aws: SimulatedAws
) -> None:
    queue_of_rule(aws, "noticed", {"source": ["my.app"]})

    simulated_aws.reset()

    assert aws("events").list_rules()["Rules"] == []


def test_a_rule_that_has_only_a_schedule_lets_no_event_through(aws: Client) -> None:
    queue, events = Queue(aws, "hourly"), aws("events")
    events.put_rule(Name="hourly", ScheduleExpression="rate(1 hour)")
    events.put_targets(Rule="hourly", Targets=[{"Id": "1", "Arn": queue.arn}])

    _put(events)

    assert queue.take() == []


def test_a_bus_of_another_account_takes_nothing_without_a_policy(
    aws: Client, world: WorldIds
) -> None:
    queue = queue_of_rule(clients_of(world, aws), "all", {"source": ["my.app"]})
    bus = f"arn:aws:events:{world.region}:{OTHER_ACCOUNT}:event-bus/default"
    events = aws("events")
    events.put_rule(Name="forward", EventPattern=json.dumps({"source": ["my.app"]}))
    events.put_targets(Rule="forward", Targets=[{"Id": "bus", "Arn": bus}])

    assert _put(events)["FailedEntryCount"] == 0
    assert queue.take() == []


def test_a_topic_gets_no_events_without_a_policy(aws: Client) -> None:
    sns, events, queue = aws("sns"), aws("events"), Queue(aws, "subscribed")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    events.put_rule(Name="noticed", EventPattern=json.dumps({"source": ["my.app"]}))
    events.put_targets(Rule="noticed", Targets=[{"Id": "1", "Arn": topic}])

    _put(events)

    assert queue.take() == []


def test_a_pattern_is_tested_against_an_event(aws: Client) -> None:
    event = {
        "id": "1",
        "account": "123456789012",
        "source": "my.app",
        "time": "2026-03-14T09:30:00Z",
        "region": "eu-west-1",
        "resources": [],
        "detail-type": "Noticed",
        "detail": {"severity": 8},
    }
    pattern = {"source": ["my.app"], "detail": {"severity": [{"numeric": [">=", 7]}]}}

    def result(**changed: Any) -> bool:
        answer = aws("events").test_event_pattern(
            EventPattern=json.dumps(pattern), Event=json.dumps({**event, **changed})
        )
        return bool(answer["Result"])

    assert result()
    assert not result(detail={"severity": 3})
