from __future__ import annotations

import base64
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused


@pytest.fixture
def launched(ec2: Any, world: WorldIds) -> Any:
    def launch(kind: str) -> str:
        [made] = ec2.run_instances(
            ImageId=world.ids["image"],
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=world.ids["private_a"],
        )["Instances"]
        return str(made["InstanceId"])

    return launch


def test_there_is_a_picture_of_the_screen_of_a_running_instance(ec2: Any, launched: Any) -> None:
    made = launched("t3.micro")

    answer = ec2.get_console_screenshot(InstanceId=made)

    assert answer["InstanceId"] == made
    image = base64.b64decode(answer["ImageData"])
    # Start and end of image (ITU-T T.81, table B.1).
    assert (image[:2], image[-2:]) == (b"\xff\xd8", b"\xff\xd9")


def test_there_is_none_of_one_that_is_stopped(ec2: Any, launched: Any) -> None:
    made = launched("t3.micro")
    ec2.stop_instances(InstanceIds=[made])

    with refused("IncorrectInstanceState"):
        ec2.get_console_screenshot(InstanceId=made)


@pytest.mark.parametrize("kind", ["m5.metal", "t4g.micro"])
def test_there_is_none_of_types_without_a_screen(ec2: Any, launched: Any, kind: str) -> None:
    with refused("UnsupportedOperation"):
        ec2.get_console_screenshot(InstanceId=launched(kind))


def test_the_latest_output_is_there_on_nitro_only(ec2: Any, launched: Any) -> None:
    old, new = launched("t2.micro"), launched("t3.micro")

    assert ec2.get_console_output(InstanceId=new, Latest=True)["Output"]
    assert ec2.get_console_output(InstanceId=old)["Output"]
    with refused("UnsupportedOperation", "latest console logs"):
        ec2.get_console_output(InstanceId=old, Latest=True)


def test_an_unknown_instance_has_no_console(ec2: Any) -> None:
    for show in (ec2.get_console_screenshot, ec2.get_console_output):
        with refused("InvalidInstanceID.NotFound"):
            show(InstanceId="i-00000000000000000")
