from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.flows.intake.documents import changed, read, rejection, sample, without

EXPOSED = "health-credentials-exposed.json"
KEY, OTHER_KEY = "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"
ARN = (
    "arn:aws:health:us-east-1::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED"
    "/AWS_RISK_CREDENTIALS_EXPOSED-aBcD3fGh1J"
)


def test_an_exposed_key_is_read_in_full() -> None:
    finding = read(sample(EXPOSED))
    assert (finding.source, finding.shape) == ("health", "health-event")
    assert finding.id == finding.arn == ARN
    assert not finding.confirmable
    assert (finding.account, finding.region, finding.partition) == (
        "123456789012",
        "us-east-1",
        "aws",
    )
    assert finding.type == "Health/AWS_RISK_CREDENTIALS_EXPOSED"
    assert finding.severity == 8.0
    assert KEY in finding.title
    assert "public repository" in finding.description
    assert finding.created_at == datetime(2026, 3, 14, 11, 19, 22, tzinfo=UTC)
    assert finding.updated_at == datetime(2026, 3, 14, 11, 19, 24, tzinfo=UTC)
    assert not finding.archived
    assert finding.resource_role is None
    [principal] = finding.resources
    assert (principal.kind, principal.id) == ("iam.principal", "ci-deploy")
    assert principal.details == {
        "user_name": "ci-deploy",
        "user_type": "IAMUser",
        "access_key_id": KEY,
    }


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("AWS_RISK_CREDENTIALS_COMPROMISED", 8.0),
        ("AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED", 5.0),
        ("AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED", 5.0),
    ],
)
def test_compromised_and_suspected_keys_are_findings_too(code: str, severity: float) -> None:
    finding = read(changed(sample(EXPOSED), "detail.eventTypeCode", code))
    assert (finding.type, finding.severity) == (f"Health/{code}", severity)


@pytest.mark.parametrize(
    "code", ["AWS_EC2_INSTANCE_STORE_DRIVE_PERFORMANCE_DEGRADED", "AWS_ABUSE_DOS_REPORT", None]
)
def test_other_events_of_health_are_not_findings(code: Any) -> None:
    rejected = rejection(changed(sample(EXPOSED), "detail.eventTypeCode", code))
    assert rejected.path == "detail.eventTypeCode"
    assert "are not findings" in rejected.reason
    abuse = {**sample(EXPOSED), "detail-type": "AWS Health Abuse Event"}
    assert "are not findings" in rejection(abuse).reason


def test_old_events_without_metadata_name_only_the_key() -> None:
    document = sample(EXPOSED)
    for name in ("eventMetadata", "affectedAccount", "eventRegion", "lastUpdatedTime", "page"):
        del document["detail"][name]
    finding = read(document)
    [principal] = finding.resources
    assert principal.id == KEY
    assert principal.details == {"access_key_id": KEY}
    assert finding.account == "123456789012"
    assert finding.updated_at == datetime(2026, 3, 14, 11, 20, 5, tzinfo=UTC)


def test_each_affected_key_is_a_principal_and_only_the_named_one_has_the_name() -> None:
    entities = [{"entityValue": OTHER_KEY}, {"entityValue": KEY}]
    document = changed(sample(EXPOSED), "detail.affectedEntities", entities)
    other, named = read(document).resources
    assert (other.id, named.id) == (OTHER_KEY, "ci-deploy")
    assert other.details == {"access_key_id": OTHER_KEY}
    assert named.details["access_key_id"] == KEY
    nameless = without(document, "detail.eventMetadata.publicKey")
    assert [found.id for found in read(nameless).resources] == [OTHER_KEY, KEY]


def test_the_copy_in_the_backup_region_is_the_same_finding() -> None:
    assert read(changed(sample(EXPOSED), "region", "us-west-2")) == read(sample(EXPOSED))


def test_in_an_organization_the_affected_account_counts() -> None:
    document = changed(sample(EXPOSED), "account", "999999999999")
    finding = read(document)
    assert finding.account == "123456789012"
    assert finding.resources[0].account == "123456789012"


@pytest.mark.parametrize(
    ("delivered", "partition", "region"),
    [
        ("eu-west-1", "aws", "us-east-1"),
        ("cn-northwest-1", "aws-cn", "cn-north-1"),
        ("us-gov-east-1", "aws-us-gov", "us-gov-west-1"),
    ],
)
def test_global_events_are_where_iam_is(delivered: str, partition: str, region: str) -> None:
    arn = f"arn:{partition}:health:global::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED/X"
    document = changed(sample(EXPOSED), "detail.eventArn", arn)
    document = changed(document, "detail.eventRegion", "global")
    finding = read(changed(document, "region", delivered))
    assert (finding.partition, finding.region) == (partition, region)
    # One of the two may know better.
    one = changed(sample(EXPOSED), "detail.eventRegion", "global")
    assert read(one).region == "us-east-1"


def test_further_pages_are_findings_of_their_own() -> None:
    second = changed(sample(EXPOSED), "detail.page", "2")
    assert read(second).id == f"{ARN}/page/2"
    assert read(second).key != read(sample(EXPOSED)).key


def test_a_closed_event_is_a_later_version_of_the_same_finding() -> None:
    document = changed(sample(EXPOSED), "detail.statusCode", "closed")
    closed = read(changed(document, "detail.lastUpdatedTime", "Sun, 15 Mar 2026 09:00:00 GMT"))
    assert closed.archived
    assert closed.key == read(sample(EXPOSED)).key
    assert closed.updated_at > read(sample(EXPOSED)).updated_at


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("detail.affectedAccount", "12345", "detail.affectedAccount"),
        ("detail.affectedAccount", "999999999999", "detail.eventMetadata.accountId"),
        ("detail.eventMetadata.accountId", "999999999999", "detail.eventMetadata.accountId"),
        ("detail.eventArn", None, "detail.eventArn"),
        ("detail.eventArn", "arn:aws:ec2:us-east-1::event/x", "detail.eventArn"),
        ("detail.eventArn", "arn:aws-cn:health:us-east-1::event/x", "detail.eventArn"),
        ("detail.eventRegion", "eu-west-1", "detail.eventRegion"),
        ("detail.statusCode", "maybe", "detail.statusCode"),
        ("detail.page", "first", "detail.page"),
        ("detail.affectedEntities", [], "detail.affectedEntities"),
        ("detail.affectedEntities", None, "detail.affectedEntities"),
        (
            "detail.affectedEntities.0.entityValue",
            "ci-deploy",
            "detail.affectedEntities[0].entityValue",
        ),
        (
            "detail.affectedEntities.0.entityValue",
            f"{KEY}\n",
            "detail.affectedEntities[0].entityValue",
        ),
        ("detail.startTime", "yesterday", "detail.startTime"),
    ],
)
def test_contradictions_and_what_is_missing_are_rejected(path: str, value: Any, where: str) -> None:
    assert rejection(changed(sample(EXPOSED), path, value)).path == where
