"""The time in the simulated AWS: it is what it is told to be, for all that is dated and that takes
time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from tests.flows.gameday.aws.conftest import Client
from tests.flows.gameday.aws.test_server import control

DAY = timedelta(days=1)
CLOSE = timedelta(minutes=2)


def close(at: datetime, to: datetime) -> bool:
    return abs(at - to) < CLOSE


def test_what_is_made_is_dated_by_it(
    aws: Client, ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    """By moto as well as by what is added to it, and earlier as well as later."""
    then = datetime.now(UTC) - 30 * DAY
    simulated_aws.set_ahead((-30 * DAY).total_seconds())

    volume = ec2.create_volume(AvailabilityZone=f"{world.region}a", Size=1)
    assert close(volume["CreateTime"], then)
    snapshot = ec2.create_snapshot(VolumeId=volume["VolumeId"])
    assert close(snapshot["StartTime"], then)
    user = aws("iam").create_user(UserName="dated")["User"]
    assert close(user["CreateDate"], then)
    queue = aws("sqs").create_queue(QueueName="dated")["QueueUrl"]
    aws("sqs").send_message(QueueUrl=queue, MessageBody="dated")
    (message,) = aws("sqs").receive_message(
        QueueUrl=queue, MessageSystemAttributeNames=["SentTimestamp"]
    )["Messages"]
    sent = int(message["Attributes"]["SentTimestamp"]) / 1000
    assert close(datetime.fromtimestamp(sent, UTC), then)


def test_what_takes_time_is_done_when_it_has_passed(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(snapshot_seconds=720)
    (volume,) = ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [world.victim]}]
    )["Volumes"][:1]
    made = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]

    def state() -> str:
        found: str = ec2.describe_snapshots(SnapshotIds=[made])["Snapshots"][0]["State"]
        return found

    simulated_aws.set_ahead(600)
    assert state() == "pending"
    simulated_aws.set_ahead(721)
    assert state() == "completed"


def test_credentials_expire_by_it(
    aws: Client, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.set_ahead(DAY.total_seconds())
    expires = aws("sts").get_session_token(DurationSeconds=900)["Credentials"]["Expiration"]
    assert close(expires, datetime.now(UTC) + DAY + timedelta(minutes=15))


@pytest.mark.parametrize("again", ["reset", "clock"])
def test_another_process_tells_it_and_a_reset_goes_back(
    simulated_aws: SimulatedAws, world: WorldIds, again: str
) -> None:
    def called_at() -> datetime:
        client(world.url, world.region, "ec2").describe_regions()
        return simulated_aws.calls[-1].at

    assert control(world.url, "clock", {"ahead": 3600}) == {"ahead": 3600.0}
    assert close(called_at(), datetime.now(UTC) + timedelta(hours=1))
    control(world.url, again, {"ahead": 0})
    assert close(called_at(), datetime.now(UTC))
