from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused


def launched(ec2: Any, world: WorldIds, kind: str) -> str:
    """The interface of one more instance."""
    [made] = ec2.run_instances(
        ImageId=world.ids["image"],
        InstanceType=kind,
        MinCount=1,
        MaxCount=1,
        SubnetId=world.ids["private_a"],
    )["Instances"]
    return interface_of(ec2, made["InstanceId"])


def interface_of(ec2: Any, instance_id: str) -> str:
    identity: str = instance(ec2, instance_id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    return identity


@pytest.fixture
def source(ec2: Any, world: WorldIds) -> str:
    return launched(ec2, world, "t3.micro")


@pytest.fixture
def monitor(ec2: Any, world: WorldIds) -> str:
    return launched(ec2, world, "m5.large")


@pytest.fixture
def target(ec2: Any, monitor: str) -> str:
    made = ec2.create_traffic_mirror_target(NetworkInterfaceId=monitor)
    return str(made["TrafficMirrorTarget"]["TrafficMirrorTargetId"])


@pytest.fixture
def mirror_filter(ec2: Any) -> str:
    made = ec2.create_traffic_mirror_filter()["TrafficMirrorFilter"]
    return str(made["TrafficMirrorFilterId"])


def rule(ec2: Any, mirror_filter: str, number: int = 1, **more: Any) -> dict[str, Any]:
    wanted = {
        "TrafficMirrorFilterId": mirror_filter,
        "TrafficDirection": "ingress",
        "RuleNumber": number,
        "RuleAction": "accept",
        "DestinationCidrBlock": "0.0.0.0/0",
        "SourceCidrBlock": "0.0.0.0/0",
        **more,
    }
    made: dict[str, Any] = ec2.create_traffic_mirror_filter_rule(**wanted)
    return dict(made["TrafficMirrorFilterRule"])


def session(
    ec2: Any, interface: str, target: str, mirror_filter: str, **more: Any
) -> dict[str, Any]:
    made: dict[str, Any] = ec2.create_traffic_mirror_session(
        **{
            "NetworkInterfaceId": interface,
            "TrafficMirrorTargetId": target,
            "TrafficMirrorFilterId": mirror_filter,
            "SessionNumber": 1,
            **more,
        }
    )
    return dict(made["TrafficMirrorSession"])


def test_a_filter_shows_its_rules_by_direction_and_number(ec2: Any, mirror_filter: str) -> None:
    second = rule(ec2, mirror_filter, 2, Protocol=6, DestinationPortRange={"FromPort": 1})
    first, out = rule(ec2, mirror_filter), rule(ec2, mirror_filter, TrafficDirection="egress")

    [found] = ec2.describe_traffic_mirror_filters()["TrafficMirrorFilters"]
    assert [item["RuleNumber"] for item in found["IngressFilterRules"]] == [1, 2]
    assert found["IngressFilterRules"] == [first, second]
    assert found["EgressFilterRules"] == [out]
    assert second["DestinationPortRange"] == {"FromPort": 1}
    ids = [first["TrafficMirrorFilterRuleId"]]
    described = ec2.describe_traffic_mirror_filter_rules(TrafficMirrorFilterRuleIds=ids)
    assert described["TrafficMirrorFilterRules"] == [first]


def test_a_rule_is_refused_twice_and_where_it_says_nonsense(ec2: Any, mirror_filter: str) -> None:
    rule(ec2, mirror_filter)

    with refused("TrafficMirrorFilterRuleAlreadyExists"):
        rule(ec2, mirror_filter)
    with refused("InvalidParameterValue"):
        rule(ec2, mirror_filter, 2, RuleAction="allow")
    with refused("InvalidTrafficMirrorFilterId.NotFound"):
        rule(ec2, "tmf-00000000000000000")


def test_a_filter_has_at_most_ten_rules(ec2: Any, mirror_filter: str) -> None:
    for number in range(1, 11):
        rule(ec2, mirror_filter, number)

    with refused("TrafficMirrorFilterRuleLimitExceeded"):
        rule(ec2, mirror_filter, 11)


def test_a_rule_is_deleted(ec2: Any, mirror_filter: str) -> None:
    made = rule(ec2, mirror_filter)["TrafficMirrorFilterRuleId"]

    ec2.delete_traffic_mirror_filter_rule(TrafficMirrorFilterRuleId=made)

    assert ec2.describe_traffic_mirror_filter_rules()["TrafficMirrorFilterRules"] == []
    with refused("InvalidTrafficMirrorFilterRuleId.NotFound"):
        ec2.delete_traffic_mirror_filter_rule(TrafficMirrorFilterRuleId=made)


def test_a_session_has_a_virtual_network_of_its_own(
    ec2: Any, source: str, target: str, mirror_filter: str
) -> None:
    first = session(ec2, source, target, mirror_filter)
    second = session(ec2, source, target, mirror_filter, SessionNumber=2)

    assert first["VirtualNetworkId"] != second["VirtualNetworkId"]
    found = ec2.describe_traffic_mirror_sessions()["TrafficMirrorSessions"]
    assert [item["NetworkInterfaceId"] for item in found] == [source, source]


def test_an_interface_is_a_source_or_a_target(
    ec2: Any, source: str, monitor: str, target: str, mirror_filter: str
) -> None:
    session(ec2, source, target, mirror_filter)

    with refused("InterfaceInUseByTrafficMirrorTarget"):
        session(ec2, monitor, target, mirror_filter)
    with refused("InterfaceInUseByTrafficMirrorTarget"):
        ec2.create_traffic_mirror_target(NetworkInterfaceId=monitor)
    with refused("InterfaceInUseByTrafficMirrorSession"):
        ec2.create_traffic_mirror_target(NetworkInterfaceId=source)


@pytest.mark.parametrize(
    ("kind", "is_mirrored"),
    [
        ("t3.micro", True),
        ("m4.large", True),
        ("t2.micro", False),
        ("m6i.large", False),
        ("m5.metal", False),
    ],
)
def test_some_instance_types_cannot_be_mirrored(
    ec2: Any, world: WorldIds, target: str, mirror_filter: str, kind: str, is_mirrored: bool
) -> None:
    interface = launched(ec2, world, kind)

    if is_mirrored:
        session(ec2, interface, target, mirror_filter)
    else:
        with refused("NetworkInterfaceNotSupported"):
            session(ec2, interface, target, mirror_filter)


def test_an_interface_of_no_instance_cannot_be_mirrored(
    ec2: Any, world: WorldIds, target: str, mirror_filter: str
) -> None:
    made = ec2.create_network_interface(SubnetId=world.ids["private_a"])["NetworkInterface"]

    with refused("NetworkInterfaceNotSupported"):
        session(ec2, made["NetworkInterfaceId"], target, mirror_filter)


def test_a_session_is_refused_for_what_there_is_not(
    ec2: Any, source: str, target: str, mirror_filter: str
) -> None:
    with refused("InvalidTrafficMirrorTargetId.NotFound"):
        session(ec2, source, "tmt-00000000000000000", mirror_filter)
    with refused("InvalidTrafficMirrorFilterId.NotFound"):
        session(ec2, source, target, "tmf-00000000000000000")
    with refused("InvalidNetworkInterfaceID.NotFound"):
        session(ec2, "eni-00000000000000000", target, mirror_filter)
    with refused("InvalidParameterValue"):
        session(ec2, source, target, mirror_filter, SessionNumber=0)
    with refused("InvalidTrafficMirrorSessionId.NotFound"):
        ec2.describe_traffic_mirror_sessions(TrafficMirrorSessionIds=["tms-00000000000000000"])


def test_an_interface_has_at_most_three_sessions(
    ec2: Any, source: str, target: str, mirror_filter: str
) -> None:
    for number in range(1, 4):
        session(ec2, source, target, mirror_filter, SessionNumber=number)

    with refused("TrafficMirrorSessionsPerInterfaceLimitExceeded"):
        session(ec2, source, target, mirror_filter, SessionNumber=4)


def test_what_a_session_uses_is_deleted_after_it(
    ec2: Any, source: str, target: str, mirror_filter: str
) -> None:
    made = session(ec2, source, target, mirror_filter)["TrafficMirrorSessionId"]
    with refused("TrafficMirrorFilterInUse"):
        ec2.delete_traffic_mirror_filter(TrafficMirrorFilterId=mirror_filter)
    with refused("TrafficMirrorTargetInUseException"):
        ec2.delete_traffic_mirror_target(TrafficMirrorTargetId=target)

    ec2.delete_traffic_mirror_session(TrafficMirrorSessionId=made)
    ec2.delete_traffic_mirror_filter(TrafficMirrorFilterId=mirror_filter)
    ec2.delete_traffic_mirror_target(TrafficMirrorTargetId=target)

    assert ec2.describe_traffic_mirror_sessions()["TrafficMirrorSessions"] == []
    assert ec2.describe_traffic_mirror_filters()["TrafficMirrorFilters"] == []
    assert ec2.describe_traffic_mirror_targets()["TrafficMirrorTargets"] == []
