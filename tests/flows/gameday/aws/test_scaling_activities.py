from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import until


class Group:
    """The world's Auto Scaling group, and what it says that it did."""

    def __init__(self, aws: Any, world: WorldIds) -> None:
        self.api, self.name, self.victim = aws("autoscaling"), world.ids["group"], world.victim

    def call(self, operation: str, **parameters: Any) -> Any:
        return getattr(self.api, operation)(AutoScalingGroupName=self.name, **parameters)

    def of_victim(self, operation: str, **parameters: Any) -> Any:
        return self.call(operation, InstanceIds=[self.victim], **parameters)

    def activities(self, **asked: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("describe_scaling_activities", **asked)[
            "Activities"
        ]
        return found

    def found(self, description: str) -> dict[str, Any]:
        [activity] = [a for a in self.activities() if a["Description"] == description]
        return activity

    @property
    def members(self) -> list[str]:
        groups = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        return [item["InstanceId"] for item in groups["AutoScalingGroups"][0]["Instances"]]


@pytest.fixture
def group(aws: Any, world: WorldIds) -> Group:
    return Group(aws, world)


def test_what_is_asked_for_is_an_activity_with_its_cause(group: Group) -> None:
    group.of_victim("enter_standby", ShouldDecrementDesiredCapacity=False)
    group.of_victim("exit_standby")
    group.of_victim("detach_instances", ShouldDecrementDesiredCapacity=True)
    group.of_victim("attach_instances")

    asked = [item for item in group.activities() if group.victim in item["Description"]]
    assert [item["Description"].split(":")[0] for item in asked] == [
        "Attaching an existing EC2 instance",
        "Detaching EC2 instance",
        "Moving EC2 instance out of Standby",
        "Moving EC2 instance to Standby",
        "Launching a new EC2 instance",
    ]
    assert all(
        (item["StatusCode"], item["Progress"]) == ("Successful", 100) and "EndTime" in item
        for item in asked
    )
    assert "response to a user request, shrinking the capacity from 4 to 3." in asked[1]["Cause"]


def test_the_answer_is_the_activity_before_it_has_ended(group: Group) -> None:
    [answered] = group.of_victim("detach_instances", ShouldDecrementDesiredCapacity=False)[
        "Activities"
    ]

    assert (answered["StatusCode"], answered["Progress"]) == ("InProgress", 50)
    assert "EndTime" not in answered
    [listed] = group.activities(ActivityIds=[answered["ActivityId"]])
    assert listed["StatusCode"] == "Successful"


def test_what_drains_is_in_progress_and_comes_first(
    group: Group, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(drain_seconds=60)

    group.of_victim("detach_instances", ShouldDecrementDesiredCapacity=False)

    first, second, *_ = group.activities()
    assert (first["Description"], first["StatusCode"]) == (
        f"Detaching EC2 instance: {group.victim}",
        "InProgress",
    )
    assert second["Description"].startswith("Launching a new EC2 instance")


def test_what_has_drained_is_successful(group: Group, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(drain_seconds=0.05)

    group.of_victim("detach_instances", ShouldDecrementDesiredCapacity=False)

    description = f"Detaching EC2 instance: {group.victim}"
    until(lambda: group.found(description)["StatusCode"] == "Successful")


def test_a_hook_holds_an_activity_too(group: Group) -> None:
    hook = {"LifecycleHookName": "evidence"}
    group.call(
        "put_lifecycle_hook",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=30,
        **hook,
    )
    group.api.terminate_instance_in_auto_scaling_group(
        InstanceId=group.victim, ShouldDecrementDesiredCapacity=False
    )
    description = f"Terminating EC2 instance: {group.victim}"
    assert group.found(description)["StatusCode"] == "MidLifecycleAction"

    group.call(
        "complete_lifecycle_action",
        InstanceId=group.victim,
        LifecycleActionResult="CONTINUE",
        **hook,
    )

    assert group.found(description)["StatusCode"] == "Successful"


def test_who_is_terminated_by_somebody_leaves_an_activity(group: Group, ec2: Any) -> None:
    ec2.terminate_instances(InstanceIds=[group.victim])

    activity = group.found(f"Terminating EC2 instance: {group.victim}")
    assert "EC2 health check indicating it has been terminated or stopped" in activity["Cause"]


def test_activities_come_in_pages_and_not_of_groups_that_are_gone(group: Group, aws: Any) -> None:
    page = group.call("describe_scaling_activities", MaxRecords=2)
    assert len(page["Activities"]) == 2

    rest = group.call("describe_scaling_activities", NextToken=page["NextToken"])
    assert len(rest["Activities"]) == 1
    assert "NextToken" not in rest
    group.call("delete_auto_scaling_group", ForceDelete=True)

    assert group.activities() == []
    assert len(group.activities(IncludeDeletedGroups=True)) == 6


def test_activities_come_back_with_what_is_remembered(
    group: Group, simulated_aws: SimulatedAws
) -> None:
    memory = simulated_aws.remember()
    group.of_victim("detach_instances", ShouldDecrementDesiredCapacity=False)
    assert len(group.activities()) == 5

    simulated_aws.recall(memory)

    assert len(group.activities()) == 3
