from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.queues import queue_of_rule

Client = Callable[[str], Any]


@pytest.fixture
def hub(aws: Client) -> Any:
    client = aws("securityhub")
    client.enable_security_hub()
    return client


def _asff(world: WorldIds, identity: str = "f1", minute: int = 0, **more: Any) -> dict[str, Any]:
    product = f"arn:aws:securityhub:{world.region}:{world.account}:product/{world.account}/default"
    return {
        "SchemaVersion": "2018-10-08",
        "Id": identity,
        "ProductArn": product,
        "GeneratorId": "detector",
        "AwsAccountId": world.account,
        "Types": ["TTPs/Command and Control"],
        "CreatedAt": "2026-03-14T09:00:00Z",
        "UpdatedAt": f"2026-03-14T09:{minute:02d}:00Z",
        "Severity": {"Label": "HIGH"},
        "Title": "Backdoor",
        "Description": "An instance talks to a command and control server.",
        "Resources": [
            {
                "Type": "AwsEc2Instance",
                "Id": f"arn:aws:ec2:{world.region}:{world.account}:instance/{identity}",
                "Tags": {"team": "payments"},
            }
        ],
        **more,
    }


def _import(hub: Any, *findings: dict[str, Any]) -> None:
    answer = hub.batch_import_findings(Findings=list(findings))
    assert (answer["SuccessCount"], answer["FailedCount"]) == (len(findings), 0)


def _found(hub: Any, **filters: Any) -> list[str]:
    return [finding["Id"] for finding in hub.get_findings(Filters=filters)["Findings"]]


def _one(hub: Any) -> dict[str, Any]:
    [finding] = hub.get_findings()["Findings"]
    return dict(finding)


def test_nothing_works_before_security_hub_is_enabled(aws: Client) -> None:
    with refused("InvalidAccessException"):
        aws("securityhub").get_findings()


def test_an_imported_finding_is_completed(hub: Any, world: WorldIds) -> None:
    _import(hub, _asff(world), _asff(world, "f2", Severity={"Normalized": 95}))

    first, second = hub.get_findings()["Findings"]
    assert first["Severity"] == {"Label": "HIGH", "Normalized": 70}
    assert second["Severity"]["Label"] == "CRITICAL"
    assert first["Workflow"] == {"Status": "NEW"}
    assert first["RecordState"] == "ACTIVE"
    assert first["FindingProviderFields"]["Severity"]["Label"] == "HIGH"


def test_findings_are_filtered_by_their_fields(hub: Any, world: WorldIds) -> None:
    network = {"Network": {"SourceIpV4": "198.51.100.7", "DestinationPort": 443}}
    _import(
        hub,
        _asff(world),
        _asff(world, "f2", 30, Severity={"Label": "LOW"}, Title="Port probe", **network),
    )

    def equal(value: str) -> list[dict[str, str]]:
        return [{"Value": value, "Comparison": "EQUALS"}]

    assert _found(hub, Id=equal("f1")) == ["f1"]
    assert _found(hub, Id=equal("f1") + equal("f2")) == ["f1", "f2"]
    assert _found(hub, Id=[{"Value": "f1", "Comparison": "NOT_EQUALS"}]) == ["f2"]
    assert _found(hub, SeverityLabel=equal("HIGH")) == ["f1"]
    assert _found(hub, SeverityNormalized=[{"Gte": 40}]) == ["f1"]
    assert _found(hub, Title=[{"Value": "Port", "Comparison": "PREFIX"}]) == ["f2"]
    assert _found(hub, Title=[{"Value": "Port", "Comparison": "PREFIX_NOT_EQUALS"}]) == ["f1"]
    assert _found(hub, ResourceId=[{"Value": "/f2", "Comparison": "CONTAINS"}]) == ["f2"]
    assert _found(hub, Type=[{"Value": "TTPs", "Comparison": "PREFIX"}]) == ["f1", "f2"]
    team = {"Key": "team", "Comparison": "EQUALS"}
    assert _found(hub, ResourceTags=[{**team, "Value": "payments"}]) == ["f1", "f2"]
    assert _found(hub, ResourceTags=[{**team, "Value": "search"}]) == []
    assert _found(hub, NetworkSourceIpV4=[{"Cidr": "198.51.100.0/24"}]) == ["f2"]
    assert _found(hub, UpdatedAt=[{"Start": "2026-03-14T09:15:00Z"}]) == ["f2"]
    assert _found(hub, UpdatedAt=[{"End": "2026-03-14T09:15:00Z"}]) == ["f1"]
    assert _found(hub, SeverityLabel=equal("HIGH"), Id=equal("f2")) == []


def test_a_filter_that_is_not_simulated_is_refused(hub: Any) -> None:
    with refused("InvalidInputException", "Keyword"):
        hub.get_findings(Filters={"Keyword": [{"Value": "backdoor"}]})


def test_findings_come_in_pages_and_in_order(hub: Any, world: WorldIds) -> None:
    labels = ("LOW", "CRITICAL", "HIGH")
    _import(hub, *(_asff(world, label, Severity={"Label": label}) for label in labels))
    order = [{"Field": "SeverityNormalized", "SortOrder": "desc"}]

    first = hub.get_findings(SortCriteria=order, MaxResults=2)
    second = hub.get_findings(SortCriteria=order, MaxResults=2, NextToken=first["NextToken"])

    assert [finding["Id"] for finding in first["Findings"]] == ["CRITICAL", "HIGH"]
    assert [finding["Id"] for finding in second["Findings"]] == ["LOW"]
    assert "NextToken" not in second


def _identifier(world: WorldIds, identity: str = "f1") -> dict[str, str]:
    return {"Id": identity, "ProductArn": _asff(world)["ProductArn"]}


def test_a_finding_is_worked_on(hub: Any, world: WorldIds) -> None:
    _import(hub, _asff(world))

    answer = hub.batch_update_findings(
        FindingIdentifiers=[_identifier(world), _identifier(world, "unknown")],
        Workflow={"Status": "RESOLVED"},
        Note={"Text": "contained", "UpdatedBy": "clampdown"},
        Severity={"Label": "CRITICAL"},
    )

    assert [item["Id"] for item in answer["ProcessedFindings"]] == ["f1"]
    [unprocessed] = answer["UnprocessedFindings"]
    assert unprocessed["ErrorCode"] == "FindingNotFound"
    finding = _one(hub)
    assert finding["Workflow"] == {"Status": "RESOLVED"}
    assert finding["Note"]["Text"] == "contained"
    assert finding["Severity"]["Normalized"] == 90
    assert finding["UpdatedAt"] == _asff(world)["UpdatedAt"]
    assert _found(hub, WorkflowStatus=[{"Value": "RESOLVED", "Comparison": "EQUALS"}]) == ["f1"]


def test_an_import_updates_a_finding_but_not_the_work_on_it(hub: Any, world: WorldIds) -> None:
    _import(hub, _asff(world))
    hub.batch_update_findings(
        FindingIdentifiers=[_identifier(world)],
        Workflow={"Status": "NOTIFIED"},
        Severity={"Label": "LOW"},
    )

    _import(hub, _asff(world, minute=1, Title="Backdoor, seen again"))

    finding = _one(hub)
    assert finding["Title"] == "Backdoor, seen again"
    assert finding["Workflow"] == {"Status": "NOTIFIED"}
    assert finding["Severity"]["Label"] == "LOW"


def test_an_import_that_is_not_newer_changes_nothing(hub: Any, world: WorldIds) -> None:
    _import(hub, _asff(world, minute=5))

    _import(hub, _asff(world, minute=5, Title="older"))

    assert _one(hub)["Title"] == "Backdoor"


def test_what_is_active_again_is_new_again(hub: Any, world: WorldIds) -> None:
    _import(hub, _asff(world, RecordState="ARCHIVED"))
    hub.batch_update_findings(
        FindingIdentifiers=[_identifier(world)], Workflow={"Status": "RESOLVED"}
    )

    _import(hub, _asff(world, minute=1, RecordState="ACTIVE"))

    assert _one(hub)["Workflow"] == {"Status": "NEW"}


def test_a_finding_of_another_account_is_refused(hub: Any, world: WorldIds) -> None:
    answer = hub.batch_import_findings(Findings=[_asff(world, AwsAccountId="999999999999")])

    assert answer["FailedCount"] == 1
    assert answer["FailedFindings"][0]["Id"] == "f1"
    assert hub.get_findings()["Findings"] == []


def test_every_import_and_update_is_an_event(hub: Any, aws: Client, world: WorldIds) -> None:
    queue = queue_of_rule(
        aws,
        "hub",
        {"source": ["aws.securityhub"], "detail-type": ["Security Hub Findings - Imported"]},
    )

    _import(hub, _asff(world), _asff(world, "f2"))
    hub.batch_update_findings(
        FindingIdentifiers=[_identifier(world)], Workflow={"Status": "RESOLVED"}
    )

    events = queue.take()
    said = [
        (finding["Id"], finding["Workflow"]["Status"])
        for event in events
        for finding in event["detail"]["findings"]
    ]
    assert said == [("f1", "NEW"), ("f2", "NEW"), ("f1", "RESOLVED")]
    assert {event["account"] for event in events} == {world.account}


def test_a_custom_action_is_an_event_with_the_findings(
    hub: Any, aws: Client, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    queue = queue_of_rule(aws, "action", {"detail-type": ["Security Hub Findings - Custom Action"]})
    _import(hub, _asff(world), _asff(world, "f2"))
    arn = hub.create_action_target(Name="Contain", Description="Contain it", Id="ContainIt")[
        "ActionTargetArn"
    ]
    assert arn.endswith(":action/custom/ContainIt")

    request = urllib.request.Request(
        f"{world.url}/_clampdown/custom-action",
        json.dumps({"action": arn, "findings": ["f2"]}).encode(),
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == {"chosen": 1}

    [event] = queue.take()
    assert event["resources"] == [arn]
    assert event["detail"]["actionName"] == "Contain"
    assert [finding["Id"] for finding in event["detail"]["findings"]] == ["f2"]
    with pytest.raises(ValueError, match="not all"):
        simulated_aws.choose_custom_action(arn, ["f3"])


def test_custom_actions_are_described_changed_and_deleted(hub: Any) -> None:
    arn = hub.create_action_target(Name="Contain", Description="It", Id="ContainIt")[
        "ActionTargetArn"
    ]
    with refused("ResourceConflictException"):
        hub.create_action_target(Name="Contain", Description="It", Id="ContainIt")

    hub.update_action_target(ActionTargetArn=arn, Name="Isolate")
    assert hub.describe_action_targets()["ActionTargets"] == [
        {"ActionTargetArn": arn, "Name": "Isolate", "Description": "It"}
    ]

    hub.delete_action_target(ActionTargetArn=arn)
    assert hub.describe_action_targets()["ActionTargets"] == []
    with refused("ResourceNotFoundException"):
        hub.delete_action_target(ActionTargetArn=arn)


def test_findings_go_with_a_reset_and_come_back_with_what_is_remembered(
    hub: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    _import(hub, _asff(world))
    memory = simulated_aws.remember()
    hub.batch_update_findings(
        FindingIdentifiers=[_identifier(world)], Workflow={"Status": "RESOLVED"}
    )

    simulated_aws.reset()
    with refused("InvalidAccessException"):
        hub.get_findings()

    simulated_aws.recall(memory)
    assert _one(hub)["Workflow"] == {"Status": "NEW"}
