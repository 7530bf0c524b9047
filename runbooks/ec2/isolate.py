"""``ec2.isolate``: cut an instance off the network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Found, Keep, Resource, Undo, pending, sha256, unique
from runbooks.errors import AwsRefused, NotContained
from runbooks.step import Permissions, Step, StepParams
from runbooks.targets.instance import (
    ISOLATION_TAG,
    AclEntry,
    Ec2Instance,
    GroupRule,
    Network,
    NetworkAcl,
    NetworkInterface,
)
from runbooks.targets.reading import (
    describe_acls,
    describe_interfaces,
    describe_rules,
    group_rules,
    interface,
    network_acl,
)

UNTRACK_WAIT = timedelta(seconds=60)
_UNTRACK_TAG = "clampdown:untrack"
# The quota of entries per direction of a network ACL: 20, or 40 where it was raised; who has more
# than the one has the other (Amazon VPC quotas).
_ACL_ENTRIES = (20, 40, 1_000)
# The number of the entry that denies the rest; those of people are lower (CreateNetworkAclEntry).
_LAST = 32767
_SSM_PORT = 443
_ANYWHERE = ("0.0.0.0/0", "::/0")
_DIRECTIONS = ((False, "ingress"), (True, "egress"))


def _network(text: str) -> str:
    network = ipaddress.ip_network(text)
    if network.prefixlen == 0:
        raise ValueError(f"{text} is everything: that would isolate nothing")
    return str(network)


Cidr = Annotated[str, AfterValidator(_network)]


class Isolation(StepParams):
    """How an instance is isolated.

    ``allow_from``: networks of forensics workstations and SSM endpoints; TCP may come in from
    them, and TCP 443 go out to them. The isolation group is the VPC's: it has the rules that the
    last incident asked for. ``tracked_connections``: what is done about connections that a change
    of security groups does not cut. ``remove_public_address``: take Elastic IPs away.
    ``disable_imds``: switch the instance metadata service off.
    """

    allow_from: tuple[Cidr, ...] = ()
    tracked_connections: Literal["deny_remote_ips", "untrack", "leave"] = "deny_remote_ips"
    remove_public_address: bool = False
    disable_imds: bool = False


@dataclass(frozen=True)
class _Group:
    """The isolation group of a VPC. ``changed`` is whether it was made or mended just now."""

    id: str
    changed: bool


class IsolateInstance(Step[Ec2Instance, Isolation]):
    """Put every network interface into the VPC's isolation group, which lets nothing in or out.

    Security groups alone do not cut connections that are already tracked; they live until they
    idle for up to five days (EC2 User Guide, "Security group connection tracking"). Network ACLs
    are stateless and do cut, at the subnet's boundary only: ``deny_remote_ips`` denies the
    finding's addresses in both directions. ``untrack`` first opens the interfaces to everything,
    waits a minute for traffic to become untracked, and then closes them.

    Interfaces are read again after the swap, and any that was attached meanwhile follows; so are
    network ACLs, because another incident may have taken the number of an entry, or the room. The
    rules of a new group are revoked by the ids that AWS gave them and read again as well: a revoke
    by values that match nothing is no error (RevokeSecurityGroupEgress). That check comes after
    the swap, too, since until it every moment counts.

    Neither filters DNS to the VPC's resolver, DHCP, or time; the metadata service only stops
    with ``disable_imds``. The serial console is no network. Peers that let the instance in by
    naming its security group do so no more. Branch interfaces of a trunk are not among an
    instance's interfaces in DescribeNetworkInterfaces, and interfaces that an AWS service manages
    refuse changes: both are named in the plan and left. An interface attached meanwhile in yet
    another VPC is left to verification, because its isolation group is not in the plan.
    """

    name = "ec2.isolate"
    facts = (Network,)
    permissions = Permissions(
        read=("ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups"),
        change=(
            "ec2:AssociateAddress",
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateNetworkAclEntry",
            "ec2:CreateSecurityGroup",
            "ec2:CreateTags",
            "ec2:DeleteNetworkAclEntry",
            "ec2:DeleteSecurityGroup",
            "ec2:DisassociateAddress",
            "ec2:ModifyInstanceMetadataOptions",
            "ec2:ModifyNetworkInterfaceAttribute",
            "ec2:RevokeSecurityGroupEgress",
            "ec2:RevokeSecurityGroupIngress",
        ),
    )
    Params = Isolation
    disruptive = True

    def contain(self, aws: Aws, target: Ec2Instance, params: Isolation) -> Mapping[str, Any]:
        interfaces = _interfaces_to_isolate(target)
        _warn_of_managed(aws, target)
        groups = {
            vpc_id: aws.once(
                ("isolation group", vpc_id),
                partial(self._isolation_group, aws, target, vpc_id, params),
            )
            for vpc_id in unique([target.vpc_id, *(eni.vpc_id for eni in interfaces)])
        }
        loose = _loose(interfaces, groups)
        opened = self._tracked_connections(aws, target, loose, params)
        denies = (
            self._denies(aws, target) if params.tracked_connections == "deny_remote_ips" else []
        )
        aws.change_all(
            [*(_regroup(eni, groups[eni.vpc_id].id, opened=opened) for eni in loose), *denies]
        )
        self._expect_more_interfaces(aws, target, groups)
        _expect_other_numbers(aws, denies)
        if loose or denies or any(group.changed for group in groups.values()):
            aws.settle(partial(self._missing, aws, target, groups, params, denies))
        if params.remove_public_address:
            self._remove_public_addresses(aws, interfaces)
        self._metadata_service(aws, target, params)
        _say_what_stays_open(aws, params)
        return {"isolation_group": groups[target.vpc_id].id}

    def verify(self, aws: Aws, target: Ec2Instance, params: Isolation) -> None:
        interfaces = _interfaces_to_isolate(target)
        network = target.fact(Network)
        groups = {group.vpc_id: group for group in reversed(network.isolation_groups)}
        for vpc_id in unique([target.vpc_id, *(eni.vpc_id for eni in interfaces)]):
            if vpc_id not in groups:
                raise NotContained(f"{target.id}: there is no isolation group in {vpc_id}.")
            if surplus := _surplus(groups[vpc_id].rules, params):
                raise NotContained(
                    f"{target.id}: the isolation group {groups[vpc_id].id} still lets traffic "
                    "through: " + ", ".join(f"{rule.id} ({rule.peer})" for rule in surplus)
                )
        loose = [eni.id for eni in interfaces if eni.groups != (groups[eni.vpc_id].id,)]
        if loose:
            raise NotContained(
                f"{target.id}: not in the isolation group of their VPC: {', '.join(loose)}."
            )
        if params.tracked_connections == "deny_remote_ips":
            _verify_denies(aws, target)
        kept = [a.public_ip for eni in interfaces for a in eni.public_addresses if a.allocation_id]
        if params.remove_public_address and kept:
            raise NotContained(f"{target.id}: still has {', '.join(kept)}.")
        if params.disable_imds and target.metadata_endpoint != "disabled":
            raise NotContained(f"{target.id}: the instance metadata service is still on.")

    def _isolation_group(
        self, aws: Aws, target: Ec2Instance, vpc_id: str, params: Isolation
    ) -> _Group:
        """The VPC's one isolation group, with exactly the rules that it must have.

        It is found by our own tag and its rules are made right every time: a group that was left
        half made, or that somebody edited, would isolate nothing.
        """
        known = [g for g in target.fact(Network).isolation_groups if g.vpc_id == vpc_id]
        if known:
            group, rules = known[0].id, known[0].rules
        else:
            group = _make_isolation_group(aws, target, vpc_id)
            rules = _rules_of_new_group(aws, group)
        changes = _converging(aws, target, group, rules, params)
        aws.change_all(changes)
        changed = bool(changes) or not known
        if changed:
            _expect_more_rules(aws, target, group)
        return _Group(group, changed)

    def _missing(
        self,
        aws: Aws,
        target: Ec2Instance,
        groups: Mapping[str, _Group],
        params: Isolation,
        denies: Sequence[Change],
    ) -> list[Change]:
        """What the interfaces, the rules of groups that were changed, and the denies still lack."""
        changed = [group.id for group in groups.values() if group.changed]
        denying = unique(str(deny.call.params["NetworkAclId"]) for deny in denies)
        reads = {"interfaces": describe_interfaces([target.id])}
        if changed:
            reads["rules"] = describe_rules(changed)
        if denying:
            reads["acls"] = describe_acls(denying)
        answers = dict(zip(reads, aws.read_all(list(reads.values())), strict=True))
        interfaces = [
            interface(eni, _arn(aws, target, f"network-interface/{eni['NetworkInterfaceId']}"))
            for eni in answers["interfaces"]["NetworkInterfaces"]
        ]
        rules = answers.get("rules", {}).get("SecurityGroupRules", [])
        lacking: list[Change] = []
        for acl in answers.get("acls", {}).get("NetworkAcls", []):
            arn = _arn(aws, target, f"network-acl/{acl['NetworkAclId']}")
            _add_denies(lacking, aws, network_acl(acl, arn), spread=aws.incident.id)
        loose = _loose([eni for eni in interfaces if not eni.managed], groups)
        return [
            *(_regroup(eni, groups[eni.vpc_id].id) for eni in loose),
            *(
                change
                for group in changed
                for change in _revokes(aws, target, group, group_rules(rules, group), params)
            ),
            *lacking,
        ]

    def _tracked_connections(
        self,
        aws: Aws,
        target: Ec2Instance,
        loose: Sequence[NetworkInterface],
        params: Isolation,
    ) -> frozenset[str]:
        """Untrack connections where asked for; returns the groups that were opened for it."""
        if params.tracked_connections == "leave":
            aws.warn(
                "No tracked connection is cut: those that exist live until they idle for up to "
                "five days."
            )
        if params.tracked_connections != "untrack" or not loose:
            return frozenset()
        if any(_reachable_from_the_internet(eni) for eni in loose):
            aws.warn(
                "The instance has a public address: untrack was left out, because for that minute "
                "the whole Internet could reach it. Use deny_remote_ips."
            )
            return frozenset()
        aws.warn(
            "untrack opens the instance to everything for a minute, and cannot cut connections "
            "through a NAT gateway, Network or Gateway Load Balancer, Transit Gateway, Network "
            "Firewall or Global Accelerator, nor ICMP: AWS tracks those whatever the rules say. "
            "If Clampdown is stopped within that minute the instance stays open until "
            "`clampdown resume`."
        )
        opened = {
            vpc_id: aws.once(
                ("untrack group", vpc_id), partial(self._open_group, aws, target, vpc_id)
            )
            for vpc_id in unique(eni.vpc_id for eni in loose)
        }
        aws.change_all(
            [
                _regroup(eni, opened[eni.vpc_id])
                for eni in loose
                if eni.groups != (opened[eni.vpc_id],)
            ]
        )
        aws.pause("connections become untracked", UNTRACK_WAIT)
        return frozenset(opened.values())

    def _open_group(self, aws: Aws, target: Ec2Instance, vpc_id: str) -> str:
        creation = _creation(
            aws,
            target,
            vpc_id,
            name=f"clampdown-untrack-{aws.incident.id}",
            description="Clampdown: lets everything through, for one minute",
            tag=_UNTRACK_TAG,
        )
        group = _make(aws, creation) or _find_group(aws, vpc_id, _UNTRACK_TAG)
        if group is None:
            raise AwsRefused(
                f"A security group named clampdown-untrack-{aws.incident.id} exists in {vpc_id} "
                "and is not Clampdown's.",
                code="InvalidGroup.Duplicate",
                advice="Delete it, then `clampdown resume`; or use deny_remote_ips.",
            )
        # Everything is let out already: see _rules_of_new_group.
        aws.change(
            Call(
                "ec2",
                "authorize_security_group_ingress",
                GroupId=group,
                IpPermissions=[{"IpProtocol": "-1", **_ranges(_ANYWHERE)}],
            ),
            on=_group_resource(aws, target, group),
            undo=Keep("the group is deleted"),
            why="let everything in, so that connections become untracked",
            accept=("InvalidPermission.Duplicate",),
        )
        return group

    def _denies(self, aws: Aws, target: Ec2Instance) -> list[Change]:
        """Network ACL entries that deny the finding's addresses, both ways, before any allow."""
        remote = aws.incident.remote_addresses
        if not remote:
            aws.warn(
                "The finding names no remote address, so no tracked connection is cut: those that "
                "exist live until they idle for up to five days."
            )
            return []
        aws.warn(
            f"Connections to {', '.join(remote)} are cut at the subnets' boundary. Tracked "
            "connections to other addresses, and to hosts in the same subnet, stay until idle."
        )
        changes: list[Change] = []
        for acl in target.fact(Network).acls:
            aws.warn(
                f"{acl.id} denies these addresses to every host of {', '.join(acl.subnet_ids)}."
            )
            # Several targets may stand behind the same network ACL.
            aws.once(("denies", acl.id), partial(_add_denies, changes, aws, acl))
        return changes

    def _expect_more_interfaces(
        self, aws: Aws, target: Ec2Instance, groups: Mapping[str, _Group]
    ) -> None:
        """An intruder with EC2 rights can attach another interface while this runs."""
        for group in groups.values():
            aws.foresee(
                Change(
                    Call(
                        "ec2",
                        "modify_network_interface_attribute",
                        NetworkInterfaceId=pending(f"any other interface of {target.id}"),
                        Groups=[group.id],
                    ),
                    on=target.resource,
                    undo=Keep("recorded when it happens"),
                    why="isolate an interface that is attached meanwhile",
                )
            )

    def _remove_public_addresses(self, aws: Aws, interfaces: Sequence[NetworkInterface]) -> None:
        for eni in interfaces:
            for address in eni.public_addresses:
                if not address.allocation_id or not address.association_id:
                    aws.warn(
                        f"{address.public_ip} was given by AWS and can't be taken away: only a stop "
                        "does, and that loses memory."
                    )
                    continue
                aws.warn(
                    f"AWS may give {eni.id} another public address in place of {address.public_ip}; "
                    "it stays isolated."
                )
                aws.change(
                    Call("ec2", "disassociate_address", AssociationId=address.association_id),
                    on=eni.resource,
                    # All three are needed: the association's own id is gone for good.
                    undo=Undo(
                        Call(
                            "ec2",
                            "associate_address",
                            AllocationId=address.allocation_id,
                            NetworkInterfaceId=eni.id,
                            PrivateIpAddress=address.private_ip,
                        ),
                        unless=(
                            "InvalidAllocationID.NotFound",
                            "InvalidNetworkInterfaceID.NotFound",
                        ),
                    ),
                    why=f"take the public address {address.public_ip} away",
                    accept=("InvalidAssociationID.NotFound",),
                )

    def _metadata_service(self, aws: Aws, target: Ec2Instance, params: Isolation) -> None:
        if not params.disable_imds or target.metadata_endpoint == "disabled":
            return
        aws.change(
            Call(
                "ec2",
                "modify_instance_metadata_options",
                InstanceId=target.id,
                HttpEndpoint="disabled",
            ),
            on=target.resource,
            undo=Undo(
                Call(
                    "ec2",
                    "modify_instance_metadata_options",
                    InstanceId=target.id,
                    HttpEndpoint=target.metadata_endpoint,
                ),
                unless=("InvalidInstanceID.NotFound",),
            ),
            why="switch the instance metadata service off",
        )


# (egress, protocol, from port, to port, CIDR)
_Shape = tuple[bool, str, int, int, str]


def _wanted_rules(params: Isolation) -> Iterator[_Shape]:
    for cidr in params.allow_from:
        yield (False, "tcp", 0, 65535, cidr)
        yield (True, "tcp", _SSM_PORT, _SSM_PORT, cidr)


def _shape(rule: GroupRule) -> _Shape:
    return (rule.egress, rule.protocol, rule.from_port, rule.to_port, rule.peer)


def _permission(shape: _Shape) -> dict[str, Any]:
    _, protocol, from_port, to_port, cidr = shape
    return {
        "IpProtocol": protocol,
        "FromPort": from_port,
        "ToPort": to_port,
        **_ranges((cidr,)),
    }


def _ranges(cidrs: Sequence[str]) -> dict[str, Any]:
    four = [{"CidrIp": cidr} for cidr in cidrs if ":" not in cidr]
    six = [{"CidrIpv6": cidr} for cidr in cidrs if ":" in cidr]
    return ({"IpRanges": four} if four else {}) | ({"Ipv6Ranges": six} if six else {})


def _surplus(rules: Sequence[GroupRule], params: Isolation) -> list[GroupRule]:
    wanted = set(_wanted_rules(params))
    return [rule for rule in rules if _shape(rule) not in wanted]


def _converging(
    aws: Aws, target: Ec2Instance, group: str, rules: Sequence[GroupRule], params: Isolation
) -> list[Change]:
    """What makes the group's rules the wanted ones."""
    there = {_shape(rule) for rule in rules}
    changes = _revokes(aws, target, group, rules, params)
    for egress, direction in _DIRECTIONS:
        wanted = [shape for shape in _wanted_rules(params) if shape[0] is egress]
        if missing := [shape for shape in wanted if shape not in there]:
            changes.append(
                Change(
                    Call(
                        "ec2",
                        f"authorize_security_group_{direction}",
                        GroupId=group,
                        IpPermissions=[_permission(shape) for shape in missing],
                    ),
                    on=_group_resource(aws, target, group),
                    undo=Keep("the isolation group serves other incidents too"),
                    why="let the forensics network through",
                    accept=("InvalidPermission.Duplicate",),
                )
            )
    return changes


def _revokes(
    aws: Aws, target: Ec2Instance, group: str, rules: Sequence[GroupRule], params: Isolation
) -> list[Change]:
    surplus = _surplus(rules, params)
    return [
        _revoke(aws, target, group, direction, ids)
        for egress, direction in _DIRECTIONS
        if (ids := [rule.id for rule in surplus if rule.egress is egress])
    ]


def _revoke(aws: Aws, target: Ec2Instance, group: str, direction: str, ids: list[str]) -> Change:
    return Change(
        Call(
            "ec2",
            f"revoke_security_group_{direction}",
            GroupId=group,
            SecurityGroupRuleIds=ids,
        ),
        on=_group_resource(aws, target, group),
        undo=Keep("an isolation group lets nothing through"),
        why=f"take every {direction} rule out of the isolation group",
        # Another incident that shares the group was faster.
        accept=("InvalidSecurityGroupRuleId.NotFound",),
    )


def _expect_more_rules(aws: Aws, target: Ec2Instance, group: str) -> None:
    """AWS can show a rule of a new group late, or somebody can add one while this runs."""
    for _, direction in _DIRECTIONS:
        rule = pending(f"any other {direction} rule")
        aws.foresee(_revoke(aws, target, group, direction, [rule]))


def _make_isolation_group(aws: Aws, target: Ec2Instance, vpc_id: str) -> str:
    """A new isolation group, or the one that another incident has made meanwhile.

    Names are unique in a VPC (CreateSecurityGroup), which keeps two incidents from making two
    groups. A group of that name without our tag is somebody's, perhaps the intruder's: it is left
    alone, and ours gets the incident's name.
    """
    name = f"clampdown-isolation-{vpc_id}"
    first, second = (
        _creation(
            aws,
            target,
            vpc_id,
            name=each,
            description="Clampdown: lets nothing in or out",
            tag=ISOLATION_TAG,
        )
        for each in (name, f"{name}-{aws.incident.id}")
    )
    aws.foresee(second)
    group = _make(aws, first) or _find_group(aws, vpc_id, ISOLATION_TAG) or _make(aws, second)
    if group is None:
        raise AwsRefused(
            f"{target.id}: {vpc_id} already has security groups named {name} and "
            f"{name}-{aws.incident.id} that are not Clampdown's.",
            code="InvalidGroup.Duplicate",
            advice="Delete or rename them, then `clampdown resume`.",
        )
    return group


def _creation(
    aws: Aws, target: Ec2Instance, vpc_id: str, *, name: str, description: str, tag: str
) -> Change:
    tags = {tag: vpc_id, **aws.incident.marks}
    found = Found(
        Call(
            "ec2",
            "describe_security_groups",
            Filters=[
                {"Name": "vpc-id", "Values": [vpc_id]},
                {"Name": "tag-key", "Values": [tag]},
                {"Name": "tag:clampdown:incident", "Values": [aws.incident.id]},
            ],
        ),
        "SecurityGroups[].GroupId",
    )
    return Change(
        Call(
            "ec2",
            "create_security_group",
            GroupName=name,
            Description=description,
            VpcId=vpc_id,
            TagSpecifications=[
                {
                    "ResourceType": "security-group",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        ),
        on=Resource(_arn(aws, target, f"vpc/{vpc_id}")),
        undo=Undo(
            Call("ec2", "delete_security_group", GroupId=found),
            unless=("DependencyViolation", "InvalidGroup.NotFound"),
        ),
        why=f"make the group {name}",
        accept=("InvalidGroup.Duplicate",),
    )


def _make(aws: Aws, creation: Change) -> str | None:
    """The id of the group that was made, or None where there is one of its name."""
    try:
        (answer,) = aws.change_all([creation])
    except AwsRefused as refusal:
        if refusal.code == "SecurityGroupLimitExceeded":
            refusal.advice = (
                "Nothing is isolated. Delete a security group that nothing uses, or have the quota "
                "raised; then `clampdown resume`. One isolation group serves the whole VPC."
            )
        raise
    return answer.get("GroupId")


def _find_group(aws: Aws, vpc_id: str, tag: str) -> str | None:
    """The VPC's group that carries our tag: of another incident, or from before a crash."""
    answer = aws.read(
        Call(
            "ec2",
            "describe_security_groups",
            Filters=[
                {"Name": "vpc-id", "Values": [vpc_id]},
                {"Name": "tag-key", "Values": [tag]},
            ],
        )
    )
    return min((str(group["GroupId"]) for group in answer["SecurityGroups"]), default=None)


def _rules_of_new_group(aws: Aws, group: str) -> tuple[GroupRule, ...]:
    """AWS puts an allow-all egress rule into a new group, and one for IPv6 where the VPC has it."""
    answer = aws.read(
        describe_rules([group]),
        foreseen={
            "SecurityGroupRules": [
                {
                    "SecurityGroupRuleId": pending("the default egress rules"),
                    "GroupId": group,
                    "IsEgress": True,
                }
            ]
        },
    )
    return group_rules(answer["SecurityGroupRules"], group)


def _interfaces_to_isolate(target: Ec2Instance) -> list[NetworkInterface]:
    return [eni for eni in target.network_interfaces if not eni.managed]


def _loose(
    interfaces: Sequence[NetworkInterface], groups: Mapping[str, _Group]
) -> list[NetworkInterface]:
    """The interfaces that are not in the isolation group of their VPC, and in nothing else."""
    return [
        eni for eni in interfaces if eni.vpc_id in groups and eni.groups != (groups[eni.vpc_id].id,)
    ]


def _reachable_from_the_internet(eni: NetworkInterface) -> bool:
    # An IPv6 address needs no translation: a route is all that it takes.
    return bool(eni.public_addresses) or any(
        ipaddress.ip_address(address).is_global for address in eni.addresses if ":" in address
    )


def _warn_of_managed(aws: Aws, target: Ec2Instance) -> None:
    for eni in target.network_interfaces:
        if eni.managed:
            aws.warn(f"{eni.id} is managed by an AWS service and can't be isolated.")
        if eni.kind == "trunk":
            aws.warn(f"{eni.id} is a trunk: its branch interfaces (pods, tasks) stay as they are.")


def _regroup(eni: NetworkInterface, group: str, *, opened: frozenset[str] = frozenset()) -> Change:
    undo: Undo | Keep = Undo(
        Call(
            "ec2",
            "modify_network_interface_attribute",
            NetworkInterfaceId=eni.id,
            Groups=list(eni.groups),
        ),
        unless=("InvalidNetworkInterfaceID.NotFound",),
    )
    if opened.intersection(eni.groups):
        # After a crash: an undo must not pass through the group that lets everything in.
        undo = Keep("the groups from before stand with the change that opened it")
    return Change(
        Call(
            "ec2",
            "modify_network_interface_attribute",
            NetworkInterfaceId=eni.id,
            Groups=[group],
        ),
        on=eni.resource,
        undo=undo,
        why=f"put {eni.id} into {group}",
    )


def _add_denies(changes: list[Change], aws: Aws, acl: NetworkAcl, *, spread: str = "") -> None:
    for egress, _ in _DIRECTIONS:
        denies, without = _deny_entries(
            acl, aws.incident.remote_addresses, egress=egress, spread=spread
        )
        changes.extend(denies)
        if without:
            aws.warn(
                f"{acl.id} has no room for more {'egress' if egress else 'ingress'} entries before "
                f"its first allow: traffic {'to' if egress else 'from'} {', '.join(without)} is "
                "not denied."
            )


def _expect_other_numbers(aws: Aws, denies: Sequence[Change]) -> None:
    """Another incident on the same network ACL can take a number first."""
    for deny in denies:
        params = {**deny.call.params, "RuleNumber": pending("another free number")}
        aws.foresee(
            replace(
                deny,
                call=Call(deny.call.service, deny.call.operation, **params),
                undo=Keep("recorded when it happens"),
            )
        )


def _verify_denies(aws: Aws, target: Ec2Instance) -> None:
    for acl in target.fact(Network).acls:
        for egress, _ in _DIRECTIONS:
            missing, _ = _deny_entries(acl, aws.incident.remote_addresses, egress=egress)
            if missing:
                raise NotContained(
                    f"{target.id}: {acl.id} does not {', '.join(c.why for c in missing)}."
                )


def _deny_entries(
    acl: NetworkAcl, remote: Sequence[str], *, egress: bool, spread: str = ""
) -> tuple[list[Change], list[str]]:
    """The entries that are missing, and the addresses for which there is no room.

    They get the lowest numbers that are free. ``spread``, an incident's id, has them begin
    elsewhere: who lost a number to another incident would only meet it again at the next.
    """
    entries = [entry for entry in acl.entries if entry.egress is egress and entry.number < _LAST]
    first_allow = min((entry.number for entry in entries if entry.allow), default=_LAST)
    taken = {entry.number for entry in entries}
    numbers = [number for number in range(1, first_allow) if number not in taken]
    start = int(sha256(spread), 16) % len(numbers) if spread and numbers else 0
    free = iter(numbers[start:] + numbers[:start])
    room = next(quota for quota in _ACL_ENTRIES if quota >= len(entries)) - len(entries)
    changes: list[Change] = []
    without: list[str] = []
    for cidr in unique(str(ipaddress.ip_network(address)) for address in remote):
        if _denied(entries, cidr, first_allow):
            continue
        number = next(free, None) if room > len(changes) else None
        if number is None:
            without.append(cidr)
        else:
            changes.append(_deny(acl, cidr, number, egress=egress))
    return changes, without


def _deny(acl: NetworkAcl, cidr: str, number: int, *, egress: bool) -> Change:
    family = "Ipv6CidrBlock" if ":" in cidr else "CidrBlock"
    # Only what is ours: the number may be another incident's by then.
    still_ours = Found(
        describe_acls([acl.id]),
        f"NetworkAcls[].Entries[?RuleNumber==`{number}` && Egress==`{str(egress).lower()}` "
        f"&& RuleAction=='deny' && {family}=='{cidr}'][].RuleNumber",
    )
    return Change(
        Call(
            "ec2",
            "create_network_acl_entry",
            NetworkAclId=acl.id,
            RuleNumber=number,
            Protocol="-1",
            RuleAction="deny",
            Egress=egress,
            **{family: cidr},
        ),
        on=acl.resource,
        undo=Undo(
            Call(
                "ec2",
                "delete_network_acl_entry",
                NetworkAclId=acl.id,
                RuleNumber=still_ours,
                Egress=egress,
            ),
            unless=("InvalidNetworkAclEntry.NotFound", "InvalidNetworkAclID.NotFound"),
        ),
        why=f"deny traffic {'to' if egress else 'from'} {cidr}",
        # Another incident was faster: what this one still lacks is looked at once more.
        accept=("NetworkAclEntryAlreadyExists", "NetworkAclEntryLimitExceeded"),
    )


def _denied(entries: Sequence[AclEntry], cidr: str, first_allow: int) -> bool:
    return any(
        not entry.allow
        and entry.protocol == "-1"
        and entry.cidr == cidr
        and entry.number < first_allow
        for entry in entries
    )


def _say_what_stays_open(aws: Aws, params: Isolation) -> None:
    metadata = "" if params.disable_imds else " and the instance metadata service"
    aws.warn(
        f"DNS through the VPC's resolver{metadata} stay reachable: neither security groups nor "
        "network ACLs filter them."
    )
    aws.warn(
        "The EC2 serial console stays open, and so do sessions of Session Manager and EC2 Instance "
        "Connect that are established, until their connections end. Hosts that allow the instance "
        "by its security group no longer do."
    )


def _group_resource(aws: Aws, target: Ec2Instance, group: str) -> Resource:
    return Resource(_arn(aws, target, f"security-group/{group}"))


def _arn(aws: Aws, target: Ec2Instance, resource: str) -> str:
    return f"arn:{target.ref.partition}:ec2:{aws.region}:{aws.account}:{resource}"
