from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused, until

A_WHILE = 60.0


@pytest.fixture
def one(world: WorldIds) -> str:
    """An instance in no Auto Scaling group."""
    return world.ids["standalone"]


def state(ec2: Any, instance_id: str) -> str:
    name: str = instance(ec2, instance_id)["State"]["Name"]
    return name


def launch(ec2: Any, world: WorldIds, **more: Any) -> str:
    launched = ec2.run_instances(
        **{
            "ImageId": world.ids["image"],
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": world.ids["private_a"],
            **more,
        }
    )
    made: str = launched["Instances"][0]["InstanceId"]
    return made


def changed(answer: dict[str, Any]) -> tuple[str, str]:
    """Before and now, of the one instance of which an answer is."""
    [member] = [value for name, value in answer.items() if name.endswith("Instances")]
    return member[0]["PreviousState"]["Name"], member[0]["CurrentState"]["Name"]


def test_nothing_takes_time_unless_told_so(ec2: Any, one: str) -> None:
    assert changed(ec2.stop_instances(InstanceIds=[one])) == ("running", "stopping")
    assert state(ec2, one) == "stopped"
    assert changed(ec2.start_instances(InstanceIds=[one])) == ("stopped", "pending")
    assert state(ec2, one) == "running"
    assert changed(ec2.terminate_instances(InstanceIds=[one])) == ("running", "shutting-down")
    assert state(ec2, one) == "terminated"


def test_each_change_takes_its_time(ec2: Any, one: str, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(instance_seconds=A_WHILE)
    ec2.stop_instances(InstanceIds=[one])

    assert state(ec2, one) == "stopping"
    with refused("IncorrectInstanceState", "can be started"):
        ec2.start_instances(InstanceIds=[one])
    assert changed(ec2.stop_instances(InstanceIds=[one])) == ("stopping", "stopping")
    ec2.terminate_instances(InstanceIds=[one])
    assert state(ec2, one) == "shutting-down"


def test_a_change_comes_to_its_end(ec2: Any, one: str, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(instance_seconds=0.05)
    ec2.stop_instances(InstanceIds=[one])

    until(lambda: state(ec2, one) == "stopped")


def test_a_launched_instance_is_pending_and_cannot_be_stopped(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(instance_seconds=A_WHILE)
    made = launch(ec2, world)

    assert state(ec2, made) == "pending"
    with refused("IncorrectInstanceState", "never reached the 'running' state"):
        ec2.stop_instances(InstanceIds=[made])
    running = ec2.describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
    )["Reservations"]
    assert made not in {item["InstanceId"] for found in running for item in found["Instances"]}


def test_what_auto_scaling_launches_runs_at_once(
    ec2: Any, aws: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(instance_seconds=A_WHILE)
    autoscaling = aws("autoscaling")
    [group] = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    autoscaling.set_desired_capacity(
        AutoScalingGroupName=group["AutoScalingGroupName"],
        DesiredCapacity=group["DesiredCapacity"] + 1,
    )

    members = autoscaling.describe_auto_scaling_instances()["AutoScalingInstances"]

    assert len(members) == group["DesiredCapacity"] + 1
    assert {state(ec2, member["InstanceId"]) for member in members} == {"running"}


def test_what_is_so_already_stays_so(ec2: Any, one: str) -> None:
    assert changed(ec2.start_instances(InstanceIds=[one])) == ("running", "running")
    ec2.stop_instances(InstanceIds=[one])
    assert changed(ec2.stop_instances(InstanceIds=[one])) == ("stopped", "stopped")
    for expected in (("stopped", "shutting-down"), ("terminated", "terminated")):
        assert changed(ec2.terminate_instances(InstanceIds=[one])) == expected


def test_a_terminated_instance_stays_terminated(ec2: Any, one: str) -> None:
    ec2.terminate_instances(InstanceIds=[one])

    for call in (ec2.start_instances, ec2.stop_instances):
        with refused("IncorrectInstanceState"):
            call(InstanceIds=[one])
    ec2.reboot_instances(InstanceIds=[one])

    assert state(ec2, one) == "terminated"


def test_a_stop_that_fails_stops_nothing(ec2: Any, world: WorldIds, one: str) -> None:
    protected = launch(ec2, world, DisableApiStop=True)

    with refused("OperationNotPermitted"):
        ec2.stop_instances(InstanceIds=[one, protected])

    assert state(ec2, one) == "running"


def test_a_protected_instance_protects_those_of_its_zone(ec2: Any, world: WorldIds) -> None:
    protected = launch(ec2, world, DisableApiTermination=True)
    beside = launch(ec2, world)
    elsewhere = launch(ec2, world, SubnetId=world.ids["private_b"])

    with refused("OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=[elsewhere, beside, protected])

    states = [state(ec2, item) for item in (protected, beside, elsewhere)]
    assert states == ["running", "running", "terminated"]


def test_only_what_was_launched_for_it_hibernates(ec2: Any, world: WorldIds, one: str) -> None:
    with refused("UnsupportedHibernationConfiguration"):
        ec2.stop_instances(InstanceIds=[one], Hibernate=True)
    assert state(ec2, one) == "running"

    made = launch(ec2, world, HibernationOptions={"Configured": True})
    ec2.stop_instances(InstanceIds=[made], Hibernate=True)

    assert state(ec2, made) == "stopped"
