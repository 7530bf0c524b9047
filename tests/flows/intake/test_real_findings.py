"""Real findings from public sources, where they are at hand (CI has them)."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from flows.intake.finding import Finding, FindingRejected
from flows.intake.guardduty_type import guardduty_type
from flows.intake.parse import parse, parse_each
from flows.intake.urgency import LAST, severity_of

DATA = Path(
    os.environ.get("CLAMPDOWN_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)
HERE = DATA.is_dir()
IN_CI = os.environ.get("CI") == "true"
needs_data = pytest.mark.skipif(not HERE and not IN_CI, reason=f"no real findings at {DATA}")

FILES = sorted([*DATA.glob("dev/*"), *DATA.glob("other/*/*")]) if HERE else []
NOT_FINDINGS = ("cloudtrail",)

NOT_AN_ACCOUNT = "is not an account id of twelve digits"
NOT_FINDING_EVENT = "are not findings"
OF_RULES = "is not a finding in any shape we know"
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
    # What AWS Config asks its rules, and what else it tells.
    "awsConfigRuleConfigurationChanged.json": OF_RULES,
    "awsConfigRuleOversizedConfiguration.json": OF_RULES,
    "awsConfigRuleScheduled.json": OF_RULES,
    "config-item-change__cloud-custodian.json": NOT_FINDING_EVENT,
    # The message is written out, for people to read in the documentation.
    "config-sns-compliance-notification-0.json": "Message: must be text, not an object",
    # Health's other events, some from sources that were made up to test with.
    "AWS-ABUSE-DOS-REPORT__aws-health-tools.json": NOT_FINDING_EVENT,
    "AWS-EBS-VOLUME-LOST__aws-health-tools.json": NOT_FINDING_EVENT,
    "AWS-EC2-HEALTH-TEST-EVENT__aws-health-tools.json": NOT_FINDING_EVENT,
    "AWS-EC2-INSTANCE-STORE-DRIVE-PERFORMANCE-DEGRADED__aws-health-tools.json": (NOT_FINDING_EVENT),
    "AWS-EC2-INSTANCE-STORE-DRIVE-PERFORMANCE-DEGRADED__terraform-aws-notify-slack.json": (
        NOT_FINDING_EVENT
    ),
    "AWS-EC2-PERSISTENT-INSTANCE-RETIREMENT-SCHEDULED__cloud-custodian.json": NOT_FINDING_EVENT,
    # The right events, with account and key masked: see UNMASKED.
    "AWS-RISK-CREDENTIALS-EXPOSED__aws-health-tools.json": "is not the id of an access key",
    "AWS_RISK_CREDENTIALS_EXPOSED__2025.json": NOT_AN_ACCOUNT,
    # Made up by a vendor.
    "inspector2-api__network-reachability-elastic.json": NOT_AN_ACCOUNT,
    "inspector2-scan__ecr-guide.json": NOT_FINDING_EVENT,
    "inspector2-scan__ecr-guide-2.json": NOT_FINDING_EVENT,
}
EDITED = "gd-event-wrapped__AttackSequence-IAM-CompromisedCredentials__panther.json"
UNMASKED = {
    "AWS-RISK-CREDENTIALS-EXPOSED__aws-health-tools.json": (
        {"ACCESS_KEY_ID_HERE": "AKIAIOSFODNN7EXAMPLE"},
        "AKIAIOSFODNN7EXAMPLE",
    ),
    "AWS_RISK_CREDENTIALS_EXPOSED__2025.json": (
        {
            '"affectedAccount": "AKIAXXXXXXXXXX"': '"affectedAccount": "123456789012"',
            '"1234567890"': '"123456789012"',
            "AKIAXXXXXXXXXX": "AKIAIOSFODNN7EXAMPLE",
        },
        "test-1",
    ),
}
"""What has to stand there again, and whose key it then is."""
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
@pytest.mark.parametrize("name", UNMASKED)
def test_masked_events_are_understood_with_an_account_and_a_key(name: str) -> None:
    replacements, principal = UNMASKED[name]
    text = (DATA / "other" / "health" / name).read_text()
    for masked, whole in replacements.items():
        text = text.replace(masked, whole)
    [finding] = parse(text.encode())
    [key] = finding.resources
    assert (finding.source, finding.account, key.id) == ("health", "123456789012", principal)
    assert key.details["access_key_id"] == "AKIAIOSFODNN7EXAMPLE"


@needs_data
def test_what_aws_config_tells_a_topic_is_understood_as_it_is_really_sent() -> None:
    message = json.loads(
        (DATA / "other" / "config" / "config-sns-compliance-notification-0.json").read_text()
    )
    [finding] = parse(json.dumps({**message, "Message": json.dumps(message["Message"])}).encode())
    assert (finding.type, finding.archived) == ("Config/cloudtrail-enabled", True)


@needs_data
def test_every_type_of_guardduty_is_known_from_security_hub() -> None:
    types = json.loads((DATA / "guardduty-types.json").read_text())
    for name in sorted({name for names in types.values() for name in names}):
        assert guardduty_type(name) == name
        assert guardduty_type(f"TTPs/Discovery/{name.replace('/', '-')}") == name


@needs_data
@pytest.mark.parametrize("path", PARSED, ids=lambda path: path.name)
def test_the_guessed_urgency_is_the_severity(path: Path) -> None:
    severities = [finding.severity for finding in parse(path.read_bytes())]
    expected = LAST if path.suffix == ".jsonl" else max(severities)
    assert severity_of(path.read_bytes()) == expected


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
