from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.flows.intake.documents import changed, read, rejection, sample, without

CHANGE = "config-compliance-change.json"
RESULT = "detail.newEvaluationResult"
QUALIFIER = f"{RESULT}.evaluationResultIdentifier.evaluationResultQualifier"


def about(resource_type: str, resource_id: str) -> Any:
    document = sample(CHANGE)
    qualifier = document["detail"]["newEvaluationResult"]["evaluationResultIdentifier"]
    for place in (document["detail"], qualifier["evaluationResultQualifier"]):
        place.update(resourceType=resource_type, resourceId=resource_id)
    return document


def test_a_change_is_read_in_full() -> None:
    finding = read(sample(CHANGE))
    assert (finding.source, finding.shape) == ("config", "config-event")
    assert finding.id == (
        "arn:aws:config:eu-west-1:123456789012:config-rule/config-rule-x4yd2k"
        "/AWS::S3::Bucket/shop-orders"
    )
    assert finding.arn is None
    assert not finding.confirmable
    assert (finding.account, finding.region, finding.partition) == (
        "123456789012",
        "eu-west-1",
        "aws",
    )
    assert finding.type == "Config/s3-bucket-public-read-prohibited"
    assert finding.severity == 4.0
    assert "NON_COMPLIANT" in finding.title
    assert finding.description == "The S3 bucket policy allows public read access."
    assert finding.updated_at == datetime(2026, 3, 14, 9, 41, 11, 640000, UTC)
    assert not finding.archived
    assert finding.resource_role is None
    [bucket] = finding.resources
    assert (bucket.kind, bucket.id) == ("s3.bucket", "shop-orders")


def test_the_same_told_to_a_topic_is_the_same_finding() -> None:
    told = read({"Type": "Notification", "Message": json.dumps(sample(CHANGE)["detail"])})
    assert told.shape == "config-notification"
    assert told.model_dump(exclude={"shape"}) == read(sample(CHANGE)).model_dump(exclude={"shape"})


@pytest.mark.parametrize("compliance", ["COMPLIANT", "NOT_APPLICABLE"])
def test_what_is_compliant_again_is_a_later_version_of_the_same_finding(compliance: str) -> None:
    again = changed(sample(CHANGE), f"{RESULT}.complianceType", compliance)
    again = changed(again, f"{RESULT}.resultRecordedTime", "2026-03-14T11:00:00.000Z")
    before, after = read(sample(CHANGE)), read(again)
    assert after.key == before.key
    assert after.archived
    assert after.updated_at > before.updated_at


def test_other_rules_and_other_resources_are_other_findings() -> None:
    rule = "arn:aws:config:eu-west-1:123456789012:config-rule/config-rule-aaaaaa"
    keys = {
        read(document).key
        for document in (
            sample(CHANGE),
            about("AWS::S3::Bucket", "shop-logs"),
            about("AWS::EC2::VPC", "shop-orders"),
            changed(sample(CHANGE), "detail.configRuleARN", rule),
        )
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("resource_type", "resource_id", "kind", "details"),
    [
        ("AWS::EC2::Instance", "i-0123456789abcdef0", "ec2.instance", {}),
        ("AWS::S3::Bucket", "shop-orders", "s3.bucket", {}),
        ("AWS::Lambda::Function", "checkout", "lambda.function", {}),
        ("AWS::EKS::Cluster", "prod", "eks.cluster", {}),
        (
            "AWS::IAM::User",
            "AIDACKCEVSQ6C2EXAMPLE",
            "iam.principal",
            {"principal_id": "AIDACKCEVSQ6C2EXAMPLE", "user_type": "IAMUser"},
        ),
        (
            "AWS::IAM::Role",
            "AROADBQP57FF2AEXAMPLE",
            "iam.principal",
            {"principal_id": "AROADBQP57FF2AEXAMPLE", "user_type": "Role"},
        ),
        (
            "AWS::IAM::User",
            "ci-deploy",
            "iam.principal",
            {"user_name": "ci-deploy", "user_type": "IAMUser"},
        ),
        # Its id is not the identifier that RDS's API takes.
        ("AWS::RDS::DBInstance", "db-EXAMPLE", "other", {"type": "AWS::RDS::DBInstance"}),
        ("AWS::::Account", "123456789012", "other", {"type": "AWS::::Account"}),
    ],
)
def test_resources_are_of_their_kind(
    resource_type: str, resource_id: str, kind: str, details: dict[str, str]
) -> None:
    [resource] = read(about(resource_type, resource_id)).resources
    assert (resource.kind, resource.id) == (kind, resource_id)
    assert resource.details == details
    assert (resource.account, resource.region) == ("123456789012", "eu-west-1")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("detail.awsAccountId", "999999999999"),
        ("detail.awsRegion", "us-east-1"),
        ("detail.messageType", "ConfigRulesEvaluationStarted"),
        (
            "detail.configRuleARN",
            "arn:aws:config:eu-west-1:999999999999:config-rule/config-rule-x4yd2k",
        ),
        ("detail.configRuleARN", "arn:aws:config:us-east-1:123456789012:config-rule/x"),
        ("detail.configRuleARN", "arn:aws:ec2:eu-west-1:123456789012:instance/i-12345678"),
        ("detail.configRuleName", ""),
        ("detail.resourceId", None),
        (f"{QUALIFIER}.resourceId", "shop-logs"),
        (f"{QUALIFIER}.configRuleName", "another-rule"),
        (f"{RESULT}.complianceType", "INSUFFICIENT_DATA"),
        (f"{RESULT}.complianceType", None),
        (f"{RESULT}.resultRecordedTime", "yesterday"),
        (f"{RESULT}.resultRecordedTime", None),
        ("detail.newEvaluationResult", []),
    ],
)
def test_contradictions_and_what_is_missing_are_rejected(path: str, value: Any) -> None:
    where = rejection(changed(sample(CHANGE), path, value)).path
    assert where == path or where.startswith(f"{path}.")


def test_an_instance_that_is_none_is_rejected() -> None:
    assert rejection(about("AWS::EC2::Instance", "i-1; rm -rf /")).path == "detail.resourceId"


def test_what_is_said_only_once_does() -> None:
    assert read(without(sample(CHANGE), QUALIFIER)) == read(sample(CHANGE)).model_copy(
        update={"raw_sha256": read(without(sample(CHANGE), QUALIFIER)).raw_sha256}
    )
