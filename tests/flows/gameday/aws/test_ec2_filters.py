"""Filters of EC2's lists, with and without wildcards, and the tags that they look for."""

from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance


@pytest.fixture
def interfaces(ec2: Any, world: WorldIds) -> Any:
    def found(name: str, *values: str) -> set[str]:
        answer = ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": list(values)}])
        return {item["NetworkInterfaceId"] for item in answer["NetworkInterfaces"]}

    return found


def test_values_are_compared_or_matched(interfaces: Any, world: WorldIds) -> None:
    own = {world.ids["victim_eni"], world.ids["victim_second_eni"]}

    assert interfaces("attachment.instance-id", world.victim) == own
    assert interfaces("attachment.instance-id", "i-0", world.victim) == own
    assert interfaces("attachment.instance-id", f"{world.victim[:6]}*{world.victim[-6:]}") == own
    assert interfaces("attachment.instance-id", f"{world.victim[:-1]}?") == own
    assert interfaces("attachment.instance-id", world.victim.upper()) == set()
    assert interfaces("attachment.instance-id", world.victim[:-1]) == set()
    assert own < interfaces("private-ip-address", "10.*")


def test_resources_are_found_by_their_tags_among_many(ec2: Any, world: WorldIds) -> None:
    volume = instance(ec2, world.victim)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    snapshots = []
    for number in range(12):
        tags = [{"Key": "incident", "Value": f"inc-{number}"}, {"Key": "team", "Value": "ir"}]
        snapshots.append(
            ec2.create_snapshot(
                VolumeId=volume,
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
            )["SnapshotId"]
        )

    def found(name: str, *values: str) -> list[str]:
        answer = ec2.describe_snapshots(Filters=[{"Name": name, "Values": list(values)}])
        return [item["SnapshotId"] for item in answer["Snapshots"]]

    assert found("tag:incident", "inc-7") == [snapshots[7]]
    assert set(found("tag:incident", "inc-1*")) == {snapshots[1], *snapshots[10:]}
    assert set(found("tag-key", "team")) == set(snapshots)
    [described] = ec2.describe_snapshots(SnapshotIds=[snapshots[3]])["Snapshots"]
    assert {"Key": "incident", "Value": "inc-3"} in described["Tags"]
    ec2.delete_tags(Resources=[snapshots[7]], Tags=[{"Key": "incident"}])
    assert found("tag:incident", "inc-7") == []
    resource = [{"Name": "resource-id", "Values": [snapshots[3]]}]
    assert len(ec2.describe_tags(Filters=resource)["Tags"]) == 2
