"""Reaping: rooms whose time is over go, in the name of their incident, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.execution import Surroundings
from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from flows.incident import Incident
from flows.journal.record import Record
from flows.journal.verify import verify
from flows.reaping import Reaped, reap_expired
from runbooks.clean_room import create
from runbooks.errors import Interrupted
from tests.flows.people import REQUESTER
from tests.flows.scene import Scene

STEPS = """\
- step: ec2.snapshot
- step: clean_room.create
  with: {expires: 2h}
"""
ACCOUNT = '  "123456789012": {name: sandbox, environment: production}\n'
EMPTY = (
    '{"Resources": {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/24"}}}}'
)


class Rooms:
    """An incident of which the victim has a clean room, made for two hours."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.write(STEPS)
        started = scene.run()
        self.incident: Incident = started.incident
        self.name = f"clampdown-clean-room-{self.incident.id}-{scene.world.victim}"
        scene.aws.calls.clear()

    def reap(
        self, *, after: timedelta, accounts: str = ACCOUNT, more: str = "", **settings: Any
    ) -> Reaped:
        """What reaping does that long after now."""
        self.scene.write(STEPS, more=more)
        file = self.scene.file
        file.write_text(file.read_text().replace(ACCOUNT, accounts))
        responder = self.scene.responder(**settings)
        connections = responder.connections("clampdown-reap")
        try:
            around = Surroundings(
                journal=responder.journal,
                playbooks=responder.playbooks,
                connections=connections,
                stop=responder.stop,
            )
            return reap_expired(around, responder.settings, now=datetime.now(UTC) + after)
        finally:
            connections.close()

    def cloudformation(self, region: str = "") -> Any:
        return client(self.scene.aws.url, region or self.scene.world.region, "cloudformation")

    def stacks(self) -> list[str]:
        return [stack["StackName"] for stack in self.cloudformation().describe_stacks()["Stacks"]]

    def make_by_hand(self, name: str, **tags: str) -> None:
        """Somebody else makes a stack that looks like an expired room."""
        known = {"clampdown:expires": "2026-01-01T00:00:00Z", **tags}
        self.cloudformation().create_stack(
            StackName=name,
            TemplateBody=EMPTY,
            Tags=[{"Key": key, "Value": value} for key, value in known.items()],
        )
        self.scene.aws.calls.clear()

    def deletions(self) -> list[Any]:
        return [call for call in self.scene.aws.calls if call.operation == "DeleteStack"]

    def records(self) -> list[Record]:
        return self.scene.responder().journal.records(self.incident.id)


@pytest.fixture
def rooms(
    simulated_aws: SimulatedAws, world: WorldIds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rooms]:
    monkeypatch.setattr(create, "LOOK_EVERY", timedelta(milliseconds=20))
    scene = Scene(simulated_aws, world, tmp_path)
    yield Rooms(scene)
    scene.close()


def test_a_room_whose_time_is_not_over_stays(rooms: Rooms) -> None:
    reaped = rooms.reap(after=timedelta(hours=1))

    assert reaped == Reaped()
    assert rooms.stacks() == [rooms.name]
    assert rooms.deletions() == []


def test_a_room_whose_time_is_over_is_deleted(rooms: Rooms) -> None:
    reaped = rooms.reap(after=timedelta(hours=3))

    [room] = reaped.deleted
    assert (room.account, room.region) == ("123456789012", "eu-west-1")
    assert (room.stack, room.incident) == (rooms.name, rooms.incident.id)
    assert reaped.failures == reaped.foreign == []
    assert rooms.stacks() == []


def test_the_deletion_is_written_down_in_the_incident_that_made_the_room(rooms: Rooms) -> None:
    known = len(rooms.records())

    rooms.reap(after=timedelta(hours=3))

    expired, intent, outcome, undone = rooms.records()[known:]
    [made] = [
        record
        for record in rooms.records()
        if record.kind == "change.intent"
        and record.body["change"]["call"]["operation"] == "create_stack"
    ]
    assert (expired.kind, expired.body["stack"]) == ("room.expired", rooms.name)
    assert intent.body["change"]["call"]["operation"] == "delete_stack"
    assert intent.body["undoes"] == made.seq
    assert outcome.body["intent"] == intent.seq
    assert outcome.body["status"] == "done"
    assert undone.body == {"intent": made.seq}
    assert verify(rooms.scene.responder().journal, rooms.incident.id).ok


def test_the_intent_is_durable_before_the_call(rooms: Rooms) -> None:
    rooms.scene.aws.fault(Fault(service="cloudformation", operation="DeleteStack", effect="drop"))

    reaped = rooms.reap(after=timedelta(hours=3))

    assert reaped.deleted == []
    [failure] = reaped.failures
    assert rooms.name in failure
    kinds = [record.kind for record in rooms.records()]
    assert kinds[-2:] == ["change.intent", "change.outcome"]
    assert rooms.records()[-1].body["status"] == "unknown"


def test_the_incident_stays_what_it_was(rooms: Rooms) -> None:
    rooms.reap(after=timedelta(hours=3))

    assert rooms.scene.responder().incident(rooms.incident.id).status == "contained"


def test_an_undo_afterwards_has_nothing_left_to_delete(rooms: Rooms) -> None:
    rooms.reap(after=timedelta(hours=3))
    rooms.scene.aws.calls.clear()

    undone = rooms.scene.responder().undo(rooms.incident.id, REQUESTER)

    assert undone.failures == ()
    assert rooms.deletions() == []


def test_reaping_twice_deletes_once(rooms: Rooms) -> None:
    rooms.reap(after=timedelta(hours=3))

    assert rooms.reap(after=timedelta(hours=3)) == Reaped()
    assert len(rooms.deletions()) == 1


def test_a_stack_that_no_incident_here_has_made_is_left_and_told_of(rooms: Rooms) -> None:
    name = "clampdown-clean-room-inc-20260101-000000-i-0123456789abcdef0"
    rooms.make_by_hand(name, **{"clampdown:incident": "inc-20260101-000000"})

    reaped = rooms.reap(after=timedelta(0))

    assert [room.stack for room in reaped.foreign] == [name]
    assert reaped.deleted == []
    assert rooms.deletions() == []


def test_a_stack_that_only_claims_an_incident_of_ours_is_left(rooms: Rooms) -> None:
    name = f"clampdown-clean-room-{rooms.incident.id}-i-0123456789abcdef0"
    rooms.make_by_hand(name, **{"clampdown:incident": rooms.incident.id})

    reaped = rooms.reap(after=timedelta(0))

    assert [room.stack for room in reaped.foreign] == [name]
    assert name in rooms.stacks()


def test_other_stacks_are_none_of_its_business(rooms: Rooms) -> None:
    rooms.make_by_hand("payments", **{"clampdown:incident": rooms.incident.id})

    assert rooms.reap(after=timedelta(0)) == Reaped()


def test_a_time_that_somebody_garbled_is_told_of_and_the_room_stays(rooms: Rooms) -> None:
    name = "clampdown-clean-room-inc-20260101-000000-i-0123456789abcdef0"
    rooms.make_by_hand(name, **{"clampdown:expires": "soon"})

    reaped = rooms.reap(after=timedelta(hours=3))

    [failure] = reaped.failures
    assert name in failure
    assert "'soon', which is no time" in failure
    assert [room.stack for room in reaped.deleted] == [rooms.name]


def test_a_place_that_can_not_be_looked_at_keeps_no_other_from_it(rooms: Rooms) -> None:
    rooms.scene.aws.fault(
        Fault(
            service="cloudformation",
            operation="DescribeStacks",
            code="AccessDenied",
            status=403,
            times=1,
        )
    )
    accounts = ACCOUNT.replace("}", ", regions: [eu-central-1, eu-west-1]}")

    reaped = rooms.reap(after=timedelta(hours=3), accounts=accounts)

    [failure] = reaped.failures
    assert "123456789012, eu-central-1 were not looked at" in failure
    assert "AccessDenied" in failure
    assert [room.stack for room in reaped.deleted] == [rooms.name]


def test_another_accounts_rooms_are_not_taken_for_those_of_an_account_without_a_role(
    rooms: Rooms,
) -> None:
    accounts = ACCOUNT.replace("123456789012", "210987654321") + ACCOUNT

    reaped = rooms.reap(after=timedelta(hours=3), accounts=accounts)

    [failure] = reaped.failures
    assert "210987654321, eu-west-1 were not looked at" in failure
    assert "credentials belong to account 123456789012" in failure
    assert reaped.foreign == []
    assert [room.account for room in reaped.deleted] == ["123456789012"]


def test_an_account_without_regions_is_told_of(rooms: Rooms) -> None:
    reaped = rooms.reap(after=timedelta(hours=3), region="")

    [failure] = reaped.failures
    assert "Account 123456789012 was not looked at" in failure
    assert rooms.stacks() == [rooms.name]


def test_a_protected_room_stays_and_is_told_of(rooms: Rooms) -> None:
    more = (
        "guardrails:\n  protected:\n"
        '    - {arn: "arn:aws:cloudformation:*:*:stack/clampdown-clean-room-*"}\n'
    )

    reaped = rooms.reap(after=timedelta(hours=3), more=more)

    [failure] = reaped.failures
    assert "is protected" in failure
    assert rooms.deletions() == []


def test_an_incident_that_somebody_else_is_working_on_is_left_for_the_next_time(
    rooms: Rooms,
) -> None:
    with rooms.scene.responder().journal.hold(rooms.incident.id):
        reaped = rooms.reap(after=timedelta(hours=3))

    assert reaped.deleted == []
    assert rooms.name in reaped.failures[0]
    assert [room.stack for room in rooms.reap(after=timedelta(hours=3)).deleted] == [rooms.name]


def test_a_deletion_that_failed_is_told_of_and_tried_again(rooms: Rooms) -> None:
    ec2 = client(rooms.scene.aws.url, rooms.scene.world.region, "ec2")
    [vpc] = ec2.describe_vpcs(
        Filters=[{"Name": "tag:clampdown:incident", "Values": [rooms.incident.id]}]
    )["Vpcs"]
    group = ec2.create_security_group(GroupName="x", Description="x", VpcId=vpc["VpcId"])
    assert rooms.reap(after=timedelta(hours=3)).failures == []

    again = rooms.reap(after=timedelta(hours=3))

    [failure] = again.failures
    assert "Vpc (AWS::EC2::VPC)" in failure
    assert "tried again" in failure
    ec2.delete_security_group(GroupId=group["GroupId"])
    rooms.reap(after=timedelta(hours=3))
    assert rooms.stacks() == []


def test_a_room_of_another_simulation_is_left(rooms: Rooms) -> None:
    elsewhere = rooms.scene.aws.url.replace("127.0.0.1", "localhost")

    reaped = rooms.reap(after=timedelta(hours=3), simulate=elsewhere)

    assert [room.stack for room in reaped.foreign] == [rooms.name]
    assert reaped.deleted == []


def test_a_stop_stops_it(rooms: Rooms) -> None:
    responder = rooms.scene.responder()
    responder.stop.set()

    with pytest.raises(Interrupted):
        responder.reap()


def test_the_responder_reaps_what_is_over_now(rooms: Rooms) -> None:
    assert rooms.scene.responder().reap() == Reaped()
    assert rooms.stacks() == [rooms.name]
