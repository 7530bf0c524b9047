"""What a stack makes besides EC2's resources: queues, rules, buckets, keys, roles and alarms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]
EVENTS = "events.amazonaws.com"
TEMPLATE = """
Parameters:
  Days: {Type: Number, Default: 7, MinValue: 1, MaxValue: 100}
  Name: {Type: String, Default: found, AllowedPattern: "^[a-z]*$"}
Resources:
  Dead:
    Type: AWS::SQS::Queue
    Properties:
      MessageRetentionPeriod: 1209600
      RedriveAllowPolicy:
        redrivePermission: byQueue
        sourceQueueArns: [!Sub "arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:found"]
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Ref Name
      VisibilityTimeout: 60
      ReceiveMessageWaitTimeSeconds: 20
      KmsMasterKeyId: !Ref Key
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue, !GetAtt Dead.QueueUrl]
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - Effect: Allow
            Principal: {Service: events.amazonaws.com}
            Action: sqs:SendMessage
            Resource: "*"
            Condition: {ArnEquals: {aws:SourceArn: !GetAtt Rule.Arn}}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [my.app], detail: {severity: [{numeric: [">=", 7]}]}}
      Targets:
        - Id: queue
          Arn: !GetAtt Queue.Arn
          RetryPolicy: {MaximumRetryAttempts: 185, MaximumEventAgeInSeconds: 86400}
          DeadLetterConfig: {Arn: !GetAtt Dead.Arn}
  Key:
    Type: AWS::KMS::Key
    Properties:
      EnableKeyRotation: true
      PendingWindowInDays: 7
      KeyPolicy:
        Version: 2012-10-17
        Statement:
          - {Effect: Allow, Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"},
             Action: "kms:*", Resource: "*"}
          - {Effect: Allow, Principal: {Service: events.amazonaws.com},
             Action: ["kms:GenerateDataKey", "kms:Decrypt"], Resource: "*"}
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      ObjectLockEnabled: true
      ObjectLockConfiguration:
        ObjectLockEnabled: Enabled
        Rule: {DefaultRetention: {Mode: GOVERNANCE, Days: !Ref Days}}
      OwnershipControls: {Rules: [{ObjectOwnership: BucketOwnerEnforced}]}
      BucketEncryption:
        ServerSideEncryptionConfiguration:
          - BucketKeyEnabled: true
            ServerSideEncryptionByDefault: {SSEAlgorithm: aws:kms, KMSMasterKeyID: !GetAtt Key.Arn}
      LifecycleConfiguration:
        Rules: [{Id: uploads, Status: Enabled,
                 AbortIncompleteMultipartUpload: {DaysAfterInitiation: 7}}]
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - {Effect: Deny, Principal: "*", Action: "s3:*", Resource: !Sub "${Bucket.Arn}/*",
             Condition: {Bool: {"aws:SecureTransport": "false"}}}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: findings-wait
      Namespace: AWS/SQS
      MetricName: ApproximateAgeOfOldestMessage
      Dimensions: [{Name: QueueName, Value: !GetAtt Queue.QueueName}]
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 60
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: notBreaching
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Action: "sqs:*", Resource: !GetAtt Queue.Arn}]
  Role:
    Type: AWS::IAM::Role
    Properties:
      ManagedPolicyArns: [!Ref Policy]
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {Service: ec2.amazonaws.com},
                     Action: "sts:AssumeRole"}]
Outputs:
  Queue: {Value: !Ref Queue}
  Alarm: {Value: !GetAtt Alarm.Arn}
  Key: {Value: !GetAtt Key.KeyId}
"""


class Stack:
    """The stack, and clients of its services."""

    def __init__(self, aws: Client) -> None:
        self.aws = aws
        self._stacks = aws("cloudformation")
        self._stacks.create_stack(
            StackName="intake", TemplateBody=TEMPLATE, Capabilities=["CAPABILITY_IAM"]
        )

    @property
    def status(self) -> str:
        found = self._stacks.describe_stacks(StackName="intake")["Stacks"][0]
        return str(found["StackStatus"])

    @property
    def outputs(self) -> dict[str, str]:
        found = self._stacks.describe_stacks(StackName="intake")["Stacks"][0]["Outputs"]
        return {item["OutputKey"]: item["OutputValue"] for item in found}

    def __getitem__(self, name: str) -> str:
        resource = self._stacks.describe_stack_resource(StackName="intake", LogicalResourceId=name)
        return str(resource["StackResourceDetail"]["PhysicalResourceId"])

    def attributes(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.aws("sqs").get_queue_attributes(
            QueueUrl=self[name], AttributeNames=["All"]
        )["Attributes"]
        return found

    def update(self, old: str, new: str) -> None:
        assert old in TEMPLATE
        self._stacks.update_stack(
            StackName="intake",
            TemplateBody=TEMPLATE.replace(old, new),
            Capabilities=["CAPABILITY_IAM"],
        )

    def delete(self) -> None:
        self._stacks.delete_stack(StackName="intake")

    def events(self) -> list[str]:
        found = self._stacks.describe_stack_events(StackName="intake")["StackEvents"]
        return [
            item["ResourceStatusReason"] for item in found if "FAILED" in item["ResourceStatus"]
        ]


@pytest.fixture
def stack(aws: Client) -> Stack:
    made = Stack(aws)
    assert made.status == "CREATE_COMPLETE", made.events()
    return made


def _put(aws: Client, severity: int) -> None:
    entry = {"Source": "my.app", "DetailType": "x", "Detail": json.dumps({"severity": severity})}
    aws("events").put_events(Entries=[entry])


def test_a_rule_of_a_stack_delivers_to_its_encrypted_queue(aws: Client, stack: Stack) -> None:
    for severity in (6, 7):
        _put(aws, severity)

    [message] = aws("sqs").receive_message(QueueUrl=stack.outputs["Queue"])["Messages"]
    assert json.loads(message["Body"])["detail"] == {"severity": 7}
    [target] = aws("events").list_targets_by_rule(Rule=stack["Rule"])["Targets"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 185
    assert target["DeadLetterConfig"]["Arn"] == stack.attributes("Dead")["QueueArn"]


def test_what_a_queue_of_a_stack_does_not_get_is_in_its_dead_letters(
    aws: Client, stack: Stack
) -> None:
    aws("sqs").delete_queue(QueueUrl=stack["Queue"])

    _put(aws, 8)

    assert aws("sqs").receive_message(QueueUrl=stack["Dead"])["Messages"]


def test_queues_have_the_attributes_of_their_template(stack: Stack) -> None:
    queue, dead = stack.attributes("Queue"), stack.attributes("Dead")

    assert queue["QueueArn"].endswith(":found")
    assert (queue["VisibilityTimeout"], queue["ReceiveMessageWaitTimeSeconds"]) == ("60", "20")
    assert (queue["KmsMasterKeyId"], queue["SqsManagedSseEnabled"]) == (stack["Key"], "false")
    assert json.loads(queue["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead["QueueArn"],
        "maxReceiveCount": 5,
    }
    assert EVENTS in dead["Policy"]
    assert dead["SqsManagedSseEnabled"] == "true"


def test_a_bucket_is_locked_encrypted_and_closed(aws: Client, stack: Stack) -> None:
    s3, bucket = aws("s3"), stack["Bucket"]

    lock = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 7}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    [rule] = encryption["Rules"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(closed.values())
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    [lifecycle] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert lifecycle["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    s3.put_object(Bucket=bucket, Key="evidence", Body=b"x")
    version = s3.head_object(Bucket=bucket, Key="evidence")["VersionId"]
    with refused("AccessDenied"):
        s3.delete_object(Bucket=bucket, Key="evidence", VersionId=version)


def test_a_key_an_alarm_and_a_role_are_made(aws: Client, stack: Stack) -> None:
    kms, key = aws("kms"), stack.outputs["Key"]
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert policy["Version"] == "2012-10-17"
    [alarm] = aws("cloudwatch").describe_alarms(AlarmNames=["findings-wait"])["MetricAlarms"]
    assert alarm["AlarmArn"] == stack.outputs["Alarm"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "found"}]
    attached = aws("iam").list_attached_role_policies(RoleName=stack["Role"])["AttachedPolicies"]
    assert [item["PolicyArn"] for item in attached] == [stack["Policy"]]


def test_an_update_changes_queues_and_their_policies(aws: Client, stack: Stack) -> None:
    stack.update("VisibilityTimeout: 60", "VisibilityTimeout: 90")
    assert stack.attributes("Queue")["VisibilityTimeout"] == "90"

    stack.update("ArnEquals: {aws:SourceArn: !GetAtt Rule.Arn}", "Null: {aws:SourceArn: 'true'}")
    _put(aws, 8)

    assert "Messages" not in aws("sqs").receive_message(QueueUrl=stack["Queue"], WaitTimeSeconds=0)


def test_nothing_of_a_deleted_stack_is_left(aws: Client, stack: Stack, world: WorldIds) -> None:
    key = stack.outputs["Key"]

    stack.delete()

    with refused("ValidationError"):
        assert stack.status
    assert "QueueUrls" not in aws("sqs").list_queues()
    assert aws("events").list_rules()["Rules"] == []
    assert aws("s3").list_buckets()["Buckets"] == []
    assert aws("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert aws("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert aws("iam").list_policies(Scope="Local")["Policies"] == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("Days", "0", "not less than 1"),
        ("Days", "101", "not greater than 100"),
        ("Days", "some", "be a number"),
        ("Name", "Found 2", "match pattern"),
    ],
)
def test_a_parameter_that_its_template_does_not_allow_is_refused(
    aws: Client, name: str, value: str, why: str
) -> None:
    with refused("ValidationError", why):
        aws("cloudformation").create_stack(
            StackName="intake",
            TemplateBody=TEMPLATE,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value}],
        )
