"""``elb.deregister``: every registration by id, address and port, and none that is not ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from runbooks.autoscaling.detach import DetachInstance
from runbooks.aws import Once, Permit, PlanningAws, Where
from runbooks.calls import Call, PlannedStep, Resource
from runbooks.elb.deregister import DeregisterInstance
from runbooks.errors import NotContained
from runbooks.step import NoParams
from runbooks.targets.instance import (
    ClassicRegistration,
    Ec2Instance,
    LoadBalancing,
    TargetRegistration,
)
from runbooks.targets.reading import read_instances
from runbooks.targets.reference import TargetRef
from tests.runbooks.driver import ACCOUNT, REGION, Incident, MemoryLedger
from tests.runbooks.instances import INSTANCE, Plan, instance
from tests.runbooks.stage import Stage


def arn(group: str) -> str:
    return f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{group}/0123456789abcdef"


def registration(
    group: str = "web", target: str = INSTANCE, port: int = 80, **facts: Any
) -> TargetRegistration:
    values: dict[str, Any] = {
        "zone": None,
        "state": "healthy",
        "protocol": "HTTP",
        "vpc_id": "vpc-1",
        "overrides_port": False,
        "others_healthy": 1,
        **facts,
    }
    return TargetRegistration(Resource(arn(group)), arn(group), target, port, **values)


def classic(name: str = "legacy", others: int = 1) -> ClassicRegistration:
    resource = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/{name}"
    return ClassicRegistration(Resource(resource), name, others)


def behind(*registrations: TargetRegistration | ClassicRegistration) -> Ec2Instance:
    targets = tuple(item for item in registrations if isinstance(item, TargetRegistration))
    balancers = tuple(item for item in registrations if isinstance(item, ClassicRegistration))
    return instance(facts=[LoadBalancing(targets, balancers)])


def plan(*registrations: TargetRegistration | ClassicRegistration) -> Plan:
    return Plan(DeregisterInstance, behind(*registrations))


# What is planned


def test_an_instance_behind_no_load_balancer_needs_nothing() -> None:
    assert plan().calls == []
    DeregisterInstance().verify(None, behind(), NoParams())  # type: ignore[arg-type]


def test_one_call_for_each_target_group_names_every_port_and_address() -> None:
    calls = plan(
        registration("web", port=8081),
        registration("tcp", "10.0.0.5", 443, zone="eu-west-1a"),
        registration("web", port=8082),
        registration("tcp", "2001:db8::5", 443),
    ).calls

    assert calls == [
        Call(
            "elbv2",
            "deregister_targets",
            TargetGroupArn=arn("web"),
            Targets=[{"Id": INSTANCE, "Port": 8081}, {"Id": INSTANCE, "Port": 8082}],
        ),
        Call(
            "elbv2",
            "deregister_targets",
            TargetGroupArn=arn("tcp"),
            Targets=[
                {"Id": "10.0.0.5", "Port": 443, "AvailabilityZone": "eu-west-1a"},
                {"Id": "2001:db8::5", "Port": 443},
            ],
        ),
    ]


def test_undo_registers_the_same_id_port_zone_and_server_again() -> None:
    known = registration("peer", "10.9.0.5", 443, zone="all", server_id="0x0123456789abcdef")

    (change,) = plan(known).changes

    (undo,) = change.undos
    assert undo.call == Call(
        "elbv2",
        "register_targets",
        TargetGroupArn=arn("peer"),
        Targets=[
            {
                "Id": "10.9.0.5",
                "Port": 443,
                "AvailabilityZone": "all",
                "QuicServerId": "0x0123456789abcdef",
            }
        ],
    )
    assert undo.unless == ("TargetGroupNotFound",)


def test_a_classic_load_balancer_is_spoken_to_by_its_own_api() -> None:
    (change,) = plan(classic("legacy")).changes

    params = {"LoadBalancerName": "legacy", "Instances": [{"InstanceId": INSTANCE}]}
    assert change.call == Call("elb", "deregister_instances_from_load_balancer", **params)
    assert change.undos[0].call == Call("elb", "register_instances_with_load_balancer", **params)


def test_what_drains_is_gone_and_not_waited_for() -> None:
    target = behind(registration(state="draining"))

    assert Plan(DeregisterInstance, target).calls == []
    DeregisterInstance().verify(None, target, NoParams())  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["initial", "unhealthy", "unhealthy.draining", "unused"])
def test_what_gets_no_traffic_now_is_deregistered_too(state: str) -> None:
    assert len(plan(registration(state=state)).calls) == 1


@pytest.mark.parametrize("protocol", ["TCP", "TLS", "UDP", "GENEVE"])
def test_connections_that_outlive_their_registration_are_warned_of(protocol: str) -> None:
    assert "stay open" in plan(registration("tcp", protocol=protocol)).warnings
    assert "stay open" not in plan(registration("web", protocol="HTTPS")).warnings


def test_the_last_healthy_target_is_warned_of() -> None:
    assert "last that serves the target group web" in plan(registration(others_healthy=0)).warnings
    assert "last" not in plan(registration(others_healthy=1)).warnings
    assert "last" not in plan(registration(others_healthy=0, state="unhealthy")).warnings
    assert "Classic Load Balancer legacy" in plan(classic(others=0)).warnings


def test_a_target_group_of_another_vpc_is_warned_of() -> None:
    foreign = registration("peer", "10.0.0.5", zone="all", vpc_id="vpc-2")

    assert "another VPC" in plan(foreign).warnings
    assert "another VPC" not in plan(registration()).warnings


def test_the_plan_says_which_ways_in_are_not_looked_at() -> None:
    for way in ("VPC Lattice", "Global Accelerator", "Cloud Map", "DNS"):
        assert way in plan().warnings
        assert way in (DeregisterInstance.__doc__ or "")


def test_verify_names_each_registration_that_is_left() -> None:
    target = behind(registration("web", port=8081), classic("legacy"))

    with pytest.raises(NotContained, match=rf"web \({INSTANCE}:8081, healthy\).*legacy"):
        DeregisterInstance().verify(None, target, NoParams())  # type: ignore[arg-type]


def test_it_takes_something_down_and_never_blocks_the_isolation() -> None:
    assert DeregisterInstance.disruptive
    assert DeregisterInstance.on_failure == "continue"


# Which registrations are the instance's


class Answers:
    """AWS as far as reading the facts needs it: answers by operation, else none."""

    region, account, where = REGION, ACCOUNT, Where(ACCOUNT, REGION)

    def __init__(self, groups: Mapping[str, Mapping[str, Any]], health: Mapping[str, Any]) -> None:
        self.groups = groups
        self.health = health

    def read_all(self, calls: Sequence[Call], *, absent: Sequence[str] = ()) -> list[Any]:
        assert "TargetGroupNotFound" in absent
        return [getattr(self, call.operation)(call) for call in calls]

    def describe_instances(self, call: Call) -> Any:
        ids = call.params["Filters"][0]["Values"]
        return {"Reservations": [{"Instances": [self._instance(identity) for identity in ids]}]}

    def _instance(self, identity: str) -> Any:
        return {
            "InstanceId": identity,
            "VpcId": "vpc-1",
            "State": {"Name": "running"},
            "Placement": {"AvailabilityZone": "eu-west-1a"},
        }

    def describe_network_interfaces(self, call: Call) -> Any:
        return {
            "NetworkInterfaces": [
                {
                    "NetworkInterfaceId": f"eni-{number}",
                    "VpcId": "vpc-1",
                    "SubnetId": "subnet-1",
                    "Attachment": {"InstanceId": INSTANCE, "DeviceIndex": number},
                    "PrivateIpAddresses": [{"PrivateIpAddress": item} for item in four],
                    "Ipv6Addresses": [{"Ipv6Address": item} for item in six],
                }
                for number, (four, six) in enumerate(
                    [(["10.0.0.5", "10.0.0.6"], ["2001:db8::5"]), (["10.0.1.5"], [])]
                )
            ]
        }

    def describe_volumes(self, call: Call) -> Any:
        return {"Volumes": []}

    def describe_target_groups(self, call: Call) -> Any:
        return {
            "TargetGroups": [
                {
                    "TargetGroupArn": arn(name),
                    "Protocol": "TCP",
                    "Port": 80,
                    "VpcId": "vpc-1",
                    "TargetType": "ip",
                    **group,
                }
                for name, group in self.groups.items()
            ]
        }

    def describe_load_balancers(self, call: Call) -> Any:
        instances = [{"InstanceId": INSTANCE}, {"InstanceId": "i-0123456789abcdef1"}]
        return {
            "LoadBalancerDescriptions": [
                {"LoadBalancerName": "legacy", "Instances": instances},
                {"LoadBalancerName": "other", "Instances": instances[1:]},
            ]
        }

    def describe_target_health(self, call: Call) -> Any:
        name = call.params["TargetGroupArn"].split("/")[1]
        if name not in self.health:
            # As Reader answers what is absent.
            return {}
        return {
            "TargetHealthDescriptions": [
                {"Target": {"Port": 80, **target}, "TargetHealth": {"State": "healthy"}}
                for target in self.health[name]
            ]
        }


def read(
    groups: Mapping[str, Mapping[str, Any]], health: Mapping[str, Any], *others: str
) -> LoadBalancing:
    refs = [TargetRef("ec2.instance", ACCOUNT, REGION, i) for i in (INSTANCE, *others)]
    reader: Any = Answers(groups, health)
    return read_instances(reader, refs, [LoadBalancing])[0].fact(LoadBalancing)


def test_every_address_of_every_interface_is_looked_for() -> None:
    addresses = ["10.0.0.5", "10.0.0.6", "10.0.1.5", "2001:db8::5"]

    found = read({"tcp": {}}, {"tcp": [{"Id": item} for item in (*addresses, "10.0.0.7")]})

    assert [item.target_id for item in found.targets] == addresses


def test_one_instance_is_found_on_each_of_its_ports() -> None:
    health = {"web": [{"Id": INSTANCE, "Port": port} for port in (80, 8081)]}

    found = read({"web": {"TargetType": "instance"}}, health)

    assert [(item.port, item.overrides_port) for item in found.targets] == [
        (80, False),
        (8081, True),
    ]


def test_the_same_address_in_another_vpc_is_another_host() -> None:
    groups = {"theirs": {"VpcId": "vpc-2"}, "peer": {"VpcId": "vpc-2"}}
    health = {
        "theirs": [{"Id": "10.0.0.5", "AvailabilityZone": "eu-west-1a"}],
        "peer": [{"Id": "10.0.0.5", "AvailabilityZone": "all"}],
    }

    found = read(groups, health)

    assert [item.target_group_arn for item in found.targets] == [arn("peer")]


def test_other_targets_of_the_incident_do_not_count_as_healthy() -> None:
    other = "i-0123456789abcdef1"
    groups = {"web": {"TargetType": "instance"}}
    health = {"web": [{"Id": INSTANCE}, {"Id": other}]}

    assert read(groups, health).targets[0].others_healthy == 1
    assert read(groups, health).classic[0].others == 1
    assert read(groups, health, other).targets[0].others_healthy == 0
    assert read(groups, health, other).classic[0].others == 0


def test_a_target_group_that_is_deleted_meanwhile_is_no_failure() -> None:
    found = read({"gone": {}}, {})

    assert found.targets == ()
    assert [item.load_balancer for item in found.classic] == ["legacy"]


# Together with autoscaling.detach


class Playbook:
    """autoscaling.detach and then elb.deregister, on facts that were read once before both."""

    steps = (DetachInstance, DeregisterInstance)

    def __init__(self, stage: Stage, incident: Incident) -> None:
        self.stage = stage
        self.incident = incident
        refs = [TargetRef("ec2.instance", ACCOUNT, REGION, stage.world.victim)]
        facts = [fact for step in self.steps for fact in step.facts]
        reader = PlanningAws(
            incident.connections, incident.where, incident.context, "facts", Once()
        )
        (self.target,) = read_instances(reader, refs, facts, incident.id)
        self.ledger = MemoryLedger()
        once = Once()
        self.detach, self.deregister = (self._planned(step, once) for step in self.steps)
        stage.forget_calls()

    def _planned(self, step: Any, once: Once) -> PlannedStep:
        incident = self.incident
        aws = PlanningAws(incident.connections, incident.where, incident.context, step.name, once)
        step().contain(aws, self.target, step.Params())
        return PlannedStep(
            step.name,
            step.name,
            self.target.ref.arn,
            "",
            tuple(aws.changes),
            tuple(aws.contingent),
            tuple(aws.warnings),
        )

    def run(self, step: Any, planned: PlannedStep, once: Once) -> None:
        live = self.incident.live(self.ledger, Permit(planned), once)
        step().contain(live, self.target, step.Params())

    def groups(self, changes: Sequence[Any]) -> list[str]:
        """The target groups and Classic Load Balancers that the changes are about."""
        return sorted(change.on.arn.split("/")[1] for change in changes)


GROUPS_OWN = ["payments-alb", "payments-classic"]
OTHERS = ["payments-legacy", "payments-nlb", "payments-ports"]


def test_what_leaving_the_group_deregisters_is_not_deregistered_twice(
    stage: Stage, incident: Incident
) -> None:
    playbook = Playbook(stage, incident)
    once = Once()

    playbook.run(DetachInstance, playbook.detach, once)
    playbook.run(DeregisterInstance, playbook.deregister, once)

    assert playbook.groups(playbook.deregister.changes) == OTHERS
    assert playbook.groups(playbook.deregister.contingent) == GROUPS_OWN
    assert playbook.groups(playbook.ledger.intents[1:]) == OTHERS
    incident.verify(DeregisterInstance, stage.world.victim)


def test_aws_is_asked_where_nobody_has_said_that_the_instance_left_its_group(
    stage: Stage, incident: Incident
) -> None:
    playbook = Playbook(stage, incident)

    playbook.run(DetachInstance, playbook.detach, Once())
    playbook.run(DeregisterInstance, playbook.deregister, Once())

    assert playbook.groups(playbook.ledger.intents[1:]) == OTHERS


def test_the_plan_covers_a_detach_that_fails(stage: Stage, incident: Incident) -> None:
    playbook = Playbook(stage, incident)

    playbook.run(DeregisterInstance, playbook.deregister, Once())

    assert playbook.groups(playbook.ledger.intents) == sorted([*GROUPS_OWN, *OTHERS])
    incident.verify(DeregisterInstance, stage.world.victim)


def test_a_playbook_without_detach_deregisters_everything_and_warns(
    stage: Stage, incident: Incident
) -> None:
    planned = incident.plan(DeregisterInstance, stage.world.victim)

    assert sorted(change.on.arn.split("/")[1] for change in planned.changes) == sorted(
        [*GROUPS_OWN, *OTHERS]
    )
    assert "still in the Auto Scaling group payments-web" in " ".join(planned.warnings)


def test_another_port_in_the_groups_own_target_group_is_not_left_to_the_group(
    stage: Stage, incident: Incident
) -> None:
    with stage.unrecorded():
        stage.client("elbv2").register_targets(
            TargetGroupArn=stage.world.ids["alb_targets"],
            Targets=[{"Id": stage.world.victim, "Port": 9999}],
        )
    playbook = Playbook(stage, incident)
    once = Once()

    playbook.run(DetachInstance, playbook.detach, once)
    playbook.run(DeregisterInstance, playbook.deregister, once)

    assert playbook.groups(playbook.ledger.intents[1:]) == ["payments-alb", *OTHERS]
    incident.verify(DeregisterInstance, stage.world.victim)


def test_undoing_both_brings_every_registration_back(stage: Stage, incident: Incident) -> None:
    before = stage.state()
    ledger = incident.run(DetachInstance, stage.world.victim, {"replacement": "none"})
    incident.run(DeregisterInstance, stage.world.victim, ledger=ledger)

    incident.undo(ledger)

    assert stage.state() == before


def test_a_draining_target_is_not_deregistered_again(
    simulated_aws: SimulatedAws, incident: Incident, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_aws, "drain_seconds", 300.0)
    stage = Stage(simulated_aws)
    victim = stage.set_up().victim
    incident.run(DeregisterInstance, victim)
    stage.forget_calls()

    incident.run(DeregisterInstance, victim)

    assert stage.changes() == []
    balancing = incident.target(DeregisterInstance, victim).fact(LoadBalancing)
    assert {item.state for item in balancing.targets} == {"draining"}
