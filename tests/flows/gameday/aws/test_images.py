from __future__ import annotations

from typing import Any

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused

_NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def test_amazons_newest_image_exists_and_can_be_launched(
    aws: Any, ec2: Any, world: WorldIds
) -> None:
    image = aws("ssm").get_parameter(Name=_NEWEST)["Parameter"]["Value"]

    [found] = ec2.describe_images(ImageIds=[image])["Images"]
    made = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, SubnetId=world.ids["private_a"]
    )["Instances"][0]["InstanceId"]

    assert found["Name"].startswith("al2023-ami-")
    assert instance(ec2, made)["RootDeviceName"] == found["RootDeviceName"]


def test_amazons_images_bring_no_snapshots_of_ones_own(aws: Any, ec2: Any) -> None:
    def own() -> list[str]:
        return [s["SnapshotId"] for s in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]

    before = own()
    ec2.describe_images(ImageIds=[aws("ssm").get_parameter(Name=_NEWEST)["Parameter"]["Value"]])

    assert own() == before


def test_other_images_do_not_exist(ec2: Any) -> None:
    with refused("InvalidAMIID.NotFound"):
        ec2.describe_images(ImageIds=["ami-00000000000000000"])
