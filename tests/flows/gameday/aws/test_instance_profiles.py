from __future__ import annotations

from typing import Any

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused


def association(ec2: Any, instance_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance_id]}]
    )["IamInstanceProfileAssociations"][0]
    return found


def a_profile(aws: Any, name: str) -> dict[str, Any]:
    made: dict[str, Any] = aws("iam").create_instance_profile(InstanceProfileName=name)
    return dict(made["InstanceProfile"])


def test_an_instance_shows_the_profile_that_it_has(ec2: Any, world: WorldIds, aws: Any) -> None:
    profile = aws("iam").get_instance_profile(InstanceProfileName=world.ids["profile"])

    shown = instance(ec2, world.victim)["IamInstanceProfile"]

    assert shown["Arn"] == profile["InstanceProfile"]["Arn"]
    assert shown["Id"] == profile["InstanceProfile"]["InstanceProfileId"]
    assert association(ec2, world.victim)["State"] == "associated"


def test_a_replaced_profile_has_a_new_association(ec2: Any, world: WorldIds, aws: Any) -> None:
    denying = a_profile(aws, "denying")
    before = association(ec2, world.victim)["AssociationId"]

    made = ec2.replace_iam_instance_profile_association(
        AssociationId=before, IamInstanceProfile={"Name": "denying"}
    )["IamInstanceProfileAssociation"]

    assert made["AssociationId"] != before
    assert association(ec2, world.victim)["AssociationId"] == made["AssociationId"]
    assert instance(ec2, world.victim)["IamInstanceProfile"]["Arn"] == denying["Arn"]
    with refused("InvalidAssociationID.NotFound"):
        ec2.replace_iam_instance_profile_association(
            AssociationId=before, IamInstanceProfile={"Name": "denying"}
        )


def test_a_profile_that_is_not_there_leaves_the_old_one(ec2: Any, world: WorldIds) -> None:
    before = association(ec2, world.victim)

    with refused("NoSuchEntity"):
        ec2.replace_iam_instance_profile_association(
            AssociationId=before["AssociationId"], IamInstanceProfile={"Name": "missing"}
        )

    assert association(ec2, world.victim) == before


def test_an_instance_has_one_profile_at_a_time(ec2: Any, world: WorldIds) -> None:
    with refused("IncorrectState"):
        ec2.associate_iam_instance_profile(
            InstanceId=world.victim, IamInstanceProfile={"Name": world.ids["profile"]}
        )


def test_a_disassociated_profile_is_gone(ec2: Any, world: WorldIds) -> None:
    before = association(ec2, world.victim)["AssociationId"]

    ended = ec2.disassociate_iam_instance_profile(AssociationId=before)

    assert ended["IamInstanceProfileAssociation"]["State"] == "disassociating"
    assert "IamInstanceProfile" not in instance(ec2, world.victim)


def test_every_instance_of_a_launch_has_its_profile(ec2: Any, world: WorldIds) -> None:
    launched = ec2.run_instances(
        ImageId=world.ids["image"],
        MinCount=3,
        MaxCount=3,
        SubnetId=world.ids["private_a"],
        IamInstanceProfile={"Name": world.ids["profile"]},
    )["Instances"]

    states = [association(ec2, item["InstanceId"])["State"] for item in launched]
    assert states == ["associated"] * 3


def test_all_associations_are_shown_where_no_pages_are_asked_for(ec2: Any, world: WorldIds) -> None:
    ec2.run_instances(
        ImageId=world.ids["image"],
        MinCount=101,
        MaxCount=101,
        SubnetId=world.ids["private_a"],
        IamInstanceProfile={"Name": world.ids["profile"]},
    )

    shown = ec2.describe_iam_instance_profile_associations()

    assert len(shown["IamInstanceProfileAssociations"]) > 101
    assert not shown.get("NextToken")
