from __future__ import annotations

import json
from typing import Any

import pytest

from flows.intake.finding import Finding, newest_of_each
from tests.flows.intake.documents import as_sdk, detail, read, sample

ASFF = "asff-imported-event.json"
BACKDOOR = "eventbridge-backdoor-ec2-cactivity.json"


def in_ocsf() -> Finding:
    return read(
        {
            "class_uid": 2004,
            "category_uid": 2,
            "severity_id": 4,
            "cloud": {"account": {"uid": "123456789012"}, "region": "eu-west-1"},
            "metadata": {
                "product": {"uid": "arn:aws:securityhub:eu-west-1::productv2/aws/guardduty"}
            },
            "finding_info": {
                "uid": detail(BACKDOOR)["arn"],
                "types": ["Threats", "Backdoor:EC2/C&CActivity.B"],
                "created_time": 1773480510412,
            },
        }
    )


def test_a_guardduty_finding_has_one_key_whichever_way_it_came() -> None:
    own = read(sample(BACKDOOR))
    assert own.key == ("123456789012", "eu-west-1", detail(BACKDOOR)["id"])
    for other in (read(detail(BACKDOOR)), read(as_sdk(detail(BACKDOOR))), in_ocsf()):
        assert other.key == own.key
    assert read(sample(ASFF)).key == own.key
    assert read(sample("securityhub-custom-action.json")).key == own.key


def test_what_somebody_imports_into_security_hub_is_no_version_of_a_guardduty_finding() -> None:
    own = read(sample(BACKDOOR))
    document = sample(ASFF)
    imported = document["detail"]["findings"][0]
    imported["ProductArn"] = (
        "arn:aws:securityhub:eu-west-1:123456789012:product/123456789012/default"
    )
    imported["UpdatedAt"] = "2099-01-01T00:00:00Z"
    imported["RecordState"] = "ARCHIVED"
    for identity in (own.id, own.arn):
        imported["Id"] = identity
        forged = read(document)
        assert forged.id == identity
        assert forged.key != own.key
        assert not forged.confirmable
        assert newest_of_each([own, forged]) == [own, forged]


def test_the_newest_of_each_is_taken_whichever_way_it_came() -> None:
    own, hub = read(sample(BACKDOOR)), read(sample(ASFF))
    later = own.model_copy(update={"updated_at": hub.updated_at.replace(year=2027)})
    assert newest_of_each([own, hub]) == [hub]
    assert newest_of_each([later, hub]) == [later]


@pytest.mark.parametrize("name", [BACKDOOR, ASFF, "securityhub-custom-action.json"])
def test_guardduty_can_be_asked_for_its_findings_whichever_way_they_came(name: str) -> None:
    assert read(sample(name)).confirmable
    assert in_ocsf().confirmable


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("arn", None),
        ("arn", "arn:aws:guardduty:eu-west-1:123456789012:detector/d/finding/f"),
        ("account", "999999999999"),
        ("region", "us-east-1"),
        ("id", "0" * 32),
        ("source", "securityhub"),
    ],
)
def test_it_cannot_be_asked_for_what_its_arn_does_not_name(name: str, value: Any) -> None:
    assert not read(sample(BACKDOOR)).model_copy(update={name: value}).confirmable


def test_findings_of_journals_written_before_there_were_custom_actions_are_read() -> None:
    finding = read(sample(BACKDOOR))
    old = finding.model_dump(mode="json", exclude={"custom_action"})
    assert Finding.model_validate_json(json.dumps(old)) == finding


def test_a_resource_that_is_named_twice_keeps_its_first_place() -> None:
    finding = read(sample("attack-sequence.json"))
    first, second = finding.resources_of("ec2.instance")
    again = finding.model_copy(update={"resources": (first, second, first)})
    assert again.resources_of("ec2.instance") == (first, second)
