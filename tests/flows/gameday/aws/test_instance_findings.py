"""Findings about instances of the world: in full, once more, too late, and without an event."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.gameday.aws.instance_findings import InstanceFinding
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from flows.intake.parse import parse
from tests.flows.gameday.aws.queues import Queue, queue_of_rule

Client = Callable[[str], Any]
BRUTE_FORCE = "UnauthorizedAccess:EC2/SSHBruteForce"


@pytest.fixture
def queue(aws: Client) -> Queue:
    return queue_of_rule(aws, "findings", {"source": ["aws.guardduty"]})


class Known:
    """What GuardDuty has."""

    def __init__(self, aws: Client) -> None:
        self._api = aws("guardduty")

    def ids(self, **more: Any) -> list[str]:
        [detector] = self._api.list_detectors()["DetectorIds"]
        found: list[str] = self._api.list_findings(DetectorId=detector, **more)["FindingIds"]
        return found

    def __getitem__(self, identity: str) -> dict[str, Any]:
        [detector] = self._api.list_detectors()["DetectorIds"]
        answer = self._api.get_findings(DetectorId=detector, FindingIds=[identity])
        [finding] = answer["Findings"]
        return dict(finding)


@pytest.fixture
def known(aws: Client) -> Known:
    return Known(aws)


def _post(world: WorldIds, data: Any) -> list[str]:
    """As another process has GuardDuty find something."""
    request = urllib.request.Request(f"{world.url}/_clampdown/findings", json.dumps(data).encode())
    with urllib.request.urlopen(request) as answer:
        ids: list[str] = json.load(answer)["ids"]
    return ids


@pytest.mark.parametrize(
    ("role", "kind", "direction"),
    [("ACTOR", "Backdoor:EC2/C&CActivity.B", "OUTBOUND"), ("TARGET", BRUTE_FORCE, "INBOUND")],
)
def test_a_finding_says_what_the_instance_is(
    world: WorldIds, queue: Queue, known: Known, role: str, kind: str, direction: str
) -> None:
    asked = {"instance": world.victim, "type": kind, "severity": 7.5, "role": role}

    [identity] = _post(world, asked)

    [event] = queue.take()
    detail, details = event["detail"], event["detail"]["resource"]["instanceDetails"]
    assert detail["id"] == identity
    assert details["instanceId"] == world.victim
    assert {eni["networkInterfaceId"] for eni in details["networkInterfaces"]} == {
        world.ids["victim_eni"],
        world.ids["victim_second_eni"],
    }
    assert {"key": "environment", "value": "production"} in details["tags"]
    connection = detail["service"]["action"]["networkConnectionAction"]
    assert connection["connectionDirection"] == direction
    [finding] = parse(json.dumps(event).encode())
    assert (finding.type, finding.severity, finding.resource_role) == (kind, 7.5, role)
    assert (finding.sample, finding.archived, finding.count) == (False, False, 1)
    assert finding.remote_addresses == ("203.0.113.80",)
    assert finding.resources[0].details["instance_type"] == "m5.large"
    # GuardDuty says the same when it is asked.
    [asked_again] = parse(json.dumps({"Findings": [known[identity]]}, default=str).encode())
    same = finding.model_dump(exclude={"shape", "raw_sha256"})
    assert asked_again.model_dump(exclude={"shape", "raw_sha256"}) == same


def test_an_update_keeps_the_id_and_is_an_event_again(
    world: WorldIds, queue: Queue, known: Known
) -> None:
    [identity] = _post(world, {"instance": world.victim, "severity": 5})
    later = datetime.now(UTC) + timedelta(hours=6)

    update = {
        "instance": world.victim,
        "id": identity,
        "severity": 8,
        "updatedAt": later.isoformat(),
    }
    assert _post(world, [update]) == [identity]

    first, second = (event["detail"] for event in queue.take())
    assert (first["severity"], second["severity"]) == (5, 8)
    assert (first["service"]["count"], second["service"]["count"]) == (1, 2)
    assert first["createdAt"] == second["createdAt"]
    assert datetime.fromisoformat(second["updatedAt"]).timestamp() == pytest.approx(
        later.timestamp(), abs=0.001
    )
    assert (known[identity]["Severity"], known[identity]["Service"]["Count"]) == (8, 2)
    assert known.ids() == [identity]


def test_what_guardduty_said_before_comes_late_and_is_not_kept(
    simulated_aws: SimulatedAws, world: WorldIds, queue: Queue, known: Known
) -> None:
    now = datetime.now(UTC)
    [identity] = simulated_aws.find_on(
        InstanceFinding(instance=world.victim, severity=8, updated_at=now)
    )
    [again] = simulated_aws.find_on(
        InstanceFinding(
            instance=world.victim,
            id=identity,
            severity=2,
            updated_at=now - timedelta(hours=24),
            count=1,
        )
    )

    assert again == identity
    assert [event["detail"]["severity"] for event in queue.take()] == [8, 2]
    assert known[identity]["Severity"] == 8


def test_a_finding_can_be_there_without_an_event(
    world: WorldIds, queue: Queue, known: Known
) -> None:
    [identity] = _post(world, {"findings": [{"instance": world.victim}], "publish": False})

    assert queue.take() == []
    assert known.ids() == [identity]


def test_findings_are_listed_by_when_they_were_updated(
    simulated_aws: SimulatedAws, world: WorldIds, known: Known
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    ids = [
        simulated_aws.find_on(
            InstanceFinding(instance=world.victim, updated_at=now - timedelta(minutes=minutes))
        )[0]
        for minutes in (10, 5, 0)
    ]

    def since(minutes: float) -> list[str]:
        at = int((now - timedelta(minutes=minutes)).timestamp() * 1000)
        criteria = {"Criterion": {"updatedAt": {"GreaterThanOrEqual": at}}}
        order = {"AttributeName": "updatedAt", "OrderBy": "ASC"}
        return known.ids(FindingCriteria=criteria, SortCriteria=order)

    assert since(10) == ids
    assert since(5) == ids[1:]
    assert since(4) == ids[2:]
    assert since(-1) == []


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"instance": "i-0123456789abcdef0"}, "no instance"),
        ({"instance": "victim", "role": "BYSTANDER"}, "role"),
        ({"instance": "victim", "severity": 11}, "severity"),
        ({"instance": "victim", "type": "nonsense"}, "Type"),
        ({"instance": "victim", "severty": 8}, "severty"),
    ],
)
def test_what_can_not_be_found_is_refused(world: WorldIds, item: dict[str, Any], why: str) -> None:
    if item["instance"] == "victim":
        item = {**item, "instance": world.victim}

    with pytest.raises(urllib.error.HTTPError) as refusal:
        _post(world, item)

    assert refusal.value.code == 400
    assert why in refusal.value.read().decode()
