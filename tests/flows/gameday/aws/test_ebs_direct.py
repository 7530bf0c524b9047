from __future__ import annotations

from typing import Any

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused


def test_the_blocks_of_a_volumes_snapshot_are_not_simulated(
    ec2: Any, aws: Any, world: WorldIds
) -> None:
    snapshot = ec2.create_snapshot(VolumeId=world.ids["volume_1"])["SnapshotId"]

    with refused("NotSimulated", "hold no data"):
        aws("ebs").list_snapshot_blocks(SnapshotId=snapshot)


def test_an_unknown_snapshot_has_no_blocks(aws: Any) -> None:
    with refused("ResourceNotFoundException"):
        aws("ebs").list_snapshot_blocks(SnapshotId="snap-00000000000000000")


def test_what_is_written_can_be_listed(aws: Any) -> None:
    ebs = aws("ebs")
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]

    assert ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"] == []
