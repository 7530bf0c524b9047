"""Undo: from what was recorded, the last first, and the first recorded state wins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from runbooks.calls import Call, Change, Found, Keep, Resource, Undo
from runbooks.errors import AwsRefused, OutcomeUnknown
from runbooks.undo import first_of_each, take_back
from tests.runbooks.driver import REGION, Incident, MemoryLedger


@pytest.fixture
def incident(world: WorldIds) -> Iterator[Incident]:
    incident = Incident(world.url)
    yield incident
    incident.close()


def tagging(resource: str, value: str, before: str | None = None) -> Change:
    def tags(operation: str, to: str) -> Call:
        return Call("ec2", operation, Resources=[resource], Tags=[{"Key": "case", "Value": to}])

    undo = tags("create_tags", before) if before else tags("delete_tags", value)
    return Change(tags("create_tags", value), Resource(resource), undo, f"tag with {value}")


def back(incident: Incident, *changes: Change) -> MemoryLedger:
    ledger = MemoryLedger()
    take_back(incident.live(ledger), changes)
    return ledger


def sent(simulated_aws: SimulatedAws) -> list[tuple[str, Any]]:
    return [
        (call.operation, call.parameters["Tags"][0]["Value"])
        for call in simulated_aws.calls.changes
    ]


def test_changes_are_taken_back_the_last_first(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    back(incident, tagging(world.victim, "1", "0"), tagging(world.victim, "2", "1"))

    assert sent(simulated_aws) == [("CreateTags", "1"), ("CreateTags", "0")]


def test_the_first_recorded_state_wins_over_what_a_second_run_found(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    original, after_a_crash = tagging(world.victim, "1", "0"), tagging(world.victim, "1", "1")

    assert first_of_each([original, after_a_crash]) == [original]
    back(incident, original, after_a_crash)
    assert sent(simulated_aws) == [("CreateTags", "0")]


def test_the_order_of_the_first_ones_is_kept() -> None:
    a, b = tagging("i-1", "a"), tagging("i-1", "b")

    assert first_of_each([a, b, a]) == [a, b]


def test_several_undos_of_a_change_run_in_their_order_as_changes_of_their_own(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    change = Change(
        Call("ec2", "create_tags"),
        Resource(world.victim),
        tuple(undo for value in ("a", "b") for undo in tagging(world.victim, "x", value).undos),
        "tag",
    )

    ledger = back(incident, change)

    assert sent(simulated_aws) == [("CreateTags", "a"), ("CreateTags", "b")]
    assert [intent.why for intent in ledger.intents] == ["undo: tag", "undo: tag"]
    assert all(isinstance(intent.undo, Keep) for intent in ledger.intents)
    assert set(ledger.outcomes.values()) == {"done"}


def test_what_is_kept_is_left(incident: Incident, simulated_aws: SimulatedAws) -> None:
    change = Change(Call("ec2", "create_snapshots"), Resource("i-1"), Keep("evidence"), "evidence")

    assert take_back(incident.live(MemoryLedger()), [change]) == []
    assert not simulated_aws.calls


def groups_of(url: str, *marks: str) -> list[str]:
    ec2 = client(url, REGION, "ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    return [
        ec2.create_security_group(
            GroupName=f"group {number}",
            Description="-",
            VpcId=vpc,
            TagSpecifications=[
                {"ResourceType": "security-group", "Tags": [{"Key": "mark", "Value": mark}]}
            ],
        )["GroupId"]
        for number, mark in enumerate(marks)
    ]


def deleting_what_is_marked(mark: str, unless: tuple[str, ...] = ()) -> Change:
    by = Call("ec2", "describe_security_groups", Filters=[{"Name": "tag:mark", "Values": [mark]}])
    call = Call("ec2", "delete_security_group", GroupId=Found(by, "SecurityGroups[].GroupId"))
    return Change(
        Call("ec2", "create_security_group"), Resource("vpc"), Undo(call, unless), "make a group"
    )


def test_everything_that_carries_the_mark_is_deleted_and_nothing_else(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    *ours, theirs = groups_of(world.url, "ours", "ours", "theirs")
    simulated_aws.calls.clear()

    back(incident, deleting_what_is_marked("ours"))

    deleted = [call.parameters["GroupId"] for call in simulated_aws.calls.changes]
    assert sorted(deleted) == sorted(ours)
    assert theirs not in deleted


def test_where_nothing_carries_the_mark_nothing_is_left_to_undo(
    incident: Incident, simulated_aws: SimulatedAws
) -> None:
    back(incident, deleting_what_is_marked("ours"))

    assert simulated_aws.calls.changes == []


def test_a_look_up_that_finds_no_such_thing_undoes_nothing(
    incident: Incident, simulated_aws: SimulatedAws
) -> None:
    by = Call("iam", "get_role", RoleName="gone")
    undo = Call("iam", "delete_role", RoleName=Found(by, "Role.RoleName"))

    back(incident, Change(Call("iam", "create_role"), Resource("role"), undo, "make a role"))

    assert simulated_aws.calls.changes == []


def test_an_error_that_excuses_the_undo_is_accepted(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    groups_of(world.url, "ours")
    simulated_aws.fault(
        Fault(service="ec2", operation="DeleteSecurityGroup", code="DependencyViolation")
    )

    ledger = back(incident, deleting_what_is_marked("ours", unless=("DependencyViolation",)))

    assert ledger.outcomes == {1: "accepted DependencyViolation"}
    with pytest.raises(AwsRefused, match="DependencyViolation"):
        back(incident, deleting_what_is_marked("ours"))


def test_after_a_lost_answer_running_it_again_goes_on(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    groups_of(world.url, "ours")
    simulated_aws.fault(
        Fault(service="ec2", operation="DeleteSecurityGroup", effect="lost_answer", times=1)
    )
    with pytest.raises(OutcomeUnknown):
        back(incident, deleting_what_is_marked("ours"))

    again = back(incident, deleting_what_is_marked("ours"))

    assert again.intents == [], "what was deleted is not found any more"
