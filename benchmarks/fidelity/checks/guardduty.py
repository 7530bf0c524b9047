"""GuardDuty: detectors and findings."""

from __future__ import annotations

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check

_BRUTE_FORCE = "UnauthorizedAccess:EC2/SSHBruteForce"


@check("guardduty", "findings")
def _findings(account: Account, seen: Verdicts) -> None:
    guardduty = account("guardduty")
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    seen.refused(
        "a second detector in a Region",
        "BadRequestException",
        lambda: guardduty.create_detector(Enable=True),
    )
    detectors = guardduty.list_detectors()["DetectorIds"]
    seen.holds("detectors are listed", detectors == [detector], detectors)
    seen.done(
        "samples are created",
        lambda: guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[_BRUTE_FORCE]),
    )
    ids = seen.done(
        "findings are listed", lambda: guardduty.list_findings(DetectorId=detector)["FindingIds"]
    )
    seen.holds("samples are findings", len(ids or []) == 1, ids)
    found = seen.done(
        "findings are read",
        lambda: guardduty.get_findings(DetectorId=detector, FindingIds=ids)["Findings"],
    )
    kinds = [finding["Type"] for finding in found or []]
    seen.holds("with their types", kinds == [_BRUTE_FORCE], kinds)
    nothing = seen.done(
        "an unknown finding is read",
        lambda: guardduty.get_findings(DetectorId=detector, FindingIds=["x"])["Findings"],
    )
    seen.holds("as nothing", nothing == [], nothing)
    seen.done(
        "findings are archived",
        lambda: guardduty.archive_findings(DetectorId=detector, FindingIds=ids),
    )
    seen.done(
        "findings are given feedback",
        lambda: guardduty.update_findings_feedback(
            DetectorId=detector, FindingIds=ids, Feedback="USEFUL"
        ),
    )


@check(
    "guardduty",
    "filters, members and exports",
    known={
        "members are added": Known(
            "guardduty:CreateMembers", "findings are injected where they belong, in each account"
        ),
        "findings are exported to a bucket": Known(
            "guardduty:CreatePublishingDestination", "findings come through EventBridge"
        ),
    },
)
def _others(account: Account, seen: Verdicts) -> None:
    guardduty = account("guardduty")
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    seen.done(
        "a filter is created",
        lambda: guardduty.create_filter(
            DetectorId=detector, Name="low", FindingCriteria={"Criterion": {}}
        ),
    )
    seen.done(
        "members are added",
        lambda: guardduty.create_members(
            DetectorId=detector,
            AccountDetails=[{"AccountId": "222222222222", "Email": "a@example.com"}],
        ),
    )
    seen.done(
        "findings are exported to a bucket",
        lambda: guardduty.create_publishing_destination(
            DetectorId=detector,
            DestinationType="S3",
            DestinationProperties={
                "DestinationArn": "arn:aws:s3:::findings",
                "KmsKeyArn": account.ids.key,
            },
        ),
    )
