from __future__ import annotations

import pytest

from flows.gameday.aws.guardduty_asff import in_asff
from flows.gameday.aws.sample_findings import SAMPLE_TYPES
from flows.intake.guardduty_type import guardduty_type


@pytest.mark.parametrize(
    ("written", "own"),
    [
        ("Backdoor:EC2/C&CActivity.B!DNS", "Backdoor:EC2/C&CActivity.B!DNS"),
        ("Effects/Backdoor:EC2.C&CActivity.B", "Backdoor:EC2/C&CActivity.B"),
        ("TTPs/Command and Control/Trojan:EC2-DropPoint!DNS", "Trojan:EC2/DropPoint!DNS"),
        ("TTPs/PenTest:IAMUser/KaliLinux", "PenTest:IAMUser/KaliLinux"),
        (
            "TTPs/AttackSequence:EKS/CompromisedCluster",
            "AttackSequence:EKS/CompromisedCluster",
        ),
        ("TTPs/Discovery:S3-AnomalousBehavior", "Discovery:S3/AnomalousBehavior"),
        ("TTPs/Impact:S3-AnomalousBehavior.Delete", "Impact:S3/AnomalousBehavior.Delete"),
        ("TTPs/Discovery/IAMUser-AnomalousBehavior", "Discovery:IAMUser/AnomalousBehavior"),
        (
            "TTPs/Privilege Escalation/IAMUser-AnomalousBehavior",
            "PrivilegeEscalation:IAMUser/AnomalousBehavior",
        ),
        ("TTPs/Discovery/RDS-TorIPCaller", "Discovery:RDS/TorIPCaller"),
        (
            "TTPs/Credential Access/CredentialAccess:RDS-AnomalousBehavior.FailedLogin",
            "CredentialAccess:RDS/AnomalousBehavior.FailedLogin",
        ),
        (
            "TTPs/AnomalousBehavior/Execution:Kubernetes-ExecInPod",
            "Execution:Kubernetes/AnomalousBehavior.ExecInPod",
        ),
        (
            "TTPs/AnomalousBehavior/Persistence:Kubernetes-WorkloadDeployed"
            "!ContainerWithSensitiveMount",
            "Persistence:Kubernetes/AnomalousBehavior.WorkloadDeployed!ContainerWithSensitiveMount",
        ),
        (
            "TTPs/AnomalousBehavior/Execution:Kubernetes-AnomalousBehavior.ExecInPod",
            "Execution:Kubernetes/AnomalousBehavior.ExecInPod",
        ),
        (
            "TTPs/CredentialAccess/CredentialAccess:Kubernetes-TorIPCaller",
            "CredentialAccess:Kubernetes/TorIPCaller",
        ),
        (
            "TTPs/DefenseEvasion/EC2:Unusual-DNS-Resolver",
            "DefenseEvasion:EC2/UnusualDNSResolver",
        ),
        (
            "TTPs/DefenseEvasion/EC2:Unusual-DoH-Activity",
            "DefenseEvasion:EC2/UnusualDoHActivity",
        ),
    ],
)
def test_a_type_is_spelled_as_guardduty_spells_it(written: str, own: str) -> None:
    assert guardduty_type(written) == own


@pytest.mark.parametrize(
    "written",
    [
        "",
        "Threats",
        "TTPs/Discovery",
        "Software and Configuration Checks/Vulnerabilities/CVE-2026-0001",
        "TTPs//IAMUser-AnomalousBehavior",
        "IAMUser-AnomalousBehavior",
    ],
)
def test_what_is_no_type_of_guardduty_is_none(written: str) -> None:
    assert guardduty_type(written) is None


@pytest.mark.parametrize("own", SAMPLE_TYPES)
def test_every_type_survives_security_hub(own: str) -> None:
    at = "2026-03-14T09:30:00.000Z"
    finding = {
        "Id": "f",
        "Arn": "arn:aws:guardduty:eu-west-1:123456789012:detector/d/finding/f",
        "Type": own,
        "AccountId": "123456789012",
        "Region": "eu-west-1",
        "Partition": "aws",
        "Severity": 8,
        "Title": "t",
        "Description": "d",
        "CreatedAt": at,
        "UpdatedAt": at,
        "Resource": {},
        "Service": {"EventFirstSeen": at, "EventLastSeen": at},
    }
    [written] = in_asff(finding, {})["Types"]
    assert guardduty_type(written) == own
