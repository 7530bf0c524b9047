"""Reading the facts of instances: many at once, side by side, in as few rounds as AWS allows.

Three rounds at most, whatever the number of targets: what hangs on the instances' ids; what hangs
on those answers (the group, the target groups, the profile); and the role with our policies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from runbooks.aws import Reader
from runbooks.calls import Call, Resource, is_pending, unique
from runbooks.errors import NotContainable, UnknownTarget
from runbooks.targets.evidence import describe_evidence, evidence_snapshots
from runbooks.targets.fact import Fact
from runbooks.targets.instance import (
    CONTAINED_PROFILE,
    FORMER_PROFILE_TAG,
    ISOLATION_TAG,
    AclEntry,
    ClassicRegistration,
    ContainedProfile,
    Credentials,
    Ec2Instance,
    Evidence,
    GroupRule,
    LoadBalancing,
    Membership,
    Network,
    NetworkAcl,
    NetworkInterface,
    Protection,
    PublicAddress,
    Role,
    Scaling,
    SecurityGroup,
    TargetRegistration,
    Volume,
)
from runbooks.targets.reference import TargetRef, partition_of

CORE_PERMISSIONS = (
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVolumes",
    "sts:GetCallerIdentity",
)
DENY_ALL_POLICY = "clampdown-deny-all"
ROLE_POLICY = "clampdown-revoke-sessions"

# EC2 takes 200 values a filter; Auto Scaling 50 instances a call; a page holds 1,000 results.
_IDS_A_CALL = 200
_SCALING_IDS_A_CALL = 50
# A target group may be deleted between two rounds; an instance may not exist at all.
_NOTHING = ("InvalidInstanceID.NotFound", "NoSuchEntity", "TargetGroupNotFound")
_PROFILE_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)


def instance_policy(instance_id: str) -> str:
    """The name of the inline policy that denies one instance's sessions."""
    return f"clampdown-deny-{instance_id}"


def read_instances(
    reader: Reader,
    refs: Sequence[TargetRef],
    facts: Iterable[type[Fact]],
    incident_id: str | None = None,
) -> list[Ec2Instance]:
    """The instances with the facts asked for, in the order of ``refs``.

    All refs are of the reader's account and Region. ``incident_id`` says of which incident the
    evidence is; without one, or while it is pending, there is none.

    Raises UnknownTarget where one does not exist there, NotContainable where one is terminated
    or is in no VPC, and what reads raise.
    """
    wanted = frozenset(facts)
    reading = _Reading(reader, [ref.id for ref in refs], wanted, incident_id)
    reading.first_round()
    reading.second_round()
    reading.third_round()
    return [reading.instance(ref) for ref in refs]


class _Reading:
    """The answers of three rounds of reads, and the facts that follow from them."""

    def __init__(
        self,
        reader: Reader,
        ids: list[str],
        facts: frozenset[type[Fact]],
        incident_id: str | None,
    ) -> None:
        self.reader = reader
        self.ids = ids
        self.facts = facts
        self.incident_id = incident_id
        self.partition = partition_of(reader.region)
        self.answers: dict[tuple[str, ...], dict[str, Any]] = {}

    def first_round(self) -> None:
        calls: dict[tuple[str, ...], Call] = {}
        for number, ids in enumerate(_slices(self.ids, _IDS_A_CALL)):
            by_id = [{"Name": "instance-id", "Values": ids}]
            attached = [{"Name": "attachment.instance-id", "Values": ids}]
            key = str(number)
            calls["instances", key] = Call("ec2", "describe_instances", Filters=by_id)
            calls["interfaces", key] = describe_interfaces(ids)
            calls["volumes", key] = Call("ec2", "describe_volumes", Filters=attached)
            if Credentials in self.facts:
                calls["associations", key] = Call(
                    "ec2", "describe_iam_instance_profile_associations", Filters=by_id
                )
        if Protection in self.facts:
            for instance_id in self.ids:
                for attribute in (
                    "disableApiTermination",
                    "disableApiStop",
                    "instanceInitiatedShutdownBehavior",
                ):
                    calls["attribute", instance_id, attribute] = Call(
                        "ec2",
                        "describe_instance_attribute",
                        InstanceId=instance_id,
                        Attribute=attribute,
                    )
        if Scaling in self.facts:
            for number, ids in enumerate(_slices(self.ids, _SCALING_IDS_A_CALL)):
                calls["memberships", str(number)] = Call(
                    "autoscaling", "describe_auto_scaling_instances", InstanceIds=ids
                )
        if LoadBalancing in self.facts:
            calls["target groups",] = Call("elbv2", "describe_target_groups")
            calls["classic",] = Call("elb", "describe_load_balancers")
        if Credentials in self.facts:
            calls["caller",] = Call("sts", "get_caller_identity")
            calls["profile", CONTAINED_PROFILE] = _get_profile(CONTAINED_PROFILE)
            calls["role", CONTAINED_PROFILE] = _get_role(CONTAINED_PROFILE)
            calls["policy", CONTAINED_PROFILE, DENY_ALL_POLICY] = _get_policy(
                CONTAINED_PROFILE, DENY_ALL_POLICY
            )
        if Network in self.facts:
            calls["groups",] = Call(
                "ec2",
                "describe_security_groups",
                Filters=[{"Name": "tag-key", "Values": [ISOLATION_TAG]}],
            )
        if Evidence in self.facts and self.incident_id and not is_pending(self.incident_id):
            calls["snapshots",] = describe_evidence(self.incident_id)
        self._ask(calls)

    def second_round(self) -> None:
        calls: dict[tuple[str, ...], Call] = {}
        if Scaling in self.facts and (
            groups := [m["AutoScalingGroupName"] for m in self._memberships()]
        ):
            calls["scaling groups",] = Call(
                "autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=unique(groups)
            )
        if LoadBalancing in self.facts:
            for group in self._possible_target_groups():
                arn = group["TargetGroupArn"]
                calls["health", arn] = Call("elbv2", "describe_target_health", TargetGroupArn=arn)
        if Credentials in self.facts:
            for name in unique(self._compromised_profiles().values()):
                calls["profile", name] = _get_profile(name)
        if Network in self.facts:
            if groups := [group["GroupId"] for group in self._isolation_groups()]:
                calls["rules",] = describe_rules(groups)
            subnets = unique(eni["SubnetId"] for eni in self._interfaces())
            for number, some in enumerate(_slices(subnets, _IDS_A_CALL)):
                calls["acls", str(number)] = Call(
                    "ec2",
                    "describe_network_acls",
                    Filters=[{"Name": "association.subnet-id", "Values": some}],
                )
        self._ask(calls)

    def third_round(self) -> None:
        if Credentials not in self.facts:
            return
        calls: dict[tuple[str, ...], Call] = {}
        for instance_id, profile in self._compromised_profiles().items():
            if name := self._role_in(profile):
                # GetInstanceProfile shows its role without tags.
                calls["role", name] = _get_role(name)
                for policy in (instance_policy(instance_id), ROLE_POLICY):
                    calls["policy", name, policy] = _get_policy(name, policy)
        self._ask(calls)

    def instance(self, ref: TargetRef) -> Ec2Instance:
        found = next((i for i in self._instances() if i["InstanceId"] == ref.id), None)
        attributes = [
            answer for key, answer in self.answers.items() if key[:2] == ("attribute", ref.id)
        ]
        if found is None or not all(attributes):
            raise UnknownTarget(
                f"There is no instance {ref.id} in account {ref.account}, {ref.region}.",
                advice="Check the id, --region and the account. Nothing was done.",
            )
        state = found["State"]["Name"]
        if state in {"terminated", "shutting-down"}:
            raise NotContainable(
                f"{ref.id} is {state}: there is nothing left to contain.",
                advice="Nothing was done. Its volumes may still exist; look for them by tag.",
            )
        if not found.get("VpcId"):
            raise NotContainable(
                f"{ref.id} is in no VPC, so it has no network interface to isolate.",
                advice="Nothing was done. Stop it after taking snapshots by hand.",
            )
        readers: dict[type[Fact], Callable[[Any], Fact]] = {
            Protection: self._protection,
            Scaling: self._scaling,
            LoadBalancing: self._load_balancing,
            Credentials: self._credentials,
            Network: self._network,
            Evidence: self._evidence,
        }
        options = found.get("MetadataOptions", {})
        return Ec2Instance(
            ref=ref,
            resource=Resource(ref.arn, _tags(found.get("Tags"))),
            vpc_id=found["VpcId"],
            subnet_id=found.get("SubnetId", ""),
            zone=found["Placement"]["AvailabilityZone"],
            state=state,
            spot=found.get("InstanceLifecycle") == "spot",
            instance_type=found.get("InstanceType", ""),
            image_id=found.get("ImageId", ""),
            architecture=found.get("Architecture", ""),
            launched=found.get("LaunchTime"),
            metadata_endpoint=options.get("HttpEndpoint", "enabled"),
            metadata_tokens=options.get("HttpTokens", "optional"),
            metadata_tags=options.get("InstanceMetadataTags") == "enabled",
            network_interfaces=tuple(
                interface(eni, self._arn("ec2", f"network-interface/{eni['NetworkInterfaceId']}"))
                for eni in sorted(self._interfaces(), key=_device_index)
                if eni["Attachment"]["InstanceId"] == ref.id
            ),
            volumes=tuple(self._volumes(found)),
            instance_store=found.get("RootDeviceType") == "instance-store",
            facts={kind: readers[kind](found) for kind in self.facts},
        )

    def _ask(self, calls: Mapping[tuple[str, ...], Call]) -> None:
        answers = self.reader.read_all(list(calls.values()), absent=_NOTHING)
        self.answers.update(zip(calls, answers, strict=True))

    def _all(self, kind: str) -> Iterator[dict[str, Any]]:
        return (answer for key, answer in self.answers.items() if key[0] == kind)

    def _arn(self, service: str, resource: str) -> str:
        return (
            f"arn:{self.partition}:{service}:{self.reader.region}:{self.reader.account}:{resource}"
        )

    def _instances(self) -> Iterator[dict[str, Any]]:
        for answer in self._all("instances"):
            for reservation in answer["Reservations"]:
                yield from reservation["Instances"]

    def _interfaces(self) -> list[dict[str, Any]]:
        return [
            eni
            for answer in self._all("interfaces")
            for eni in answer["NetworkInterfaces"]
            if eni.get("Attachment", {}).get("InstanceId")
        ]

    def _volumes(self, instance: Mapping[str, Any]) -> Iterator[Volume]:
        for answer in self._all("volumes"):
            for volume in answer["Volumes"]:
                for attachment in volume["Attachments"]:
                    if attachment["InstanceId"] != instance["InstanceId"]:
                        continue
                    yield Volume(
                        resource=Resource(
                            self._arn("ec2", f"volume/{volume['VolumeId']}"),
                            _tags(volume.get("Tags")),
                        ),
                        id=volume["VolumeId"],
                        device=attachment["Device"],
                        delete_on_termination=bool(attachment.get("DeleteOnTermination")),
                        root=attachment["Device"] == instance.get("RootDeviceName"),
                        size=volume["Size"],
                        encrypted=bool(volume.get("Encrypted")),
                        kms_key_id=volume.get("KmsKeyId"),
                        kind=volume.get("VolumeType", ""),
                        zone=volume["AvailabilityZone"],
                        # The service that owns the attachment, of a volume of ECS for instance.
                        managed=bool(
                            attachment.get("InstanceOwningService")
                            or volume.get("Operator", {}).get("Managed")
                        ),
                    )

    def _protection(self, instance: Mapping[str, Any]) -> Protection:
        def value(attribute: str, member: str) -> Any:
            answer = self.answers["attribute", instance["InstanceId"], attribute]
            return answer.get(member, {}).get("Value")

        return Protection(
            termination=bool(value("disableApiTermination", "DisableApiTermination")),
            stop=bool(value("disableApiStop", "DisableApiStop")),
            shutdown_behavior=value(
                "instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior"
            )
            or "stop",
        )

    def _memberships(self) -> list[dict[str, Any]]:
        return [m for answer in self._all("memberships") for m in answer["AutoScalingInstances"]]

    def _scaling(self, instance: Mapping[str, Any]) -> Scaling:
        ours = [m for m in self._memberships() if m["InstanceId"] == instance["InstanceId"]]
        if not ours:
            return Scaling(None)
        member = ours[0]
        groups = self.answers["scaling groups",]["AutoScalingGroups"]
        group = next(
            (g for g in groups if g["AutoScalingGroupName"] == member["AutoScalingGroupName"]), None
        )
        if group is None:
            return Scaling(None)
        return Scaling(
            Membership(
                resource=Resource(group["AutoScalingGroupARN"], _tags(group.get("Tags"))),
                group=group["AutoScalingGroupName"],
                lifecycle_state=member["LifecycleState"],
                protected_from_scale_in=bool(member.get("ProtectedFromScaleIn")),
                min_size=group["MinSize"],
                max_size=group["MaxSize"],
                desired_capacity=group["DesiredCapacity"],
                suspended_processes=tuple(
                    sorted(item["ProcessName"] for item in group.get("SuspendedProcesses", []))
                ),
                health_check_type=group.get("HealthCheckType", "EC2"),
                target_group_arns=tuple(group.get("TargetGroupARNs", [])),
                load_balancer_names=tuple(group.get("LoadBalancerNames", [])),
                launch_source=_launch_source(group),
                targets_in_group=sum(
                    m["AutoScalingGroupName"] == member["AutoScalingGroupName"]
                    and m["LifecycleState"] == "InService"
                    for m in self._memberships()
                ),
            )
        )

    def _possible_target_groups(self) -> list[dict[str, Any]]:
        """Those that could hold the instances: instance targets of their VPCs, and any ip targets.

        Targets of type ip may be in a peered VPC (ELB documentation, "Target type").
        """
        vpcs = {instance.get("VpcId") for instance in self._instances()}
        return [
            group
            for group in self.answers["target groups",]["TargetGroups"]
            if group.get("TargetType") == "ip"
            or (group.get("TargetType", "instance") == "instance" and group.get("VpcId") in vpcs)
        ]

    def _load_balancing(self, instance: Mapping[str, Any]) -> LoadBalancing:
        addresses = self._addresses_of([instance["InstanceId"]])
        incident = {*self.ids, *self._addresses_of(self.ids)}
        targets = []
        for group in self._possible_target_groups():
            ids = addresses if group.get("TargetType") == "ip" else {instance["InstanceId"]}
            answer = self.answers["health", group["TargetGroupArn"]]
            health = answer.get("TargetHealthDescriptions", [])
            others_healthy = sum(
                item["TargetHealth"]["State"] == "healthy" and item["Target"]["Id"] not in incident
                for item in health
            )
            for description in health:
                target = description["Target"]
                zone = target.get("AvailabilityZone")
                # In another VPC the same address may be another host's. One from outside the
                # target group's VPC has the zone "all" (ELB API Reference, TargetDescription).
                elsewhere = group.get("VpcId") != instance["VpcId"] and zone != "all"
                if target["Id"] in ids and not elsewhere:
                    targets.append(
                        TargetRegistration(
                            resource=Resource(group["TargetGroupArn"]),
                            target_group_arn=group["TargetGroupArn"],
                            target_id=target["Id"],
                            port=target.get("Port"),
                            zone=zone,
                            state=description["TargetHealth"]["State"],
                            protocol=group.get("Protocol", ""),
                            vpc_id=group.get("VpcId", ""),
                            overrides_port=target.get("Port") != group.get("Port"),
                            others_healthy=others_healthy,
                            server_id=target.get("QuicServerId"),
                        )
                    )
        classic = [
            ClassicRegistration(
                Resource(
                    self._arn(
                        "elasticloadbalancing", f"loadbalancer/{balancer['LoadBalancerName']}"
                    )
                ),
                balancer["LoadBalancerName"],
                others=sum(item["InstanceId"] not in incident for item in balancer["Instances"]),
            )
            for balancer in self.answers["classic",]["LoadBalancerDescriptions"]
            if {"InstanceId": instance["InstanceId"]} in balancer.get("Instances", [])
        ]
        return LoadBalancing(tuple(targets), tuple(classic))

    def _addresses_of(self, ids: Sequence[str]) -> set[str]:
        """Every private IPv4 and IPv6 address of every interface of the instances."""
        return {
            address
            for eni in self._interfaces()
            if eni["Attachment"]["InstanceId"] in ids
            for address in _addresses(eni)
        }

    def _association(self, instance: Mapping[str, Any]) -> dict[str, Any] | None:
        """The association in force; those that were replaced stay in the answer for a while."""
        return next(
            (
                item
                for answer in self._all("associations")
                for item in answer["IamInstanceProfileAssociations"]
                if item["InstanceId"] == instance["InstanceId"]
                and item["State"] in {"associated", "associating"}
            ),
            None,
        )

    def _profile_arn(self, instance: Mapping[str, Any]) -> str | None:
        profile = (self._association(instance) or instance).get("IamInstanceProfile")
        return str(profile["Arn"]) if profile else None

    def _compromised_profiles(self) -> dict[str, str]:
        """The profile whose sessions each instance may hold: the one it has, or had before."""
        found = {}
        for instance in self._instances():
            arn = self._profile_arn(instance)
            name = _profile_name(arn) if arn else CONTAINED_PROFILE
            if name == CONTAINED_PROFILE:
                name = _tags(instance.get("Tags")).get(FORMER_PROFILE_TAG, "")
            # Whoever may tag the instance chooses the tag's value.
            if _PROFILE_NAME.fullmatch(name) and name != CONTAINED_PROFILE:
                found[instance["InstanceId"]] = name
        return found

    def _role_in(self, profile_name: str) -> str | None:
        profile = self.answers.get(("profile", profile_name), {}).get("InstanceProfile")
        roles = profile["Roles"] if profile else []
        return str(roles[0]["RoleName"]) if roles else None

    def _role(self, profile_name: str) -> Role | None:
        name = self._role_in(profile_name)
        role = self.answers["role", name].get("Role") if name else None
        if role is None:
            return None
        return Role(
            resource=Resource(role["Arn"], _tags(role.get("Tags"))),
            name=role["RoleName"],
            id=role["RoleId"],
            path=role.get("Path", "/"),
            inline_policies=self._policies(role["RoleName"]),
            trusted=_trusted(role.get("AssumeRolePolicyDocument") or {}),
        )

    def _policies(self, role_name: str) -> dict[str, str]:
        return {
            key[2]: policy_text(answer["PolicyDocument"])
            for key, answer in self.answers.items()
            if key[0] == "policy" and key[1] == role_name and answer
        }

    def _credentials(self, instance: Mapping[str, Any]) -> Credentials:
        association = self._association(instance)
        arn = self._profile_arn(instance)
        compromised = self._compromised_profiles().get(instance["InstanceId"])
        return Credentials(
            association_id=association["AssociationId"] if association else None,
            profile_arn=arn,
            profile_name=_profile_name(arn) if arn else None,
            role=self._role(compromised) if compromised else None,
            contained_profile=ContainedProfile(
                exists=bool(self.answers["profile", CONTAINED_PROFILE]),
                role=self._role_in(CONTAINED_PROFILE),
                role_exists=bool(self.answers["role", CONTAINED_PROFILE]),
                policies=self._policies(CONTAINED_PROFILE),
            ),
            caller=self.answers["caller",].get("UserId", ""),
        )

    def _isolation_groups(self) -> list[dict[str, Any]]:
        # Secondary interfaces can be in another VPC than the instance (EC2 User Guide, "Multi-VPC
        # ENI attachments").
        vpcs = {item.get("VpcId") for item in (*self._instances(), *self._interfaces())}
        found = [g for g in self.answers["groups",]["SecurityGroups"] if g.get("VpcId") in vpcs]
        # AWS answers in no order; which of two is taken must not change from read to read.
        return sorted(found, key=lambda group: str(group["GroupId"]))

    def _network(self, instance: Mapping[str, Any]) -> Network:
        rules = self.answers.get(("rules",), {}).get("SecurityGroupRules", [])
        ours = [
            eni
            for eni in self._interfaces()
            if eni["Attachment"]["InstanceId"] == instance["InstanceId"]
        ]
        groups = [
            SecurityGroup(
                resource=Resource(
                    self._arn("ec2", f"security-group/{group['GroupId']}"), _tags(group.get("Tags"))
                ),
                id=group["GroupId"],
                name=group["GroupName"],
                vpc_id=group["VpcId"],
                rules=group_rules(rules, group["GroupId"]),
            )
            for group in self._isolation_groups()
            if group["VpcId"] in {instance.get("VpcId"), *(eni["VpcId"] for eni in ours)}
        ]
        subnets = {eni["SubnetId"] for eni in ours}
        acls: dict[str, NetworkAcl] = {}
        for answer in self._all("acls"):
            for acl in answer["NetworkAcls"]:
                covered = [item["SubnetId"] for item in acl["Associations"]]
                if subnets.intersection(covered):
                    acls[acl["NetworkAclId"]] = network_acl(
                        acl, self._arn("ec2", f"network-acl/{acl['NetworkAclId']}")
                    )
        return Network(tuple(groups), tuple(acls.values()))

    def _evidence(self, instance: Mapping[str, Any]) -> Evidence:
        found = self.answers.get(("snapshots",), {}).get("Snapshots", [])
        return Evidence(evidence_snapshots(found, instance["InstanceId"], self.reader.region))


def describe_interfaces(instance_ids: Sequence[str]) -> Call:
    """The read of all interfaces that are attached to the instances."""
    return Call(
        "ec2",
        "describe_network_interfaces",
        Filters=[{"Name": "attachment.instance-id", "Values": list(instance_ids)}],
    )


def describe_rules(group_ids: Sequence[str]) -> Call:
    """The read of all rules of the security groups."""
    return Call(
        "ec2",
        "describe_security_group_rules",
        Filters=[{"Name": "group-id", "Values": list(group_ids)}],
    )


def describe_acls(acl_ids: Sequence[str]) -> Call:
    """The read of network ACLs."""
    return Call("ec2", "describe_network_acls", NetworkAclIds=list(acl_ids))


def interface(eni: Mapping[str, Any], arn: str) -> NetworkInterface:
    """A network interface from its description by DescribeNetworkInterfaces."""
    attachment = eni["Attachment"]
    return NetworkInterface(
        resource=Resource(arn, _tags(eni.get("TagSet"))),
        id=eni["NetworkInterfaceId"],
        vpc_id=eni["VpcId"],
        subnet_id=eni["SubnetId"],
        groups=tuple(group["GroupId"] for group in eni.get("Groups", [])),
        addresses=tuple(_addresses(eni)),
        public_addresses=tuple(_public_addresses(eni)),
        attachment_id=attachment.get("AttachmentId", ""),
        delete_on_termination=bool(attachment.get("DeleteOnTermination")),
        primary=_device_index(eni) == 0,
        managed=bool(eni.get("RequesterManaged") or eni.get("Operator", {}).get("Managed")),
        kind=eni.get("InterfaceType", "interface"),
    )


def group_rules(rules: Iterable[Mapping[str, Any]], group_id: str) -> tuple[GroupRule, ...]:
    """The rules of a group out of the answer of DescribeSecurityGroupRules."""
    return tuple(
        GroupRule(
            id=rule["SecurityGroupRuleId"],
            egress=bool(rule["IsEgress"]),
            protocol=str(rule.get("IpProtocol", "-1")),
            from_port=int(rule.get("FromPort", -1)),
            to_port=int(rule.get("ToPort", -1)),
            peer=_peer(rule),
        )
        for rule in rules
        if rule["GroupId"] == group_id
    )


def policy_text(document: Any) -> str:
    """A policy document in one textual form, so that two can be compared."""
    data = json.loads(document) if isinstance(document, str) else document
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _peer(rule: Mapping[str, Any]) -> str:
    for key in ("CidrIpv4", "CidrIpv6", "PrefixListId"):
        if rule.get(key):
            return str(rule[key])
    return str(rule.get("ReferencedGroupInfo", {}).get("GroupId", ""))


def network_acl(acl: Mapping[str, Any], arn: str) -> NetworkAcl:
    """A network ACL of DescribeNetworkAcls."""
    return NetworkAcl(
        resource=Resource(arn, _tags(acl.get("Tags"))),
        id=acl["NetworkAclId"],
        subnet_ids=tuple(sorted(item["SubnetId"] for item in acl["Associations"])),
        entries=tuple(_acl_entries(acl)),
    )


def _acl_entries(acl: Mapping[str, Any]) -> Iterator[AclEntry]:
    for entry in acl["Entries"]:
        yield AclEntry(
            number=entry["RuleNumber"],
            egress=bool(entry["Egress"]),
            allow=entry["RuleAction"] == "allow",
            protocol=str(entry["Protocol"]),
            cidr=entry.get("CidrBlock") or entry.get("Ipv6CidrBlock") or "",
        )


def _get_profile(name: str) -> Call:
    return Call("iam", "get_instance_profile", InstanceProfileName=name)


def _get_role(name: str) -> Call:
    return Call("iam", "get_role", RoleName=name)


def _get_policy(role: str, policy: str) -> Call:
    return Call("iam", "get_role_policy", RoleName=role, PolicyName=policy)


def _profile_name(arn: str) -> str:
    # The name follows the last slash: profiles may have a path (IAM identifiers).
    return arn.rsplit("/", 1)[1]


def _trusted(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The principals other than EC2 that a trust policy lets assume the role."""
    found: set[str] = set()
    for statement in _listed(document.get("Statement", [])):
        principal = statement.get("Principal", {})
        groups = principal.values() if isinstance(principal, Mapping) else [principal]
        if statement.get("Effect") == "Allow":
            found.update(name for group in groups for name in _listed(group))
    return tuple(sorted(name for name in found if not name.startswith("ec2.amazonaws.com")))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _launch_source(group: Mapping[str, Any]) -> str:
    template = group.get("LaunchTemplate") or (
        group.get("MixedInstancesPolicy", {})
        .get("LaunchTemplate", {})
        .get("LaunchTemplateSpecification")
    )
    if template:
        return f"launch template {template.get('LaunchTemplateName') or template.get('LaunchTemplateId')}"
    return f"launch configuration {group.get('LaunchConfigurationName', '?')}"


def _device_index(eni: Mapping[str, Any]) -> int:
    return int(eni["Attachment"].get("DeviceIndex") or 0)


def _addresses(eni: Mapping[str, Any]) -> Iterator[str]:
    for item in eni.get("PrivateIpAddresses", []):
        yield item["PrivateIpAddress"]
    for item in eni.get("Ipv6Addresses", []):
        yield item["Ipv6Address"]


def _public_addresses(eni: Mapping[str, Any]) -> Iterator[PublicAddress]:
    for item in eni.get("PrivateIpAddresses", []):
        association = item.get("Association") or {}
        if association.get("PublicIp"):
            yield PublicAddress(
                association["PublicIp"],
                item["PrivateIpAddress"],
                association.get("AllocationId"),
                association.get("AssociationId"),
            )


def _tags(tags: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def _slices(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
