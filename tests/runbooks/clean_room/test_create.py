"""``clean_room.create``: what its plan says, what it makes, and what it says when it can't."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from flows.gameday.aws.errors import ec2_error
from flows.gameday.aws.server import SimulatedAws
from runbooks.aws import IncidentContext, Once, Permit, PlanningAws, Progress, Where
from runbooks.calls import Call, Found, Keep, PlannedStep, is_pending, pending
from runbooks.clean_room import create
from runbooks.clean_room.create import CreateCleanRoom, Room
from runbooks.clean_room.stack import EXPIRES_TAG
from runbooks.clean_room.template import DEVICES
from runbooks.connections import AccountAccess, Connections
from runbooks.ec2.snapshot import SnapshotVolumes
from runbooks.errors import AwsRefused, NotContained
from runbooks.targets.evidence import INCIDENT_TAG, INSTANCE_TAG
from runbooks.targets.instance import Ec2Instance, EvidenceSnapshot
from tests.runbooks.driver import ACCOUNT, REGION, Incident, MemoryLedger
from tests.runbooks.instances import INCIDENT, INSTANCE, instance, snapshot, volume
from tests.runbooks.stage import Stage

ROOT = volume(0, "/dev/xvda")
DATA = volume(1, "/dev/sdf", size=40)
NAME = f"clampdown-clean-room-{INCIDENT}-{INSTANCE}"
EXPIRES = "<pending:clean_room.create/3 days, 0:00:00 after the time of the call>"


class Plan:
    """What the step would do where AWS answers its reads with ``answers``, by operation."""

    def __init__(
        self,
        target: Ec2Instance,
        params: Mapping[str, Any] | None = None,
        *,
        stack: str = "",
        snapshots: Sequence[EvidenceSnapshot] = (),
        incident: str = INCIDENT,
        answers: Mapping[str, Any] | None = None,
    ) -> None:
        stacks = [{"StackId": "arn:stack/1", "StackName": NAME, "StackStatus": stack}]
        known: dict[str, Any] = {
            "describe_managed_prefix_lists": {"PrefixLists": [{"PrefixListId": "pl-1"}]},
            "describe_snapshots": {"Snapshots": [_answer(item) for item in snapshots]},
            "describe_stacks": {"Stacks": stacks if stack else []},
            **(answers or {}),
        }
        # Nothing listens there: whatever is not answered here fails.
        connections = Connections(
            {ACCOUNT: AccountAccess()}, session_name=INCIDENT, simulate="http://127.0.0.1:9"
        )
        aws = _Answered(
            connections,
            Where(ACCOUNT, REGION),
            IncidentContext(incident),
            "clean_room.create",
            known,
        )
        try:
            CreateCleanRoom().contain(aws, target, Room.model_validate(params or {}))
        finally:
            connections.close()
        self.changes = aws.changes
        self.contingent = aws.contingent
        self.warnings = " ".join(aws.warnings)
        self.asked = aws.asked

    @property
    def actions(self) -> list[str]:
        return [change.call.action for change in self.changes]

    @property
    def creation(self) -> Mapping[str, Any]:
        return self.changes[-1].call.params

    @property
    def parameters(self) -> dict[str, str]:
        return {
            item["ParameterKey"]: item["ParameterValue"] for item in self.creation["Parameters"]
        }


class _Answered(PlanningAws):
    def __init__(
        self,
        connections: Connections,
        where: Where,
        incident: IncidentContext,
        step_id: str,
        answers: Mapping[str, Any],
    ) -> None:
        super().__init__(connections, where, incident, step_id, Once())
        self.answers = answers
        self.asked: list[Call] = []

    def read_all(
        self, calls: Sequence[Call], *, absent: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        return [self.read(call, absent=absent) for call in calls]

    def read(
        self, call: Call, *, foreseen: Mapping[str, Any] | None = None, absent: Sequence[str] = ()
    ) -> dict[str, Any]:
        if is_pending(call.params):
            return dict(foreseen or {})
        self.asked.append(call)
        return dict(self.answers[call.operation])


def _answer(item: EvidenceSnapshot) -> dict[str, Any]:
    tags = {INCIDENT_TAG: item.incident, INSTANCE_TAG: INSTANCE}
    return {
        "SnapshotId": item.id,
        "VolumeId": item.volume_id,
        "State": item.state,
        "VolumeSize": item.size,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


class TestPlan:
    def test_a_room_is_one_stack_with_a_name_that_tells_whose_it_is(self) -> None:
        plan = Plan(instance(volumes=[ROOT, DATA]))

        assert plan.actions == ["cloudformation:CreateStack"]
        assert plan.creation["StackName"] == NAME
        assert plan.changes[0].on.arn == (
            f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{NAME}/*"
        )

    def test_it_is_planned_before_there_are_snapshots(self) -> None:
        parameters = Plan(instance(volumes=[ROOT, DATA])).parameters

        assert parameters["Snapshot1"] == pending(f"the snapshot of {ROOT.id}")
        assert parameters["Snapshot2"] == pending(f"the snapshot of {DATA.id}")

    def test_it_is_planned_before_there_is_an_incident(self) -> None:
        plan = Plan(instance(volumes=[ROOT]), incident=pending("incident"))

        name = f"clampdown-clean-room-<pending:incident>-{INSTANCE}"
        assert plan.creation["StackName"] == name

    def test_snapshots_that_there_are_stand_in_the_order_of_the_devices(self) -> None:
        taken = [snapshot(DATA, "completed", 1), snapshot(ROOT, "completed", 2)]

        parameters = Plan(instance(volumes=[ROOT, DATA]), snapshots=taken).parameters

        assert (parameters["Snapshot1"], parameters["Snapshot2"]) == (taken[1].id, taken[0].id)

    def test_a_snapshot_that_failed_counts_for_nothing(self) -> None:
        plan = Plan(instance(volumes=[ROOT]), snapshots=[snapshot(ROOT, "error", 1)])

        assert plan.parameters["Snapshot1"] == pending(f"the snapshot of {ROOT.id}")

    def test_a_volume_that_was_detached_since_is_in_the_room_by_its_snapshot(self) -> None:
        taken = [snapshot(ROOT, "completed", 1), snapshot(DATA, "completed", 2)]

        parameters = Plan(instance(volumes=[ROOT]), snapshots=taken).parameters

        assert parameters["Snapshot2"] == taken[1].id

    def test_the_stack_carries_the_incident_and_when_it_ends(self) -> None:
        plan = Plan(instance(volumes=[ROOT]), {"expires": "3d"})

        assert plan.creation["Tags"] == [
            {"Key": "clampdown:incident", "Value": INCIDENT},
            {"Key": "clampdown:expires", "Value": EXPIRES},
        ]

    def test_no_request_token_keeps_a_stack_from_being_made_again(self) -> None:
        assert "ClientRequestToken" not in Plan(instance(volumes=[ROOT])).creation

    def test_the_room_is_in_the_targets_zone(self) -> None:
        target = instance(volumes=[ROOT])

        assert Plan(target).parameters["Zone"] == target.zone

    def test_another_zone_type_network_and_service_role_can_be_given(self) -> None:
        role = "arn:aws:iam::123456789012:role/clean-room"
        plan = Plan(
            instance(volumes=[ROOT]),
            {
                "zone": "eu-west-1c",
                "instance_type": "m6i.xlarge",
                "cidr": "10.9.0.0/24",
                "service_role": role,
                "disk": 200,
            },
        )

        expected = {
            "Zone": "eu-west-1c",
            "InstanceType": "m6i.xlarge",
            "Cidr": "10.9.0.0/24",
            "Disk": "200",
        }
        assert expected.items() <= plan.parameters.items()
        assert plan.creation["RoleARN"] == role

    def test_the_root_device_of_another_image_is_looked_up(self) -> None:
        answers = {"describe_images": {"Images": [{"RootDeviceName": "/dev/sda1"}]}}

        plan = Plan(instance(volumes=[ROOT]), {"image": "ami-0123456789abcdef0"}, answers=answers)

        assert plan.parameters["Image"] == "ami-0123456789abcdef0"
        assert plan.parameters["RootDevice"] == "/dev/sda1"

    def test_an_image_behind_a_parameter_is_looked_up_and_stays_the_parameter(self) -> None:
        answers = {
            "get_parameter": {"Parameter": {"Value": "ami-0123456789abcdef0"}},
            "describe_images": {"Images": [{"RootDeviceName": "/dev/sda1"}]},
        }

        plan = Plan(
            instance(volumes=[ROOT]), {"image": "resolve:ssm:/forensics/ami"}, answers=answers
        )

        assert plan.parameters["Image"] == "/forensics/ami"
        assert plan.asked[-1].params == {"ImageIds": ["ami-0123456789abcdef0"]}
        assert plan.parameters["RootDevice"] == "/dev/sda1"

    def test_an_image_that_is_gone_is_named(self) -> None:
        with pytest.raises(NotContained, match=r"ami-0123456789abcdef0 .* not there"):
            Plan(
                instance(volumes=[ROOT]),
                {"image": "ami-0123456789abcdef0"},
                answers={"describe_images": {"Images": []}},
            )

    def test_amazon_linux_is_not_looked_up(self) -> None:
        plan = Plan(instance(volumes=[ROOT]))

        assert plan.parameters["RootDevice"] == "/dev/xvda"
        assert {call.operation for call in plan.asked} == {
            "describe_managed_prefix_lists",
            "describe_snapshots",
            "describe_stacks",
        }

    def test_undo_deletes_whichever_stack_then_has_the_name(self) -> None:
        [undo] = Plan(instance(volumes=[ROOT])).changes[0].undos

        assert undo.call == Call(
            "cloudformation",
            "delete_stack",
            StackName=Found(
                Call("cloudformation", "describe_stacks", StackName=NAME), "Stacks[].StackId"
            ),
        )
        assert undo.unless == ()

    @pytest.mark.parametrize("status", ["", "CREATE_IN_PROGRESS"])
    def test_the_plan_allows_for_a_room_that_can_not_be_made(self, status: str) -> None:
        plan = Plan(instance(volumes=[ROOT]), stack=status)

        [deletion] = plan.contingent
        assert deletion.call == Call("cloudformation", "delete_stack", StackName=NAME)
        assert isinstance(deletion.undo, Keep)

    @pytest.mark.parametrize(
        "status",
        [
            "CREATE_FAILED",
            "DELETE_FAILED",
            "ROLLBACK_COMPLETE",
            "ROLLBACK_FAILED",
            "ROLLBACK_IN_PROGRESS",
        ],
    )
    def test_what_is_left_of_an_earlier_try_is_deleted_first(self, status: str) -> None:
        plan = Plan(instance(volumes=[ROOT]), stack=status)

        assert plan.actions == ["cloudformation:DeleteStack", "cloudformation:CreateStack"]

    def test_a_room_that_is_going_is_made_again_once_it_is_gone(self) -> None:
        plan = Plan(instance(volumes=[ROOT]), stack="DELETE_IN_PROGRESS")

        assert plan.actions == ["cloudformation:CreateStack"]

    @pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_COMPLETE"])
    def test_a_room_that_there_is_needs_no_call(self, status: str) -> None:
        assert Plan(instance(volumes=[ROOT]), stack=status).actions == []

    def test_an_instance_without_volumes_gets_no_room(self) -> None:
        plan = Plan(instance(instance_store=True))

        assert plan.actions == []
        assert "no EBS volume" in plan.warnings

    def test_more_volumes_than_fit_on_a_workstation_are_refused(self) -> None:
        many = [volume(n, f"/dev/sd{n}") for n in range(len(DEVICES) + 1)]

        with pytest.raises(NotContained, match="38 volumes don't fit"):
            Plan(instance(volumes=many))

    def test_the_plan_says_what_costs_money_and_until_when(self) -> None:
        warnings = Plan(instance(volumes=[ROOT, DATA]), {"expires": "12h"}).warnings

        assert "m7i.large, three interface endpoints, 112 GiB" in warnings
        assert "deletes it 12h after it was made" in warnings

    def test_the_plan_says_that_the_room_is_in_the_targets_account(self) -> None:
        assert f"the target's own account {ACCOUNT}" in Plan(instance(volumes=[ROOT])).warnings

    def test_the_plan_warns_of_starting_from_evidence(self) -> None:
        assert "Don't restart its workstation" in Plan(instance(volumes=[ROOT])).warnings

    def test_the_calls_are_such_as_the_api_takes(self) -> None:
        import botocore.session
        from botocore.validate import ParamValidator

        model = botocore.session.Session().get_service_model("cloudformation")
        plan = Plan(
            instance(volumes=[ROOT, DATA]), {"service_role": f"arn:aws:iam::{ACCOUNT}:role/r"}
        )

        for change in (*plan.changes, *plan.contingent):
            shape = model.operation_model(change.call.api_name).input_shape
            report = ParamValidator().validate(dict(change.call.params), shape)
            assert not report.has_errors(), report.generate_report()

    def test_the_same_room_is_the_same_call(self) -> None:
        target = instance(volumes=[ROOT, DATA])

        assert Plan(target).changes[0].call == Plan(target).changes[0].call

    def test_each_parameter_that_the_template_declares_is_given(self) -> None:
        plan = Plan(instance(volumes=[ROOT, DATA]))

        template = json.loads(plan.creation["TemplateBody"])
        assert set(template["Parameters"]) == set(plan.parameters)
        assert plan.creation["Capabilities"] == ["CAPABILITY_IAM"]


class TestParameters:
    @pytest.mark.parametrize(
        "values",
        [
            {"instance_type": "large"},
            {"expires": "0s"},
            {"expires": "91d"},
            {"expires": "72"},
            {"image": "al2023"},
            {"image": "resolve:ssm:"},
            {"disk": 7},
            {"disk": "64"},
            {"zone": "b"},
            {"cidr": "8.8.8.0/24"},
            {"cidr": "10.0.0.1/24"},
            {"cidr": "10.0.0.0/8"},
            {"cidr": "10.0.0.0/29"},
            {"service_role": "clean-room"},
            {"key_name": "mine"},
        ],
    )
    def test_those_that_make_no_sense_are_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Room.model_validate(values)

    def test_the_room_never_keeps_a_containment_waiting(self) -> None:
        assert CreateCleanRoom.on_failure == "continue"
        assert CreateCleanRoom.waits
        assert not CreateCleanRoom.disruptive


class Telling(MemoryLedger):
    """A ledger that keeps what was said while AWS took its time."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def progress(self, what: str, progress: Progress) -> None:
        self.said.append(progress.text)


class Scene:
    """The victim of the small world, with its snapshots taken."""

    def __init__(self, aws: SimulatedAws) -> None:
        self.stage = Stage(aws)
        self.world = self.stage.set_up()
        self.incident = Incident(self.stage.url)
        self.incident.run(SnapshotVolumes, self.world.victim)
        self.stage.forget_calls()

    @property
    def name(self) -> str:
        return f"clampdown-clean-room-{self.incident.id}-{self.world.victim}"

    def make(
        self, params: Mapping[str, Any] | None = None, ledger: MemoryLedger | None = None
    ) -> Mapping[str, Any]:
        """Plan, carry out what was planned, verify; what the step returns."""
        return self.make_for(self.world.victim, params, ledger)

    def make_for(
        self,
        instance_id: str,
        params: Mapping[str, Any] | None = None,
        ledger: MemoryLedger | None = None,
    ) -> Mapping[str, Any]:
        planned: PlannedStep = self.incident.plan(CreateCleanRoom, instance_id, params)
        live = self.incident.live(ledger or MemoryLedger(), Permit(planned))
        target = self.incident.target(CreateCleanRoom, instance_id)
        outputs = CreateCleanRoom().contain(live, target, Room.model_validate(params or {}))
        self.incident.verify(CreateCleanRoom, instance_id, params)
        return outputs

    def ec2(self, operation: str, **params: Any) -> dict[str, Any]:
        return self._look("ec2", operation, params)

    def cloudformation(self, operation: str, **params: Any) -> dict[str, Any]:
        return self._look("cloudformation", operation, params)

    def _look(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        with self.stage.unrecorded():
            answer: dict[str, Any] = getattr(self.stage.client(service), operation)(**params)
        return answer

    def stack(self) -> dict[str, Any]:
        [stack] = self.cloudformation("describe_stacks", StackName=self.name)["Stacks"]
        found: dict[str, Any] = stack
        return found

    def stacks(self) -> list[str]:
        return [s["StackName"] for s in self.cloudformation("describe_stacks")["Stacks"]]

    def workstation(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.ec2("describe_instances", InstanceIds=[outputs["workstation"]])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    def copies(self, outputs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The copies by the ids of the volumes that they are of."""
        snapshots = {
            item["SnapshotId"]: item["VolumeId"]
            for item in self.ec2("describe_snapshots", OwnerIds=["self"])["Snapshots"]
        }
        answer = self.ec2("describe_volumes", VolumeIds=list(outputs["volumes"].values()))
        return {snapshots[item["SnapshotId"]]: item for item in answer["Volumes"]}


@pytest.fixture
def scene(simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(create, "LOOK_EVERY", timedelta(milliseconds=20))
    scene = Scene(simulated_aws)
    yield scene
    scene.incident.close()


def fail_to_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for the workstation in its zone."""
    from moto.ec2.models import EC2Backend

    def run_instances(*_: Any, **__: Any) -> None:
        raise ec2_error(
            "InsufficientInstanceCapacity",
            "We currently do not have sufficient m7i.large capacity in eu-west-1a.",
        )

    monkeypatch.setattr(EC2Backend, "run_instances", run_instances)


class TestRoom:
    def test_every_volume_has_a_copy_on_the_workstation_in_the_victims_zone(
        self, scene: Scene
    ) -> None:
        outputs = scene.make()

        victim = scene.incident.target(CreateCleanRoom, scene.world.victim)
        copies = scene.copies(outputs)
        assert set(copies) == {volume.id for volume in victim.volumes}
        for copy in copies.values():
            [attachment] = copy["Attachments"]
            assert attachment["InstanceId"] == outputs["workstation"]
            assert outputs["volumes"][attachment["Device"]] == copy["VolumeId"]
            assert copy["AvailabilityZone"] == victim.zone

    def test_every_copy_is_encrypted_and_that_of_an_encrypted_volume_with_its_key(
        self, scene: Scene
    ) -> None:
        copies = scene.copies(scene.make())

        victim = scene.incident.target(CreateCleanRoom, scene.world.victim)
        assert {volume.encrypted for volume in victim.volumes} == {True, False}
        for original in victim.volumes:
            assert copies[original.id]["Encrypted"] is True
            if original.encrypted:
                assert copies[original.id]["KmsKeyId"] == original.kms_key_id

    def test_the_workstation_starts_from_an_encrypted_disk_of_its_own(self, scene: Scene) -> None:
        outputs = scene.make({"image": scene.world.ids["image"]})

        workstation = scene.workstation(outputs)
        [root] = [
            item["Ebs"]["VolumeId"]
            for item in workstation["BlockDeviceMappings"]
            if item["DeviceName"] == workstation["RootDeviceName"]
        ]
        assert root not in outputs["volumes"].values()
        [disk] = scene.ec2("describe_volumes", VolumeIds=[root])["Volumes"]
        assert disk["Encrypted"] is True

    def test_nobody_gets_at_the_workstation_from_outside(self, scene: Scene) -> None:
        workstation = scene.workstation(scene.make())

        assert "PublicIpAddress" not in workstation
        assert "KeyName" not in workstation
        assert workstation["MetadataOptions"]["HttpTokens"] == "required"
        gateways = scene.ec2("describe_internet_gateways")["InternetGateways"]
        assert workstation["VpcId"] not in {
            attachment["VpcId"] for gateway in gateways for attachment in gateway["Attachments"]
        }

    def test_no_group_of_the_room_lets_anything_through_to_everywhere(self, scene: Scene) -> None:
        workstation = scene.workstation(scene.make())

        groups = scene.ec2(
            "describe_security_groups",
            Filters=[{"Name": "vpc-id", "Values": [workstation["VpcId"]]}],
        )["SecurityGroups"]
        ours = [group for group in groups if group["GroupName"] != "default"]
        assert len(ours) == 2
        for group in ours:
            for rule in (*group["IpPermissions"], *group["IpPermissionsEgress"]):
                assert "0.0.0.0/0" not in {item["CidrIp"] for item in rule["IpRanges"]}
                assert rule.get("Ipv6Ranges", []) == []

    def test_everything_in_it_carries_the_incident_and_when_it_ends(self, scene: Scene) -> None:
        outputs = scene.make({"expires": "2h"})

        ends = datetime.strptime(outputs["expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        left = ends - datetime.now(UTC)
        assert timedelta(minutes=119) < left <= timedelta(hours=2)
        marked = scene.ec2("describe_tags", Filters=[{"Name": "key", "Values": [EXPIRES_TAG]}])[
            "Tags"
        ]
        assert {tag["Value"] for tag in marked} == {outputs["expires"]}
        known = {tag["ResourceId"] for tag in marked}
        assert {outputs["workstation"], *outputs["volumes"].values()} <= known

    def test_it_says_how_to_get_in(self, scene: Scene) -> None:
        outputs = scene.make()

        assert outputs["stack"] == scene.name
        assert outputs["stack_id"] == scene.stack()["StackId"]
        assert outputs["connect"] == (
            f"aws ssm start-session --region {REGION} --target {outputs['workstation']}"
        )

    def test_a_second_instance_of_the_incident_has_a_room_of_its_own(self, scene: Scene) -> None:
        scene.incident.run(SnapshotVolumes, scene.world.ids["standalone"])

        one = scene.make()
        other = scene.make_for(scene.world.ids["standalone"])

        assert one["stack"] != other["stack"]
        assert one["workstation"] != other["workstation"]

    def test_how_far_it_is_is_said_while_it_is_made(self, scene: Scene) -> None:
        scene.stage.aws.configure(stack_seconds=0.5)
        ledger = Telling()

        outputs = scene.make(ledger=ledger)

        resources = json.loads(ledger.intents[0].call.params["TemplateBody"])["Resources"]
        total = f"of {len(resources)} resources"
        assert len({text for text in ledger.said if text.endswith(total)}) > 2
        assert f"`{outputs['connect']}`" in ledger.said[-1]

    def test_a_room_that_takes_too_long_is_told_of(self, scene: Scene) -> None:
        scene.stage.aws.configure(stack_seconds=60)

        with pytest.raises(NotContained, match=r"still \d+ of \d+ resources"):
            scene.make({"within": "1s"})

    def test_a_room_still_being_made_is_waited_for_and_not_made_twice(self, scene: Scene) -> None:
        scene.stage.aws.configure(stack_seconds=1.5)
        with pytest.raises(NotContained, match="still"):
            scene.make({"within": "1s"})

        ledger = MemoryLedger()
        outputs = scene.make(ledger=ledger)

        assert ledger.intents == []
        assert outputs["workstation"]

    def test_a_copy_that_somebody_detaches_is_missed(self, scene: Scene) -> None:
        outputs = scene.make()
        detached = outputs["volumes"]["/dev/sdg"]
        scene.ec2("detach_volume", VolumeId=detached)

        with pytest.raises(NotContained, match=f"not attached .*{detached}"):
            scene.incident.verify(CreateCleanRoom, scene.world.victim)

    def test_no_room_is_no_containment(self, scene: Scene) -> None:
        with pytest.raises(NotContained, match=f"{scene.name} does not exist"):
            scene.incident.verify(CreateCleanRoom, scene.world.victim)


class TestEvidence:
    def test_snapshots_that_are_not_completed_are_named_and_nothing_is_made(
        self, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage = Stage(simulated_aws)
        monkeypatch.setattr(stage.aws, "snapshot_seconds", 60)
        world = stage.set_up()
        incident = Incident(stage.url)
        incident.run(SnapshotVolumes, world.victim)
        ledger = MemoryLedger()

        with pytest.raises(NotContained, match=r"not completed: snap-\w+ of vol-\w+ \(pending\)"):
            incident.run(CreateCleanRoom, world.victim, ledger=ledger)

        assert ledger.intents == []
        incident.close()

    def test_volumes_without_a_snapshot_are_named_and_nothing_is_made(self, scene: Scene) -> None:
        ledger = MemoryLedger()

        with pytest.raises(NotContained, match=r"no snapshot of vol-\w+ \(/dev/sda1\)"):
            scene.incident.run(CreateCleanRoom, scene.world.ids["standalone"], ledger=ledger)

        assert ledger.intents == []


class TestFailure:
    def test_the_first_resource_that_failed_is_named_with_awss_reason(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fail_to_launch(monkeypatch)

        with pytest.raises(NotContained) as caught:
            scene.make()

        assert "Workstation (AWS::EC2::Instance)" in str(caught.value)
        assert "do not have sufficient m7i.large capacity" in str(caught.value)
        assert "another instance_type or zone" in str(caught.value)

    def test_running_again_deletes_what_failed_and_makes_it_anew(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            fail_to_launch(broken)
            with pytest.raises(NotContained):
                scene.make()
        assert scene.stack()["StackStatus"] == "ROLLBACK_COMPLETE"
        ledger = MemoryLedger()

        outputs = scene.make({"instance_type": "m6i.large"}, ledger)

        assert [change.call.action for change in ledger.intents] == [
            "cloudformation:DeleteStack",
            "cloudformation:CreateStack",
        ]
        assert scene.workstation(outputs)["InstanceType"] == "m6i.large"

    def test_the_plan_that_was_approved_covers_deleting_what_failed(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        approved = scene.incident.plan(CreateCleanRoom, scene.world.victim)
        with monkeypatch.context() as broken:
            fail_to_launch(broken)
            with pytest.raises(NotContained):
                scene.make()
        target = scene.incident.target(CreateCleanRoom, scene.world.victim)

        live = scene.incident.live(MemoryLedger(), Permit(approved))
        outputs = CreateCleanRoom().contain(live, target, Room())

        assert scene.stack()["StackStatus"] == "CREATE_COMPLETE"
        assert outputs["workstation"]

    def test_a_rollback_still_going_on_is_waited_for(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.stage.aws.configure(stack_seconds=1.0)
        with monkeypatch.context() as broken:
            fail_to_launch(broken)
            with pytest.raises(NotContained, match="ROLLBACK_IN_PROGRESS"):
                scene.make()
        ledger = Telling()

        scene.make(ledger=ledger)

        assert "ROLLBACK_IN_PROGRESS" in ledger.said
        assert "DELETE_IN_PROGRESS" in ledger.said
        assert scene.stack()["StackStatus"] == "CREATE_COMPLETE"

    def test_a_room_that_can_not_be_deleted_says_what_is_in_the_way(self, scene: Scene) -> None:
        workstation = scene.workstation(scene.make())
        scene.ec2(
            "create_security_group",
            GroupName="GuardDutyManagedSecurityGroup",
            Description="not ours",
            VpcId=workstation["VpcId"],
        )
        scene.cloudformation("delete_stack", StackName=scene.name)
        assert scene.stack()["StackStatus"] == "DELETE_FAILED"

        with pytest.raises(NotContained) as caught:
            scene.make()

        assert "Vpc (AWS::EC2::VPC)" in str(caught.value)
        assert "GuardDuty" in str(caught.value)

    def test_a_refused_creation_is_told_and_leaves_nothing(self, scene: Scene) -> None:
        scene.stage.deny("cloudformation:CreateStack")
        ledger = MemoryLedger()

        with pytest.raises(AwsRefused, match="cloudformation:CreateStack"):
            scene.make(ledger=ledger)

        assert ledger.outcomes == {1: "failed"}
        assert scene.stacks() == []


class TestUndo:
    def test_it_deletes_the_room_and_keeps_the_evidence(self, scene: Scene) -> None:
        before = scene.stage.state()
        ledger = MemoryLedger()
        scene.make(ledger=ledger)

        scene.incident.undo(ledger)

        assert scene.stacks() == []
        assert scene.stage.state() == before

    def test_a_room_that_somebody_deleted_already_needs_no_call(self, scene: Scene) -> None:
        ledger = MemoryLedger()
        scene.make(ledger=ledger)
        scene.cloudformation("delete_stack", StackName=scene.name)

        undone = scene.incident.undo(ledger)

        assert undone.intents == []

    def test_a_room_that_is_protected_from_deletion_is_told_of(self, scene: Scene) -> None:
        ledger = MemoryLedger()
        scene.make(ledger=ledger)
        scene.cloudformation(
            "update_termination_protection",
            StackName=scene.name,
            EnableTerminationProtection=True,
        )

        with pytest.raises(AwsRefused, match="TerminationProtection"):
            scene.incident.undo(ledger)
