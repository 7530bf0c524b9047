"""``ec2.isolate``: cut an instance off the network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Found, Keep, Resource, Undo, pending
from runbooks.errors import NotContained
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
from runbooks.targets.reading import group_rules

UNTRACK_WAIT = timedelta(seconds=60)
_UNTRACK_TAG = "clampdown:untrack"
# EC2's default quota of entries per direction of a network ACL.
_ACL_ENTRIES = 20
_SSM_PORT = 443
_ANYWHERE = ("0.0.0.0/0", "::/0")


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


Cidr = Annotated[str, AfterValidator(_network)]


class Isolation(StepParams):
    """How an instance is isolated.

    ``allow_from``: networks of forensics workstations and SSM endpoints; TCP may come in from
    them, and TCP 443 go out to them. ``tracked_connections``: what is done about connections that
    a change of security groups does not cut. ``remove_public_address``: take Elastic IPs away.
    ``disable_imds``: switch the instance metadata service off.
    """

    allow_from: tuple[Cidr, ...] = ()
    tracked_connections: Literal["deny_remote_ips", "untrack", "leave"] = "deny_remote_ips"
    remove_public_address: bool = False
    disable_imds: bool = False


class IsolateInstance(Step[Ec2Instance, Isolation]):
    """Put every network interface into the VPC's isolation group, which lets nothing in or out.

    Security groups alone do not cut connections that are already tracked; they live until they
    idle for up to five days (EC2 User Guide, "Security group connection tracking"). Network ACLs
    are stateless and do cut, at the subnet's boundary only: ``deny_remote_ips`` denies the
    finding's addresses in both directions. ``untrack`` first opens the interfaces to everything,
    waits a minute for traffic to become untracked, and then closes them.

    Neither filters DNS to the VPC's resolver, DHCP, or time; the metadata service only stops
    with ``disable_imds``. Branch interfaces of a trunk are not among an instance's interfaces in
    DescribeNetworkInterfaces, and interfaces that an AWS service manages refuse changes: both are
    named in the plan and left.
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
        open_interfaces = _warn_of_managed(aws, target)
        group = aws.once(
            ("isolation group", target.vpc_id), lambda: self._isolation_group(aws, target, params)
        )
        if params.tracked_connections == "untrack":
            self._untrack(aws, target, [eni for eni in open_interfaces if eni.groups != (group,)])
        acl_denies = (
            self._denies(aws, target) if params.tracked_connections == "deny_remote_ips" else []
        )
        aws.change_all(
            [
                *(_regroup(eni, group) for eni in open_interfaces if eni.groups != (group,)),
                *acl_denies,
            ]
        )
        self._expect_more_interfaces(aws, target, group)
        if params.remove_public_address:
            self._remove_public_addresses(aws, target)
        self._metadata_service(aws, target, params)
        _say_what_stays_open(aws, params)
        return {"isolation_group": group}

    def verify(self, aws: Aws, target: Ec2Instance, params: Isolation) -> None:
        network = target.fact(Network)
        groups = [g for g in network.isolation_groups if g.vpc_id == target.vpc_id]
        if not groups:
            raise NotContained(f"{target.id}: there is no isolation group in {target.vpc_id}.")
        wanted = set(_wanted_rules(params))
        surplus = [rule for rule in groups[0].rules if _shape(rule) not in wanted]
        if surplus:
            raise NotContained(
                f"{target.id}: the isolation group {groups[0].id} still lets traffic through: "
                + ", ".join(f"{rule.id} ({rule.peer})" for rule in surplus)
            )
        loose = [
            eni.id
            for eni in target.network_interfaces
            if eni.groups != (groups[0].id,) and not eni.managed
        ]
        if loose:
            raise NotContained(
                f"{target.id}: not in the isolation group {groups[0].id}: {', '.join(loose)}."
            )
        if params.disable_imds and target.metadata_endpoint != "disabled":
            raise NotContained(f"{target.id}: the instance metadata service is still on.")

    def _isolation_group(self, aws: Aws, target: Ec2Instance, params: Isolation) -> str:
        """The VPC's one isolation group, with exactly the rules that it must have.

        It is found by our own tag and its rules are made right every time: a group that was left
        half made, or that somebody edited, would isolate nothing.
        """
        known = [g for g in target.fact(Network).isolation_groups if g.vpc_id == target.vpc_id]
        if known:
            group, rules = known[0].id, known[0].rules
        else:
            group = _create_group(
                aws,
                target,
                name=f"clampdown-isolation-{target.vpc_id}",
                description="Clampdown: lets nothing in or out",
                tag=ISOLATION_TAG,
            )
            rules = _rules_of_new_group(aws, group)
        self._converge(aws, target, group, rules, params)
        return group

    def _converge(
        self,
        aws: Aws,
        target: Ec2Instance,
        group: str,
        rules: Sequence[GroupRule],
        params: Isolation,
    ) -> None:
        # Revoked by rule id: a revoke by values that match nothing is no error at AWS.
        on = _group_resource(aws, target, group)
        wanted = list(_wanted_rules(params))
        there = {_shape(rule) for rule in rules}
        changes = []
        for egress in (False, True):
            direction = "egress" if egress else "ingress"
            surplus = [r.id for r in rules if r.egress is egress and _shape(r) not in set(wanted)]
            if surplus:
                changes.append(
                    Change(
                        Call(
                            "ec2",
                            f"revoke_security_group_{direction}",
                            GroupId=group,
                            SecurityGroupRuleIds=surplus,
                        ),
                        on=on,
                        undo=Keep("an isolation group lets nothing through"),
                        why=f"take every {direction} rule out of the isolation group",
                    )
                )
            missing = [shape for shape in wanted if shape[0] is egress and shape not in there]
            if missing:
                changes.append(
                    Change(
                        Call(
                            "ec2",
                            f"authorize_security_group_{direction}",
                            GroupId=group,
                            IpPermissions=[_permission(shape) for shape in missing],
                        ),
                        on=on,
                        undo=Keep("the isolation group serves other incidents too"),
                        why="let the forensics network through",
                        accept=("InvalidPermission.Duplicate",),
                    )
                )
        aws.change_all(changes)

    def _untrack(
        self, aws: Aws, target: Ec2Instance, interfaces: Sequence[NetworkInterface]
    ) -> None:
        aws.warn(
            "untrack opens the instance to everything for a minute, and cannot cut connections "
            "through a NAT gateway, Network or Gateway Load Balancer, Transit Gateway, Network "
            "Firewall or Global Accelerator, nor ICMP: AWS tracks those whatever the rules say."
        )
        if any(eni.public_addresses for eni in interfaces):
            aws.warn(
                "The instance has a public address: untrack was left out, because for that minute "
                "the whole Internet could reach it. Use deny_remote_ips."
            )
            return
        if not interfaces:
            return
        group = aws.once(("untrack group", target.vpc_id), lambda: self._open_group(aws, target))
        aws.change_all([_regroup(eni, group) for eni in interfaces])
        aws.pause("connections become untracked", UNTRACK_WAIT)

    def _open_group(self, aws: Aws, target: Ec2Instance) -> str:
        group = _create_group(
            aws,
            target,
            name=f"clampdown-untrack-{aws.incident.id}",
            description="Clampdown: lets everything through, for one minute",
            tag=_UNTRACK_TAG,
        )
        everything = {"IpProtocol": "-1", **_ranges(_ANYWHERE)}
        on = _group_resource(aws, target, group)
        aws.change_all(
            [
                Change(
                    Call(
                        "ec2",
                        f"authorize_security_group_{direction}",
                        GroupId=group,
                        IpPermissions=[everything],
                    ),
                    on=on,
                    undo=Keep("the group is deleted"),
                    why="let everything through, so that connections become untracked",
                    accept=("InvalidPermission.Duplicate",),
                )
                for direction in ("ingress", "egress")
            ]
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
            "connections to other addresses, and to hosts in the same subnet, stay until idle. "
            "The network ACL denies these addresses to every host of the subnet."
        )
        changes: list[Change] = []
        for acl in target.fact(Network).acls:
            # Several targets may stand behind the same network ACL.
            aws.once(("denies", acl.id), partial(_add_denies, changes, aws, acl, remote))
        return changes

    def _expect_more_interfaces(self, aws: Aws, target: Ec2Instance, group: str) -> None:
        """An intruder with EC2 rights can attach another interface while this runs."""
        one_more = pending(f"any other interface of {target.id}")
        aws.foresee(
            Change(
                Call(
                    "ec2",
                    "modify_network_interface_attribute",
                    NetworkInterfaceId=one_more,
                    Groups=[group],
                ),
                on=target.resource,
                undo=Keep("recorded when it happens"),
                why="isolate an interface that is attached meanwhile",
            )
        )

    def _remove_public_addresses(self, aws: Aws, target: Ec2Instance) -> None:
        for eni in target.network_interfaces:
            for address in eni.public_addresses:
                if not address.allocation_id or not address.association_id:
                    aws.warn(
                        f"{address.public_ip} was given by AWS and can't be taken away: only a stop "
                        "does, and that loses memory."
                    )
                    continue
                aws.change(
                    Call("ec2", "disassociate_address", AssociationId=address.association_id),
                    on=eni.resource,
                    undo=Call(
                        "ec2",
                        "associate_address",
                        AllocationId=address.allocation_id,
                        NetworkInterfaceId=eni.id,
                        PrivateIpAddress=address.private_ip,
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
            undo=Call(
                "ec2",
                "modify_instance_metadata_options",
                InstanceId=target.id,
                HttpEndpoint=target.metadata_endpoint,
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


def _create_group(aws: Aws, target: Ec2Instance, *, name: str, description: str, tag: str) -> str:
    tags = {tag: target.vpc_id, **aws.incident.marks}
    found = Found(
        Call(
            "ec2",
            "describe_security_groups",
            Filters=[
                {"Name": "tag-key", "Values": [tag]},
                {"Name": "tag:clampdown:incident", "Values": [aws.incident.id]},
            ],
        ),
        "SecurityGroups[].GroupId",
    )
    answer = aws.change(
        Call(
            "ec2",
            "create_security_group",
            GroupName=name,
            Description=description,
            VpcId=target.vpc_id,
            TagSpecifications=[
                {
                    "ResourceType": "security-group",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        ),
        on=Resource(_arn(aws, target, f"vpc/{target.vpc_id}")),
        undo=Undo(
            Call("ec2", "delete_security_group", GroupId=found),
            unless=("DependencyViolation", "InvalidGroup.NotFound"),
        ),
        why=f"make the group {name}",
    )
    return str(answer["GroupId"])


def _rules_of_new_group(aws: Aws, group: str) -> tuple[GroupRule, ...]:
    """AWS puts an allow-all egress rule into a new group, and one for IPv6 where the VPC has it."""
    answer = aws.read(
        Call(
            "ec2",
            "describe_security_group_rules",
            Filters=[{"Name": "group-id", "Values": [group]}],
        ),
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


def _warn_of_managed(aws: Aws, target: Ec2Instance) -> list[NetworkInterface]:
    ours = []
    for eni in target.network_interfaces:
        if eni.managed:
            aws.warn(f"{eni.id} is managed by an AWS service and can't be isolated.")
        else:
            ours.append(eni)
        if eni.kind == "trunk":
            aws.warn(f"{eni.id} is a trunk: its branch interfaces (pods, tasks) stay as they are.")
    return ours


def _regroup(eni: NetworkInterface, group: str) -> Change:
    return Change(
        Call(
            "ec2",
            "modify_network_interface_attribute",
            NetworkInterfaceId=eni.id,
            Groups=[group],
        ),
        on=eni.resource,
        undo=Undo(
            Call(
                "ec2",
                "modify_network_interface_attribute",
                NetworkInterfaceId=eni.id,
                Groups=list(eni.groups),
            ),
            unless=("InvalidNetworkInterfaceID.NotFound",),
        ),
        why=f"put {eni.id} into {group}",
    )


def _add_denies(changes: list[Change], aws: Aws, acl: NetworkAcl, remote: Sequence[str]) -> None:
    for egress in (False, True):
        changes.extend(_deny_entries(aws, acl, remote, egress=egress))


def _deny_entries(
    aws: Aws, acl: NetworkAcl, remote: Sequence[str], *, egress: bool
) -> Iterator[Change]:
    entries = [entry for entry in acl.entries if entry.egress is egress and entry.number < 32767]
    first_allow = min((entry.number for entry in entries if entry.allow), default=32767)
    taken = {entry.number for entry in entries}
    free = (number for number in range(1, first_allow) if number not in taken)
    room = _ACL_ENTRIES - len(entries)
    for address in remote:
        cidr = f"{address}/{ipaddress.ip_address(address).max_prefixlen}"
        if _denied(entries, cidr, first_allow):
            continue
        number = next(free, None)
        if number is None or room <= 0:
            aws.warn(f"{acl.id} has no room for another deny entry: {address} is not cut.")
            continue
        room -= 1
        family = "Ipv6CidrBlock" if ":" in cidr else "CidrBlock"
        yield Change(
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
                    RuleNumber=number,
                    Egress=egress,
                ),
                unless=("InvalidNetworkAclEntry.NotFound",),
            ),
            why=f"deny traffic {'to' if egress else 'from'} {address}",
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


def _group_resource(aws: Aws, target: Ec2Instance, group: str) -> Resource:
    return Resource(_arn(aws, target, f"security-group/{group}"))


def _arn(aws: Aws, target: Ec2Instance, resource: str) -> str:
    return f"arn:{target.ref.partition}:ec2:{aws.region}:{aws.account}:{resource}"
