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
# On an instance whose profile was taken away: the name of the profile that it had.
FORMER_PROFILE_TAG = "clampdown:profile"

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

    ``targets_in_group`` counts the incident's targets that are in service in the group: those
    that still count towards its desired capacity and are to leave it.
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
    gives none. ``overrides_port`` is whether the port is another than the target group's own;
    ``server_id`` is the one that QUIC needs; ``vpc_id`` the target group's. ``others_healthy``
    counts the group's healthy targets that are none of the incident's.
    """

    resource: Resource
    target_group_arn: str
    target_id: str
    port: int | None
    zone: str | None
    state: str
    protocol: str
    vpc_id: str
    overrides_port: bool
    others_healthy: int
    server_id: str | None = None

    @property
    def active(self) -> bool:
        """Whether it still is one: new traffic no longer comes once it is draining."""
        return self.state != "draining"


@dataclass(frozen=True)
class ClassicRegistration:
    """The instance's registration with a Classic Load Balancer.

    ``others`` counts the instances registered there that are none of the incident's targets.
    """

    resource: Resource
    load_balancer: str
    others: int


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
    """The IAM role whose sessions the instance may hold.

    ``inline_policies`` holds the inline policies that Clampdown put there, by name; ``id`` is
    the role's unique id (AROA…), as ``aws:userid`` shows it. ``trusted`` are the principals other
    than EC2 that its trust policy lets assume it.
    """

    resource: Resource
    name: str
    id: str
    path: str
    inline_policies: Mapping[str, str]
    trusted: tuple[str, ...] = ()

    @property
    def of_aws(self) -> bool:
        """Whether AWS refuses changes to it: service-linked, or made by Identity Center."""
        return self.path.startswith(("/aws-service-role/", "/aws-reserved/"))


@dataclass(frozen=True)
class Credentials(Fact):
    """How the instance comes by AWS credentials.

    ``role`` is the one behind its profile; once Clampdown has taken that profile away, still the
    one behind the profile that it had. ``contained_profile`` is what exists of Clampdown's
    deny-all profile in the account. ``caller`` is the ``aws:userid`` as which Clampdown acts.
    """

    permissions: ClassVar[tuple[str, ...]] = (
        "ec2:DescribeIamInstanceProfileAssociations",
        "iam:GetInstanceProfile",
        "iam:GetRole",
        "iam:GetRolePolicy",
    )

    association_id: str | None
    profile_arn: str | None
    profile_name: str | None
    role: Role | None
    contained_profile: ContainedProfile
    caller: str = ""

    @property
    def contained(self) -> bool:
        """Whether the instance has the deny-all profile."""
        return self.profile_name == CONTAINED_PROFILE


@dataclass(frozen=True)
class ContainedProfile:
    """What exists already of the deny-all instance profile that replaces a compromised one.

    ``exists`` is whether the profile does, ``role`` the name of the role that it holds.
    ``role_exists`` is whether the deny-all role does, in the profile or not; ``policies`` are its
    inline policies that Clampdown put there.
    """

    exists: bool
    role: str | None
    role_exists: bool
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


def departure(ref: TargetRef) -> tuple[str, str]:
    """The key under which an incident's steps share (``Aws.once``) whether the target has left.

    Leaving an Auto Scaling group takes an instance out of the group's load balancers as well.
    The facts are read once, before all steps, and don't show it yet to those that come after.
    """
    return ("departure from its Auto Scaling group", ref.arn)


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
