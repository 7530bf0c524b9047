from __future__ import annotations

import json
import threading
import time
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import AlreadyRunning, SimulatedAws
from flows.gameday.worlds import WorldIds, build, client, load_world, state
from tests.flows.gameday.aws.answers import instance, refused


def control(url: str, name: str, data: Any = None) -> Any:
    """What the simulated AWS answers to another process."""
    request = urllib.request.Request(
        f"{url}/_clampdown/{name}",
        data=None if data is None else json.dumps(data).encode(),
        method="GET" if data is None else "POST",
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def test_there_is_one_simulated_aws_in_a_process(simulated_aws: SimulatedAws) -> None:
    with pytest.raises(AlreadyRunning):
        SimulatedAws().start()


def test_calls_are_recorded_by_the_names_of_the_api(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.calls.clear()

    ec2.modify_instance_attribute(InstanceId=world.victim, DisableApiStop={"Value": True})
    instance(ec2, world.victim)

    change, read = simulated_aws.calls
    assert change.name == "ec2:ModifyInstanceAttribute"
    assert change.parameters == {"InstanceId": world.victim, "DisableApiStop": {"Value": True}}
    assert (change.account, change.region, change.status) == (world.account, world.region, 200)
    assert (change.changes, read.changes) == (True, False)
    assert read.parameters == {"InstanceIds": [world.victim]}


def test_a_refusal_is_recorded_with_its_code(ec2: Any, simulated_aws: SimulatedAws) -> None:
    with refused("InvalidInstanceID.NotFound"):
        ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"])

    assert simulated_aws.calls[-1].error == "InvalidInstanceID.NotFound"


def test_a_fault_hits_the_calls_that_it_names(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(
        Fault(
            service="ec2",
            operation="Describe*",
            containing=world.victim,
            code="RequestLimitExceeded",
            status=503,
            nth=2,
            times=1,
        )
    )

    instance(ec2, world.ids["bystander"])
    instance(ec2, world.victim)
    with refused("RequestLimitExceeded"):
        instance(ec2, world.victim)
    instance(ec2, world.victim)


@pytest.mark.parametrize(("effect", "made"), [("drop", False), ("lost_answer", True)])
def test_a_connection_can_be_cut_before_or_after_the_call(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws, effect: Any, made: bool
) -> None:
    simulated_aws.fault(Fault(operation="CreateTags", effect=effect, times=1))

    with pytest.raises(ConnectionClosedError):
        ec2.create_tags(Resources=[world.victim], Tags=[{"Key": "case", "Value": "7"}])

    tags = {item["Key"] for item in instance(ec2, world.victim)["Tags"]}
    assert ("case" in tags) is made


def test_calls_made_side_by_side_wait_side_by_side(ec2: Any, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(latency_seconds=0.3)
    calls = [threading.Thread(target=ec2.describe_vpcs) for _ in range(8)]
    began = time.monotonic()

    for call in calls:
        call.start()
    for call in calls:
        call.join()

    assert 0.3 <= time.monotonic() - began < 1.5


def test_what_cannot_be_simulated_is_said_so(ec2: Any) -> None:
    with refused("NotSimulated", "ec2:DescribeReservedInstancesListings"):
        ec2.describe_reserved_instances_listings()


def test_an_error_within_is_an_answer_and_no_end(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.ec2.models import EC2Backend

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(EC2Backend, "describe_volumes", broken)
    with pytest.raises(ClientError, match="RuntimeError: broken"):
        ec2.describe_volumes()
    monkeypatch.undo()

    assert ec2.describe_volumes()["Volumes"]


def test_it_can_be_controlled_by_another_process(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    assert control(world.url, "health") == {
        "healthy": True,
        "url": world.url,
        "account": world.account,
    }
    control(world.url, "faults", {"operation": "DescribeVpcs", "code": "Unavailable"})
    with refused("Unavailable"):
        ec2.describe_vpcs()
    control(world.url, "faults", [])
    ec2.describe_vpcs()
    assert control(world.url, "config", {"snapshot_seconds": 7})["snapshot_seconds"] == 7
    assert control(world.url, "calls")["calls"][-1]["operation"] == "DescribeVpcs"
    control(world.url, "reset", {})

    assert control(world.url, "calls") == {"calls": []}
    assert ec2.describe_instances()["Reservations"] == []


def test_a_world_that_is_recalled_is_the_remembered_one(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    before, memory = state(world.url, world.region), simulated_aws.remember()

    def change() -> str:
        made = ec2.create_volume(Size=1, AvailabilityZone=f"{world.region}a")
        ec2.terminate_instances(InstanceIds=[world.victim])
        return str(made["VolumeId"])

    first = change()
    assert state(world.url, world.region) != before

    for _ in range(2):
        simulated_aws.recall(memory)
        assert state(world.url, world.region) == before

        simulated_aws.recall(memory)
        assert change() == first, "the ids to come are the same, too"


def test_a_world_has_the_same_ids_in_every_run(simulated_aws: SimulatedAws) -> None:
    first = build(load_world("small"), simulated_aws.url)
    simulated_aws.reset()

    assert build(load_world("small"), simulated_aws.url) == first


def test_a_reset_goes_back_to_the_settings_that_it_began_with(
    simulated_aws: SimulatedAws,
) -> None:
    simulated_aws.configure(latency_seconds=5, no_capacity=["m5.large"])
    simulated_aws.reset()

    began = time.monotonic()
    client(simulated_aws.url, "eu-west-1", "ec2").describe_vpcs()
    assert timedelta(seconds=time.monotonic() - began) < timedelta(seconds=4)
