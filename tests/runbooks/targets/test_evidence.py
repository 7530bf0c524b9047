"""The marks by which evidence snapshots are found, and their volumes told apart."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runbooks.targets.evidence import DEVICES_TAG, device_tags, devices_in, evidence_snapshots
from runbooks.targets.instance import Evidence
from tests.runbooks.instances import INCIDENT, INSTANCE, REGION, snapshot, volume


def test_devices_are_a_readable_map() -> None:
    volumes = [volume(0, "/dev/sda1"), volume(1, "/dev/sdf")]

    assert device_tags(volumes) == {
        DEVICES_TAG: f"/dev/sda1={volumes[0].id} /dev/sdf={volumes[1].id}"
    }


@given(st.integers(min_value=1, max_value=128))
def test_as_many_devices_as_an_instance_can_have_go_into_tags_and_come_back(count: int) -> None:
    volumes = [volume(number, f"/dev/sd{number:03}") for number in range(count)]

    tags = device_tags(volumes)

    assert all(len(value) <= 256 for value in tags.values())
    assert len(tags) <= 50 - 3
    assert devices_in(tags) == {item.id: item.device for item in volumes}


def described(number: int, instance_id: str = INSTANCE, **facts: Any) -> dict[str, Any]:
    of = volume(number, f"/dev/sd{number}")
    tags = {
        "clampdown:incident": INCIDENT,
        "clampdown:instance": instance_id,
        **device_tags([of]),
    }
    return {
        "SnapshotId": f"snap-{number}",
        "VolumeId": of.id,
        "State": "pending",
        "VolumeSize": 8,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        **facts,
    }


def test_snapshots_of_the_incidents_other_targets_are_left_out() -> None:
    found = evidence_snapshots([described(1), described(2, "i-other")], INSTANCE, REGION)

    assert [(item.id, item.device) for item in found] == [("snap-1", "/dev/sd1")]


def test_a_snapshots_arn_names_no_account() -> None:
    (found,) = evidence_snapshots([described(1)], INSTANCE, "us-gov-west-1")

    assert found.resource.arn == "arn:aws-us-gov:ec2:us-gov-west-1::snapshot/snap-1"


def test_a_failed_snapshot_counts_only_while_there_is_no_other() -> None:
    of = volume()
    failed, good = snapshot(of, "error", 9), snapshot(of, "pending", 1)

    assert Evidence((good, failed)).of_volumes == {of.id: good}
    assert Evidence((failed, good)).of_volumes == {of.id: good}
    assert Evidence((failed,)).of_volumes == {of.id: failed}
