"""What an intruder with an instance's credentials can still do after Clampdown's own step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flows.gameday.worlds import WorldIds
from runbooks.ec2 import contain_credentials
from runbooks.ec2.contain_credentials import ContainCredentials
from tests.flows.gameday.aws.answers import refused
from tests.flows.gameday.aws.authorization.conftest import Iam, Keys
from tests.flows.gameday.aws.authorization.documents import allow, deny
from tests.runbooks.driver import Incident

Contain = Callable[..., None]


@pytest.fixture
def contain(iam: Iam, world: WorldIds) -> Iterator[Contain]:
    incident = Incident(iam.aws.url)
    iam.allow_role(world.ids["role"], allow())
    yield lambda **params: incident.run(ContainCredentials, world.victim, params) and None
    incident.close()


def works(iam: Iam, keys: Keys) -> bool:
    try:
        iam.client("ec2", keys).describe_instances()
    except ClientError as error:
        if "with an explicit deny in an identity-based policy" in str(error):
            return False
        raise
    return True


def colleague(iam: Iam, world: WorldIds) -> str:
    """Another instance with the victim's role."""
    ec2 = iam.client("ec2")
    made: dict[str, Any] = ec2.run_instances(
        ImageId=world.ids["image"],
        MinCount=1,
        MaxCount=1,
        IamInstanceProfile={"Name": world.ids["profile"]},
    )["Instances"][0]
    return str(made["InstanceId"])


def test_the_instances_sessions_are_denied_and_nobody_elses(
    iam: Iam, world: WorldIds, contain: Contain
) -> None:
    other = iam.on_instance(colleague(iam, world))
    stolen = iam.on_instance(world.victim)
    assert works(iam, stolen)

    contain()

    assert not works(iam, stolen)
    assert works(iam, other)
    assert not works(iam, iam.on_instance(world.victim))


def test_the_revocation_of_a_role_spares_sessions_that_begin_later(
    iam: Iam, world: WorldIds, contain: Contain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contain_credentials, "PROPAGATION", timedelta(0))
    instance = colleague(iam, world)
    before = iam.on_instance(instance)
    # What was issued in the very second of the revocation isn't earlier than it.
    time.sleep(1.1)

    contain(scope="role")

    assert not works(iam, before)
    # Its metadata service goes on with what it has; a stop and a start bring something new.
    assert iam.on_instance(instance) == before
    ec2 = iam.client("ec2")
    ec2.stop_instances(InstanceIds=[instance])
    ec2.start_instances(InstanceIds=[instance])
    assert works(iam, iam.on_instance(instance))


def test_a_session_is_known_by_its_instance_and_by_its_id(iam: Iam, world: WorldIds) -> None:
    iam.allow_role(world.ids["role"], allow())
    keys = iam.on_instance(world.victim)
    role_id = iam.iam.get_role(RoleName=world.ids["role"])["Role"]["RoleId"]
    arn = f"arn:aws:ec2:{world.region}:{world.account}:instance/{world.victim}"

    for operator, key, value in (
        ("ArnEquals", "ec2:SourceInstanceARN", arn),
        ("StringLike", "aws:userid", f"{role_id}:{world.victim}"),
    ):
        assert works(iam, keys)
        iam.allow_role(
            world.ids["role"], deny(Condition={operator: {key: value}}), policy="contained"
        )
        with refused("UnauthorizedOperation", "with an explicit deny"):
            iam.client("ec2", keys).describe_instances()
        iam.iam.delete_role_policy(RoleName=world.ids["role"], PolicyName="contained")


def test_a_deny_counts_once_iam_is_consistent(iam: Iam, world: WorldIds, contain: Contain) -> None:
    stolen = iam.on_instance(world.victim)
    iam.aws.configure(iam_consistency_seconds=1.0)
    began = time.monotonic()
    role = world.ids["role"]

    iam.allow_role(role, deny(), policy="contained")

    assert works(iam, stolen)
    while works(iam, stolen):
        assert time.monotonic() - began < 5
        time.sleep(0.05)
    assert time.monotonic() - began > 0.9
    iam.iam.delete_role_policy(RoleName=role, PolicyName="contained")
    assert not works(iam, stolen)
    iam.aws.configure(iam_consistency_seconds=0.0)
    assert works(iam, stolen)


def test_a_new_profile_is_unknown_to_ec2_until_iam_is_consistent(iam: Iam, world: WorldIds) -> None:
    iam.aws.configure(iam_consistency_seconds=0.5)
    ec2, standalone = iam.client("ec2"), world.ids["standalone"]
    iam.iam.create_instance_profile(InstanceProfileName="new")
    iam.iam.add_role_to_instance_profile(InstanceProfileName="new", RoleName=world.ids["role"])

    def associate() -> Any:
        return ec2.associate_iam_instance_profile(
            InstanceId=standalone, IamInstanceProfile={"Name": "new"}
        )

    with refused("InvalidParameterValue", "Invalid IAM Instance Profile name"):
        associate()
    time.sleep(0.6)
    assert associate()["IamInstanceProfileAssociation"]["InstanceId"] == standalone


def test_clampdown_contains_although_iam_takes_its_time(
    iam: Iam, world: WorldIds, contain: Contain
) -> None:
    stolen = iam.on_instance(world.victim)
    iam.aws.configure(iam_consistency_seconds=1.0)

    contain()

    deadline = time.monotonic() + 5
    while works(iam, stolen):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_new_key_is_unknown_until_iam_is_consistent(iam: Iam) -> None:
    iam.aws.configure(iam_consistency_seconds=0.5)
    keys = iam.user("eve", allow())

    with refused("AuthFailure"):
        iam.client("ec2", keys).describe_instances()
    time.sleep(0.6)
    iam.client("ec2", keys).describe_instances()
