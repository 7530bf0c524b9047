from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused


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


def test_a_terminated_instance_cannot_be_modified(ec2: Any, world: WorldIds) -> None:
    one = world.ids["standalone"]
    ec2.terminate_instances(InstanceIds=[one])

    with refused("IncorrectInstanceState"):
        ec2.modify_instance_attribute(InstanceId=one, DisableApiStop={"Value": True})


def test_some_attributes_are_modified_of_a_stopped_instance_only(ec2: Any, world: WorldIds) -> None:
    one = world.ids["standalone"]

    def change() -> None:
        ec2.modify_instance_attribute(InstanceId=one, InstanceType={"Value": "t3.large"})

    with refused("IncorrectInstanceState"):
        change()
    ec2.stop_instances(InstanceIds=[one])
    change()

    assert instance(ec2, one)["InstanceType"] == "t3.large"


def test_attributes_are_described_in_their_own_forms(ec2: Any, world: WorldIds) -> None:
    def described(attribute: str, member: str) -> Any:
        answer = ec2.describe_instance_attribute(InstanceId=world.victim, Attribute=attribute)
        assert answer["InstanceId"] == world.victim
        return answer[member]

    assert (
        described("blockDeviceMapping", "BlockDeviceMappings")
        == instance(ec2, world.victim)["BlockDeviceMappings"]
    )
    assert described("enaSupport", "EnaSupport") == {"Value": True}
    assert described("enclaveOptions", "EnclaveOptions") == {"Enabled": False}
    assert described("kernel", "KernelId") == {}
    assert described("productCodes", "ProductCodes") == []


def test_unknown_attributes_are_refused(ec2: Any, world: WorldIds) -> None:
    with refused("InvalidParameterValue"):
        ec2.describe_instance_attribute(InstanceId=world.victim, Attribute="nothing")
