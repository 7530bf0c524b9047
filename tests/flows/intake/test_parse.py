from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.intake.document import MAX_DEPTH, MAX_ITEMS
from flows.intake.finding import FindingRejected, for_display, newest_of_each
from flows.intake.parse import MAX_FINDING, parse, parse_each, parse_file
from tests.flows.intake.documents import (
    BITCOIN,
    SAMPLES,
    as_sdk,
    changed,
    detail,
    read,
    rejection,
    sample,
    without,
)

ASFF = "asff-imported-event.json"
INSTANCE = "detail.resource.instanceDetails"
ADDRESS = "detail.service.action.networkConnectionAction.remoteIpDetails.ipAddressV4"


# What is read


def test_an_event_is_read_in_full() -> None:
    finding = read(sample())
    assert finding.source == "guardduty"
    assert finding.shape == "guardduty-event"
    assert finding.id == sample()["detail"]["id"]
    assert finding.arn == sample()["detail"]["arn"]
    assert (finding.account, finding.region, finding.partition) == (
        "123456789012",
        "eu-west-1",
        "aws",
    )
    assert finding.type == "CryptoCurrency:EC2/BitcoinTool.B"
    assert finding.severity == 8.0
    assert finding.created_at == datetime(2026, 3, 14, 9, 28, 30, 412000, UTC)
    assert not finding.archived
    assert not finding.sample
    assert finding.resource_role == "ACTOR"
    assert finding.remote_addresses == ("198.51.100.23",)
    assert finding.actions == ("NETWORK_CONNECTION",)
    assert finding.count == 3
    [instance] = finding.resources
    assert instance.kind == "ec2.instance"
    assert instance.id == "i-0123456789abcdef0"
    assert instance.arn == "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0"
    assert instance.tags == {"Name": "shop-web-1", "environment": "production"}
    assert instance.details["vpc_id"] == "vpc-0123456789abcdef0"


def test_all_shapes_of_one_finding_say_the_same() -> None:
    bare = read(detail())
    api = read(as_sdk(detail()))
    event = read(changed(sample(), "detail", as_sdk(detail())))
    assert (bare.shape, api.shape, event.shape) == (
        "guardduty-finding",
        "guardduty-api",
        "guardduty-event",
    )
    same = {"shape", "raw_sha256"}
    for other in (api, event, read({"findings": [detail()]}), read([detail()])):
        assert other.model_dump(exclude=same) == bare.model_dump(exclude=same)


def test_the_digest_is_of_the_finding_and_not_of_what_is_around_it() -> None:
    message = {"Type": "Notification", "Message": json.dumps(sample())}
    assert read(message).raw_sha256 == read(detail()).raw_sha256 == read(sample()).raw_sha256
    assert read(changed(detail(), "title", "other")).raw_sha256 != read(detail()).raw_sha256


def test_guardduty_findings_from_security_hub_keep_their_identity() -> None:
    hub, own = read(sample(ASFF)), read(sample("eventbridge-backdoor-ec2-cactivity.json"))
    assert hub.shape == "asff-event"
    for name in ("source", "id", "arn", "type", "severity", "resource_role", "remote_addresses"):
        assert getattr(hub, name) == getattr(own, name)
    assert hub.resources[0].id == own.resources[0].id
    assert hub.resources[0].tags == own.resources[0].tags


def test_asff_types_are_spelled_as_guardduty_spells_them() -> None:
    written = ["TTPs/Credential Access/IAMUser-AnomalousBehavior", "Unusual Behaviors/User/Other"]
    document = changed(sample(ASFF), "detail.findings.0.Types", written)
    assert read(document).type == "CredentialAccess:IAMUser/AnomalousBehavior"
    wrong = changed(sample(ASFF), "detail.findings.0.Types", ["TTPs/Discovery"])
    assert "is not a GuardDuty type" in rejection(wrong).reason


def test_a_custom_action_keeps_its_name_and_is_an_ordinary_finding_otherwise() -> None:
    imported, sent = read(sample(ASFF)), read(sample("securityhub-custom-action.json"))
    assert (imported.custom_action, sent.custom_action) == (None, "Contain")
    lookup: Any = sent.lookup()
    assert lookup["custom_action"] == "Contain"
    assert sent.model_dump(exclude={"custom_action"}) == imported.model_dump(
        exclude={"custom_action"}
    )
    nameless = without(sample("securityhub-custom-action.json"), "detail.actionName")
    assert rejection(nameless).path == "detail.actionName"
    forged = changed(sample(ASFF), "detail.actionName", "Contain")
    assert read(forged).custom_action is None


@pytest.mark.parametrize(
    ("severity", "number"),
    [
        ({"Product": 2, "Normalized": 40, "Label": "LOW"}, 2.0),
        ({"Product": "8.0"}, 8.0),
        ({"Normalized": 70, "Label": "HIGH"}, 7.0),
        ({"Label": "CRITICAL"}, 9.0),
        ({"Label": "INFORMATIONAL"}, 0.0),
    ],
)
def test_asff_severities_are_put_on_guarddutys_scale(severity: Any, number: float) -> None:
    assert read(changed(sample(ASFF), "detail.findings.0.Severity", severity)).severity == number


def test_other_products_of_security_hub_are_not_guardduty() -> None:
    document = sample(ASFF)
    finding = document["detail"]["findings"][0]
    finding["ProductArn"] = "arn:aws:securityhub:eu-west-1::product/aws/inspector"
    finding["Id"] = "arn:aws:inspector2:eu-west-1:123456789012:finding/0123456789abcdef"
    finding["Severity"] = {"Product": 8, "Normalized": 90}
    read_back = read(document)
    assert read_back.source == "securityhub"
    assert read_back.severity == 9.0
    assert read_back.resource_role is None
    assert read_back.id == finding["Id"]


def test_security_hub_may_gather_other_regions_but_not_other_accounts() -> None:
    assert read(changed(sample(ASFF), "region", "us-east-1")).region == "eu-west-1"
    assert "the event around it" in str(rejection(changed(sample(ASFF), "account", "1" * 12)))


def ocsf() -> dict[str, Any]:
    return {
        "class_uid": 2004,
        "category_uid": 2,
        "activity_id": 1,
        "status_id": 1,
        "severity_id": 4,
        "cloud": {"account": {"uid": "123456789012"}, "region": "eu-west-1", "provider": "AWS"},
        "metadata": {"product": {"uid": "arn:aws:securityhub:eu-west-1::productv2/aws/guardduty"}},
        "finding_info": {
            "uid": detail()["arn"],
            "title": "Cryptocurrency",
            "types": ["Threats", "CryptoCurrency:EC2/BitcoinTool.B"],
            "created_time": 1773480510412,
        },
        "evidences": [
            {
                "connection_info": {"direction_id": 2},
                "src_endpoint": {"ip": "192.0.2.44"},
                "dst_endpoint": {"ip": "198.51.100.23"},
            }
        ],
        "resources": [
            {
                "type": "AWS::EC2::Instance",
                "uid": "i-0123456789abcdef0",
                "owner": {"account": {"uid": "123456789012"}},
                "tags": [{"name": "environment", "value": "production"}],
            }
        ],
    }


def test_ocsf_findings_keep_guarddutys_identity() -> None:
    finding, own = read(ocsf()), read(sample())
    assert finding.shape == "ocsf"
    for name in ("source", "id", "arn", "type", "created_at", "remote_addresses"):
        assert getattr(finding, name) == getattr(own, name)
    assert finding.updated_at == finding.created_at
    assert finding.severity == 7.0
    assert finding.resource_role is None
    assert finding.resources[0].tags == {"environment": "production"}
    event = {**sample(), "source": "aws.securityhub", "detail-type": "Findings Imported V2"}
    assert read({**event, "detail": {"findings": [ocsf()]}}).shape == "ocsf-event"


@pytest.mark.parametrize(("path", "value"), [("status_id", 5), ("activity_id", 3)])
def test_closed_ocsf_findings_are_archived(path: str, value: int) -> None:
    assert read(changed(ocsf(), path, value)).archived
    assert not read(ocsf()).archived


def test_ocsf_resources_of_another_account_are_rejected() -> None:
    wrong = changed(ocsf(), "resources.0.owner.account.uid", "999999999999")
    assert rejection(wrong).path == "resources[0].owner.account.uid"
    wrong = changed(
        ocsf(), "resources.0.uid", "arn:aws:ec2:eu-west-1:999999999999:instance/i-12345678"
    )
    assert rejection(wrong).path == "resources[0].uid"


# Envelopes


def sns(document: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:findings",
        "Message": json.dumps(document),
    }


def sqs(document: Any) -> dict[str, Any]:
    return {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(document)}]}


@pytest.mark.parametrize(
    "wrapped",
    [
        sns(sample()),
        sqs(sample()),
        sqs(sns(sample())),
        sqs(sqs(sns(sample()))),
        {"Messages": [{"MessageId": "1", "Body": json.dumps(sample())}]},
        {"MessageId": "1", "Body": json.dumps(sns(sample()))},
        {"Records": [{"EventSource": "aws:sns", "Sns": sns(sample())}]},
    ],
)
def test_messages_of_sns_and_sqs_are_opened(wrapped: Any) -> None:
    assert read(wrapped) == read(sample())


def test_envelopes_without_end_are_rejected() -> None:
    document: Any = sample()
    for _ in range(8):
        document = sns(document)
    assert "envelopes" in rejection(document).reason


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_read(encoding: str) -> None:
    document = changed(sample(), "detail.title", "Größe – 大きさ")
    [finding] = parse(json.dumps(document, ensure_ascii=False).encode(encoding))
    assert finding.title == "Größe – 大きさ"


def test_exports_to_s3_are_read_line_by_line() -> None:
    raw = (SAMPLES / "s3-export.jsonl").read_bytes()
    findings = parse(raw)
    assert [finding.severity for finding in findings] == [8.0, 2.0, 5.0, 8.0]
    assert parse(gzip.compress(raw)) == findings
    newest = newest_of_each(findings)
    assert [finding.count for finding in newest] == [40, 411, 6]
    assert newest_of_each(reversed(findings))[0].count == 40


def test_one_bad_line_does_not_hide_the_others() -> None:
    lines = (SAMPLES / "s3-export.jsonl").read_text().splitlines()
    lines[1] = lines[1][:200]
    results = parse_each("\n".join(lines).encode())
    assert [isinstance(result, FindingRejected) for result in results] == [
        False,
        True,
        False,
        False,
    ]
    assert str(results[1]).startswith("line 2: is truncated")


def test_one_bad_finding_of_a_list_does_not_hide_the_others() -> None:
    document = sample("getfindings-response.json")
    document["Findings"].insert(0, {})
    results = parse_each(json.dumps(document).encode())
    assert [isinstance(result, FindingRejected) for result in results] == [True, False, False]
    assert rejection(document).path == "Findings[0]"


def test_a_file_is_read_and_its_absence_is_said(tmp_path: Any) -> None:
    assert parse_file(SAMPLES / BITCOIN) == [read(sample())]
    for path in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(FindingRejected) as rejected:
            parse_file(path)
        assert rejected.value.path == str(path)
        assert rejected.value.exit_code == 2


# Quirks of real findings


def test_every_block_is_read_whatever_the_resource_type_says() -> None:
    document = sample()
    resource = document["detail"]["resource"]
    resource["resourceType"] = "S3Bucket"
    resource["accessKeyDetails"] = {"userName": "ci-deploy", "userType": "IAMUser"}
    resource["s3BucketDetails"] = [
        {"name": "orders", "arn": "arn:aws:s3:::orders", "tags": [{"key": "a", "value": "b"}]},
        {"name": "logs", "arn": "arn:aws:s3:::logs", "tags": None},
    ]
    resource["eksClusterDetails"] = {
        "name": "prod",
        "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod",
    }
    resource["containerDetails"] = {"id": "0123abcd", "name": "web", "image": "web:1"}
    finding = read(document)
    assert [(found.kind, found.id) for found in finding.resources] == [
        ("s3.bucket", "orders"),
        ("s3.bucket", "logs"),
        ("iam.principal", "ci-deploy"),
        ("ec2.instance", "i-0123456789abcdef0"),
        ("eks.cluster", "prod"),
        ("container", "0123abcd"),
    ]
    del resource["resourceType"]
    assert {found.kind for found in read(document).resources} == {
        found.kind for found in finding.resources
    }


def test_root_is_a_principal() -> None:
    document = changed(sample("iam-anomalous.json"), "resource.accessKeyDetails.userName", "Root")
    document["resource"]["accessKeyDetails"]["userType"] = "Root"
    [principal] = read(document).resources
    assert (principal.id, principal.details["user_type"]) == ("Root", "Root")


@pytest.mark.parametrize("interfaces", [None, [], [{"privateIpAddress": "10.0.0.1"}]])
def test_interfaces_may_be_absent_or_without_id(interfaces: Any) -> None:
    assert read(changed(sample(), f"{INSTANCE}.networkInterfaces", interfaces)).resources
    assert read(without(sample(), f"{INSTANCE}.networkInterfaces")).resources


@pytest.mark.parametrize("action", [None, {}])
def test_action_may_be_absent(action: Any) -> None:
    finding = read(changed(sample(), "detail.service.action", action))
    assert finding.actions == ()
    assert finding.remote_addresses == ()
    assert read(without(sample(), "detail.service.action")).actions == ()


def test_nulls_are_the_same_as_absence() -> None:
    document = sample()
    document["detail"]["service"] = {"archived": None, "count": None, "additionalInfo": None}
    document["detail"]["resource"] = {"accessKeyDetails": None, "s3BucketDetails": None}
    document["detail"]["description"] = None
    finding = read(document)
    assert finding.resources == ()
    assert finding.resource_role is None
    assert finding.count == 1
    assert finding.description == ""


def test_attack_sequences_name_all_their_resources() -> None:
    finding = read(sample("attack-sequence.json"))
    assert [resource.id for resource in finding.resources_of("ec2.instance")] == [
        "i-0123456789abcdef0",
        "i-0aaaaaaaaaaaaaaa1",
    ]
    assert finding.resources_of("autoscaling.group")[0].id == "shop-web"
    [principal] = finding.resources_of("iam.principal")
    assert principal.details["access_key_id"] == "ASIAIOSFODNN7EXAMPLE"
    assert finding.remote_addresses == ("198.51.100.23",)
    assert "CryptoCurrency:EC2/BitcoinTool.B" in finding.actions
    other = changed(
        sample("attack-sequence.json"),
        "detail.service.detection.sequence.resources.1.accountId",
        "999999999999",
    )
    assert rejection(other).path == "detail.service.detection.sequence.resources[1].accountId"


WHEN = datetime(2026, 3, 14, 9, 28, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-14T09:28:30Z", WHEN),
        ("2026-03-14T09:28:30.412Z", WHEN.replace(microsecond=412000)),
        ("2026-03-14T10:28:30+01:00", WHEN),
        ("2026-03-14 09:28:30.412", WHEN.replace(microsecond=412000)),
        ("2026-03-14 09:28:30.000000000", WHEN),
        (1773480510000, WHEN),
        (1773480510.5, WHEN.replace(microsecond=500000)),
        ("1773480510", WHEN),
        ("1.773480510E9", WHEN),
        ("Mar 14, 2026, 9:28:30 AM", WHEN),
        ("Mar 14, 2026, 12:28:30 AM", WHEN.replace(hour=0)),
        ("Mar 14, 2026, 6:28:30 PM", WHEN.replace(hour=18)),
        ("Sat, 14 Mar 2026 09:28:30 GMT", WHEN),
    ],
)
def test_times_are_read_in_every_way_they_are_written(written: Any, moment: datetime) -> None:
    document = changed(sample(), "detail.createdAt", written)
    document = changed(document, "detail.updatedAt", written)
    finding = read(document)
    assert finding.created_at == finding.updated_at == moment
    assert finding.created_at.tzinfo is UTC


@pytest.mark.parametrize(
    "written",
    [
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-03-14",
        True,
        5,
        1e300,
        -1,
        "0001-01-01T00:00:00Z",
        {},
    ],
)
def test_what_is_no_time_is_rejected(written: Any) -> None:
    assert rejection(changed(sample(), "detail.createdAt", written)).path == "detail.createdAt"


def test_one_time_stands_for_the_other_but_none_is_rejected() -> None:
    made = read(sample()).created_at
    assert read(without(sample(), "detail.createdAt")).created_at == made
    assert read(without(sample(), "detail.updatedAt")).updated_at == made
    neither = without(without(sample(), "detail.updatedAt"), "detail.createdAt")
    assert rejection(neither).reason == "there is no time"
    early = changed(sample(), "detail.updatedAt", "2020-01-01T00:00:00Z")
    assert rejection(early).path == "detail.updatedAt"


@pytest.mark.parametrize(
    ("written", "severity"), [(8, 8.0), (8.5, 8.5), ("8", 8.0), ("8.0", 8.0), (0, 0.0), (10, 10.0)]
)
def test_severities_are_numbers_in_any_writing(written: Any, severity: float) -> None:
    assert read(changed(sample(), "detail.severity", written)).severity == severity


@pytest.mark.parametrize("written", [-1, 10.1, "high", "nan", "inf", True, None, [], "١"])
def test_other_severities_are_rejected(written: Any) -> None:
    assert rejection(changed(sample(), "detail.severity", written)).path == "detail.severity"


@pytest.mark.parametrize(
    "odd", ["99:EC2/Custom", "Backdoor:EC2 C&CActivity.B", "Trojan:EC2/DropPoint!DNS", "New"]
)
def test_odd_types_are_kept_as_they_are(odd: str) -> None:
    assert read(changed(sample(), "detail.type", odd)).type == odd


def test_extra_fields_do_no_harm() -> None:
    document = changed(sample(), "detail.customDetectionRuleName", {"new": [2**70, None, 1.5]})
    assert read(document).id == read(sample()).id


@pytest.mark.parametrize("archived", [True, "true"])
def test_archived_findings_say_so(archived: Any) -> None:
    assert read(changed(sample(), "detail.service.archived", archived)).archived


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("RecordState", "ARCHIVED"),
        ("Workflow.Status", "SUPPRESSED"),
        ("Workflow.Status", "RESOLVED"),
    ],
)
def test_archived_findings_of_security_hub_say_so(path: str, value: str) -> None:
    assert read(changed(sample(ASFF), f"detail.findings.0.{path}", value)).archived


# Samples


def test_guarddutys_own_sample_is_one() -> None:
    assert read(sample("sample-finding.json")).sample


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("detail.service.additionalInfo", {"sample": True}),
        ("detail.service.additionalInfo", {"sample": "true"}),
        ("detail.service.additionalInfo", {"value": '{"sample":true}', "type": "default"}),
        ("detail.title", "[SAMPLE] EC2 instance"),
        (f"{INSTANCE}.instanceId", "i-99999999"),
        (f"{INSTANCE}.networkInterfaces.0.vpcId", "GeneratedFindingVPCId"),
        (f"{INSTANCE}.networkInterfaces.0.subnetId", "GeneratedFindingSubnetId"),
        (
            "detail.service.action.networkConnectionAction.remoteIpDetails.country.countryName",
            "GeneratedFindingCountryName",
        ),
    ],
)
def test_samples_are_recognised_in_every_way(path: str, value: Any) -> None:
    assert read(changed(sample(), path, value)).sample


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{INSTANCE}.tags.0.value", "GeneratedFindingInstanceTagValue1"),
        ("detail.service.additionalInfo.value", '{"userAgent":"\\"sample\\":true"}'),
        ("detail.service.additionalInfo.value", '"sample" is not JSON'),
        ("detail.service.additionalInfo.value", '["sample"]'),
        ("detail.description", "[SAMPLE] GeneratedFindingUserName sample: true"),
        ("detail.title", "User GeneratedFindingUserName did something"),
    ],
)
def test_an_intruder_cannot_pass_a_real_finding_off_as_a_sample(path: str, value: Any) -> None:
    assert not read(changed(sample(), path, value)).sample


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Sample", True),
        ("Title", "[SAMPLE] C&C"),
        ("ProductFields.aws/guardduty/service/additionalInfo/sample", "true"),
        ("ProductFields.aws/guardduty/service/additionalInfo/value", '{"sample":true}'),
    ],
)
def test_samples_through_security_hub_are_recognised(path: str, value: Any) -> None:
    assert read(changed(sample(ASFF), f"detail.findings.0.{path}", value)).sample
    assert not read(sample(ASFF)).sample


def test_samples_may_name_resources_elsewhere_because_nothing_is_done_with_them() -> None:
    document = sample("sample-finding.json")
    document["detail"]["resource"]["lambdaDetails"] = {
        "functionName": "GeneratedFindingFunctionName",
        "functionArn": "arn:aws:lambda:us-west-2:000000000000:function:x",
    }
    function = read(document).resources_of("lambda.function")[0]
    assert function.arn is None
    real = changed(sample(), "detail.resource", document["detail"]["resource"])
    real["detail"]["resource"]["instanceDetails"] = detail()["resource"]["instanceDetails"]
    assert rejection(real).path == "detail.resource.lambdaDetails.functionArn"


# Addresses


@pytest.mark.parametrize(
    ("written", "addresses"),
    [
        ("203.0.113.9", ("203.0.113.9",)),
        ("2001:DB8:0::1", ("2001:db8::1",)),
        ("::ffff:203.0.113.9", ("203.0.113.9",)),
        ("10.1.2.3", ()),
        ("::ffff:10.1.2.3", ()),
        ("169.254.169.254", ()),
        ("100.64.0.1", ()),
        ("fd00::1", ()),
        ("fe80::1", ()),
        ("::1", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_only_public_addresses_are_taken(written: Any, addresses: tuple[str, ...]) -> None:
    assert read(changed(sample(), ADDRESS, written)).remote_addresses == addresses


@pytest.mark.parametrize(
    "written", ["111.11.000.1", "example.com", "1.2.3.4/0", "2001:db8::1%$(id)", "1.2.3", 16909060]
)
def test_what_is_no_address_is_rejected(written: Any) -> None:
    assert rejection(changed(sample(), ADDRESS, written)).path == ADDRESS


def test_all_actions_name_their_other_end_and_none_its_own() -> None:
    action = {
        "actionType": "PORT_PROBE",
        "portProbeAction": {
            "portProbeDetails": [
                {
                    "localIpDetails": {"ipAddressV4": "192.0.2.44"},
                    "remoteIpDetails": {"ipAddressV4": "203.0.113.1"},
                },
                {"remoteIpDetails": {"ipAddressV4": "203.0.113.2"}},
                {"remoteIpDetails": {"ipAddressV4": "203.0.113.1"}},
            ]
        },
        "awsApiCallAction": {"remoteIpDetails": {"ipAddressV6": "2001:db8::7"}},
        "dnsRequestAction": {"domain": "example.com"},
    }
    finding = read(changed(sample(), "detail.service.action", action))
    assert finding.remote_addresses == ("2001:db8::7", "203.0.113.1", "203.0.113.2")


# Never act on those


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("account", "999999999999", "detail.accountId"),
        ("region", "us-east-1", "detail.region"),
        ("detail.accountId", "999999999999", "detail.arn"),
        ("detail.accountId", 123456789012, "detail.accountId"),
        ("detail.region", "us-east-1", "detail.arn"),
        ("detail.region", "nowhere", "detail.region"),
        ("detail.partition", "aws-cn", "detail.partition"),
        ("detail.arn", "arn:aws:guardduty:eu-west-1", "detail.arn"),
        ("detail.arn", "arn:aws:ec2:eu-west-1:123456789012:instance/i-12345678", "detail.arn"),
        ("detail.id", "00000000000000000000000000000000", "detail.arn"),
        (f"{INSTANCE}.instanceId", "i-0123; rm -rf /", f"{INSTANCE}.instanceId"),
        (f"{INSTANCE}.instanceId", "i-0123456789abcdef0\n", f"{INSTANCE}.instanceId"),
        (f"{INSTANCE}.instanceId", "i-0123456789ABCDEF0", f"{INSTANCE}.instanceId"),
        (f"{INSTANCE}.instanceId", "i-１２３４５６７８", f"{INSTANCE}.instanceId"),
        (f"{INSTANCE}.instanceId", None, f"{INSTANCE}.instanceId"),
        ("source", "aws.guarddutу", "detail-type"),
        ("source", "custom.guardduty", "detail-type"),
        ("detail", {}, "detail"),
        ("detail", [], "detail"),
        ("detail.resource", [], "detail.resource"),
        ("detail.type", "", "detail.type"),
        ("detail.type", "a\nb", "detail.type"),
        ("detail.id", "  ", "detail.id"),
        ("detail.title", ["no"], "detail.title"),
        ("detail.service.count", -1, "detail.service.count"),
    ],
)
def test_contradictions_and_malformed_values_are_rejected(
    path: str, value: Any, where: str
) -> None:
    assert rejection(changed(sample(), path, value)).path == where


@pytest.mark.parametrize("name", ["accountId", "id", "type", "severity", "arn"])
def test_what_a_finding_must_have_is_missed(name: str) -> None:
    assert rejection(without(sample(), f"detail.{name}")).path == f"detail.{name}"
    assert rejection(without(detail(), name)).path == name


def test_china_and_govcloud_have_their_own_partitions() -> None:
    text = (
        json.dumps(detail()).replace("arn:aws:", "arn:aws-cn:").replace("eu-west-1", "cn-north-1")
    )
    document = changed(json.loads(text), "partition", "aws-cn")
    assert read(document).partition == "aws-cn"
    assert "partition" in rejection(changed(document, "partition", "aws")).reason


def test_the_scan_of_an_object_is_not_a_finding() -> None:
    scan = {**sample(), "detail-type": "GuardDuty Malware Protection Object Scan Result"}
    assert "are not findings" in rejection(scan).reason


def test_an_event_within_an_event_is_rejected() -> None:
    assert "event within an event" in rejection({**sample(), "detail": sample()}).reason


def test_both_spellings_at_once_are_rejected() -> None:
    assert "both spellings" in rejection({**detail(), "AccountId": "999999999999"}).reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"hello", "is not JSON"),
        (b"{}", "nothing in it"),
        (b"[]", "no finding"),
        (b"[[]]", "no finding"),
        (b"[{}]", "nothing in it"),
        (b"null", "nothing in it"),
        (b"7", "must be an object"),
        (b'"text"', "must be an object"),
        (b'{"findings":[]}', "no finding"),
        (b'{"findings":{}}', "must be a list"),
        (b'{"Records":[{"s3":{}}]}', "not a message"),
        (b'{"Type":"Notification","Message":"no"}', "is not JSON"),
        (b'{"a":1,"a":2}', "there twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"1" * 5000 + b"}", "too large"),
        (b'{"a":"\\ud800"}', "Unicode"),
        (b"\xff\xfe\x00", "not text"),
        (b"\x80abc", "not text"),
        (b"\x1f\x8bnot gzip", "gzip"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "deep"),
    ],
)
def test_garbage_is_rejected_with_a_reason(raw: bytes, reason: str) -> None:
    assert reason in str(rejection(raw))


def test_truncated_documents_are_called_so() -> None:
    raw = (SAMPLES / BITCOIN).read_bytes()
    for end in (10, 500, len(raw) // 2, len(raw) - 3):
        assert "truncated" in rejection(raw[:end]).reason


def test_oversized_findings_are_rejected_with_their_size() -> None:
    large = changed(sample(), "detail.description", "x" * MAX_FINDING)
    reason = rejection(large).reason
    assert str(MAX_FINDING) in reason
    assert "bytes" in reason
    assert read(changed(sample(), "detail.description", "x" * (MAX_FINDING // 2)))


def test_a_gzip_bomb_is_not_unpacked() -> None:
    assert "larger than" in rejection(gzip.compress(b" " * (40 * 1024 * 1024))).reason


# Text is data

HOSTILE = [
    "{{7*7}}",
    "${env.AWS_SECRET_ACCESS_KEY}",
    "${finding.id}",
    "$(id)",
    "{0.__class__}",
    "%(levelname)s",
    "<!channel> <@U061F7AUR> [x](http://example.com)",
    "line one\r\nline two\x1b[31m\x00",
    "\u202egnp.exe\u2066",
    "👩‍💻 e\u0301",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_literally_what_it_was(text: str) -> None:
    document = changed(sample(), "detail.title", text)
    document["detail"]["description"] = text
    document["detail"]["resource"]["instanceDetails"]["tags"] = [{"key": text, "value": text}]
    document["detail"]["resource"]["accessKeyDetails"] = {"userName": text}
    document["detail"]["resource"]["s3BucketDetails"] = [{"name": text}]
    lookup: Any = read(document).lookup()
    assert lookup["title"] == text
    assert lookup["description"] == text
    assert lookup["resource"]["tags"] == {text: text}
    assert {found["id"] for found in lookup["resources"]} == {"i-0123456789abcdef0", text}
    assert json.loads(json.dumps(lookup)) == lookup


def test_what_is_displayed_cannot_forge_lines_or_turn_writing() -> None:
    assert for_display("one\r\ntwo\x1b[31m\x00\u2028three") == "one  two [31m  three"
    assert for_display("a\u202eb\u2066c\u200bd\ufeff") == "abcd"
    assert for_display("Größe 大 👩") == "Größe 大 👩"


def test_errors_quote_what_was_found_on_one_short_line() -> None:
    message = str(rejection(changed(sample(), f"{INSTANCE}.instanceId", "i-\n\u202e" + "x" * 9999)))
    assert "\n" not in message
    assert "\u202e" not in message
    assert len(message) < 300


def test_the_lookup_has_every_documented_path() -> None:
    lookup: Any = read(sample()).lookup()
    assert set(lookup) == {
        *("source", "shape", "id", "arn", "account", "region", "partition", "type", "severity"),
        *("title", "description", "created_at", "updated_at", "archived", "sample"),
        *("resource_role", "remote_addresses", "actions", "count", "custom_action"),
        *("raw_sha256", "resource", "resources"),
    }
    assert lookup["created_at"] == "2026-03-14T09:28:30.412000Z"
    assert lookup["resource"]["id"] == "i-0123456789abcdef0"
    assert read(changed(sample(), "detail.resource", {})).lookup()["resource"] is None


@pytest.mark.parametrize(
    "raw",
    [
        b"[" + b"{}," * MAX_ITEMS + b"{}]",
        b'{"findings":[' + b"{}," * MAX_ITEMS + b"{}]}",
        b'{"a":1}\n' * (MAX_ITEMS + 1),
        json.dumps({"Records": sqs([{}] * 5001)["Records"] * 2}).encode(),
    ],
)
def test_more_findings_than_anybody_sends_are_rejected_at_once(raw: bytes) -> None:
    [rejected] = parse_each(raw)
    assert "more than 10000" in str(rejected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ProductArn", "arn:aws:securityhub:us-east-1::product/aws/guardduty"),
        ("ProductArn", "arn:aws-cn:securityhub:eu-west-1::product/aws/guardduty"),
        ("Id", "arn:aws:guardduty:us-east-1:123456789012:detector/d/finding/f"),
        ("Id", "an id that is no ARN"),
    ],
)
def test_security_hub_findings_that_contradict_themselves_are_rejected(
    name: str, value: str
) -> None:
    wrong = changed(sample(ASFF), f"detail.findings.0.{name}", value)
    assert rejection(wrong).path == f"detail.findings[0].{name}"
