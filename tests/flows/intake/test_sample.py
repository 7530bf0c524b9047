from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flows.intake.finding import FindingRejected
from flows.intake.parse import parse
from flows.intake.sample import write_sample
from tests.flows.intake.documents import BITCOIN, SAMPLES, read, sample

EXPECTED = {
    "asff-imported-event.json": ["Backdoor:EC2/C&CActivity.B"],
    "attack-sequence.json": ["AttackSequence:EC2/CompromisedInstanceGroup"],
    "cloudwatch-alarm-event.json": ["CloudWatch/shop-web-cpu"],
    "cloudwatch-alarm-notification.json": ["CloudWatch/shop-web-cpu"],
    "config-compliance-change.json": ["Config/s3-bucket-public-read-prohibited"],
    "eventbridge-backdoor-ec2-cactivity.json": ["Backdoor:EC2/C&CActivity.B"],
    "eventbridge-cryptocurrency-ec2-bitcointool.json": ["CryptoCurrency:EC2/BitcoinTool.B"],
    "getfindings-response.json": [
        "CryptoCurrency:EC2/BitcoinTool.B",
        "CredentialAccess:IAMUser/AnomalousBehavior",
    ],
    "health-credentials-exposed.json": ["Health/AWS_RISK_CREDENTIALS_EXPOSED"],
    "iam-anomalous.json": ["CredentialAccess:IAMUser/AnomalousBehavior"],
    "inspector-network-reachability.json": ["Inspector/NETWORK_REACHABILITY"],
    "inspector-package-vulnerability.json": ["Inspector/PACKAGE_VULNERABILITY"],
    "s3-export.jsonl": [
        "Backdoor:EC2/C&CActivity.B",
        "UnauthorizedAccess:EC2/SSHBruteForce",
        "CredentialAccess:IAMUser/AnomalousBehavior",
        "Backdoor:EC2/C&CActivity.B",
    ],
    "sample-finding.json": ["Backdoor:EC2/C&CActivity.B"],
    "securityhub-custom-action.json": ["Backdoor:EC2/C&CActivity.B"],
    "ssh-bruteforce-target.json": ["UnauthorizedAccess:EC2/SSHBruteForce"],
}


def test_every_sample_that_we_ship_is_a_finding() -> None:
    assert {
        path.name: [finding.type for finding in parse(path.read_bytes())]
        for path in SAMPLES.iterdir()
    } == EXPECTED


def fitted(path: Path, instance_id: str = "i-0fedcba9876543210") -> dict[str, object]:
    return dict(
        write_sample(
            path,
            instance_id=instance_id,
            account="210987654321",
            region="us-east-1",
            private_ip="10.9.8.7",
            network_interface_id="eni-0fedcba9876543210",
        )
    )


@pytest.mark.parametrize("name", [BITCOIN, "ssh-bruteforce-target.json", "sample-finding.json"])
def test_a_sample_is_fitted_to_an_instance_everywhere(name: str) -> None:
    event = fitted(SAMPLES / name)
    finding = read(event)
    [instance] = finding.resources
    assert instance.arn == "arn:aws:ec2:us-east-1:210987654321:instance/i-0fedcba9876543210"
    assert "i-0fedcba9876543210" in finding.title
    assert finding.remote_addresses == read(sample(name)).remote_addresses
    text = json.dumps(event)
    for old in ("i-0123456789abcdef0", "i-99999999", "eni-0123456789abcdef0", "123456789012"):
        assert not re.search(rf"(?<![a-z]){old}", text)
    assert "10.9.8.7" in text
    assert "eni-0fedcba9876543210" in text


def test_a_sample_for_what_is_no_instance_is_rejected() -> None:
    with pytest.raises(FindingRejected, match="is not an instance id"):
        fitted(SAMPLES / BITCOIN, instance_id='i-1","title":"x')


def test_a_sample_without_one_interface_is_rejected() -> None:
    with pytest.raises(FindingRejected, match="exactly one network interface"):
        fitted(SAMPLES / "attack-sequence.json")
