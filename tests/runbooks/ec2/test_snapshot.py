"""``ec2.snapshot``: one crash-consistent set, tagged in the same call, never taken twice."""

from __future__ import annotations

import pytest

from runbooks.calls import Keep
from runbooks.ec2.snapshot import SnapshotVolumes
from runbooks.errors import NotContained
from runbooks.step import NoParams
from runbooks.targets.instance import Evidence
from tests.runbooks.instances import INCIDENT, INSTANCE, Plan, instance, snapshot, volume

ROOT = volume(0, "/dev/sda1")
DATA = volume(1, "/dev/sdf")


def tags_of(params: dict[str, object]) -> dict[str, str]:
    (specification,) = params["TagSpecifications"]  # type: ignore[misc]
    return {tag["Key"]: tag["Value"] for tag in specification["Tags"]}  # type: ignore[index]


def test_all_volumes_are_taken_by_one_call() -> None:
    plan = Plan(SnapshotVolumes, instance(volumes=[ROOT, DATA]))

    (call,) = plan.calls
    assert call.action == "ec2:CreateSnapshots"
    assert call.params["InstanceSpecification"] == {"InstanceId": INSTANCE}


def test_the_call_itself_carries_the_tags_that_find_the_set_again() -> None:
    (call,) = Plan(SnapshotVolumes, instance(volumes=[ROOT, DATA])).calls

    assert tags_of(dict(call.params)) == {
        "clampdown:incident": INCIDENT,
        "clampdown:finding": "finding-1",
        "clampdown:instance": INSTANCE,
        "clampdown:devices": f"/dev/sda1={ROOT.id} /dev/sdf={DATA.id}",
    }


def test_the_volumes_own_tags_are_not_copied_to_the_evidence() -> None:
    (call,) = Plan(SnapshotVolumes, instance(volumes=[ROOT, DATA])).calls

    assert "CopyTagsFromSource" not in call.params


def test_a_findings_name_too_long_for_a_tag_is_cut() -> None:
    target = instance(volumes=[ROOT, DATA])

    (call,) = Plan(SnapshotVolumes, target, finding="f" * 300).calls

    assert tags_of(dict(call.params))["clampdown:finding"] == "f" * 256


def test_the_plan_allows_for_the_set_to_be_refused() -> None:
    plan = Plan(SnapshotVolumes, instance(volumes=[ROOT, DATA]))

    assert [change.call.params["VolumeId"] for change in plan.contingent] == [ROOT.id, DATA.id]
    assert {change.call.action for change in plan.contingent} == {"ec2:CreateSnapshot"}


def test_a_single_snapshot_says_its_volume_and_device() -> None:
    (call,) = Plan(SnapshotVolumes, instance(volumes=[DATA])).calls

    assert call.action == "ec2:CreateSnapshot"
    assert tags_of(dict(call.params))["clampdown:devices"] == f"/dev/sdf={DATA.id}"


def test_an_incident_that_has_its_snapshots_makes_no_more() -> None:
    known = Evidence((snapshot(ROOT, "pending", 1), snapshot(DATA, "completed", 2)))
    target = instance(volumes=[ROOT, DATA], facts=[known])

    assert Plan(SnapshotVolumes, target).calls == []


def test_only_a_missing_volume_is_taken_again() -> None:
    known = Evidence((snapshot(ROOT, "pending", 1),))
    target = instance(volumes=[ROOT, DATA], facts=[known])

    assert [call.params["VolumeId"] for call in Plan(SnapshotVolumes, target).calls] == [DATA.id]


def test_a_snapshot_that_failed_is_taken_again() -> None:
    known = Evidence((snapshot(ROOT, "error", 1), snapshot(DATA, "pending", 2)))
    target = instance(volumes=[ROOT, DATA], facts=[known])

    assert [call.params["VolumeId"] for call in Plan(SnapshotVolumes, target).calls] == [ROOT.id]
    with pytest.raises(NotContained, match=ROOT.id):
        # It looks at facts only, so there is no AWS to give.
        SnapshotVolumes().verify(None, target, NoParams())  # type: ignore[arg-type]


def test_undo_keeps_evidence() -> None:
    plan = Plan(SnapshotVolumes, instance(volumes=[ROOT, DATA]))

    for change in (*plan.changes, *plan.contingent):
        assert change.undo == Keep("evidence")


def test_an_instance_without_volumes_is_said_to_have_no_snapshot() -> None:
    plan = Plan(SnapshotVolumes, instance(instance_store=True))

    assert plan.calls == []
    assert "instance-store" in plan.warnings
