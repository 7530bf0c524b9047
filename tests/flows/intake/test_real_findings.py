"""Real findings from public sources, where they are at hand (CI has them)."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from flows.intake.finding import Finding, FindingRejected
from flows.intake.parse import parse, parse_each

DATA = Path(
    os.environ.get("CLAMPDOWN_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)
HERE = DATA.is_dir()
IN_CI = os.environ.get("CI") == "true"
needs_data = pytest.mark.skipif(not HERE and not IN_CI, reason=f"no real findings at {DATA}")

FILES = sorted([*DATA.glob("dev/*"), *DATA.glob("other/*/*")]) if HERE else []
NOT_FINDINGS = ("cloudtrail", "config", "health", "inspector")

NOT_AN_ACCOUNT = "is not an account id of twelve digits"
NOT_FINDING_EVENT = "are not findings"
REJECTED = {
    # Masked by their authors so that the account is none: nobody could act on them.
    "gd-event-camel__Stealth-IAMUser-LoggingConfigurationModified__mozilla-services-2.json": (
        NOT_AN_ACCOUNT
    ),
    "gd-event-pascal__Discovery-S3-AnomalousBehavior__blu371ck.json": NOT_AN_ACCOUNT,
    "gd-event-pascal__Policy-IAMUser-RootCredentialUsage__blu371ck.json": NOT_AN_ACCOUNT,
    "gd-event-pascal__Policy-S3-BucketPublicAccessGranted__blu371ck.json": NOT_AN_ACCOUNT,
    "gd-getfindings-pascal__Backdoor-EC2-C-CActivity.B-DNS__CiscoSecurity.json": NOT_AN_ACCOUNT,
    "gd-getfindings-pascal__CredentialAccess-RDS-MaliciousIPCaller.FailedLogin"
    "__opencybersecurityalliance.json": NOT_AN_ACCOUNT,
    "gd-getfindings-pascal__Recon-EC2-PortProbeEMRUnprotectedPort__CiscoSecurity.json": (
        NOT_AN_ACCOUNT
    ),
    "gd-getfindings-pascal__Recon-EC2-PortProbeUnprotectedPort__CiscoSecurity.json": (
        NOT_AN_ACCOUNT
    ),
    "gd-getfindings-pascal__Trojan-EC2-DriveBySourceTraffic-DNS__CiscoSecurity.json": (
        NOT_AN_ACCOUNT
    ),
    "gd-getfindings-pascal__UnauthorizedAccess-EC2-RDPBruteForce"
    "__opencybersecurityalliance.json": NOT_AN_ACCOUNT,
    "gd-getfindings-pascal__UnauthorizedAccess-S3-TorIPCaller__opencybersecurityalliance.json": (
        NOT_AN_ACCOUNT
    ),
    # Masked in one place and not in another: envelope, finding and ARN contradict each other.
    "gd-event-camel__Backdoor-EC2-C-CActivity.B-DNS__cloud-custodian.json": (
        "detail.accountId: the finding is of account 883606788610, the event around it of"
    ),
    "gd-event-camel__UnauthorizedAccess-IAMUser-TorIPCaller__cloud-custodian.json": (
        "detail.accountId: the finding is of account 883606788610, the event around it of"
    ),
    "ocsf-securityhubV2__GuardDuty-2004-2.json": (
        "finding_info.uid: the finding's account is 123456789012, its ARN's is 205014383633"
    ),
    "Security-Hub-Findings-Custom-Action__lambda-finding__cloud-custodian.json": (
        "detail.findings[0].AwsAccountId: the finding is of account 644160558196"
    ),
    # Would go into an AWS call as an instance id.
    "ocsf-securityhubV2-event-4.json": (
        'detail.findings[0].resources[0].uid: "i-test-instance" is not an instance id'
    ),
    # Events of Security Hub without a finding in them, or that don't say who sent them.
    "Security-Hub-Findings-Custom-Action__finding__automated-security-response-on-aws.json": (
        "there is no finding in the document"
    ),
    "Security-Hub-Findings-Imported__S3.1__automated-security-response-on-aws.json": (
        NOT_FINDING_EVENT
    ),
    "Security-Hub-Findings-Imported__finding__automated-security-response-on-aws.json": (
        NOT_FINDING_EVENT
    ),
    "Security-Hub-Insight-Results__finding__cloud-custodian.json": NOT_FINDING_EVENT,
    "Security-Hub-Type__finding__wazuh.json": NOT_FINDING_EVENT,
    "Security-Hub-Type__finding__wazuh-2.json": NOT_FINDING_EVENT,
}
EDITED = "gd-event-wrapped__AttackSequence-IAM-CompromisedCredentials__panther.json"
PARSED = [
    path for path in FILES if path.name not in REJECTED and path.parent.name not in NOT_FINDINGS
]


@needs_data
def test_the_real_findings_are_there() -> None:
    assert len(FILES) > 150
    assert {path.name for path in FILES} >= set(REJECTED)


@needs_data
@pytest.mark.parametrize("path", PARSED, ids=lambda path: path.name)
def test_real_findings_are_understood(path: Path) -> None:
    findings = parse(path.read_bytes())
    assert findings
    for finding in findings:
        assert finding.account.isdigit()
        assert finding.title
        assert finding.type
        assert Finding.model_validate(finding.model_dump()) == finding


@needs_data
@pytest.mark.parametrize("name", REJECTED)
def test_what_contradicts_itself_is_rejected(name: str) -> None:
    [path] = [path for path in FILES if path.name == name]
    with pytest.raises(FindingRejected) as rejected:
        parse(path.read_bytes())
    assert REJECTED[name] in str(rejected.value)


@needs_data
@pytest.mark.parametrize("folder", NOT_FINDINGS)
def test_what_is_no_finding_is_rejected(folder: str) -> None:
    paths = [path for path in FILES if path.parent.name == folder]
    assert paths
    for path in paths:
        results = parse_each(path.read_bytes())
        assert results
        assert all(isinstance(result, FindingRejected) for result in results), path.name


@needs_data
def test_every_sample_that_guardduty_made_up_is_recognised() -> None:
    with (DATA / "index.csv").open(encoding="utf-8") as file:
        origins = {Path(row["file"]).name: row["origin"] for row in csv.DictReader(file)}
    made_up = [
        path
        for path in PARSED
        # A vendor has edited this one: nothing in it says any more that it was a sample.
        if origins.get(path.name) == "aws-generated-sample" and path.name != EDITED
    ]
    real = [path for path in PARSED if origins.get(path.name) == "real-redacted"]
    assert len(made_up) > 40
    assert len(real) > 5
    for path in made_up:
        assert all(finding.sample for finding in parse(path.read_bytes())), path.name
    for path in real:
        assert not any(finding.sample for finding in parse(path.read_bytes())), path.name
