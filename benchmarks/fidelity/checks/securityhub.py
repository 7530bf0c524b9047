"""Security Hub: findings imported, found and worked on, and those that other services send it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, REGION, Account
from benchmarks.fidelity.verdicts import Verdicts, check

_PRODUCT = f"arn:aws:securityhub:{REGION}:{ACCOUNT_ID}:product/{ACCOUNT_ID}/default"


def _finding(identity: str, minutes: int = 0, **more: Any) -> dict[str, Any]:
    """A finding in ASFF, updated some minutes from now."""
    now = datetime.now(UTC)
    return {
        "SchemaVersion": "2018-10-08",
        "Id": identity,
        "ProductArn": _PRODUCT,
        "GeneratorId": "g",
        "AwsAccountId": ACCOUNT_ID,
        "Types": ["TTPs"],
        "CreatedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "UpdatedAt": (now + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Severity": {"Label": "HIGH"},
        "Title": "t",
        "Description": "d",
        "Resources": [
            {"Type": "AwsEc2Instance", "Id": f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:instance/i-1"}
        ],
        **more,
    }


def _equals(value: str) -> list[dict[str, str]]:
    return [{"Value": value, "Comparison": "EQUALS"}]


@check("securityhub", "findings")
def _findings(account: Account, seen: Verdicts) -> None:
    hub = account("securityhub")
    seen.refused("findings before it is enabled", "InvalidAccessException", hub.get_findings)
    seen.done("it is enabled", hub.enable_security_hub)

    def found(**filters: Any) -> list[Any]:
        return list(hub.get_findings(Filters=filters)["Findings"])

    def ids(**filters: Any) -> list[str]:
        return [finding["Id"] for finding in found(**filters)]

    answer = hub.batch_import_findings(
        Findings=[_finding("f1"), _finding("f2", Severity={"Label": "LOW"})]
    )
    seen.holds("findings are imported", answer["SuccessCount"] == 2, answer)
    by_id = ids(Id=_equals("f1"))
    seen.holds("findings are found by their id", by_id == ["f1"], by_id)
    by_severity = ids(SeverityLabel=_equals("HIGH"))
    seen.holds("and by their severity", by_severity == ["f1"], by_severity)
    seen.done(
        "findings are worked on",
        lambda: hub.batch_update_findings(
            FindingIdentifiers=[{"Id": "f1", "ProductArn": _PRODUCT}],
            Workflow={"Status": "RESOLVED"},
            Note={"Text": "n", "UpdatedBy": "ir"},
        ),
    )
    hub.batch_import_findings(Findings=[_finding("f1", 1, Title="t2")])
    titles = [finding["Title"] for finding in found(Id=_equals("f1"))]
    seen.holds("what is imported again is updated, not there twice", titles == ["t2"], titles)
    status = [finding.get("Workflow") for finding in found(Id=_equals("f1"))]
    seen.holds("and the work on it stays", status == [{"Status": "RESOLVED"}], status)
    seen.done(
        "a custom action is created",
        lambda: hub.create_action_target(Name="a", Description="b", Id="ContainIt"),
    )
    answer = hub.batch_import_findings(Findings=[_finding("f9", AwsAccountId="999999999999")])
    seen.holds("a finding of another account is refused", answer["FailedCount"] == 1, answer)


@check("securityhub", "findings of GuardDuty")
def _of_guardduty(account: Account, seen: Verdicts) -> None:
    hub, guardduty = account("securityhub"), account("guardduty")
    hub.enable_security_hub()
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    seen.done(
        "GuardDuty finds something",
        lambda: guardduty.create_sample_findings(
            DetectorId=detector, FindingTypes=["Backdoor:EC2/C&CActivity.B"]
        ),
    )
    findings = hub.get_findings(Filters={"ProductName": _equals("GuardDuty")})["Findings"]
    seen.holds("Security Hub has it", len(findings) == 1, findings)
    finding = findings[0] if findings else {}
    product = f"arn:aws:securityhub:{REGION}::product/aws/guardduty"
    seen.holds("as a finding of GuardDuty's", finding.get("ProductArn") == product, finding)
    kinds = finding.get("Types")
    seen.holds(
        "whose type begins with that of ASFF",
        kinds == ["TTPs/Command and Control/Backdoor:EC2-C&CActivity.B"],
        kinds,
    )
    label = finding.get("Severity", {}).get("Label")
    seen.holds("with a label for its severity", label == "HIGH", label)
    resources = [item["Type"] for item in finding.get("Resources", [])]
    seen.holds("and with its resource", resources == ["AwsEc2Instance"], resources)
    # "When you archive or unarchive a finding, GuardDuty doesn't send that finding" (GuardDuty User
    # Guide, "Integrating with AWS Security Hub").
    ids = guardduty.list_findings(DetectorId=detector)["FindingIds"]
    guardduty.archive_findings(DetectorId=detector, FindingIds=ids)
    findings = hub.get_findings(Filters={"ProductName": _equals("GuardDuty")})["Findings"]
    states = [item["RecordState"] for item in findings]
    seen.holds("that it is archived in GuardDuty changes nothing", states == ["ACTIVE"], states)
