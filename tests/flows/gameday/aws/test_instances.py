from __future__ import annotations

from typing import Any

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, interface, refused


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


def test_metadata_options_that_are_not_given_stay(ec2: Any, world: WorldIds) -> None:
    one = world.ids["standalone"]
    ec2.modify_instance_metadata_options(InstanceId=one, HttpTokens="required")
    ec2.modify_instance_metadata_options(InstanceId=one, HttpEndpoint="disabled")

    options = instance(ec2, one)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpEndpoint"]) == ("required", "disabled")


def test_metadata_options_are_pending_first(ec2: Any, world: WorldIds) -> None:
    one = world.ids["standalone"]
    answer = ec2.modify_instance_metadata_options(InstanceId=one, HttpTokens="required")

    assert answer["InstanceMetadataOptions"]["State"] == "pending"
    assert instance(ec2, one)["MetadataOptions"]["State"] == "applied"


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
