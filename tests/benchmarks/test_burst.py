"""The load of the benchmarks: what it says it is, in exactly the numbers that were asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.burst import REGION, Burst, Fleet, findings, fleet, flood, know, pour
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import client
from flows.intake.finding import Finding, FindingRejected
from flows.intake.parse import parse

AT = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
SAMPLE = Path(__file__).parents[2] / "samples/findings/eventbridge-backdoor-ec2-cactivity.json"
INSTANCES = 40


@pytest.fixture(scope="module")
def site(_server: SimulatedAws) -> Iterator[tuple[SimulatedAws, Fleet]]:
    _server.reset()
    yield _server, fleet(_server.url, INSTANCES)
    _server.reset()


@pytest.fixture(scope="module")
def of(site: tuple[SimulatedAws, Fleet]) -> Fleet:
    return site[1]


@pytest.fixture(scope="module")
def burst(of: Fleet) -> Burst:
    return findings(7, of, distinct=55, duplicates=40, malformed=22, criticals=5, at=AT)


def _read(message: str) -> Finding | None:
    """The finding of a message, None for what is malformed."""
    try:
        [finding] = parse(message.encode())
    except FindingRejected:
        return None
    return finding


def _keys(node: Any, place: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield f"{place}.{name}"
            yield from _keys(value, f"{place}.{name}")
    for item in node if isinstance(node, list) else ():
        yield from _keys(item, f"{place}[]")


# The fleet


def test_a_fleet_is_of_plain_instances_with_guardduty_on(of: Fleet) -> None:
    assert len(of.ids) == len(set(of.ids)) == INSTANCES
    for instance in of.instances:
        assert len(instance["NetworkInterfaces"]) == len(instance["BlockDeviceMappings"]) == 1
        assert {"Key": "environment", "Value": "staging"} in instance["Tags"]
        assert "IamInstanceProfile" not in instance
    groups = client(of.url, of.region, "autoscaling").describe_auto_scaling_groups()
    assert groups["AutoScalingGroups"] == []
    guardduty = client(of.url, of.region, "guardduty")
    assert guardduty.get_detector(DetectorId=of.detector)["Status"] == "ENABLED"


# Bursts


def test_a_burst_has_exactly_what_was_asked_for(burst: Burst) -> None:
    assert len(burst.messages) == 55 + 40 + 22
    assert len(burst.findings) == 55
    assert len(burst.malformed) == 22
    found = [_read(message) for message in burst.messages]
    assert found.count(None) == 22
    assert Counter(message in burst.malformed for message in burst.messages)[True] == 22
    understood = [finding for finding in found if finding is not None]
    assert len({finding.id for finding in understood}) == 55
    # Of the 40 that repeat a finding, 20 are newer, and 20 the very same event.
    versions = {(finding.id, finding.updated_at) for finding in understood}
    assert len(versions) == 55 + 20
    repeated = sum(number - 1 for number in Counter(burst.messages).values())
    assert repeated == 20


def test_every_malformed_message_is_rejected_for_itself(burst: Burst) -> None:
    reasons = set()
    for message in burst.malformed:
        with pytest.raises(FindingRejected) as rejected:
            parse(message.encode())
        reasons.add(rejected.value.reason)
    assert len(reasons) > 8


def test_critical_findings_are_alone_on_their_instances(burst: Burst) -> None:
    by_instance: dict[str, set[float]] = {}
    for finding in burst.findings:
        instance = finding["Resource"]["InstanceDetails"]["InstanceId"]
        by_instance.setdefault(instance, set()).add(finding["Severity"])
    critical = {name for name, severities in by_instance.items() if max(severities) >= 9}
    assert critical == burst.critical
    assert len(critical) == 5
    assert all(len(by_instance[name]) == 1 for name in critical)
    assert len(by_instance) == INSTANCES == len(burst.instances)


def test_what_acts_is_what_is_severe(burst: Burst, of: Fleet) -> None:
    low = flood(1, of, 60, AT)
    assert len(low.messages) == len(low.findings) == 60
    for finding in (*burst.findings, *low.findings):
        severe = finding["Severity"] >= 7
        assert finding["Service"]["ResourceRole"] == ("ACTOR" if severe else "TARGET")
    assert all(1 <= finding["Severity"] < 4 for finding in low.findings)


def test_a_burst_follows_from_its_seed(burst: Burst, of: Fleet) -> None:
    def again(seed: int) -> Burst:
        return findings(seed, of, distinct=55, duplicates=40, malformed=22, criticals=5, at=AT)

    assert again(7) == burst
    assert again(8).messages != burst.messages


def test_updates_come_before_what_they_update(burst: Burst) -> None:
    """Messages are shuffled."""
    seen: dict[str, datetime] = {}
    late = 0
    for finding in filter(None, map(_read, burst.messages)):
        late += finding.updated_at < seen.get(finding.id, finding.updated_at)
        seen[finding.id] = max(finding.updated_at, seen.get(finding.id, finding.updated_at))
    assert late > 0


def test_events_have_the_shape_of_real_ones(burst: Burst) -> None:
    # What the fleet's instances don't have, and null in an event.
    absent = (".detail.service.evidence.", ".detail.resource.instanceDetails.iamInstanceProfile.")
    real = {key for key in _keys(json.loads(SAMPLE.read_text())) if not key.startswith(absent)}
    event = json.loads(next(m for m in burst.messages if m not in burst.malformed))
    assert set(_keys(event)) == real


def test_guardduty_has_what_is_newest_and_no_event_says_so(
    site: tuple[SimulatedAws, Fleet], burst: Burst
) -> None:
    _, of = site
    guardduty = client(of.url, of.region, "guardduty")

    know(of, burst)

    newest = {
        finding.id: finding
        for finding in sorted(
            filter(None, map(_read, burst.messages)), key=lambda item: item.updated_at
        )
    }
    pages = guardduty.get_paginator("list_findings").paginate(DetectorId=of.detector)
    ids = [identity for page in pages for identity in page["FindingIds"]]
    assert set(ids) == set(newest)
    answer = guardduty.get_findings(DetectorId=of.detector, FindingIds=ids[:50])
    for known in parse(json.dumps({"Findings": answer["Findings"]}, default=str).encode()):
        found = newest[known.id]
        assert (known.arn, known.updated_at, known.count, known.severity) == (
            found.arn,
            found.updated_at,
            found.count,
            found.severity,
        )
        assert known.resources[0].id == found.resources[0].id


# Pouring


def test_messages_are_poured_evenly_from_another_process(
    site: tuple[SimulatedAws, Fleet], burst: Burst
) -> None:
    aws, of = site
    sqs = client(of.url, REGION, "sqs")
    queue = sqs.create_queue(QueueName="findings")["QueueUrl"]
    aws.calls.clear()

    pouring = pour(of.url, queue, burst.messages, 1.0)
    arrived = pouring.wait()

    assert len(arrived) == len(burst.messages)
    assert list(arrived) == sorted(arrived)
    took = (arrived[-1] - pouring.began).total_seconds()
    assert 0.8 < took < 3
    half = (arrived[len(arrived) // 2] - pouring.began).total_seconds()
    assert 0.3 < half < 1.5
    count = sqs.get_queue_attributes(
        QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]["ApproximateNumberOfMessages"]
    assert int(count) == len(burst.messages)
    assert len(aws.calls.of("sqs", "SendMessageBatch")) > 10
