from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.flows.intake.documents import changed, read, rejection, sample, without

NETWORK = "inspector-network-reachability.json"
PACKAGE = "inspector-package-vulnerability.json"
RESOURCE = "detail.resources.0"


def test_a_finding_is_read_in_full() -> None:
    finding = read(sample(NETWORK))
    assert (finding.source, finding.shape) == ("inspector", "inspector-event")
    assert finding.id == finding.arn == sample(NETWORK)["detail"]["findingArn"]
    assert not finding.confirmable
    assert (finding.account, finding.region) == ("123456789012", "eu-west-1")
    assert finding.type == "Inspector/NETWORK_REACHABILITY"
    assert finding.severity == 4.0
    assert finding.title == "Port 22 is reachable from an Internet Gateway - TCP"
    assert finding.created_at == datetime(2026, 3, 14, 10, 2, 33, tzinfo=UTC)
    assert not finding.archived
    assert finding.resource_role is None
    assert finding.remote_addresses == ()
    [instance] = finding.resources
    assert (instance.kind, instance.id) == ("ec2.instance", "i-0123456789abcdef0")
    assert instance.tags == {"Name": "shop-web-1", "environment": "production"}
    assert instance.details == {
        "instance_type": "m7i.large",
        "image_id": "ami-0123456789abcdef0",
        "instance_profile_arn": "arn:aws:iam::123456789012:instance-profile/shop-web",
        "vpc_id": "vpc-0123456789abcdef0",
    }


def test_images_are_no_targets() -> None:
    finding = read(sample(PACKAGE))
    assert finding.type == "Inspector/PACKAGE_VULNERABILITY"
    assert finding.updated_at > finding.created_at
    [image] = finding.resources
    assert image.kind == "other"
    assert image.details == {"type": "AWS_ECR_CONTAINER_IMAGE"}


def test_functions_have_their_name() -> None:
    function = {
        "type": "AWS_LAMBDA_FUNCTION",
        "id": "arn:aws:lambda:eu-west-1:123456789012:function:checkout:$LATEST",
        "partition": "aws",
        "region": "eu-west-1",
        "details": {"awsLambdaFunction": {"functionName": "checkout"}},
    }
    [found] = read(changed(sample(PACKAGE), RESOURCE, function)).resources
    assert (found.kind, found.id, found.arn) == ("lambda.function", "checkout", function["id"])


def test_the_answer_of_listfindings_is_read() -> None:
    answer = {"findings": [sample(NETWORK)["detail"], sample(PACKAGE)["detail"]]}
    [network] = [read(item) for item in answer["findings"][:1]]
    assert network.shape == "inspector"
    assert network.model_dump(exclude={"shape"}) == read(sample(NETWORK)).model_dump(
        exclude={"shape"}
    )


@pytest.mark.parametrize(
    ("word", "score", "severity"),
    [
        ("CRITICAL", None, 9.0),
        ("HIGH", None, 7.0),
        ("MEDIUM", None, 4.0),
        ("LOW", None, 1.0),
        ("INFORMATIONAL", None, 0.0),
        ("UNTRIAGED", None, 0.0),
        ("CRITICAL", 9.8, 9.8),
        ("MEDIUM", 6.5, 6.5),
        ("LOW", 0, 0.0),
    ],
)
def test_severities_are_on_guarddutys_scale(word: str, score: Any, severity: float) -> None:
    document = changed(sample(PACKAGE), "detail.severity", word)
    assert read(changed(document, "detail.inspectorScore", score)).severity == severity


@pytest.mark.parametrize("status", ["CLOSED", "SUPPRESSED"])
def test_what_is_closed_is_a_later_version_of_the_same_finding(status: str) -> None:
    document = changed(sample(NETWORK), "detail.status", status)
    closed = read(changed(document, "detail.updatedAt", "Mar 15, 2026, 8:00:00 AM"))
    assert closed.archived
    assert closed.key == read(sample(NETWORK)).key
    assert closed.updated_at > read(sample(NETWORK)).updated_at


def test_when_it_was_last_seen_stands_for_its_update() -> None:
    document = without(sample(PACKAGE), "detail.updatedAt")
    assert read(document).updated_at == read(sample(PACKAGE)).updated_at


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("detail.awsAccountId", "999999999999", "detail.awsAccountId"),
        ("account", "999999999999", "detail.awsAccountId"),
        ("region", "us-east-1", "detail.findingArn"),
        (
            "detail.findingArn",
            "arn:aws:inspector2:eu-west-1:999999999999:finding/3f0c1f7f5f1d4c7a9e0b2d6a8c4e1b90",
            "detail.findingArn",
        ),
        ("detail.findingArn", "arn:aws:inspector2::123456789012:finding/3f", "detail.findingArn"),
        (
            "detail.findingArn",
            "arn:aws:inspector:eu-west-1:123456789012:target/finding/3f",
            "detail.findingArn",
        ),
        ("detail.status", "OPEN", "detail.status"),
        ("detail.status", None, "detail.status"),
        ("detail.severity", "SEVERE", "detail.severity"),
        ("detail.severity", None, "detail.severity"),
        ("detail.inspectorScore", 11, "detail.inspectorScore"),
        ("detail.type", "", "detail.type"),
        (f"{RESOURCE}.id", "i-nothing", "detail.resources[0].id"),
        (f"{RESOURCE}.region", "us-east-1", "detail.resources[0].region"),
        (f"{RESOURCE}.partition", "aws-cn", "detail.resources[0].partition"),
        (
            f"{RESOURCE}.id",
            "arn:aws:ec2:eu-west-1:999999999999:instance/i-0123456789abcdef0",
            "detail.resources[0].id",
        ),
    ],
)
def test_contradictions_and_what_is_missing_are_rejected(path: str, value: Any, where: str) -> None:
    assert rejection(changed(sample(NETWORK), path, value)).path == where


def test_other_events_of_inspector_are_not_findings() -> None:
    scan = {**sample(NETWORK), "detail-type": "Inspector2 Scan"}
    assert "are not findings" in rejection(scan).reason
