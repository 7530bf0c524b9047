"""Reading: all facts of all targets, in few rounds, and a sentence for what can't be contained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from runbooks.aws import Reader, Where
from runbooks.calls import Call
from runbooks.connections import AccountAccess, Connections
from runbooks.errors import NotContainable, UnknownTarget
from runbooks.registry import STEPS
from runbooks.targets.fact import Fact
from runbooks.targets.instance import (
    Credentials,
    Ec2Instance,
    Evidence,
    LoadBalancing,
    Network,
    Protection,
    Scaling,
)
from runbooks.targets.reading import (
    CORE_PERMISSIONS,
    group_rules,
    interface,
    policy_text,
    read_instances,
)
from runbooks.targets.reference import TargetRef
from tests.runbooks.driver import ACCOUNT, REGION

ALL = (Credentials, Evidence, LoadBalancing, Network, Protection, Scaling)


@pytest.fixture
def connections(world: WorldIds) -> Iterator[Connections]:
    made = Connections({ACCOUNT: AccountAccess()}, session_name="test", simulate=world.url)
    yield made
    made.close()


@pytest.fixture
def reader(connections: Connections) -> Reader:
    return Reader(connections, Where(ACCOUNT, REGION))


@pytest.fixture
def ec2(world: WorldIds) -> Any:
    return client(world.url, REGION, "ec2")


def ref(identity: str) -> TargetRef:
    return TargetRef("ec2.instance", ACCOUNT, REGION, identity)


def read(reader: Reader, *ids: str, facts: Sequence[type[Fact]] = ()) -> list[Ec2Instance]:
    return read_instances(reader, [ref(identity) for identity in ids], facts, "inc-1")


def one(reader: Reader, identity: str, *facts: type[Fact]) -> Ec2Instance:
    (found,) = read(reader, identity, facts=facts)
    return found


# What the instance itself says


def test_interfaces_come_in_the_order_of_their_devices_with_all_their_addresses(
    reader: Reader, world: WorldIds
) -> None:
    target = one(reader, world.victim)

    first, second = target.network_interfaces
    assert [first.id, second.id] == [world.ids["victim_eni"], world.ids["victim_second_eni"]]
    assert (first.primary, second.primary) == (True, False)
    assert first.addresses == (world.ids["victim_ip"],)
    assert len(second.addresses) == 2
    assert first.groups == (world.ids["web_group"],)
    assert first.resource.arn.endswith(f":{ACCOUNT}:network-interface/{first.id}")


def test_volumes_know_their_device_and_what_becomes_of_them(
    reader: Reader, world: WorldIds
) -> None:
    volumes = {volume.device: volume for volume in one(reader, world.victim).volumes}

    (root,) = (device for device, volume in volumes.items() if volume.root)
    assert set(volumes) == {root, "/dev/sdf", "/dev/sdg"}
    assert volumes["/dev/sdf"].delete_on_termination
    assert not volumes["/dev/sdg"].delete_on_termination
    assert volumes["/dev/sdg"].encrypted
    assert volumes["/dev/sdg"].kms_key_id == world.ids["key"]
    assert volumes["/dev/sdf"].size == 40


def test_what_playbooks_look_into_is_plain_data(reader: Reader, world: WorldIds) -> None:
    found = one(reader, world.victim).lookup()

    assert found["id"] == world.victim
    assert found["arn"] == ref(world.victim).arn
    assert found["vpc_id"] == world.ids["vpc"]
    assert found["tags"]["environment"] == "production"  # type: ignore[index]


def test_an_elastic_ip_is_known_with_all_that_undo_needs(
    reader: Reader, ec2: Any, world: WorldIds
) -> None:
    allocated = ec2.allocate_address(Domain="vpc")
    associated = ec2.associate_address(
        AllocationId=allocated["AllocationId"], NetworkInterfaceId=world.ids["victim_eni"]
    )

    (address,) = one(reader, world.victim).network_interfaces[0].public_addresses

    assert address.public_ip == allocated["PublicIp"]
    assert address.private_ip == world.ids["victim_ip"]
    assert address.allocation_id == allocated["AllocationId"]
    assert address.association_id == associated["AssociationId"]


@pytest.mark.parametrize(
    "said", [{"RequesterManaged": True}, {"Operator": {"Managed": True, "Principal": "ecs"}}]
)
def test_an_interface_that_a_service_manages_is_known(said: dict[str, Any]) -> None:
    eni = {
        "NetworkInterfaceId": "eni-1",
        "VpcId": "vpc-1",
        "SubnetId": "subnet-1",
        "Attachment": {"InstanceId": "i-1"},
    }

    assert interface({**eni, **said}, "arn").managed
    assert not interface(eni, "arn").managed


# Facts


def test_scaling_is_the_groups_and_knows_how_many_targets_it_holds(
    reader: Reader, world: WorldIds
) -> None:
    victim, member, alone = read(
        reader, world.victim, world.ids["member_1"], world.ids["standalone"], facts=[Scaling]
    )

    membership = victim.fact(Scaling).membership
    assert membership is not None
    assert membership.group == world.ids["group"]
    assert (membership.min_size, membership.max_size, membership.desired_capacity) == (3, 6, 3)
    assert membership.lifecycle_state == "InService"
    assert membership.target_group_arns == (world.ids["alb_targets"],)
    assert membership.load_balancer_names == (world.ids["classic_balancer"],)
    assert membership.launch_source == f"launch template {world.ids['group']}"
    assert membership.targets_in_group == 2
    assert member.fact(Scaling).membership is not None
    assert alone.fact(Scaling).membership is None


def test_every_registration_is_found_by_id_by_address_and_by_port(
    reader: Reader, world: WorldIds
) -> None:
    found = one(reader, world.victim, LoadBalancing).fact(LoadBalancing)

    by_group = Counter(target.target_group_arn for target in found.targets)
    assert by_group == {
        world.ids["alb_targets"]: 1,
        world.ids["nlb_targets"]: 3,
        world.ids["ports_targets"]: 2,
    }
    ports = {t.port for t in found.targets if t.target_group_arn == world.ids["ports_targets"]}
    assert ports == {8081, 8082}
    assert {item.load_balancer for item in found.classic} == {
        world.ids["classic_balancer"],
        world.ids["legacy_balancer"],
    }
    assert one(reader, world.ids["standalone"], LoadBalancing).fact(LoadBalancing).targets == ()


def test_the_role_behind_the_profile_is_known_with_its_path(
    reader: Reader, world: WorldIds
) -> None:
    found = one(reader, world.victim, Credentials).fact(Credentials)

    assert found.association_id
    assert found.profile_name == world.ids["profile"]
    assert found.role is not None
    assert found.role.name == world.ids["role"]
    assert found.role.path == "/app/"
    assert found.role.id.startswith("AROA")
    assert found.role.inline_policies == {}
    assert not found.contained_profile.exists


def test_an_instance_without_a_profile_has_no_role(reader: Reader, world: WorldIds) -> None:
    found = one(reader, world.ids["standalone"], Credentials).fact(Credentials)

    assert (found.association_id, found.profile_arn, found.role) == (None, None, None)


def test_attributes_are_read_one_by_one(reader: Reader, ec2: Any, world: WorldIds) -> None:
    ec2.modify_instance_attribute(InstanceId=world.victim, DisableApiTermination={"Value": True})

    assert one(reader, world.victim, Protection).fact(Protection) == Protection(
        termination=True, stop=False, shutdown_behavior="stop"
    )


def isolation_group(ec2: Any, vpc: str, name: str) -> str:
    tags = [{"Key": "clampdown:isolation", "Value": vpc}]
    made = ec2.create_security_group(
        GroupName=name,
        Description="-",
        VpcId=vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )
    return str(made["GroupId"])


def test_only_tagged_groups_of_the_vpcs_of_its_interfaces_are_isolation_groups(
    reader: Reader, ec2: Any, world: WorldIds
) -> None:
    elsewhere = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    ours = [isolation_group(ec2, world.ids["vpc"], name) for name in ("b", "a", "c")]
    isolation_group(ec2, elsewhere, "theirs")

    found = one(reader, world.victim, Network).fact(Network)

    assert [group.id for group in found.isolation_groups] == sorted(ours), "the same every time"
    (rule,) = found.isolation_groups[0].rules
    assert (rule.egress, rule.protocol, rule.peer) == (True, "-1", "0.0.0.0/0")


def test_the_network_acls_of_its_subnets_are_read_with_everything_that_they_cover(
    reader: Reader, world: WorldIds
) -> None:
    target = one(reader, world.victim, Network)

    (acl,) = target.fact(Network).acls
    assert target.subnet_id in acl.subnet_ids
    assert len(acl.subnet_ids) == 4
    assert {(entry.egress, entry.allow) for entry in acl.entries} == {
        (egress, allow) for egress in (True, False) for allow in (True, False)
    }


def test_rules_of_every_kind_of_peer_are_told_apart() -> None:
    peers = {
        "sgr-4": {"CidrIpv4": "192.0.2.0/24"},
        "sgr-6": {"CidrIpv6": "2001:db8::/64"},
        "sgr-list": {"PrefixListId": "pl-1"},
        "sgr-group": {"ReferencedGroupInfo": {"GroupId": "sg-2"}},
    }
    answer = [
        {"SecurityGroupRuleId": identity, "GroupId": "sg-1", "IsEgress": False, **peer}
        for identity, peer in peers.items()
    ]

    rules = group_rules([*answer, {**answer[0], "GroupId": "sg-other"}], "sg-1")

    assert {rule.id: rule.peer for rule in rules} == {
        "sgr-4": "192.0.2.0/24",
        "sgr-6": "2001:db8::/64",
        "sgr-list": "pl-1",
        "sgr-group": "sg-2",
    }


def test_policies_are_compared_in_one_textual_form() -> None:
    assert policy_text('{"b": 1, "a": [2]}') == policy_text({"a": [2], "b": 1})


def test_a_fact_that_was_not_asked_for_is_not_there(reader: Reader, world: WorldIds) -> None:
    with pytest.raises(KeyError):
        one(reader, world.victim).fact(Scaling)


# What can't be contained


def test_an_unknown_instance_is_named_with_where_it_was_looked_for(
    reader: Reader, world: WorldIds
) -> None:
    with pytest.raises(UnknownTarget, match=f"i-0123456789abcdef0 in account {ACCOUNT}") as caught:
        read(reader, world.victim, "i-0123456789abcdef0")

    assert "--region" in caught.value.advice
    assert caught.value.exit_code == 2


def test_an_instance_of_another_region_is_unknown_here(
    connections: Connections, world: WorldIds
) -> None:
    elsewhere = Reader(connections, Where(ACCOUNT, "us-east-1"))

    with pytest.raises(UnknownTarget, match="us-east-1"):
        read_instances(
            elsewhere, [TargetRef("ec2.instance", ACCOUNT, "us-east-1", world.victim)], ALL
        )


def test_a_terminated_instance_has_nothing_left_to_contain(
    reader: Reader, ec2: Any, world: WorldIds
) -> None:
    ec2.terminate_instances(InstanceIds=[world.ids["standalone"]])

    with pytest.raises(NotContainable, match="terminated") as caught:
        read(reader, world.ids["standalone"], facts=ALL)

    assert "volumes" in caught.value.advice


class Answers(Reader):
    """A reader to which AWS gives answers that no simulated account can be brought to give."""

    def __init__(self, connections: Connections, answers: dict[str, Any]) -> None:
        super().__init__(connections, Where(ACCOUNT, REGION))
        self.answers = answers

    def read_all(
        self, calls: Sequence[Call], *, absent: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        return [self.answers[call.operation] for call in calls]


def described(**instance: Any) -> dict[str, Any]:
    found = {
        "InstanceId": "i-0123456789abcdef0",
        "State": {"Name": "running"},
        "Placement": {"AvailabilityZone": f"{REGION}a"},
        **instance,
    }
    return {
        "describe_instances": {"Reservations": [{"Instances": [found]}]},
        "describe_network_interfaces": {"NetworkInterfaces": []},
        "describe_volumes": {"Volumes": []},
    }


def test_an_instance_in_no_vpc_has_no_interface_to_isolate(connections: Connections) -> None:
    with pytest.raises(NotContainable, match="in no VPC"):
        read(Answers(connections, described()), "i-0123456789abcdef0")


def test_what_aws_leaves_out_has_the_meaning_that_it_documents(connections: Connections) -> None:
    answers = described(
        VpcId="vpc-1", InstanceLifecycle="spot", RootDeviceType="instance-store", Tags=[]
    )

    target = one(Answers(connections, answers), "i-0123456789abcdef0")

    assert target.spot
    assert target.instance_store
    assert target.metadata_endpoint == "enabled"
    assert target.metadata_tokens == "optional"
    assert not target.metadata_tags
    assert (target.network_interfaces, target.volumes) == ((), ())


# How much is asked


def instances(ec2: Any, world: WorldIds, count: int) -> list[str]:
    made = ec2.run_instances(
        ImageId=world.ids["image"],
        InstanceType="m5.large",
        MinCount=count,
        MaxCount=count,
        SubnetId=world.ids["private_a"],
        SecurityGroupIds=[world.ids["web_group"]],
    )
    return [item["InstanceId"] for item in made["Instances"]]


def test_more_than_a_hundred_targets_take_hardly_more_calls_than_one(
    reader: Reader, ec2: Any, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    facts = [kind for kind in ALL if kind is not Protection]
    ids = [world.victim, *instances(ec2, world, 119)]

    def calls_for(targets: list[str]) -> Counter[str]:
        simulated_aws.calls.clear()
        found = read(reader, *targets, facts=facts)
        assert [target.id for target in found] == targets
        return Counter(call.name for call in simulated_aws.calls)

    for_one, for_many = calls_for(ids[:1]), calls_for(ids)

    more = for_many - for_one
    # 50 instances a call is all that DescribeAutoScalingInstances takes.
    assert more == {"autoscaling:DescribeAutoScalingInstances": 2}
    assert not simulated_aws.calls.changes


def test_every_filter_holds_no_more_than_ec2_takes(
    connections: Connections, simulated_aws: SimulatedAws
) -> None:
    ids = [f"i-{number:017x}" for number in range(401)]
    simulated_aws.calls.clear()

    with pytest.raises(UnknownTarget):
        read(Reader(connections, Where(ACCOUNT, REGION)), *ids)

    sizes = [
        len(call.parameters["Filters"][0]["Values"])
        for call in simulated_aws.calls.of("ec2", "DescribeInstances")
    ]
    assert sorted(sizes) == [1, 200, 200]


def test_only_what_a_fact_declares_is_read_for_it(
    reader: Reader, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    prefixes = {"elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing"}
    for kind in ALL:
        simulated_aws.calls.clear()
        one(reader, world.victim, kind)

        made = {
            f"{prefixes.get(call.service, call.service)}:{call.operation}"
            for call in simulated_aws.calls
        }
        assert made <= {*CORE_PERMISSIONS, *kind.permissions}, kind.__name__


def test_there_is_a_reader_for_every_fact_that_a_step_declares(
    reader: Reader, world: WorldIds
) -> None:
    declared = {fact for step in STEPS.values() for fact in step.facts}

    target = one(reader, world.victim, *declared)

    assert {type(target.fact(kind)) for kind in declared} == declared


def test_evidence_is_not_looked_for_without_an_incident(
    reader: Reader, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    simulated_aws.calls.clear()

    (target,) = read_instances(reader, [ref(world.victim)], [Evidence])

    assert target.fact(Evidence).snapshots == ()
    assert not simulated_aws.calls.of("ec2", "DescribeSnapshots")
