from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from tests.flows.gameday.aws.accounts import OTHER_ACCOUNT, clients_of
from tests.flows.gameday.aws.answers import refused, until

Client = Callable[[str], Any]


@pytest.fixture
def trail(aws: Client) -> Any:
    return aws("cloudtrail")


def _events(trail: Any, attribute: str = "", value: str = "", **more: Any) -> list[dict[str, Any]]:
    if attribute:
        more["LookupAttributes"] = [{"AttributeKey": attribute, "AttributeValue": value}]
    found: list[dict[str, Any]] = trail.lookup_events(**more)["Events"]
    return found


def _names(events: list[dict[str, Any]]) -> list[str]:
    return [event["EventName"] for event in events]


def test_calls_are_events_newest_first(trail: Any, ec2: Any, world: WorldIds) -> None:
    ec2.describe_instances()
    ec2.stop_instances(InstanceIds=[world.ids["bystander"]])

    assert _names(_events(trail)) == ["StopInstances", "DescribeInstances"]


def test_an_event_says_what_was_asked_by_whom_and_of_what(
    trail: Any, ec2: Any, world: WorldIds
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    bystander = world.ids["bystander"]
    ec2.stop_instances(InstanceIds=[bystander])

    [event] = _events(trail, "EventName", "StopInstances")

    assert event["EventSource"] == "ec2.amazonaws.com"
    assert event["ReadOnly"] == "false"
    assert event["Username"] == "root"
    assert before <= event["EventTime"] <= datetime.now(UTC)
    assert event["Resources"] == [{"ResourceType": "AWS::EC2::Instance", "ResourceName": bystander}]
    record = json.loads(event["CloudTrailEvent"])
    assert record["eventID"] == event["EventId"]
    assert record["awsRegion"] == world.region
    assert record["recipientAccountId"] == world.account
    assert record["requestParameters"]["instanceIds"] == [bystander]
    assert record["responseElements"] is None
    assert record["sourceIPAddress"] == "127.0.0.1"
    assert "Boto3" in record["userAgent"]
    assert record["userIdentity"] == {
        "type": "Root",
        "principalId": world.account,
        "arn": f"arn:aws:iam::{world.account}:root",
        "accountId": world.account,
        "accessKeyId": event["AccessKeyId"],
    }


def test_a_call_that_failed_has_its_error_code(trail: Any, aws: Client, ec2: Any) -> None:
    with refused("InvalidInstanceID.NotFound"):
        ec2.stop_instances(InstanceIds=["i-00000000000000000"])
    with refused("NoSuchEntity"):
        aws("iam").get_role(RoleName="nobody")

    [of_ec2] = _events(trail, "EventName", "StopInstances")
    assert json.loads(of_ec2["CloudTrailEvent"])["errorCode"] == "Client.InvalidInstanceID.NotFound"
    iam_trail = client(aws("ec2").meta.endpoint_url, "us-east-1", "cloudtrail")
    [of_iam] = _events(iam_trail, "EventName", "GetRole")
    assert json.loads(of_iam["CloudTrailEvent"])["errorCode"] == "NoSuchEntity"


def test_a_dry_run_is_an_event_that_changed_nothing(trail: Any, ec2: Any, world: WorldIds) -> None:
    with refused("DryRunOperation"):
        ec2.stop_instances(InstanceIds=[world.ids["bystander"]], DryRun=True)

    [event] = _events(trail, "EventName", "StopInstances")
    assert json.loads(event["CloudTrailEvent"])["errorCode"] == "Client.DryRunOperation"
    assert event["ReadOnly"] == "false"


def test_a_user_and_a_session_are_named(trail: Any, aws: Client, world: WorldIds) -> None:
    iam = aws("iam")
    iam.create_user(UserName="mallory")
    key = iam.create_access_key(UserName="mallory")["AccessKey"]
    boto3.client(
        "ec2",
        region_name=world.region,
        endpoint_url=world.url,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    ).describe_volumes()
    # Who made a call stays known when the key is gone.
    iam.delete_access_key(UserName="mallory", AccessKeyId=key["AccessKeyId"])
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="responder",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    credentials = aws("sts").assume_role(RoleArn=role, RoleSessionName="clampdown")["Credentials"]
    boto3.client(
        "ec2",
        region_name=world.region,
        endpoint_url=world.url,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    ).describe_volumes()

    [by_mallory] = _events(trail, "Username", "mallory")
    user = json.loads(by_mallory["CloudTrailEvent"])["userIdentity"]
    assert (user["type"], user["userName"]) == ("IAMUser", "mallory")
    assert _events(trail, "AccessKeyId", key["AccessKeyId"]) == [by_mallory]

    [by_session] = _events(trail, "Username", "clampdown")
    session = json.loads(by_session["CloudTrailEvent"])["userIdentity"]
    assert session["type"] == "AssumedRole"
    assert session["arn"].endswith(":assumed-role/responder/clampdown")
    assert session["sessionContext"]["sessionIssuer"]["arn"] == role


def test_events_are_looked_up_by_one_attribute(trail: Any, ec2: Any, world: WorldIds) -> None:
    bystander, victim = world.ids["bystander"], world.ids["victim"]
    ec2.stop_instances(InstanceIds=[bystander])
    ec2.describe_instances(InstanceIds=[victim])

    assert _names(_events(trail, "ResourceName", bystander)) == ["StopInstances"]
    assert len(_events(trail, "ResourceType", "AWS::EC2::Instance")) == 2
    assert "StopInstances" not in _names(_events(trail, "ReadOnly", "true"))
    assert _names(_events(trail, "EventSource", "ec2.amazonaws.com")) == [
        "DescribeInstances",
        "StopInstances",
    ]
    [known] = _events(trail, "EventName", "StopInstances")
    assert _events(trail, "EventId", known["EventId"]) == [known]
    with refused("InvalidLookupAttributesException"):
        trail.lookup_events(
            LookupAttributes=[
                {"AttributeKey": "EventName", "AttributeValue": "StopInstances"},
                {"AttributeKey": "ReadOnly", "AttributeValue": "true"},
            ]
        )


def test_events_are_looked_up_between_times(trail: Any, ec2: Any) -> None:
    ec2.describe_volumes()
    now = datetime.now(UTC)
    minute = timedelta(minutes=1)

    assert "DescribeVolumes" in _names(_events(trail, StartTime=now - minute, EndTime=now + minute))
    assert _events(trail, StartTime=now + minute) == []
    assert _events(trail, EndTime=now - minute) == []
    with refused("InvalidTimeRangeException"):
        _events(trail, StartTime=now, EndTime=now - minute)


def test_pages_do_not_move_while_calls_are_made(trail: Any, ec2: Any) -> None:
    for _ in range(5):
        ec2.describe_volumes()
    attribute = [{"AttributeKey": "EventName", "AttributeValue": "DescribeVolumes"}]

    first = trail.lookup_events(LookupAttributes=attribute, MaxResults=2)
    ec2.describe_volumes()
    second = trail.lookup_events(
        LookupAttributes=attribute, MaxResults=50, NextToken=first["NextToken"]
    )

    ids = [event["EventId"] for page in (first, second) for event in page["Events"]]
    assert len(ids) == len(set(ids)) == 5
    assert "NextToken" not in second
    with refused("InvalidMaxResultsException"):
        trail.lookup_events(MaxResults=51)
    with refused("InvalidNextTokenException"):
        trail.lookup_events(NextToken="nonsense")


def test_what_works_on_data_is_no_management_event(
    trail: Any, aws: Client, world: WorldIds
) -> None:
    s3 = aws("s3")
    s3.create_bucket(
        Bucket="evidence", CreateBucketConfiguration={"LocationConstraint": world.region}
    )
    s3.put_object(Bucket="evidence", Key="memory", Body=b"")
    s3.get_object(Bucket="evidence", Key="memory")
    s3.put_public_access_block(
        Bucket="evidence", PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )

    assert _names(_events(trail, "EventSource", "s3.amazonaws.com")) == [
        "PutBucketPublicAccessBlock",
        "CreateBucket",
    ]


def test_an_event_is_in_its_region_and_iam_s_are_in_one(
    trail: Any, aws: Client, world: WorldIds
) -> None:
    client(world.url, "us-west-2", "ec2").describe_volumes()
    aws("iam").list_users()

    assert _events(trail) == []
    assert "DescribeVolumes" in _names(_events(client(world.url, "us-west-2", "cloudtrail")))
    assert "ListUsers" in _names(_events(client(world.url, "us-east-1", "cloudtrail")))


def test_a_role_assumed_from_another_account_is_in_both_histories(
    trail: Any, aws: Client, world: WorldIds
) -> None:
    other = clients_of(world, aws)

    [own] = _events(trail, "EventName", "AssumeRole")
    [theirs] = _events(other("cloudtrail"), "EventName", "AssumeRole")
    assert json.loads(own["CloudTrailEvent"])["recipientAccountId"] == world.account
    record = json.loads(theirs["CloudTrailEvent"])
    assert record["recipientAccountId"] == OTHER_ACCOUNT
    assert record["userIdentity"]["type"] == "AWSAccount"
    assert record["userIdentity"]["accountId"] == world.account


def test_an_event_takes_its_time_to_be_there(
    trail: Any, ec2: Any, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(trail_seconds=0.4)
    ec2.describe_volumes()

    assert _events(trail, "EventName", "DescribeVolumes") == []
    assert until(lambda: _events(trail, "EventName", "DescribeVolumes"))


def test_the_history_is_forgotten_by_a_reset(
    trail: Any, ec2: Any, simulated_aws: SimulatedAws
) -> None:
    ec2.describe_volumes()

    simulated_aws.reset()

    assert _events(trail) == []
