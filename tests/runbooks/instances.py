"""Instances as facts, written down instead of read: for what no world can be brought to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from runbooks.aws import IncidentContext, Once, PlanningAws, Where
from runbooks.calls import Call, Resource
from runbooks.connections import AccountAccess, Connections
from runbooks.step import AnyStep
from runbooks.targets.fact import Fact
from runbooks.targets.instance import (
    Ec2Instance,
    Evidence,
    EvidenceSnapshot,
    Membership,
    NetworkInterface,
    Protection,
    Scaling,
    Volume,
)
from runbooks.targets.reference import TargetRef
from tests.runbooks.driver import ACCOUNT, REGION

INSTANCE = "i-0123456789abcdef0"
INCIDENT = "inc-20260101-abcdef"


def arn(resource: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:{resource}"


def volume(number: int = 0, device: str = "/dev/sda1", **facts: Any) -> Volume:
    identity = f"vol-{number:017x}"
    tags: Mapping[str, str] = facts.pop("tags", {})
    values: dict[str, Any] = {
        "delete_on_termination": True,
        "root": number == 0,
        "size": 8,
        "encrypted": True,
        "kms_key_id": None,
        "kind": "gp3",
        "zone": f"{REGION}a",
        **facts,
    }
    return Volume(Resource(arn(f"volume/{identity}"), tags), identity, device, **values)


def interface(number: int = 0, **facts: Any) -> NetworkInterface:
    identity = f"eni-{number:017x}"
    tags: Mapping[str, str] = facts.pop("tags", {})
    values: dict[str, Any] = {
        "vpc_id": "vpc-1",
        "subnet_id": "subnet-1",
        "groups": ("sg-1",),
        "addresses": ("10.0.0.5",),
        "public_addresses": (),
        "attachment_id": f"eni-attach-{number:017x}",
        "delete_on_termination": True,
        "primary": number == 0,
        "managed": False,
        "kind": "interface",
        **facts,
    }
    return NetworkInterface(
        Resource(arn(f"network-interface/{identity}"), tags), identity, **values
    )


def membership(lifecycle_state: str = "InService", *, protected: bool = False) -> Membership:
    return Membership(
        resource=Resource(
            f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/web"
        ),
        group="web",
        lifecycle_state=lifecycle_state,
        protected_from_scale_in=protected,
        min_size=1,
        max_size=3,
        desired_capacity=2,
        suspended_processes=(),
        health_check_type="ELB",
        target_group_arns=(),
        load_balancer_names=(),
        launch_source="launch template web",
        targets_in_group=1,
    )


def snapshot(of: Volume, state: str = "pending", number: int = 0) -> EvidenceSnapshot:
    identity = f"snap-{number:017x}"
    return EvidenceSnapshot(
        Resource(f"arn:aws:ec2:{REGION}::snapshot/{identity}"),
        identity,
        of.id,
        of.device,
        state,
        INCIDENT,
        datetime(2026, 1, 1, tzinfo=UTC),
        of.size,
    )


def instance(
    *,
    volumes: Sequence[Volume] = (),
    interfaces: Sequence[NetworkInterface] = (),
    tags: Mapping[str, str] | None = None,
    spot: bool = False,
    instance_store: bool = False,
    metadata_tags: bool = False,
    facts: Sequence[Fact] = (),
) -> Ec2Instance:
    """A running instance; without facts of its own it is unprotected, in no group, unrecorded."""
    known: dict[type[Fact], Fact] = {
        Protection: Protection(termination=False, stop=False, shutdown_behavior="stop"),
        Scaling: Scaling(None),
        Evidence: Evidence(()),
    }
    ref = TargetRef("ec2.instance", ACCOUNT, REGION, INSTANCE)
    return Ec2Instance(
        ref=ref,
        resource=Resource(ref.arn, tags or {}),
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        zone=f"{REGION}a",
        state="running",
        spot=spot,
        instance_type="m7i.large",
        image_id="ami-1",
        architecture="x86_64",
        launched=None,
        metadata_endpoint="enabled",
        metadata_tokens="required",
        metadata_tags=metadata_tags,
        network_interfaces=tuple(interfaces),
        volumes=tuple(volumes),
        instance_store=instance_store,
        facts={**known, **{type(fact): fact for fact in facts}},
    )


class Plan:
    """What a step would do to an instance, without any AWS: facts in, calls out."""

    def __init__(
        self,
        step: type[AnyStep],
        target: Ec2Instance,
        params: Mapping[str, Any] | None = None,
        *,
        finding: str = "finding-1",
        remote_addresses: Sequence[str] = (),
    ) -> None:
        # Nothing listens there: a step that reads or sends would fail.
        connections = Connections(
            {ACCOUNT: AccountAccess()}, session_name=INCIDENT, simulate="http://127.0.0.1:9"
        )
        aws = PlanningAws(
            connections,
            Where(ACCOUNT, REGION),
            IncidentContext(INCIDENT, finding, tuple(remote_addresses)),
            step.name,
            Once(),
        )
        try:
            step().contain(aws, target, step.Params.model_validate(params or {}))
        finally:
            connections.close()
        self.changes = aws.changes
        self.contingent = aws.contingent
        self.warnings = " ".join(aws.warnings)

    @property
    def calls(self) -> list[Call]:
        return [change.call for change in self.changes]

    def attributes(self) -> dict[str, Any]:
        """What the calls set on the instance, its volumes or interfaces, by attribute."""
        return {
            key: value
            for call in self.calls
            for key, value in call.params.items()
            if not key.endswith(("Id", "Ids"))
        }
