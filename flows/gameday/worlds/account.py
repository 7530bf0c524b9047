"""World files of the second form: an account written down, as it was read or as a twin is to be.

Everything has a name that other parts refer to; ids are AWS's, and no part of it. What is read from
an account and built again reads the same.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from runbooks.errors import InvalidInput
from runbooks.yaml_source import Limits, parse

VERSION = 1
# An account with 2,000 resources has about 350 KiB and 35,000 keys and values.
LIMITS = Limits(size=4 * 1024 * 1024, nodes=250_000)
Name = Annotated[str, Field(min_length=1, max_length=255)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tagged(_Part):
    tags: dict[str, str] = {}


class Vpc(Tagged):
    cidr: Name
    more_cidrs: tuple[Name, ...] = ()
    dns_hostnames: bool = False
    internet_gateway: bool = False


class Subnet(Tagged):
    vpc: Name
    cidr: Name
    zone: Name
    public_addresses: bool = False


class WorldRoute(_Part):
    """``to`` is a network; ``through`` is ``internet``, ``nat:NAME`` or ``instance:NAME``."""

    to: Name
    through: Name


class RouteTable(Tagged):
    """``main`` is the VPC's own; ``subnets`` are those that are associated with it explicitly."""

    vpc: Name
    main: bool = False
    subnets: tuple[Name, ...] = ()
    routes: tuple[WorldRoute, ...] = ()


class NatGateway(Tagged):
    subnet: Name


class Endpoint(Tagged):
    """A VPC endpoint. ``service`` is the whole name (``com.amazonaws.eu-west-1.ssm``)."""

    vpc: Name
    service: Name
    kind: Literal["Interface", "Gateway"]
    subnets: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    route_tables: tuple[Name, ...] = ()
    private_dns: bool = False


class PrefixList(Tagged):
    family: Literal["IPv4", "IPv6"]
    entries: tuple[Name, ...] = ()


class GroupRule(_Part):
    """``peer`` is a network, ``group:NAME``, or ``prefix-list:NAME``; without ports it is all."""

    egress: bool
    protocol: Name
    first: int | None = None
    last: int | None = None
    peer: Name


class SecurityGroup(Tagged):
    vpc: Name
    name: Name
    description: str
    rules: tuple[GroupRule, ...] = ()


class AclRule(_Part):
    number: int = Field(ge=1, le=32766)
    egress: bool
    action: Literal["allow", "deny"]
    protocol: Name
    network: Name
    first: int | None = None
    last: int | None = None


class NetworkAcl(Tagged):
    """``default`` is the VPC's own; ``subnets`` are all that it is associated with."""

    vpc: Name
    default: bool = False
    subnets: tuple[Name, ...] = ()
    rules: tuple[AclRule, ...] = ()


class Role(Tagged):
    path: str = "/"
    trust: dict[str, Any]
    inline: dict[str, dict[str, Any]] = {}
    policies: tuple[Name, ...] = ()
    boundary: str | None = None


class Policy(_Part):
    """A managed policy. One of AWS's becomes one of the account's, with the same document."""

    path: str = "/"
    document: dict[str, Any]


class Profile(_Part):
    path: str = "/"
    role: str | None = None


class Image(_Part):
    root_device: Name
    architecture: Name = "x86_64"


class WorldVolume(Tagged):
    """``size`` in GiB. ``key`` names a KMS key; without one AWS's own is used."""

    device: Name
    size: int = Field(ge=1)
    kind: Name = "gp3"
    encrypted: bool = False
    key: str | None = None
    delete_on_termination: bool = True


class WorldInterface(Tagged):
    """``addresses`` are private, the primary one first; ``elastic`` is whether it has an EIP."""

    subnet: Name
    addresses: tuple[Name, ...] = Field(min_length=1)
    groups: tuple[Name, ...]
    elastic: bool = False
    delete_on_termination: bool = True
    source_dest_check: bool = True


class Instance(Tagged):
    """``volumes`` has the root volume first."""

    image: Name
    type: Name
    state: Literal["running", "stopped"] = "running"
    profile: str | None = None
    spot: bool = False
    termination_protection: bool = False
    stop_protection: bool = False
    shutdown: Literal["stop", "terminate"] = "stop"
    metadata_endpoint: Literal["enabled", "disabled"] = "enabled"
    metadata_tokens: Literal["optional", "required"] = "optional"
    metadata_tags: Literal["enabled", "disabled"] = "disabled"
    interfaces: tuple[WorldInterface, ...] = Field(min_length=1)
    volumes: tuple[WorldVolume, ...] = ()


class LaunchTemplate(_Part):
    image: str | None = None
    type: str | None = None
    groups: tuple[Name, ...] = ()
    profile: str | None = None
    instance_tags: dict[str, str] = {}


class ScalingTag(_Part):
    key: Name
    value: str
    propagate: bool = True


class AutoScalingGroup(_Part):
    min: int = Field(ge=0)
    max: int = Field(ge=0)
    desired: int = Field(ge=0)
    template: Name
    subnets: tuple[Name, ...]
    health_check: Literal["EC2", "ELB"] = "EC2"
    grace_seconds: int = Field(default=0, ge=0)
    target_groups: tuple[Name, ...] = ()
    classic_balancers: tuple[Name, ...] = ()
    suspended: tuple[Name, ...] = ()
    instances: tuple[Name, ...] = ()
    protected: tuple[Name, ...] = ()
    tags: tuple[ScalingTag, ...] = ()


class Target(_Part):
    """``id`` is an instance's name, or an address in a target group of addresses."""

    id: Name
    port: int


class TargetGroup(_Part):
    vpc: Name
    protocol: Name
    port: int
    kind: Literal["instance", "ip"]
    targets: tuple[Target, ...] = ()


class Listener(_Part):
    port: int
    protocol: Name
    target_group: Name


class LoadBalancer(_Part):
    kind: Literal["application", "network"]
    scheme: Literal["internet-facing", "internal"] = "internet-facing"
    subnets: tuple[Name, ...]
    groups: tuple[Name, ...] = ()
    listeners: tuple[Listener, ...] = ()


class ClassicListener(_Part):
    protocol: Name
    port: int
    instance_protocol: Name
    instance_port: int


class ClassicBalancer(_Part):
    scheme: Literal["internet-facing", "internal"] = "internet-facing"
    subnets: tuple[Name, ...]
    groups: tuple[Name, ...] = ()
    listeners: tuple[ClassicListener, ...]
    instances: tuple[Name, ...] = ()


class AccountWorld(_Part):
    """An account in one Region. Every part is by its name."""

    version: Literal[1] = 1
    region: Name
    vpcs: dict[Name, Vpc] = {}
    subnets: dict[Name, Subnet] = {}
    nat_gateways: dict[Name, NatGateway] = {}
    prefix_lists: dict[Name, PrefixList] = {}
    route_tables: dict[Name, RouteTable] = {}
    security_groups: dict[Name, SecurityGroup] = {}
    network_acls: dict[Name, NetworkAcl] = {}
    endpoints: dict[Name, Endpoint] = {}
    policies: dict[Name, Policy] = {}
    roles: dict[Name, Role] = {}
    profiles: dict[Name, Profile] = {}
    keys: dict[Name, Tagged] = {}
    images: dict[Name, Image] = {}
    instances: dict[Name, Instance] = {}
    target_groups: dict[Name, TargetGroup] = {}
    load_balancers: dict[Name, LoadBalancer] = {}
    classic_balancers: dict[Name, ClassicBalancer] = {}
    launch_templates: dict[Name, LaunchTemplate] = {}
    scaling_groups: dict[Name, AutoScalingGroup] = {}

    @model_validator(mode="after")
    def _everything_named_is_there(self) -> AccountWorld:
        for kind, name, where in _references(self):
            if name not in getattr(self, kind):
                raise ValueError(f"{where} names {name!r}, which is not in {kind}")
        return self

    def to_yaml(self) -> str:
        """The world file: only what isn't as it is by default, in an order that doesn't change."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        text: str = yaml.dump(
            {"version": VERSION, **values},
            Dumper=_Plain,
            sort_keys=False,
            allow_unicode=True,
            width=100,
        )
        return text


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """World files have no anchors: the strict reader takes none."""
        return True


# A number to YAML 1.2, which the reader follows, is text to YAML 1.1, which PyYAML writes: 0E0.
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _NUMBER.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _text)


def parse_account(document: bytes, name: str = "world file") -> AccountWorld:
    """The world of a file's content.

    Raises InvalidInput, which names the line of what is wrong with the YAML, or the place of what
    is wrong with its meaning.
    """
    source = parse(document, LIMITS)
    if source.faults:
        fault = source.faults[0]
        raise InvalidInput(f"{name}:{fault.position.line}: {fault.message}")
    try:
        return AccountWorld.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(first["loc"])
        line = source.position(place).line
        where = ".".join(map(str, place)) or "the file"
        raise InvalidInput(f"{name}:{line}: {where}: {first['msg']}") from error


def _references(world: AccountWorld) -> list[tuple[str, str, str]]:
    """(kind, name, where) of everything that one part names another by."""
    found: list[tuple[str, str, str]] = []

    def needs(kind: str, names: str | tuple[str, ...] | list[str] | None, where: str) -> None:
        each = (names,) if isinstance(names, str) else (names or ())
        found.extend((kind, name, where) for name in each)

    for name, subnet in world.subnets.items():
        needs("vpcs", subnet.vpc, f"the subnet {name}")
    for name, nat in world.nat_gateways.items():
        needs("subnets", nat.subnet, f"the NAT gateway {name}")
    for name, table in world.route_tables.items():
        where = f"the route table {name}"
        needs("vpcs", table.vpc, where)
        needs("subnets", table.subnets, where)
        for route in table.routes:
            kind, _, through = route.through.partition(":")
            if through:
                needs({"nat": "nat_gateways"}.get(kind, "instances"), through, where)
    for name, group in world.security_groups.items():
        where = f"the security group {name}"
        needs("vpcs", group.vpc, where)
        for rule in group.rules:
            kind, _, peer = rule.peer.partition(":")
            if kind in ("group", "prefix-list"):
                kinds = {"group": "security_groups", "prefix-list": "prefix_lists"}
                needs(kinds[kind], peer, where)
    for name, acl in world.network_acls.items():
        needs("vpcs", acl.vpc, f"the network ACL {name}")
        needs("subnets", acl.subnets, f"the network ACL {name}")
    for name, endpoint in world.endpoints.items():
        where = f"the endpoint {name}"
        needs("vpcs", endpoint.vpc, where)
        needs("subnets", endpoint.subnets, where)
        needs("security_groups", endpoint.groups, where)
        needs("route_tables", endpoint.route_tables, where)
    for name, role in world.roles.items():
        needs("policies", role.policies, f"the role {name}")
        needs("policies", role.boundary, f"the role {name}")
    for name, profile in world.profiles.items():
        needs("roles", profile.role, f"the instance profile {name}")
    for name, instance in world.instances.items():
        where = f"the instance {name}"
        needs("images", instance.image, where)
        needs("profiles", instance.profile, where)
        for eni in instance.interfaces:
            needs("subnets", eni.subnet, where)
            needs("security_groups", eni.groups, where)
        for volume in instance.volumes:
            needs("keys", volume.key, where)
    for name, targets in world.target_groups.items():
        where = f"the target group {name}"
        needs("vpcs", targets.vpc, where)
        if targets.kind == "instance":
            needs("instances", [target.id for target in targets.targets], where)
    for name, balancer in world.load_balancers.items():
        where = f"the load balancer {name}"
        needs("subnets", balancer.subnets, where)
        needs("security_groups", balancer.groups, where)
        needs("target_groups", [item.target_group for item in balancer.listeners], where)
    for name, classic in world.classic_balancers.items():
        where = f"the Classic Load Balancer {name}"
        needs("subnets", classic.subnets, where)
        needs("security_groups", classic.groups, where)
        needs("instances", classic.instances, where)
    for name, template in world.launch_templates.items():
        where = f"the launch template {name}"
        needs("images", template.image, where)
        needs("security_groups", template.groups, where)
        needs("profiles", template.profile, where)
    for name, scaling in world.scaling_groups.items():
        where = f"the Auto Scaling group {name}"
        needs("launch_templates", scaling.template, where)
        needs("subnets", scaling.subnets, where)
        needs("target_groups", scaling.target_groups, where)
        needs("classic_balancers", scaling.classic_balancers, where)
        needs("instances", (*scaling.instances, *scaling.protected), where)
    return found
