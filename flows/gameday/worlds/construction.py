"""Building an account from a world file of the second form, in the simulated AWS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flows.gameday.worlds import account as form

# "You can attach … up to 20 instances" in one call (AttachInstances).
_ATTACHED_AT_ONCE = 20
# "Up to 1000 resource IDs" (CreateTags, ResourceId).
_TAGGED_AT_ONCE = 1000
_EVERYTHING_OUT = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
_DEFAULT = "default"
SERVICES = ("ec2", "autoscaling", "elb", "elbv2", "iam", "kms")


class Construction:
    """One account being built; ``ids`` are the ids of what is there, by kind and name."""

    def __init__(self, world: form.AccountWorld, clients: Mapping[str, Any]) -> None:
        self.world = world
        self.ids: dict[str, str] = {}
        self.tagged: dict[tuple[tuple[str, str], ...], list[str]] = {}
        self.clients = clients
        self.ec2 = clients["ec2"]

    def build(self) -> dict[str, str]:
        """Everything of the world; returns the ids by kind and name (``instances/web-1``)."""
        self._networks()
        self._prefix_lists()
        self._groups()
        self._acls()
        self._nat_gateways()
        self._identities()
        self._keys_and_images()
        self._instances()
        self._route_tables()
        self._endpoints()
        self._balancers()
        self._scaling()
        self._targets()
        self._states()
        self._tags()
        return self.ids

    def _id(self, kind: str, name: str) -> str:
        return self.ids[f"{kind}/{name}"]

    def _ids(self, kind: str, names: Iterable[str]) -> list[str]:
        return [self._id(kind, name) for name in names]

    def _tag(self, identity: str, tags: Mapping[str, str]) -> None:
        """At the end, together with everything that has the same tags."""
        if tags:
            self.tagged.setdefault(tuple(tags.items()), []).append(identity)

    def _tags(self) -> None:
        for tags, identities in self.tagged.items():
            for first in range(0, len(identities), _TAGGED_AT_ONCE):
                self.ec2.create_tags(
                    Resources=identities[first : first + _TAGGED_AT_ONCE], Tags=_tags(dict(tags))
                )

    # Networks

    def _networks(self) -> None:
        for name, vpc in self.world.vpcs.items():
            made = self.ec2.create_vpc(CidrBlock=vpc.cidr)["Vpc"]["VpcId"]
            self.ids[f"vpcs/{name}"] = made
            for cidr in vpc.more_cidrs:
                self.ec2.associate_vpc_cidr_block(VpcId=made, CidrBlock=cidr)
            if vpc.dns_hostnames:
                self.ec2.modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": True})
            if vpc.internet_gateway:
                gateway = self.ec2.create_internet_gateway()["InternetGateway"]
                self.ids[f"internet_gateways/{name}"] = gateway["InternetGatewayId"]
                self.ec2.attach_internet_gateway(
                    InternetGatewayId=gateway["InternetGatewayId"], VpcId=made
                )
            self._tag(made, vpc.tags)
        for name, subnet in self.world.subnets.items():
            made = self.ec2.create_subnet(
                VpcId=self._id("vpcs", subnet.vpc),
                CidrBlock=subnet.cidr,
                AvailabilityZone=subnet.zone,
            )["Subnet"]["SubnetId"]
            self.ids[f"subnets/{name}"] = made
            if subnet.public_addresses:
                self.ec2.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": True})
            self._tag(made, subnet.tags)

    def _prefix_lists(self) -> None:
        for name, item in self.world.prefix_lists.items():
            made = self.ec2.create_managed_prefix_list(
                PrefixListName=name,
                AddressFamily=item.family,
                MaxEntries=max(1, len(item.entries)),
                Entries=[{"Cidr": cidr} for cidr in item.entries],
            )["PrefixList"]["PrefixListId"]
            self.ids[f"prefix_lists/{name}"] = made
            self._tag(made, item.tags)

    def _groups(self) -> None:
        for name, group in self.world.security_groups.items():
            vpc = self._id("vpcs", group.vpc)
            if group.name == _DEFAULT:
                made = self._default_group(vpc)
                self._no_rules(made)
            else:
                made = self.ec2.create_security_group(
                    GroupName=group.name, Description=group.description, VpcId=vpc
                )["GroupId"]
            self.ids[f"security_groups/{name}"] = made
            self._tag(made, group.tags)
        for name, group in self.world.security_groups.items():
            self._rules(self._id("security_groups", name), group)

    def _rules(self, identity: str, group: form.SecurityGroup) -> None:
        entering = [self._permission(rule) for rule in group.rules if not rule.egress]
        leaving = [self._permission(rule) for rule in group.rules if rule.egress]
        if group.name != _DEFAULT:
            # A new group lets everything out (CreateSecurityGroup).
            if _EVERYTHING_OUT in leaving:
                leaving.remove(_EVERYTHING_OUT)
            else:
                self.ec2.revoke_security_group_egress(
                    GroupId=identity, IpPermissions=[_EVERYTHING_OUT]
                )
        if entering:
            self.ec2.authorize_security_group_ingress(GroupId=identity, IpPermissions=entering)
        if leaving:
            self.ec2.authorize_security_group_egress(GroupId=identity, IpPermissions=leaving)

    def _default_group(self, vpc: str) -> str:
        wanted = {"vpc-id": vpc, "group-name": _DEFAULT}
        filters = [{"Name": key, "Values": [value]} for key, value in wanted.items()]
        (group,) = self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return str(group["GroupId"])

    def _no_rules(self, group: str) -> None:
        """A default group lets everything out and itself in ("Default security groups")."""
        only = [{"Name": "group-id", "Values": [group]}]
        rules = self.ec2.describe_security_group_rules(Filters=only)["SecurityGroupRules"]
        for egress, direction in ((False, "ingress"), (True, "egress")):
            ids = [rule["SecurityGroupRuleId"] for rule in rules if rule["IsEgress"] is egress]
            if ids:
                getattr(self.ec2, f"revoke_security_group_{direction}")(
                    GroupId=group, SecurityGroupRuleIds=ids
                )

    def _permission(self, rule: form.GroupRule) -> dict[str, Any]:
        kind, _, peer = rule.peer.partition(":")
        ports = {"FromPort": rule.first, "ToPort": rule.last}
        permission: dict[str, Any] = {
            "IpProtocol": rule.protocol,
            **{key: value for key, value in ports.items() if value is not None},
        }
        if kind == "group":
            permission["UserIdGroupPairs"] = [{"GroupId": self._id("security_groups", peer)}]
        elif kind == "prefix-list":
            permission["PrefixListIds"] = [{"PrefixListId": self._id("prefix_lists", peer)}]
        elif ":" in rule.peer:
            permission["Ipv6Ranges"] = [{"CidrIpv6": rule.peer}]
        else:
            permission["IpRanges"] = [{"CidrIp": rule.peer}]
        return permission

    def _acls(self) -> None:
        for name, acl in self.world.network_acls.items():
            vpc = self._id("vpcs", acl.vpc)
            if acl.default:
                made = self._default_acl(vpc)
            else:
                made = self.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
            self.ids[f"network_acls/{name}"] = made
            self._tag(made, acl.tags)
            for rule in acl.rules:
                self.ec2.create_network_acl_entry(NetworkAclId=made, **_entry(rule))
            if not acl.default:
                for subnet in self._ids("subnets", acl.subnets):
                    self._associate_acl(subnet, made)

    def _default_acl(self, vpc: str) -> str:
        """The VPC's own network ACL, without the entries that it comes with."""
        filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": _DEFAULT, "Values": ["true"]}]
        (acl,) = self.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
        for entry in acl["Entries"]:
            if entry["RuleNumber"] < 32767:
                self.ec2.delete_network_acl_entry(
                    NetworkAclId=acl["NetworkAclId"],
                    RuleNumber=entry["RuleNumber"],
                    Egress=entry["Egress"],
                )
        return str(acl["NetworkAclId"])

    def _associate_acl(self, subnet: str, acl: str) -> None:
        filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
        (now,) = self.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
        (association,) = (item for item in now["Associations"] if item["SubnetId"] == subnet)
        self.ec2.replace_network_acl_association(
            AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
        )

    def _nat_gateways(self) -> None:
        for name, gateway in self.world.nat_gateways.items():
            address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
            made = self.ec2.create_nat_gateway(
                SubnetId=self._id("subnets", gateway.subnet), AllocationId=address
            )["NatGateway"]["NatGatewayId"]
            self.ids[f"nat_gateways/{name}"] = made
            self._tag(made, gateway.tags)

    def _route_tables(self) -> None:
        for name, table in self.world.route_tables.items():
            vpc = self._id("vpcs", table.vpc)
            if table.main:
                filters = [
                    {"Name": "vpc-id", "Values": [vpc]},
                    {"Name": "association.main", "Values": ["true"]},
                ]
                (found,) = self.ec2.describe_route_tables(Filters=filters)["RouteTables"]
                made = str(found["RouteTableId"])
            else:
                made = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
            self.ids[f"route_tables/{name}"] = made
            self._tag(made, table.tags)
            for route in table.routes:
                self.ec2.create_route(
                    RouteTableId=made,
                    DestinationCidrBlock=route.to,
                    **self._target(route.through, table.vpc),
                )
            for subnet in self._ids("subnets", table.subnets):
                self.ec2.associate_route_table(RouteTableId=made, SubnetId=subnet)

    def _target(self, through: str, vpc: str) -> dict[str, str]:
        kind, _, name = through.partition(":")
        match kind:
            case "nat":
                return {"NatGatewayId": self._id("nat_gateways", name)}
            case "instance":
                return {"InstanceId": self._id("instances", name)}
        return {"GatewayId": self._id("internet_gateways", vpc)}

    def _endpoints(self) -> None:
        for name, endpoint in self.world.endpoints.items():
            places: dict[str, Any] = {
                "RouteTableIds": self._ids("route_tables", endpoint.route_tables)
            }
            if endpoint.kind == "Interface":
                places = {
                    "SubnetIds": self._ids("subnets", endpoint.subnets),
                    "SecurityGroupIds": self._ids("security_groups", endpoint.groups),
                    "PrivateDnsEnabled": endpoint.private_dns,
                }
            made = self.ec2.create_vpc_endpoint(
                VpcId=self._id("vpcs", endpoint.vpc),
                ServiceName=endpoint.service,
                VpcEndpointType=endpoint.kind,
                **places,
            )["VpcEndpoint"]["VpcEndpointId"]
            self.ids[f"endpoints/{name}"] = made
            self._tag(made, endpoint.tags)

    # IAM, KMS and images

    def _identities(self) -> None:
        iam = self.clients["iam"]
        for name, policy in self.world.policies.items():
            self.ids[f"policies/{name}"] = iam.create_policy(
                PolicyName=name, Path=policy.path, PolicyDocument=json.dumps(policy.document)
            )["Policy"]["Arn"]
        for name, role in self.world.roles.items():
            boundary = role.boundary and self._id("policies", role.boundary)
            self.ids[f"roles/{name}"] = iam.create_role(
                RoleName=name,
                Path=role.path,
                AssumeRolePolicyDocument=json.dumps(role.trust),
                Tags=_tags(role.tags),
                **({"PermissionsBoundary": boundary} if boundary else {}),
            )["Role"]["Arn"]
            for policy_name, document in role.inline.items():
                iam.put_role_policy(
                    RoleName=name, PolicyName=policy_name, PolicyDocument=json.dumps(document)
                )
            for arn in self._ids("policies", role.policies):
                iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        for name, profile in self.world.profiles.items():
            self.ids[f"profiles/{name}"] = iam.create_instance_profile(
                InstanceProfileName=name, Path=profile.path
            )["InstanceProfile"]["Arn"]
            if profile.role:
                iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=profile.role)

    def _keys_and_images(self) -> None:
        for name in self.world.keys:
            key = self.clients["kms"].create_key(Description=name)["KeyMetadata"]
            self.ids[f"keys/{name}"] = key["Arn"]
        for name, image in self.world.images.items():
            self.ids[f"images/{name}"] = self.ec2.register_image(
                Name=name, RootDeviceName=image.root_device, Architecture=image.architecture
            )["ImageId"]

    # Instances

    def _instances(self) -> None:
        for name, instance in self.world.instances.items():
            made = self._launch(instance)
            self.ids[f"instances/{name}"] = made["InstanceId"]
            first = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
            others = [
                self._attach(made["InstanceId"], number, eni)
                for number, eni in enumerate(instance.interfaces[1:], start=1)
            ]
            made_enis = [first, *others]
            for number, (identity, eni) in enumerate(
                zip(made_enis, instance.interfaces, strict=True)
            ):
                self.ids[f"interfaces/{name}/{number}"] = identity
                self._finish(identity, eni)
            mapped = {
                item["DeviceName"]: item["Ebs"]["VolumeId"] for item in made["BlockDeviceMappings"]
            }
            for volume in instance.volumes:
                self.ids[f"volumes/{name}/{volume.device}"] = mapped[volume.device]
                self._tag(mapped[volume.device], volume.tags)

    def _launch(self, instance: form.Instance) -> dict[str, Any]:
        primary = instance.interfaces[0]
        options: dict[str, Any] = {}
        if instance.profile:
            options["IamInstanceProfile"] = {"Name": instance.profile}
        if instance.spot:
            options["InstanceMarketOptions"] = {"MarketType": "spot"}
        if instance.volumes:
            options["BlockDeviceMappings"] = [self._device(item) for item in instance.volumes]
        if instance.tags:
            tags = {"ResourceType": "instance", "Tags": _tags(instance.tags)}
            options["TagSpecifications"] = [tags]
        (made,) = self.ec2.run_instances(
            ImageId=self._id("images", instance.image),
            InstanceType=instance.type,
            MinCount=1,
            MaxCount=1,
            MetadataOptions={
                "HttpEndpoint": instance.metadata_endpoint,
                "HttpTokens": instance.metadata_tokens,
                "InstanceMetadataTags": instance.metadata_tags,
            },
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": self._id("subnets", primary.subnet),
                    "Groups": self._ids("security_groups", primary.groups),
                    "PrivateIpAddress": primary.addresses[0],
                    "DeleteOnTermination": primary.delete_on_termination,
                }
            ],
            **options,
        )["Instances"]
        return dict(made)

    def _device(self, volume: form.WorldVolume) -> dict[str, Any]:
        ebs: dict[str, Any] = {
            "VolumeSize": volume.size,
            "VolumeType": volume.kind,
            "Encrypted": volume.encrypted,
            "DeleteOnTermination": volume.delete_on_termination,
        }
        if volume.key:
            ebs["KmsKeyId"] = self._id("keys", volume.key)
        return {"DeviceName": volume.device, "Ebs": ebs}

    def _attach(self, instance: str, number: int, eni: form.WorldInterface) -> str:
        made = self.ec2.create_network_interface(
            SubnetId=self._id("subnets", eni.subnet),
            PrivateIpAddress=eni.addresses[0],
            Groups=self._ids("security_groups", eni.groups),
        )["NetworkInterface"]["NetworkInterfaceId"]
        attachment = self.ec2.attach_network_interface(
            NetworkInterfaceId=made, InstanceId=instance, DeviceIndex=number
        )["AttachmentId"]
        if eni.delete_on_termination:
            self.ec2.modify_network_interface_attribute(
                NetworkInterfaceId=made,
                Attachment={"AttachmentId": attachment, "DeleteOnTermination": True},
            )
        return str(made)

    def _finish(self, identity: str, eni: form.WorldInterface) -> None:
        if eni.addresses[1:]:
            self.ec2.assign_private_ip_addresses(
                NetworkInterfaceId=identity, PrivateIpAddresses=list(eni.addresses[1:])
            )
        if not eni.source_dest_check:
            self.ec2.modify_network_interface_attribute(
                NetworkInterfaceId=identity, SourceDestCheck={"Value": False}
            )
        if eni.elastic:
            address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
            self.ec2.associate_address(AllocationId=address, NetworkInterfaceId=identity)
        self._tag(identity, eni.tags)

    def _states(self) -> None:
        for name, instance in self.world.instances.items():
            identity = self._id("instances", name)
            for attribute, value in (
                ("DisableApiTermination", instance.termination_protection),
                ("DisableApiStop", instance.stop_protection),
            ):
                if value:
                    self.ec2.modify_instance_attribute(
                        InstanceId=identity, **{attribute: {"Value": True}}
                    )
            if instance.shutdown == "terminate":
                self.ec2.modify_instance_attribute(
                    InstanceId=identity,
                    InstanceInitiatedShutdownBehavior={"Value": instance.shutdown},
                )
            if instance.state == "stopped":
                self.ec2.stop_instances(InstanceIds=[identity])

    # Load balancers and Auto Scaling groups

    def _balancers(self) -> None:
        elbv2, elb = self.clients["elbv2"], self.clients["elb"]
        for name, group in self.world.target_groups.items():
            self.ids[f"target_groups/{name}"] = elbv2.create_target_group(
                Name=name,
                Protocol=group.protocol,
                Port=group.port,
                VpcId=self._id("vpcs", group.vpc),
                TargetType=group.kind,
            )["TargetGroups"][0]["TargetGroupArn"]
        for name, balancer in self.world.load_balancers.items():
            groups = self._ids("security_groups", balancer.groups)
            made = elbv2.create_load_balancer(
                Name=name,
                Type=balancer.kind,
                Scheme=balancer.scheme,
                Subnets=self._ids("subnets", balancer.subnets),
                **({"SecurityGroups": groups} if groups else {}),
            )["LoadBalancers"][0]["LoadBalancerArn"]
            self.ids[f"load_balancers/{name}"] = made
            for listener in balancer.listeners:
                target = self._id("target_groups", listener.target_group)
                elbv2.create_listener(
                    LoadBalancerArn=made,
                    Protocol=listener.protocol,
                    Port=listener.port,
                    DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
                )
        for name, classic in self.world.classic_balancers.items():
            elb.create_load_balancer(
                LoadBalancerName=name,
                Scheme=classic.scheme,
                Subnets=self._ids("subnets", classic.subnets),
                SecurityGroups=self._ids("security_groups", classic.groups),
                Listeners=[
                    {
                        "Protocol": listener.protocol,
                        "LoadBalancerPort": listener.port,
                        "InstanceProtocol": listener.instance_protocol,
                        "InstancePort": listener.instance_port,
                    }
                    for listener in classic.listeners
                ],
            )
            self.ids[f"classic_balancers/{name}"] = name

    def _scaling(self) -> None:
        for name, template in self.world.launch_templates.items():
            data: dict[str, Any] = {}
            if template.image:
                data["ImageId"] = self._id("images", template.image)
            if template.type:
                data["InstanceType"] = template.type
            if template.groups:
                data["SecurityGroupIds"] = self._ids("security_groups", template.groups)
            if template.profile:
                data["IamInstanceProfile"] = {"Name": template.profile}
            if template.instance_tags:
                tags = {"ResourceType": "instance", "Tags": _tags(template.instance_tags)}
                data["TagSpecifications"] = [tags]
            made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
            self.ids[f"launch_templates/{name}"] = made["LaunchTemplate"]["LaunchTemplateId"]
        for name, group in self.world.scaling_groups.items():
            self._scaling_group(name, group)

    def _scaling_group(self, name: str, group: form.AutoScalingGroup) -> None:
        """Its members are those that the world names: it launches none itself, unless it wants more
        of them than there are."""
        autoscaling = self.clients["autoscaling"]
        subnets = self._ids("subnets", group.subnets)
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=group.max,
            DesiredCapacity=0,
            VPCZoneIdentifier=",".join(subnets),
            LaunchTemplate={"LaunchTemplateName": group.template, "Version": "$Latest"},
            TargetGroupARNs=self._ids("target_groups", group.target_groups),
            LoadBalancerNames=list(group.classic_balancers),
            HealthCheckType=group.health_check,
            HealthCheckGracePeriod=group.grace_seconds,
            Tags=[
                {"Key": tag.key, "Value": tag.value, "PropagateAtLaunch": tag.propagate}
                for tag in group.tags
            ],
        )
        self.ids[f"scaling_groups/{name}"] = name
        members = self._ids("instances", group.instances)
        for first in range(0, len(members), _ATTACHED_AT_ONCE):
            autoscaling.attach_instances(
                AutoScalingGroupName=name, InstanceIds=members[first : first + _ATTACHED_AT_ONCE]
            )
        if group.suspended:
            autoscaling.suspend_processes(
                AutoScalingGroupName=name, ScalingProcesses=list(group.suspended)
            )
        autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=group.min, DesiredCapacity=group.desired
        )
        if group.protected:
            autoscaling.set_instance_protection(
                AutoScalingGroupName=name,
                InstanceIds=self._ids("instances", group.protected),
                ProtectedFromScaleIn=True,
            )

    def _targets(self) -> None:
        for name, group in self.world.target_groups.items():
            targets = [
                {
                    "Id": self._id("instances", item.id) if group.kind == "instance" else item.id,
                    "Port": item.port,
                }
                for item in group.targets
            ]
            if targets:
                self.clients["elbv2"].register_targets(
                    TargetGroupArn=self._id("target_groups", name), Targets=targets
                )
        for name, classic in self.world.classic_balancers.items():
            if classic.instances:
                self.clients["elb"].register_instances_with_load_balancer(
                    LoadBalancerName=name,
                    Instances=[
                        {"InstanceId": item} for item in self._ids("instances", classic.instances)
                    ],
                )


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _entry(rule: form.AclRule) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "RuleNumber": rule.number,
        "Egress": rule.egress,
        "RuleAction": rule.action,
        "Protocol": rule.protocol,
        "Ipv6CidrBlock" if ":" in rule.network else "CidrBlock": rule.network,
    }
    if rule.protocol in ("1", "58") and rule.first is not None:
        entry["IcmpTypeCode"] = {"Type": rule.first, "Code": rule.last}
    elif rule.first is not None:
        entry["PortRange"] = {"From": rule.first, "To": rule.last}
    return entry
