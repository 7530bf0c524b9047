"""``autoscaling.detach``: out of the group before it kills the evidence, and back as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jmespath
import pytest
from pydantic import ValidationError

from runbooks.autoscaling.detach import DetachInstance, Detachment
from runbooks.aws import LiveAws, Once, Permit, PlanningAws
from runbooks.calls import Call, Found, Keep, PlannedStep
from runbooks.ec2.isolate import IsolateInstance
from runbooks.ec2.protect import ProtectInstance
from runbooks.errors import NotContained
from runbooks.targets.instance import Ec2Instance, Membership, Scaling
from tests.runbooks.driver import ACCOUNT, REGION, Incident, MemoryLedger
from tests.runbooks.instances import INSTANCE, Plan, instance, membership
from tests.runbooks.stage import Stage

LAUNCH, NONE, STANDBY = ({"replacement": item} for item in ("launch", "none", "standby"))


def member(state: str = "InService", *, protected: bool = False, **facts: Any) -> Ec2Instance:
    found = replace(membership(state, protected=protected), **facts)
    return instance(facts=[Scaling(found)])


def found_by(call: Call, key: str, group: dict[str, Any]) -> Any:
    """What an undoing call would find if AWS showed the group like that."""
    value = call.params[key]
    assert isinstance(value, Found)
    return jmespath.search(value.path, {"AutoScalingGroups": [group]})


class Group:
    """The world's Auto Scaling group, looked at and arranged without counting as calls."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.aws = stage.client("autoscaling")
        self.name = stage.world.ids["group"]

    def update(self, **sizes: int) -> None:
        with self.stage.unrecorded():
            self.aws.update_auto_scaling_group(AutoScalingGroupName=self.name, **sizes)

    def suspend(self, *processes: str) -> None:
        with self.stage.unrecorded():
            self.aws.suspend_processes(
                AutoScalingGroupName=self.name, ScalingProcesses=list(processes)
            )

    @property
    def now(self) -> dict[str, Any]:
        scaling: dict[str, Any] = self.stage.state()["scaling"][self.name]
        return scaling


@pytest.fixture
def group(stage: Stage) -> Group:
    return Group(stage)


# What is planned


def test_an_instance_in_no_group_needs_nothing() -> None:
    plan = Plan(DetachInstance, instance())

    assert plan.calls == []
    assert plan.contingent == []
    assert not plan.warnings


@pytest.mark.parametrize(("params", "decrement"), [(LAUNCH, False), (NONE, True)])
def test_detaching_keeps_or_lowers_the_desired_capacity(
    params: dict[str, str], decrement: bool
) -> None:
    target = member(min_size=1, desired_capacity=2)

    assert Plan(DetachInstance, target, params).calls == [
        Call(
            "autoscaling",
            "detach_instances",
            AutoScalingGroupName="web",
            InstanceIds=[INSTANCE],
            ShouldDecrementDesiredCapacity=decrement,
        )
    ]


def test_a_replacement_from_the_same_template_is_warned_of_by_the_templates_name() -> None:
    plan = Plan(DetachInstance, member(launch_source="launch template payments"), LAUNCH)

    assert "launch template payments" in plan.warnings
    assert "same hole" in plan.warnings


@pytest.mark.parametrize("params", [NONE, STANDBY], ids=str)
def test_the_minimum_is_lowered_first_where_it_is_in_the_way(params: dict[str, str]) -> None:
    target = member(min_size=3, desired_capacity=3)

    first, second = Plan(DetachInstance, target, params).changes

    assert first.call.action == "autoscaling:UpdateAutoScalingGroup"
    assert first.call.params == {"AutoScalingGroupName": "web", "MinSize": 2}
    assert first.undos[0].call.params["MinSize"] == 3
    assert second.call.params["ShouldDecrementDesiredCapacity"] is True


def test_the_minimum_stays_where_a_replacement_comes() -> None:
    target = member(min_size=3, desired_capacity=3)

    assert [call.action for call in Plan(DetachInstance, target, LAUNCH).calls] == [
        "autoscaling:DetachInstances"
    ]


@pytest.mark.parametrize("params", [NONE, STANDBY], ids=str)
def test_rebalancing_that_may_end_others_is_warned_of_unless_it_is_suspended(
    params: dict[str, str],
) -> None:
    suspended = member(suspended_processes=("AZRebalance",))

    assert "AZRebalance" in Plan(DetachInstance, member(), params).warnings
    assert "AZRebalance" not in Plan(DetachInstance, suspended, params).warnings


def test_a_group_that_is_left_empty_is_warned_of() -> None:
    last = member(desired_capacity=2, targets_in_group=2)

    assert "Nothing is left in service" in Plan(DetachInstance, last, NONE).warnings
    assert "Nothing is left in service" not in Plan(DetachInstance, member(), NONE).warnings
    assert "Nothing is left in service" not in Plan(DetachInstance, last, LAUNCH).warnings


@pytest.mark.parametrize(
    ("params", "process", "said"),
    [
        (LAUNCH, "Launch", "No replacement comes"),
        (STANDBY, "Launch", "Nothing leaves standby"),
        (LAUNCH, "AddToLoadBalancer", "AddToLoadBalancer is suspended"),
    ],
)
def test_suspended_processes_are_named_and_left(
    params: dict[str, str], process: str, said: str
) -> None:
    plan = Plan(DetachInstance, member(suspended_processes=(process,)), params)

    assert said in plan.warnings
    assert not {"autoscaling:SuspendProcesses", "autoscaling:ResumeProcesses"} & {
        undo.call.action for change in plan.changes for undo in change.undos
    }.union(call.action for call in plan.calls)
    assert said not in Plan(DetachInstance, member(), params).warnings


def test_standby_says_what_still_ends_the_instance() -> None:
    assert "StandbyInstances=Terminate" in Plan(DetachInstance, member(), STANDBY).warnings


@pytest.mark.parametrize("params", [LAUNCH, NONE, STANDBY], ids=str)
@pytest.mark.parametrize("state", ["Detaching", "EnteringStandby", "Standby"])
def test_what_is_out_of_service_already_is_left_as_it_is(
    state: str, params: dict[str, str]
) -> None:
    plan = Plan(DetachInstance, member(state), params)

    assert plan.calls == []
    assert plan.contingent == []
    DetachInstance().verify(None, member(state), Detachment())  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["Terminating", "Terminating:Proceed"])
def test_it_is_too_late_for_an_instance_that_terminates(state: str) -> None:
    plan = Plan(DetachInstance, member(state))

    assert plan.calls == []
    assert "Evidence at risk" in plan.warnings
    assert "can't be detached any more" in plan.warnings


def test_an_instance_that_the_group_retains_is_in_no_hurry() -> None:
    plan = Plan(DetachInstance, member("Terminating:Retained"))

    assert plan.calls == []
    assert "stays until somebody terminates it" in plan.warnings


@pytest.mark.parametrize("state", ["Pending", "Pending:Wait", "Pending:Proceed"])
def test_an_instance_that_starts_may_be_detached_once_it_is_in_service(state: str) -> None:
    target = member(state, min_size=2, desired_capacity=2, targets_in_group=0)

    plan = Plan(DetachInstance, target, NONE)

    assert plan.calls == []
    assert "not in service" in plan.warnings
    assert [change.call.api_name for change in plan.contingent] == [
        "UpdateAutoScalingGroup",
        "DetachInstances",
    ]
    assert plan.contingent[0].call.params["MinSize"] == 1


@pytest.mark.parametrize("state", ["Warmed:Stopped", "Warmed:Running", "Warmed:Pending:Wait"])
def test_nothing_is_detached_from_a_warm_pool(state: str) -> None:
    plan = Plan(DetachInstance, member(state))

    assert plan.calls == []
    assert "warm pool" in plan.warnings


@pytest.mark.parametrize(
    ("tag", "controller"),
    [
        ("aws:ec2spot:fleet-request-id", "Spot Fleet"),
        ("aws:ec2:fleet-id", "EC2 Fleet"),
        ("karpenter.sh/nodepool", "Karpenter"),
        ("aws:elasticmapreduce:job-flow-id", "EMR"),
        ("elasticbeanstalk:environment-id", "Beanstalk"),
        ("eks:nodegroup-name", "EKS"),
        ("kubernetes.io/cluster/payments", "Kubernetes"),
        ("aws:batch:compute-environment", "Batch"),
    ],
)
def test_other_controllers_are_named_by_their_tags(tag: str, controller: str) -> None:
    plan = Plan(DetachInstance, instance(tags={tag: "x"}))

    assert plan.calls == []
    assert tag in plan.warnings
    assert controller in plan.warnings


def test_a_group_with_several_instance_types_is_no_fleet_of_its_own() -> None:
    target = instance(tags={"aws:ec2:fleet-id": "fleet-1"}, facts=[Scaling(membership())])

    assert "Fleet" not in Plan(DetachInstance, target).warnings


@pytest.mark.parametrize(
    "state", ["InService", "Pending:Wait", "Terminating", "Terminating:Wait", "Warmed:Stopped"]
)
def test_verify_names_the_group_that_still_has_it(state: str) -> None:
    with pytest.raises(NotContained, match=f"{state} in the Auto Scaling group web"):
        DetachInstance().verify(None, member(state), Detachment())  # type: ignore[arg-type]


def test_parameters_that_make_no_sense_are_refused() -> None:
    for values in ({"replacement": "terminate"}, {"decrement": True}):
        with pytest.raises(ValidationError):
            Detachment.model_validate(values)


def test_it_takes_something_down_and_never_blocks_the_isolation() -> None:
    assert DetachInstance.disruptive
    assert DetachInstance.on_failure == "continue"


# What an undo looks up


def test_a_groups_name_never_becomes_part_of_an_expression() -> None:
    target = member(group="we'b`]", min_size=2, desired_capacity=2, protected=True)

    for params in (LAUNCH, NONE, STANDBY):
        for change in Plan(DetachInstance, target, params).changes:
            for undo in change.undos:
                for value in undo.call.params.values():
                    assert not isinstance(value, Found) or "we'b" not in value.path


def test_an_instance_that_is_back_already_is_not_attached_again() -> None:
    (change,) = Plan(DetachInstance, member(), NONE).changes
    attach = change.undos[0].call

    back = {"Instances": [{"InstanceId": INSTANCE, "LifecycleState": "Pending"}]}
    assert found_by(attach, "InstanceIds", back) == []
    assert found_by(attach, "InstanceIds", {"Instances": []}) == [[INSTANCE]]


def test_an_undo_during_detaching_is_for_aws_to_refuse_and_not_passed_over() -> None:
    (change,) = Plan(DetachInstance, member(), NONE).changes

    leaving = {"Instances": [{"InstanceId": INSTANCE, "LifecycleState": "Detaching"}]}

    assert found_by(change.undos[0].call, "InstanceIds", leaving) == [[INSTANCE]]


def test_an_undo_ends_the_standby_of_this_instance_only() -> None:
    (change,) = Plan(DetachInstance, member(), STANDBY).changes
    leave = change.undos[0].call

    assert leave.action == "autoscaling:ExitStandby"
    states = [
        {"InstanceId": INSTANCE, "LifecycleState": "Standby"},
        {"InstanceId": "i-0123456789abcdef1", "LifecycleState": "Standby"},
    ]
    assert found_by(leave, "InstanceIds", {"Instances": states}) == [[INSTANCE]]
    in_service = [{"InstanceId": INSTANCE, "LifecycleState": "InService"}]
    assert found_by(leave, "InstanceIds", {"Instances": in_service}) == []


# What happens


def test_detaching_goes_below_no_minimum_that_stays(
    stage: Stage, incident: Incident, group: Group
) -> None:
    ledger = incident.run(DetachInstance, stage.world.victim, NONE)

    assert group.now["sizes"] == (2, 6, 2)
    assert stage.world.victim not in group.now["members"]

    incident.undo(ledger)

    assert group.now["sizes"] == (3, 6, 3)
    assert group.now["members"][stage.world.victim] == ("InService", False)


def test_leaving_the_group_takes_it_out_of_the_groups_own_load_balancers(
    stage: Stage, incident: Incident
) -> None:
    victim = stage.world.victim

    incident.run(DetachInstance, victim, NONE)

    state = stage.state()
    assert victim not in {target for target, _ in state["targets"]["payments-alb"]}
    assert victim not in state["classic"]["payments-classic"]
    assert victim in state["classic"]["payments-legacy"]


def test_undo_after_a_launch_leaves_the_replacement_and_the_capacity_for_it(
    stage: Stage, incident: Incident, group: Group
) -> None:
    before = group.now

    ledger = incident.run(DetachInstance, stage.world.victim, LAUNCH)
    (replaced_by,) = set(group.now["members"]) - set(before["members"])
    stage.forget_calls()
    incident.undo(ledger)

    assert before["sizes"] == (3, 6, 3)
    assert group.now["sizes"] == (3, 6, 4)
    assert set(group.now["members"]) == {*before["members"], replaced_by}
    assert stage.changes() == ["autoscaling:AttachInstances"]
    assert "Choose yourself which instance goes" in " ".join(
        incident.plan(DetachInstance, stage.world.victim, LAUNCH).warnings
    )


def test_undo_makes_room_in_a_full_group_and_ends_no_instance(
    stage: Stage, incident: Incident, group: Group
) -> None:
    group.update(MaxSize=3)

    ledger = incident.run(DetachInstance, stage.world.victim, LAUNCH)
    incident.undo(ledger)
    incident.undo(ledger)

    assert group.now["sizes"] == (3, 4, 4)
    assert stage.world.victim in group.now["members"]
    assert len(group.now["members"]) == 4


def test_no_replacement_comes_while_launch_is_suspended(
    stage: Stage, incident: Incident, group: Group
) -> None:
    group.suspend("Launch")

    incident.run(DetachInstance, stage.world.victim, LAUNCH)

    assert group.now["sizes"] == (3, 6, 3)
    assert len(group.now["members"]) == 2
    assert group.now["suspended"] == ["Launch"]


def test_scale_in_protection_that_was_there_comes_back(
    stage: Stage, incident: Incident, group: Group
) -> None:
    incident.run(ProtectInstance, stage.world.victim)

    ledger = incident.run(DetachInstance, stage.world.victim, NONE)
    incident.undo(ledger)

    assert group.now["members"][stage.world.victim] == ("InService", True)


def test_an_undo_leaves_a_minimum_that_somebody_has_changed_since(
    stage: Stage, incident: Incident, group: Group
) -> None:
    ledger = incident.run(DetachInstance, stage.world.victim, NONE)
    group.update(MinSize=1)

    incident.undo(ledger)

    assert group.now["sizes"] == (1, 6, 3)


def test_security_groups_are_back_before_health_checks_begin_again(
    stage: Stage, incident: Incident
) -> None:
    ledger = incident.run(DetachInstance, stage.world.victim, STANDBY)
    incident.run(IsolateInstance, stage.world.victim, ledger=ledger)
    stage.forget_calls()

    incident.undo(ledger)

    changes = stage.changes()
    regrouped = [n for n, call in enumerate(changes) if call == _REGROUP]
    assert regrouped
    assert max(regrouped) < changes.index("autoscaling:ExitStandby")


_REGROUP = "ec2:ModifyNetworkInterfaceAttribute"


def test_a_heartbeat_buys_time_from_the_hook_that_holds_the_termination(
    stage: Stage, incident: Incident, group: Group
) -> None:
    with stage.unrecorded():
        for name, transition in (("drain", "TERMINATING"), ("warm-up", "LAUNCHING")):
            group.aws.put_lifecycle_hook(
                AutoScalingGroupName=group.name,
                LifecycleHookName=name,
                LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
                HeartbeatTimeout=300,
                DefaultResult="CONTINUE",
            )
    put_into("Terminating:Wait", stage.world.victim, group)

    planned = incident.plan(DetachInstance, stage.world.victim)
    ledger = incident.run(DetachInstance, stage.world.victim, verify=False)

    assert stage.changes() == ["autoscaling:RecordLifecycleActionHeartbeat"]
    (change,) = ledger.intents
    assert change.call.params["LifecycleHookName"] == "drain"
    assert change.undo == Keep("it only bought time")
    assert "Evidence at risk" in " ".join(planned.warnings)
    with pytest.raises(NotContained, match="Terminating:Wait"):
        incident.verify(DetachInstance, stage.world.victim)


def test_a_hook_that_does_not_hold_the_instance_now_is_no_failure(
    stage: Stage, incident: Incident, group: Group
) -> None:
    with stage.unrecorded():
        group.aws.put_lifecycle_hook(
            AutoScalingGroupName=group.name,
            LifecycleHookName="drain",
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        )
    put_into("Terminating:Wait", stage.world.victim, group)
    permit = Permit(incident.plan(DetachInstance, stage.world.victim))
    target = incident.target(DetachInstance, stage.world.victim)
    put_into("Terminating:Proceed", stage.world.victim, group)
    ledger = MemoryLedger()

    DetachInstance().contain(incident.live(ledger, permit), target, Detachment())

    assert list(ledger.outcomes.values()) == ["accepted ValidationError"]


def put_into(state: str, instance_id: str, group: Group) -> None:
    """Have the simulated group show the instance in a state that takes AWS's own doing."""
    from moto.autoscaling.models import autoscaling_backends

    scaling = autoscaling_backends[ACCOUNT][REGION].autoscaling_groups[group.name]
    (known,) = [item for item in scaling.instance_states if item.instance.id == instance_id]
    known.lifecycle_state = state


# Several targets of one incident


class Together:
    """Several members contained by one incident, with facts that were read once for all."""

    def __init__(self, incident: Incident, ids: list[str], params: dict[str, str]) -> None:
        self.incident = incident
        self.params = Detachment.model_validate(params)
        self.targets = incident.targets(DetachInstance, ids)
        self.ledger = MemoryLedger()
        once = Once()
        self.planned = [self._planned(target, once) for target in self.targets]

    def _planned(self, target: Ec2Instance, once: Once) -> PlannedStep:
        incident = self.incident
        aws = PlanningAws(incident.connections, incident.where, incident.context, "detach", once)
        DetachInstance().contain(aws, target, self.params)
        return PlannedStep(
            "detach",
            DetachInstance.name,
            target.ref.arn,
            "",
            tuple(aws.changes),
            tuple(aws.contingent),
        )

    def run(self, order: list[int]) -> None:
        once = Once()
        for number in order:
            live: LiveAws = self.incident.live(self.ledger, Permit(self.planned[number]), once)
            DetachInstance().contain(live, self.targets[number], self.params)


@pytest.mark.parametrize("params", [NONE, STANDBY], ids=str)
@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=str)
def test_the_minimum_is_lowered_once_for_all_targets_whoever_comes_first(
    params: dict[str, str], order: list[int], stage: Stage, incident: Incident, group: Group
) -> None:
    before = group.now
    ids = [stage.world.victim, stage.world.ids["member_1"]]

    together = Together(incident, ids, params)
    together.run(order)

    assert stage.changes().count("autoscaling:UpdateAutoScalingGroup") == 1
    assert group.now["sizes"] == (1, 6, 1)
    incident.undo(together.ledger)
    assert group.now == before


def test_a_member_that_is_out_already_counts_no_more(stage: Stage, incident: Incident) -> None:
    ids = [stage.world.victim, stage.world.ids["member_1"]]
    incident.run(DetachInstance, ids[0], STANDBY)

    _, second = incident.targets(DetachInstance, ids)

    scaling: Membership | None = second.fact(Scaling).membership
    assert scaling is not None
    assert scaling.targets_in_group == 1
