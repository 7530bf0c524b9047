from __future__ import annotations

import json
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused, until
from tests.flows.gameday.aws.stacks import Resources, Stacks, network, ref

_NAME = "clean-room-7"
_AS_BEFORE = [{"ParameterKey": "Why", "UsePreviousValue": True}]


@pytest.fixture
def stacks(aws: Any, world: WorldIds) -> Stacks:
    """With a stack of a network that says why it is there."""
    stacks = Stacks(aws, world)
    stacks.create(
        {},
        TemplateBody=_template(network()),
        Parameters=[{"ParameterKey": "Why", "ParameterValue": "incident 7"}],
    )
    return stacks


def _template(resources: Resources) -> str:
    return json.dumps(
        {
            "Parameters": {
                "Why": {"Type": "String"},
                "Zone": {"Type": "String", "Default": "eu-west-1a"},
            },
            "Resources": resources,
            "Outputs": {"Why": {"Value": ref("Why")}},
        }
    )


def _larger() -> Resources:
    return {**network(), "Second": network()["Group"]}


def _change_set(stacks: Stacks, resources: Resources, name: str = "change") -> dict[str, Any]:
    stacks.api.create_change_set(
        StackName=_NAME,
        ChangeSetName=name,
        TemplateBody=_template(resources),
        Parameters=_AS_BEFORE,
    )
    found: dict[str, Any] = stacks.api.describe_change_set(ChangeSetName=name, StackName=_NAME)
    return found


def test_a_change_set_says_what_it_changes_and_does_it(stacks: Stacks) -> None:
    before = stacks.resources()

    found = _change_set(stacks, _larger())
    [change] = [item["ResourceChange"] for item in found["Changes"]]
    assert (change["Action"], change["LogicalResourceId"]) == ("Add", "Second")
    assert stacks.resources() == before

    stacks.api.execute_change_set(ChangeSetName="change", StackName=_NAME)

    assert stacks.status() == "UPDATE_COMPLETE"
    after = stacks.resources()
    assert after.pop("Second").startswith("sg-")
    assert after == before
    [output] = stacks.stack()["Outputs"]
    assert output["OutputValue"] == "incident 7"


def test_an_executed_change_set_takes_the_others_with_it(stacks: Stacks) -> None:
    _change_set(stacks, _larger(), "first")
    _change_set(stacks, _larger(), "second")

    stacks.api.execute_change_set(ChangeSetName="first", StackName=_NAME)

    with refused("ValidationError"):
        stacks.api.execute_change_set(ChangeSetName="second", StackName=_NAME)


def test_a_change_set_that_changes_nothing_fails(stacks: Stacks) -> None:
    found = _change_set(stacks, network())

    assert (found["Status"], found["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in found["StatusReason"]


def test_an_update_that_changes_nothing_is_refused(stacks: Stacks) -> None:
    with refused("ValidationError", "No updates are to be performed"):
        stacks.api.update_stack(
            StackName=_NAME, TemplateBody=_template(network()), Parameters=_AS_BEFORE
        )


def test_an_update_can_change_a_parameter_only(stacks: Stacks) -> None:
    stacks.api.update_stack(
        StackName=_NAME,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "Why", "ParameterValue": "incident 8"}],
    )

    [output] = stacks.stack()["Outputs"]
    assert output["OutputValue"] == "incident 8"


def test_an_update_takes_its_time(stacks: Stacks, simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(stack_seconds=0.3)

    stacks.api.update_stack(
        StackName=_NAME, TemplateBody=_template(_larger()), Parameters=_AS_BEFORE
    )

    assert stacks.status() == "UPDATE_IN_PROGRESS"
    until(lambda: stacks.status() == "UPDATE_COMPLETE")


def test_what_an_update_drops_and_adds_is_told_and_deleted_with_the_stack(
    stacks: Stacks, ec2: Any
) -> None:
    resources = _larger()
    del resources["Group"]

    stacks.api.update_stack(
        StackName=_NAME, TemplateBody=_template(resources), Parameters=_AS_BEFORE
    )

    told = {item["LogicalResourceId"]: item["ResourceStatus"] for item in stacks.events()}
    assert (told["Group"], told["Second"]) == ("DELETE_COMPLETE", "CREATE_COMPLETE")
    vpc = [{"Name": "vpc-id", "Values": [stacks.resources()["Vpc"]]}]
    groups = ec2.describe_security_groups(Filters=vpc)["SecurityGroups"]
    assert stacks.resources()["Second"] in {group["GroupId"] for group in groups}
    assert len(groups) == 2
    stacks.api.delete_stack(StackName=_NAME)
    assert ec2.describe_vpcs(Filters=vpc)["Vpcs"] == []


def test_there_is_no_update_to_cancel(stacks: Stacks) -> None:
    with refused("ValidationError", "CancelUpdateStack"):
        stacks.api.cancel_update_stack(StackName=_NAME)
