from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.gameday.aws.sample_findings import SAMPLE_TYPES
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from flows.intake.parse import parse
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.queues import queue_of_rule

Client = Callable[[str], Any]
BACKDOOR = "Backdoor:EC2/C&CActivity.B"
BRUTE_FORCE = "UnauthorizedAccess:EC2/SSHBruteForce"


@pytest.fixture
def guardduty(aws: Client) -> Any:
    return aws("guardduty")


@pytest.fixture
def detector(guardduty: Any) -> str:
    return str(guardduty.create_detector(Enable=True)["DetectorId"])


def _about(world: WorldIds, **more: Any) -> dict[str, Any]:
    """A finding about the victim, with no more than a finding must say."""
    return {
        "AccountId": world.account,
        "Region": world.region,
        "Type": BACKDOOR,
        "Severity": 8.0,
        "Resource": {
            "ResourceType": "Instance",
            "InstanceDetails": {"InstanceId": world.ids["victim"]},
        },
        **more,
    }


def _ids(guardduty: Any, detector: str, criterion: dict[str, Any], **more: Any) -> set[str]:
    criteria = {"Criterion": criterion}
    answer = guardduty.list_findings(DetectorId=detector, FindingCriteria=criteria, **more)
    return set(answer["FindingIds"])


def test_there_is_one_detector_in_a_region(guardduty: Any, detector: str) -> None:
    with refused("BadRequestException"):
        guardduty.create_detector(Enable=True)
    assert guardduty.list_detectors()["DetectorIds"] == [detector]


def test_sample_findings_say_that_they_are_samples(guardduty: Any, detector: str) -> None:
    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[BACKDOOR])

    [identity] = guardduty.list_findings(DetectorId=detector)["FindingIds"]
    [finding] = guardduty.get_findings(DetectorId=detector, FindingIds=[identity])["Findings"]
    assert finding["Id"] == identity
    assert finding["Type"] == BACKDOOR
    assert finding["Severity"] == 8.0
    assert finding["Title"].startswith("[SAMPLE]")
    assert json.loads(finding["Service"]["AdditionalInfo"]["Value"])["sample"] is True
    assert finding["Resource"]["InstanceDetails"]["InstanceId"] == "i-99999999"
    assert finding["Arn"].endswith(f":detector/{detector}/finding/{identity}")
    assert finding["Service"]["DetectorId"] == detector


def test_without_types_there_is_a_sample_of_every_type_that_is_known(
    guardduty: Any, detector: str
) -> None:
    guardduty.create_sample_findings(DetectorId=detector)

    ids = guardduty.list_findings(DetectorId=detector)["FindingIds"]
    findings = guardduty.get_findings(DetectorId=detector, FindingIds=ids)["Findings"]
    assert {finding["Type"] for finding in findings} == set(SAMPLE_TYPES)


def test_a_type_that_is_none_is_refused(guardduty: Any, detector: str) -> None:
    with refused("BadRequestException"):
        guardduty.create_sample_findings(DetectorId=detector, FindingTypes=["nonsense"])


def test_calls_about_an_unknown_detector_are_refused(guardduty: Any) -> None:
    with refused("BadRequestException"):
        guardduty.list_findings(DetectorId="0" * 32)


def test_findings_are_selected_by_their_fields(
    guardduty: Any, detector: str, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    severe = simulated_aws.find(_about(world))
    mild = simulated_aws.find(_about(world, Type=BRUTE_FORCE, Severity=2.0))
    now = datetime.now(UTC)
    later = int((now + timedelta(minutes=1)).timestamp() * 1000)
    instance = "resource.instanceDetails.instanceId"

    def found(**criterion: Any) -> set[str]:
        return _ids(guardduty, detector, criterion)

    assert found(type={"Equals": [BACKDOOR]}) == {severe}
    assert found(type={"NotEquals": [BACKDOOR]}) == {mild}
    assert found(severity={"GreaterThanOrEqual": 7}) == {severe}
    assert found(severity={"Gte": 2, "Lt": 8}) == {mild}
    assert found(severity={"Equals": ["8"]}) == {severe}
    assert found(updatedAt={"LessThan": later}) == {severe, mild}
    assert found(updatedAt={"GreaterThan": later}) == set()
    assert _ids(guardduty, detector, {instance: {"Equals": [world.ids["victim"]]}}) == {
        severe,
        mild,
    }
    assert _ids(guardduty, detector, {instance: {"Equals": ["i-0"]}}) == set()


def test_archived_findings_are_listed_only_as_such(
    guardduty: Any, detector: str, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    [kept, archived] = [simulated_aws.find(_about(world)) for _ in range(2)]

    guardduty.archive_findings(DetectorId=detector, FindingIds=[archived])

    current = {"service.archived": {"Equals": ["false"]}}
    assert _ids(guardduty, detector, current) == {kept}
    assert _ids(guardduty, detector, {"service.archived": {"Equals": ["true"]}}) == {archived}
    assert _ids(guardduty, detector, {}) == {kept, archived}

    guardduty.unarchive_findings(DetectorId=detector, FindingIds=[archived])
    assert _ids(guardduty, detector, current) == {kept, archived}


def test_findings_come_in_pages_and_in_order(
    guardduty: Any, detector: str, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    by_severity = [simulated_aws.find(_about(world, Severity=value)) for value in (2.0, 8.0, 5.0)]
    order = {"AttributeName": "severity", "OrderBy": "DESC"}

    first = guardduty.list_findings(DetectorId=detector, MaxResults=2, SortCriteria=order)
    second = guardduty.list_findings(
        DetectorId=detector, MaxResults=2, SortCriteria=order, NextToken=first["NextToken"]
    )

    assert first["FindingIds"] == [by_severity[1], by_severity[2]]
    assert (second["FindingIds"], second["NextToken"]) == ([by_severity[0]], "")
    pages = guardduty.get_paginator("list_findings").paginate(
        DetectorId=detector, PaginationConfig={"PageSize": 2}
    )
    assert sum(len(page["FindingIds"]) for page in pages) == 3
    with refused("BadRequestException"):
        guardduty.list_findings(DetectorId=detector, NextToken="nonsense")


def test_feedback_is_kept_with_the_finding(
    guardduty: Any, detector: str, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    identity = simulated_aws.find(_about(world))

    guardduty.update_findings_feedback(
        DetectorId=detector, FindingIds=[identity], Feedback="NOT_USEFUL"
    )

    [finding] = guardduty.get_findings(DetectorId=detector, FindingIds=[identity])["Findings"]
    assert finding["Service"]["UserFeedback"] == "NOT_USEFUL"


def test_every_new_finding_is_an_event_that_intake_reads(
    aws: Client, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    queue = queue_of_rule(
        aws,
        "findings",
        {
            "source": ["aws.guardduty"],
            "detail-type": ["GuardDuty Finding"],
            "detail": {"severity": [{"numeric": [">=", 7]}]},
        },
    )

    identity = simulated_aws.find(_about(world, Service={"ResourceRole": "ACTOR"}))
    simulated_aws.find(_about(world, Severity=2.0))

    [event] = queue.take()
    assert event["account"] == world.account
    assert event["detail"]["id"] == identity
    assert event["detail"]["service"]["resourceRole"] == "ACTOR"
    details = event["detail"]["resource"]["instanceDetails"]
    assert details == {"instanceId": world.ids["victim"]}
    [finding] = parse(json.dumps(event).encode())
    assert finding.type == BACKDOOR
    assert finding.account == world.account


def test_the_event_of_a_sample_says_so_beside_its_value(aws: Client, detector: str) -> None:
    queue = queue_of_rule(aws, "findings", {"source": ["aws.guardduty"]})

    aws("guardduty").create_sample_findings(DetectorId=detector, FindingTypes=list(SAMPLE_TYPES))

    events = queue.take()
    assert len(events) == len(SAMPLE_TYPES)
    for event in events:
        assert event["detail"]["service"]["additionalInfo"]["sample"] is True
        assert [finding.sample for finding in parse(json.dumps(event).encode())] == [True]


def test_a_finding_seen_again_is_the_same_finding(
    guardduty: Any, detector: str, aws: Client, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    queue = queue_of_rule(aws, "findings", {"source": ["aws.guardduty"]})
    identity = simulated_aws.find(_about(world))

    assert simulated_aws.find(_about(world, Id=identity)) == identity

    [finding] = guardduty.get_findings(DetectorId=detector, FindingIds=[identity])["Findings"]
    assert finding["Service"]["Count"] == 2
    assert [event["detail"]["service"]["count"] for event in queue.take()] == [1, 2]


def test_what_a_suppression_rule_archives_is_no_event(
    guardduty: Any, detector: str, aws: Client, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    queue = queue_of_rule(aws, "findings", {"source": ["aws.guardduty"]})
    guardduty.create_filter(
        DetectorId=detector,
        Name="scanner",
        Action="ARCHIVE",
        FindingCriteria={"Criterion": {"type": {"Equals": [BRUTE_FORCE]}}},
    )

    suppressed = simulated_aws.find(_about(world, Type=BRUTE_FORCE))

    assert queue.take() == []
    archived = {"service.archived": {"Equals": ["true"]}}
    assert _ids(guardduty, detector, archived) == {suppressed}


def test_a_finding_can_be_injected_from_another_process(guardduty: Any, world: WorldIds) -> None:
    request = urllib.request.Request(
        f"{world.url}/_clampdown/findings", json.dumps(_about(world)).encode()
    )
    with urllib.request.urlopen(request) as answer:
        [identity] = json.load(answer)["ids"]

    [detector] = guardduty.list_detectors()["DetectorIds"]
    assert guardduty.list_findings(DetectorId=detector)["FindingIds"] == [identity]


def test_what_is_no_finding_is_refused(simulated_aws: SimulatedAws) -> None:
    with pytest.raises(ValueError, match="Type"):
        simulated_aws.find({"Resource": {}})


def test_findings_go_with_a_reset_and_come_back_with_what_is_remembered(
    guardduty: Any, detector: str, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    identity = simulated_aws.find(_about(world))
    memory = simulated_aws.remember()
    guardduty.archive_findings(DetectorId=detector, FindingIds=[identity])

    simulated_aws.reset()
    assert guardduty.list_detectors()["DetectorIds"] == []

    simulated_aws.recall(memory)
    current = {"service.archived": {"Equals": ["false"]}}
    assert _ids(guardduty, detector, current) == {identity}
