from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws import scaling
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance, refused, until


class Group:
    """The world's Auto Scaling group."""

    def __init__(self, aws: Any, world: WorldIds) -> None:
        self.api, self.name, self.victim = aws("autoscaling"), world.ids["group"], world.victim
        self.elb, self.elbv2, self.ids = aws("elb"), aws("elbv2"), world.ids

    @property
    def found(self) -> dict[str, Any]:
        answer = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        found: dict[str, Any] = answer["AutoScalingGroups"][0]
        return found

    @property
    def members(self) -> dict[str, str]:
        """Lifecycle states by ids."""
        return {item["InstanceId"]: item["LifecycleState"] for item in self.found["Instances"]}

    def call(self, operation: str, **parameters: Any) -> Any:
        return getattr(self.api, operation)(AutoScalingGroupName=self.name, **parameters)

    def of_victim(self, operation: str, **parameters: Any) -> Any:
        return self.call(operation, InstanceIds=[self.victim], **parameters)

    def detach(self, *, decrement: bool) -> None:
        self.of_victim("detach_instances", ShouldDecrementDesiredCapacity=decrement)

    def targets(self) -> set[str]:
        answer = self.elbv2.describe_target_health(TargetGroupArn=self.ids["alb_targets"])
        return {
            item["Target"]["Id"]
            for item in answer["TargetHealthDescriptions"]
            if item["TargetHealth"]["State"] != "draining"
        }

    def balanced(self) -> set[str]:
        [found] = self.elb.describe_load_balancers(
            LoadBalancerNames=[self.ids["classic_balancer"]]
        )["LoadBalancerDescriptions"]
        return {item["InstanceId"] for item in found["Instances"]}


@pytest.fixture
def group(aws: Any, world: WorldIds) -> Group:
    return Group(aws, world)


def test_the_members_are_in_the_groups_load_balancers(group: Group) -> None:
    assert set(group.members.values()) == {"InService"}
    assert group.targets() == group.balanced() == set(group.members)


def test_a_detached_instance_leaves_the_load_balancers_and_is_replaced_at_once(
    group: Group,
) -> None:
    before = set(group.members)

    group.detach(decrement=False)

    [replacement] = set(group.members) - before
    assert group.victim not in group.members
    assert group.found["DesiredCapacity"] == 3
    assert group.targets() == group.balanced() == set(group.members)
    assert replacement in group.targets()


def test_a_group_does_not_shrink_below_its_minimum(group: Group) -> None:
    with refused("ValidationError", "min size constraint"):
        group.detach(decrement=True)
    with refused("ValidationError", "min size constraint"):
        group.of_victim("enter_standby", ShouldDecrementDesiredCapacity=True)

    group.call("update_auto_scaling_group", MinSize=2)
    group.detach(decrement=True)

    assert len(group.members) == group.found["DesiredCapacity"] == 2


def test_an_instance_of_another_group_is_not_detached(group: Group, world: WorldIds) -> None:
    with refused("ValidationError", "is not part of Auto Scaling group"):
        group.call(
            "detach_instances",
            InstanceIds=[world.ids["standalone"]],
            ShouldDecrementDesiredCapacity=False,
        )


def test_a_group_that_is_not_there_is_a_validation_error(group: Group) -> None:
    group.name = "gone"

    with refused("ValidationError", "name not found"):
        group.detach(decrement=False)


def test_no_replacement_comes_while_launch_is_suspended(group: Group) -> None:
    group.call("suspend_processes", ScalingProcesses=["Launch"])
    assert [p["ProcessName"] for p in group.found["SuspendedProcesses"]] == ["Launch"]

    group.detach(decrement=False)
    assert (len(group.members), group.found["DesiredCapacity"]) == (2, 3)

    group.call("resume_processes", ScalingProcesses=["Launch"])
    group.call("set_desired_capacity", DesiredCapacity=3)
    assert len(group.members) == 3


def test_a_detached_instance_is_detaching_while_it_drains(
    group: Group, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(drain_seconds=0.3)

    group.detach(decrement=False)

    assert group.members[group.victim] == "Detaching"
    until(lambda: group.victim not in group.members)


def test_scale_in_protection_is_lost_on_the_way_out_and_back(group: Group) -> None:
    def is_protected() -> bool:
        [found] = [i for i in group.found["Instances"] if i["InstanceId"] == group.victim]
        return bool(found["ProtectedFromScaleIn"])

    group.of_victim("set_instance_protection", ProtectedFromScaleIn=True)
    assert is_protected()

    group.detach(decrement=False)
    group.of_victim("attach_instances")

    assert not is_protected()


def test_only_what_is_in_service_can_be_protected(group: Group) -> None:
    group.call("update_auto_scaling_group", MinSize=0)
    group.of_victim("enter_standby", ShouldDecrementDesiredCapacity=True)

    with refused("ValidationError", "InService"):
        group.of_victim("set_instance_protection", ProtectedFromScaleIn=True)


def test_attaching_raises_the_desired_capacity_up_to_the_maximum(group: Group) -> None:
    group.detach(decrement=False)
    group.of_victim("attach_instances")

    assert group.found["DesiredCapacity"] == len(group.members) == 4
    assert group.victim in group.targets() & group.balanced()
    with refused("ValidationError", "already part of"):
        group.of_victim("attach_instances")

    group.detach(decrement=True)
    group.call("update_auto_scaling_group", MaxSize=3)
    with refused("ValidationError", "max-size=3"):
        group.of_victim("attach_instances")


def test_a_stopped_instance_cannot_be_attached(group: Group, ec2: Any, world: WorldIds) -> None:
    ec2.stop_instances(InstanceIds=[world.ids["standalone"]])

    with refused("ValidationError", "running"):
        group.call("attach_instances", InstanceIds=[world.ids["standalone"]])


def test_standby_takes_out_of_the_load_balancers_and_back(group: Group) -> None:
    group.call("update_auto_scaling_group", MinSize=2)

    group.of_victim("enter_standby", ShouldDecrementDesiredCapacity=True)
    assert group.members[group.victim] == "Standby"
    assert group.found["DesiredCapacity"] == 2
    assert len(group.members) == 3
    assert group.victim not in group.targets() | group.balanced()

    group.of_victim("exit_standby")
    assert group.members[group.victim] == "InService"
    assert group.found["DesiredCapacity"] == 3
    assert group.victim in group.targets() & group.balanced()


def test_standby_without_decrement_is_replaced(group: Group) -> None:
    group.of_victim("enter_standby", ShouldDecrementDesiredCapacity=False)

    assert sorted(group.members.values()) == ["InService"] * 3 + ["Standby"]
    assert group.found["DesiredCapacity"] == 3


def test_what_is_not_in_service_enters_no_standby_and_what_is_leaves_none(group: Group) -> None:
    with refused("ValidationError", "Standby"):
        group.of_victim("exit_standby")
    group.of_victim("enter_standby", ShouldDecrementDesiredCapacity=False)
    with refused("ValidationError", "InService"):
        group.of_victim("enter_standby", ShouldDecrementDesiredCapacity=False)


def test_sizes_must_agree_with_each_other(group: Group) -> None:
    with refused("ValidationError"):
        group.call("update_auto_scaling_group", MinSize=7)
    with refused("ValidationError"):
        group.call("set_desired_capacity", DesiredCapacity=7)
    with refused("ValidationError"):
        group.call("set_desired_capacity", DesiredCapacity=2)

    group.call("update_auto_scaling_group", MinSize=4)
    assert group.found["DesiredCapacity"] == len(group.members) == 4


def test_a_terminated_member_is_replaced(group: Group, ec2: Any) -> None:
    ec2.terminate_instances(InstanceIds=[group.victim])

    assert len(group.members) == 3
    assert group.victim not in group.members


HOOK = {
    "LifecycleHookName": "evidence",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
}


def terminate(group: Group) -> None:
    group.api.terminate_instance_in_auto_scaling_group(
        InstanceId=group.victim, ShouldDecrementDesiredCapacity=False
    )


def test_a_hook_holds_an_instance_on_its_way_to_termination(group: Group, ec2: Any) -> None:
    group.call("put_lifecycle_hook", HeartbeatTimeout=30, **HOOK)
    terminate(group)

    assert group.members[group.victim] == "Terminating:Wait"
    assert instance(ec2, group.victim)["State"]["Name"] == "running"
    assert sorted(group.members.values()).count("InService") == 3
    assert group.victim not in group.targets() | group.balanced()
    with refused("ValidationError"):
        group.detach(decrement=False)

    group.call(
        "complete_lifecycle_action",
        LifecycleHookName="evidence",
        InstanceId=group.victim,
        LifecycleActionResult="CONTINUE",
    )
    assert group.victim not in group.members
    assert instance(ec2, group.victim)["State"]["Name"] == "terminated"


def test_a_hook_lets_go_after_its_time_and_a_heartbeat_prolongs_it(group: Group) -> None:
    group.call("put_lifecycle_hook", HeartbeatTimeout=1, **HOOK)
    terminate(group)
    beat = {"LifecycleHookName": "evidence", "InstanceId": group.victim}
    group.call("record_lifecycle_action_heartbeat", **beat)
    assert group.members[group.victim] == "Terminating:Wait"

    until(lambda: group.victim not in group.members)
    with refused("ValidationError", "No active Lifecycle Action"):
        group.call("record_lifecycle_action_heartbeat", **beat)


def test_a_launch_hook_holds_a_new_instance_out_of_service(group: Group) -> None:
    group.call(
        "put_lifecycle_hook",
        LifecycleHookName="boot",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout=30,
    )
    group.detach(decrement=False)
    [new] = [member for member, state in group.members.items() if state == "Pending:Wait"]
    assert new not in group.targets()

    group.call(
        "complete_lifecycle_action",
        LifecycleHookName="boot",
        InstanceId=new,
        LifecycleActionResult="CONTINUE",
    )
    assert group.members[new] == "InService"
    assert new in group.targets()


def isolate(ec2: Any, world: WorldIds) -> None:
    isolation = ec2.create_security_group(
        GroupName="isolation", Description="none", VpcId=world.ids["vpc"]
    )["GroupId"]
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=world.ids["victim_eni"], Groups=[isolation]
    )


def test_an_isolated_member_is_terminated_and_replaced(
    group: Group, ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(health_seconds=0.2)
    group.of_victim("set_instance_protection", ProtectedFromScaleIn=True)
    ec2.modify_instance_attribute(InstanceId=world.victim, DisableApiTermination={"Value": True})

    isolate(ec2, world)

    until(lambda: instance(ec2, world.victim)["State"]["Name"] == "terminated")
    assert world.victim not in group.members
    assert list(group.members.values()) == ["InService"] * 3


@pytest.mark.parametrize("process", ["HealthCheck", "ReplaceUnhealthy"])
def test_suspended_health_checks_replace_nobody(
    group: Group, ec2: Any, world: WorldIds, simulated_aws: SimulatedAws, process: str
) -> None:
    simulated_aws.configure(health_seconds=0.01)
    group.call("suspend_processes", ScalingProcesses=[process])

    isolate(ec2, world)
    for _ in range(5):
        assert group.members[world.victim] == "InService"


def test_a_detached_instance_can_be_isolated(
    group: Group, ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(health_seconds=0.01)
    group.detach(decrement=False)

    isolate(ec2, world)

    for _ in range(5):
        assert instance(ec2, world.victim)["State"]["Name"] == "running"


def test_an_isolated_member_stays_where_health_is_not_looked_at(
    group: Group, ec2: Any, world: WorldIds
) -> None:
    isolate(ec2, world)

    for _ in range(5):
        assert group.members[world.victim] == "InService"


def test_a_group_that_resumes_launches_makes_up_for_them(group: Group) -> None:
    group.call("suspend_processes", ScalingProcesses=["Launch"])
    group.detach(decrement=False)

    group.call("resume_processes", ScalingProcesses=["Launch"])

    assert len(group.members) == 3


def test_a_detachment_succeeds_where_nothing_can_replace_the_instance(
    group: Group, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "_RETRY_SECONDS", 0.05)
    kind = group.found["Instances"][0]["InstanceType"]
    simulated_aws.configure(no_capacity=(kind,))

    group.detach(decrement=False)

    assert (len(group.members), group.found["DesiredCapacity"]) == (2, 3)
    failed = group.call("describe_scaling_activities")["Activities"][0]
    assert failed["StatusCode"] == "Failed"
    assert f"sufficient {kind} capacity" in failed["StatusMessage"]
    simulated_aws.configure(no_capacity=())
    until(lambda: len(group.members) == 3)


def create(group: Group, **changed: Any) -> None:
    found = group.found
    group.api.create_auto_scaling_group(
        **{
            "AutoScalingGroupName": "other",
            "MinSize": 1,
            "MaxSize": 1,
            "VPCZoneIdentifier": found["VPCZoneIdentifier"],
            "LaunchTemplate": {
                name: found["LaunchTemplate"][name] for name in ("LaunchTemplateId", "Version")
            },
            **changed,
        }
    )


def test_a_group_is_created_without_a_grace_period_once(group: Group) -> None:
    create(group)

    group.name = "other"
    assert group.found["HealthCheckGracePeriod"] == 0
    with refused("AlreadyExists"):
        create(group)


def test_a_group_whose_template_can_not_be_used_is_not_created(group: Group, ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]

    with refused("ValidationError", "valid fully-formed launch template"):
        create(group, VPCZoneIdentifier=subnet)

    answer = group.api.describe_auto_scaling_groups(AutoScalingGroupNames=["other"])
    assert answer["AutoScalingGroups"] == []


def test_the_grace_period_spares_who_is_not_reached_yet(
    group: Group, ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(health_seconds=0.01, grace_seconds=60)
    group.detach(decrement=False)
    group.of_victim("attach_instances")

    isolate(ec2, world)
    for _ in range(5):
        assert group.members[world.victim] == "InService"

    ec2.stop_instances(InstanceIds=[world.victim])
    until(lambda: world.victim not in group.members)


def test_who_is_said_to_be_unhealthy_is_replaced(group: Group) -> None:
    group.api.set_instance_health(InstanceId=group.victim, HealthStatus="Unhealthy")

    until(lambda: group.victim not in group.members)
    assert list(group.members.values()) == ["InService"] * 3
    with refused("ValidationError"):
        group.api.set_instance_health(InstanceId=group.victim, HealthStatus="Unhealthy")


def test_the_grace_period_counts_for_what_is_said_unless_told_otherwise(
    group: Group, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(grace_seconds=60)
    group.detach(decrement=False)
    group.of_victim("attach_instances")
    said = {"InstanceId": group.victim, "HealthStatus": "Unhealthy"}

    group.api.set_instance_health(**said)
    for _ in range(3):
        assert group.members[group.victim] == "InService"

    group.api.set_instance_health(**said, ShouldRespectGracePeriod=False)
    until(lambda: group.victim not in group.members)


def test_traffic_sources_are_the_groups_load_balancers(group: Group) -> None:
    sources = group.call("describe_traffic_sources")["TrafficSources"]

    assert {(item["Type"], item["Identifier"]) for item in sources} == {
        ("elbv2", group.ids["alb_targets"]),
        ("elb", group.ids["classic_balancer"]),
    }
    [classic] = group.call("describe_traffic_sources", TrafficSourceType="elb")["TrafficSources"]
    assert classic["Identifier"] == group.ids["classic_balancer"]


def test_no_more_than_fifty_instances_are_described_at_once(group: Group) -> None:
    with refused("ValidationError", "less than or equal to 50"):
        group.api.describe_auto_scaling_instances(
            InstanceIds=[f"i-{number:017d}" for number in range(51)]
        )
