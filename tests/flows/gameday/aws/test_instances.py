from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, interface, refused


def test_the_shutdown_behaviour_is_kept_and_nothing_else_changes(ec2: Any, world: WorldIds) -> None:
    before = instance(ec2, world.ids["standalone"])["SecurityGroups"]

    ec2.modify_instance_attribute(
        InstanceId=world.ids["standalone"],
        InstanceInitiatedShutdownBehavior={"Value": "terminate"},
    )

    answer = ec2.describe_instance_attribute(
        InstanceId=world.ids["standalone"], Attribute="instanceInitiatedShutdownBehavior"
    )
    assert answer["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    assert instance(ec2, world.ids["standalone"])["SecurityGroups"] == before


@pytest.mark.parametrize("attribute", ["DisableApiTermination", "DisableApiStop"])
def test_protection_keeps_an_instance(ec2: Any, world: WorldIds, attribute: str) -> None:
    one = world.ids["standalone"]
    ec2.modify_instance_attribute(InstanceId=one, **{attribute: {"Value": True}})
    end = ec2.terminate_instances if attribute == "DisableApiTermination" else ec2.stop_instances

    with refused("OperationNotPermitted"):
        end(InstanceIds=[one])

    ec2.modify_instance_attribute(InstanceId=one, **{attribute: {"Value": False}})
    end(InstanceIds=[one])


def test_protection_can_be_given_at_launch(ec2: Any, world: WorldIds) -> None:
    made = ec2.run_instances(
        ImageId=world.ids["image"],
        MinCount=1,
        MaxCount=1,
        SubnetId=world.ids["private_a"],
        DisableApiTermination=True,
    )["Instances"][0]["InstanceId"]

    with refused("OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=[made])


def test_a_spot_instance_cannot_be_protected(ec2: Any, world: WorldIds) -> None:
    spot = ec2.run_instances(
        ImageId=world.ids["image"],
        MinCount=1,
        MaxCount=1,
        SubnetId=world.ids["private_a"],
        InstanceMarketOptions={"MarketType": "spot"},
    )["Instances"][0]["InstanceId"]

    assert instance(ec2, spot)["InstanceLifecycle"] == "spot"
    with refused("UnsupportedOperation"):
        ec2.modify_instance_attribute(InstanceId=spot, DisableApiTermination={"Value": True})


def test_a_device_is_kept_or_not_and_unknown_devices_are_refused(ec2: Any, world: WorldIds) -> None:
    def keep(device: str) -> None:
        ec2.modify_instance_attribute(
            InstanceId=world.victim,
            BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"DeleteOnTermination": False}}],
        )

    keep("/dev/sdf")
    with refused("InvalidInstanceAttributeValue"):
        keep("/dev/sdz")

    found = instance(ec2, world.victim)
    devices = {
        item["DeviceName"]: item["Ebs"]["DeleteOnTermination"]
        for item in found["BlockDeviceMappings"]
    }
    assert devices["/dev/sdf"] is False
    assert devices[found["RootDeviceName"]] is True


def test_metadata_options_that_are_not_given_stay(ec2: Any, world: WorldIds) -> None:
    one = world.ids["standalone"]
    ec2.modify_instance_metadata_options(InstanceId=one, HttpTokens="required")
    ec2.modify_instance_metadata_options(InstanceId=one, HttpEndpoint="disabled")

    options = instance(ec2, one)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpEndpoint"]) == ("required", "disabled")


def test_a_terminated_instance_cannot_be_modified(ec2: Any, world: WorldIds) -> None:
    one = world.ids["standalone"]
    ec2.terminate_instances(InstanceIds=[one])

    with refused("IncorrectInstanceState"):
        ec2.modify_instance_attribute(InstanceId=one, DisableApiStop={"Value": True})


def test_ids_that_cannot_be_ids_are_malformed_and_others_not_found(ec2: Any) -> None:
    with refused("InvalidInstanceID.Malformed"):
        ec2.describe_instances(InstanceIds=["i-victim"])
    with refused("InvalidInstanceID.NotFound"):
        ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"])


def test_the_image_must_exist(ec2: Any, world: WorldIds) -> None:
    with refused("InvalidAMIID.NotFound"):
        ec2.run_instances(
            ImageId="ami-00000000000000000",
            MinCount=1,
            MaxCount=1,
            SubnetId=world.ids["private_a"],
        )


def test_a_type_without_capacity_cannot_be_launched(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(no_capacity=["m5.large"])

    def launch(kind: str) -> None:
        ec2.run_instances(
            ImageId=world.ids["image"],
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=world.ids["private_a"],
        )

    with refused("InsufficientInstanceCapacity"):
        launch("m5.large")
    launch("m5.xlarge")


def test_block_devices_are_added_to_the_root_volume(ec2: Any, world: WorldIds) -> None:
    made = ec2.run_instances(
        ImageId=world.ids["image"],
        MinCount=1,
        MaxCount=1,
        SubnetId=world.ids["private_a"],
        BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 10}}],
    )["Instances"][0]["InstanceId"]

    found = instance(ec2, made)
    devices = {item["DeviceName"] for item in found["BlockDeviceMappings"]}
    assert devices == {"/dev/sdf", found["RootDeviceName"]}


def test_a_kept_interface_outlives_its_instance(ec2: Any, world: WorldIds) -> None:
    ec2.terminate_instances(InstanceIds=[world.victim])

    assert interface(ec2, world.ids["victim_second_eni"])["Status"] == "available"
    with refused("InvalidNetworkInterfaceID.NotFound"):
        interface(ec2, world.ids["victim_eni"])
