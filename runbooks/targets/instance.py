"""An EC2 instance as facts: what containment needs to know of it, read once and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeVar

from runbooks.calls import Resource
from runbooks.targets.fact import Fact
from runbooks.targets.reference import TargetRef

ISOLATION_TAG = "clampdown:isolation"
CONTAINED_PROFILE = "clampdown-contained"

FactT = TypeVar("FactT", bound=Fact)


@dataclass(frozen=True)
class PublicAddress:
    """An Elastic IP of a network interface. Without ``allocation_id`` AWS gave it by itself."""

    public_ip: str
    private_ip: str
    allocation_id: str | None
    association_id: str | None


@dataclass(frozen=True)
class NetworkInterface:
    """An ENI attached to the instance. ``managed`` ones belong to an AWS service."""

    resource: Resource
    id: str
    vpc_id: str
    subnet_id: str
    groups: tuple[str, ...]
    addresses: tuple[str, ...]
    public_addresses: tuple[PublicAddress, ...]
    attachment_id: str
    delete_on_termination: bool
    primary: bool
    managed: bool
    kind: str


@dataclass(frozen=True)
class Volume:
    """An EBS volume attached to the instance. ``size`` is in GiB.

    ``managed`` ones belong to an AWS service, which refuses changes to their attachment.
    """

    resource: Resource
    id: str
    device: str
    delete_on_termination: bool
    root: bool
    size: int
    encrypted: bool
    kms_key_id: str | None
    kind: str
    zone: str
    managed: bool = False


@dataclass(frozen=True)
class Protection(Fact):
    """What keeps the instance from being terminated or stopped."""

    permissions: ClassVar[tuple[str, ...]] = ("ec2:DescribeInstanceAttribute",)

    termination: bool
    stop: bool
    shutdown_behavior: str


@dataclass(frozen=True)
class Membership:
    """The instance's place in its Auto Scaling group, and the group as far as it matters.

    ``targets_in_group`` counts the incident's targets that the group still holds, this one
    included.
    """

    resource: Resource
    group: str
    lifecycle_state: str
    protected_from_scale_in: bool
    min_size: int
    max_size: int
    desired_capacity: int
    suspended_processes: tuple[str, ...]
    health_check_type: str
    target_group_arns: tuple[str, ...]
    load_balancer_names: tuple[str, ...]
    launch_source: str
    targets_in_group: int

    @property
    def terminating(self) -> bool:
        return self.lifecycle_state.startswith("Terminating")


@dataclass(frozen=True)
class Scaling(Fact):
    """Whether an Auto Scaling group holds the instance."""

    permissions: ClassVar[tuple[str, ...]] = (
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeAutoScalingGroups",
    )

    membership: Membership | None


@dataclass(frozen=True)
class TargetRegistration:
    """One registration of the instance, or of one of its addresses, in a target group.

    ``zone`` is "all" for an address outside the load balancer's VPC, else None where AWS
    gives none.
    """

    resource: Resource
    target_group_arn: str
    target_id: str
    port: int | None
    zone: str | None
    state: str
    protocol: str


@dataclass(frozen=True)
class ClassicRegistration:
    """The instance's registration with a Classic Load Balancer."""

    resource: Resource
    load_balancer: str


@dataclass(frozen=True)
class LoadBalancing(Fact):
    """Where load balancers of any kind send traffic to the instance."""

    permissions: ClassVar[tuple[str, ...]] = (
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
    )

    targets: tuple[TargetRegistration, ...]
    classic: tuple[ClassicRegistration, ...]


@dataclass(frozen=True)
class Role:
    """The IAM role behind the instance's profile.

    ``inline_policies`` holds the inline policies that Clampdown put there, by name; ``id`` is
    the role's unique id (AROA…), as ``aws:userid`` shows it.
    """

    resource: Resource
    name: str
    id: str
    path: str
    inline_policies: Mapping[str, str]


@dataclass(frozen=True)
class Credentials(Fact):
    """How the instance comes by AWS credentials.

    ``contained_profile`` is whether Clampdown's deny-all profile exists in the account, with
    its role in it.
    """

    permissions: ClassVar[tuple[str, ...]] = (
        "ec2:DescribeIamInstanceProfileAssociations",
        "iam:GetInstanceProfile",
        "iam:GetRolePolicy",
    )

    association_id: str | None
    profile_arn: str | None
    profile_name: str | None
    role: Role | None
    contained_profile: ContainedProfile


@dataclass(frozen=True)
class ContainedProfile:
    """What exists already of the deny-all instance profile that replaces a compromised one."""

    exists: bool
    role: str | None
    policies: Mapping[str, str]


@dataclass(frozen=True)
class GroupRule:
    """A rule of a security group. Ports are -1 for all; ``peer`` is a CIDR, group or prefix list."""

    id: str
    egress: bool
    protocol: str
    from_port: int
    to_port: int
    peer: str


@dataclass(frozen=True)
class SecurityGroup:
    resource: Resource
    id: str
    name: str
    vpc_id: str
    rules: tuple[GroupRule, ...]


@dataclass(frozen=True)
class AclEntry:
    number: int
    egress: bool
    allow: bool
    protocol: str
    cidr: str


@dataclass(frozen=True)
class NetworkAcl:
    resource: Resource
    id: str
    subnet_ids: tuple[str, ...]
    entries: tuple[AclEntry, ...]


@dataclass(frozen=True)
class Network(Fact):
    """The isolation groups that Clampdown has made, and the network ACLs of the subnets."""

    permissions: ClassVar[tuple[str, ...]] = (
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
    )

    isolation_groups: tuple[SecurityGroup, ...]
    acls: tuple[NetworkAcl, ...]


@dataclass(frozen=True)
class EvidenceSnapshot:
    """A snapshot that Clampdown made for an incident.

    ``device`` is the device as which its volume was attached. ``size`` is the volume's, in GiB.
    """

    resource: Resource
    id: str
    volume_id: str
    device: str
    state: str
    incident: str
    started: datetime | None
    size: int

    @property
    def failed(self) -> bool:
        """Whether AWS gave up on it: it holds nothing."""
        return self.state == "error"


@dataclass(frozen=True)
class Evidence(Fact):
    """The snapshots that Clampdown has made of the instance for this incident."""

    permissions: ClassVar[tuple[str, ...]] = ("ec2:DescribeSnapshots",)

    snapshots: tuple[EvidenceSnapshot, ...]

    @property
    def of_volumes(self) -> dict[str, EvidenceSnapshot]:
        """The snapshot that counts for each volume, by the volume's id.

        One that failed counts only while there is no other.
        """
        worst_first = sorted(self.snapshots, key=lambda item: (not item.failed, item.id))
        return {snapshot.volume_id: snapshot for snapshot in worst_first}


@dataclass(frozen=True)
class Ec2Instance:
    """An EC2 instance. Facts beyond its own description are taken with :meth:`fact`."""

    ref: TargetRef
    resource: Resource
    vpc_id: str
    subnet_id: str
    zone: str
    state: str
    spot: bool
    instance_type: str
    image_id: str
    architecture: str
    launched: datetime | None
    metadata_endpoint: str
    metadata_tokens: str
    metadata_tags: bool
    network_interfaces: tuple[NetworkInterface, ...]
    volumes: tuple[Volume, ...]
    instance_store: bool
    facts: Mapping[type[Fact], Fact]

    @property
    def id(self) -> str:
        return self.ref.id

    @property
    def tags(self) -> Mapping[str, str]:
        return self.resource.tags

    def fact(self, kind: type[FactT]) -> FactT:
        """A fact that the step has declared under ``facts``."""
        found = self.facts[kind]
        if not isinstance(found, kind):
            raise TypeError(f"{kind.__name__} was read as {type(found).__name__}")
        return found

    def lookup(self) -> dict[str, object]:
        """The plain data that ``${target.…}`` and ``when`` look into."""
        return {
            "id": self.id,
            "arn": self.ref.arn,
            "account": self.ref.account,
            "region": self.ref.region,
            "zone": self.zone,
            "vpc_id": self.vpc_id,
            "subnet_id": self.subnet_id,
            "instance_type": self.instance_type,
            "image_id": self.image_id,
            "state": self.state,
            "spot": self.spot,
            "tags": dict(self.tags),
            "network_interfaces": [interface.id for interface in self.network_interfaces],
            "volumes": [volume.id for volume in self.volumes],
        }
