"""GuardDuty's findings in Security Hub: which arrive, and as what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.guardduty_asff import in_asff
from flows.gameday.aws.sample_findings import SAMPLE_TYPES
from flows.gameday.worlds import WorldIds
from flows.intake.parse import parse
from tests.flows.gameday.aws.queues import queue_of_rule

Client = Callable[[str], Any]
BACKDOOR = "Backdoor:EC2/C&CActivity.B"


@pytest.fixture
def hub(aws: Client) -> Any:
    client = aws("securityhub")
    client.enable_security_hub()
    return client


@pytest.fixture
def guardduty(aws: Client) -> Any:
    return aws("guardduty")


@pytest.fixture
def detector(guardduty: Any) -> str:
    return str(guardduty.create_detector(Enable=True)["DetectorId"])


def _finding(kind: str) -> dict[str, Any]:
    arn = "arn:aws:guardduty:eu-west-1:123456789012:detector/d/finding/f"
    at = "2026-03-14T09:30:00.000Z"
    return {
        "Id": "f",
        "Arn": arn,
        "Type": kind,
        "AccountId": "123456789012",
        "Region": "eu-west-1",
        "Partition": "aws",
        "Severity": 8,
        "Title": "t",
        "Description": "d",
        "CreatedAt": at,
        "UpdatedAt": at,
        "Resource": {"ResourceType": "Instance", "InstanceDetails": {"InstanceId": "i-1"}},
        "Service": {"EventFirstSeen": at, "EventLastSeen": at},
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (BACKDOOR, "TTPs/Command and Control/Backdoor:EC2-C&CActivity.B"),
        ("Recon:EC2/Portscan", "TTPs/Discovery/Recon:EC2-Portscan"),
        (
            "UnauthorizedAccess:EC2/SSHBruteForce",
            "TTPs/Initial Access/UnauthorizedAccess:EC2-SSHBruteForce",
        ),
        (
            "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS",
            "Effects/Data Exfiltration/"
            "UnauthorizedAccess:IAMUser-InstanceCredentialExfiltration.OutsideAWS",
        ),
        ("Trojan:EC2/DropPoint!DNS", "Effects/Data Exfiltration/Trojan:EC2-DropPoint!DNS"),
        ("Discovery:IAMUser/AnomalousBehavior", "TTPs/Discovery/IAMUser-AnomalousBehavior"),
        (
            "Execution:Kubernetes/AnomalousBehavior.ExecInPod",
            "TTPs/AnomalousBehavior/Execution:Kubernetes-ExecInPod",
        ),
        ("Discovery:S3/TorIPCaller", "TTPs/Discovery:S3-TorIPCaller"),
        (
            "Stealth:S3/ServerAccessLoggingDisabled",
            "TTPs/Defense Evasion/Stealth:S3-ServerAccessLoggingDisabled",
        ),
        (
            "AttackSequence:IAM/CompromisedCredentials",
            "TTPs/AttackSequence:IAM/CompromisedCredentials",
        ),
        ("PenTest:IAMUser/KaliLinux", "TTPs/PenTest:IAMUser/KaliLinux"),
        (
            "Policy:Kubernetes/ExposedDashboard",
            "Software and Configuration Checks/AWS Security Best Practices/"
            "Policy:Kubernetes-ExposedDashboard",
        ),
        ("Policy:IAMUser/RootCredentialUsage", "TTPs/Policy:IAMUser-RootCredentialUsage"),
    ],
)
def test_a_type_is_named_as_in_the_table_of_the_user_guide(kind: str, expected: str) -> None:
    assert in_asff(_finding(kind), {})["Types"] == [expected]


@pytest.mark.parametrize(
    ("severity", "label"), [(1, "LOW"), (4.5, "MEDIUM"), (7, "HIGH"), (9.1, "CRITICAL")]
)
def test_a_severity_keeps_its_number_and_gets_its_label(severity: float, label: str) -> None:
    found = in_asff({**_finding(BACKDOOR), "Severity": severity}, {})

    assert found["Severity"] == {"Product": severity, "Label": label}


def test_a_finding_arrives_where_security_hub_is_enabled(
    hub: Any, guardduty: Any, detector: str, aws: Client, world: WorldIds
) -> None:
    queue = queue_of_rule(aws, "hub", {"detail-type": ["Security Hub Findings - Imported"]})

    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[BACKDOOR])

    [found] = hub.get_findings()["Findings"]
    product = f"arn:aws:securityhub:{world.region}::product/aws/guardduty"
    assert found["ProductArn"] == product
    assert found["AwsAccountId"] == world.account
    assert found["Severity"] == {"Product": 8.0, "Label": "HIGH", "Normalized": 70}
    [resource] = found["Resources"]
    assert resource["Id"].endswith(":instance/i-99999999")
    assert resource["Details"]["AwsEc2Instance"]["IpV4Addresses"] == ["10.0.0.1", "198.51.100.0"]
    fields = found["ProductFields"]
    action = "aws/guardduty/service/action/networkConnectionAction"
    assert fields[f"{action}/remoteIpDetails/ipAddressV4"] == "198.51.100.0"
    assert fields[f"{action}/blocked"] == "false"
    assert found["Sample"] is True
    [event] = queue.take()
    assert event["resources"] == [f"{product}/{found['Id']}"]


@pytest.mark.parametrize("kind", [kind for kind in SAMPLE_TYPES if "IAMUser/Anom" not in kind])
def test_the_intake_sees_the_same_finding_in_both(
    hub: Any, guardduty: Any, detector: str, kind: str
) -> None:
    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[kind])
    ids = guardduty.list_findings(DetectorId=detector)["FindingIds"]
    own = guardduty.get_findings(DetectorId=detector, FindingIds=ids)["Findings"]

    here, there = (
        parse(json.dumps(found, default=str).encode())[0]
        for found in (own[0], hub.get_findings()["Findings"][0])
    )

    assert (there.type, there.arn, there.severity) == (here.type, here.arn, here.severity)
    assert [item.kind for item in there.resources] == [item.kind for item in here.resources]
    assert there.remote_addresses == here.remote_addresses


def test_nothing_arrives_where_security_hub_is_not_enabled(
    guardduty: Any, detector: str, aws: Client
) -> None:
    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[BACKDOOR])

    hub = aws("securityhub")
    hub.enable_security_hub()
    assert hub.get_findings()["Findings"] == []


def test_what_is_suppressed_does_not_arrive(hub: Any, guardduty: Any, detector: str) -> None:
    guardduty.create_filter(
        DetectorId=detector,
        Name="backdoors",
        Action="ARCHIVE",
        FindingCriteria={"Criterion": {"type": {"Equals": [BACKDOOR]}}},
    )

    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[BACKDOOR])

    assert hub.get_findings()["Findings"] == []


def test_archiving_by_hand_says_nothing_to_security_hub(
    hub: Any, guardduty: Any, detector: str
) -> None:
    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[BACKDOOR])
    ids = guardduty.list_findings(DetectorId=detector)["FindingIds"]

    guardduty.archive_findings(DetectorId=detector, FindingIds=ids)

    [found] = hub.get_findings()["Findings"]
    assert found["RecordState"] == "ACTIVE"
    assert found["ProductFields"]["aws/guardduty/service/archived"] == "false"
