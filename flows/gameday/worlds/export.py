"""Reading an account, simulated or real, into a world file: only describing calls are made."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.gameday.worlds import account as form
from runbooks.errors import InvalidInput

# A boto3 client, by the name of its service.
Reader = Callable[[str], Any]
_LAST_ENTRY = 32767


@dataclass(frozen=True)
class Exported:
    """What was read. ``ids`` are the ids of AWS by kind and name (``instances/web-1``), and
    ``left_out`` says what the world file has no form for, one sentence each."""

    world: form.AccountWorld
    ids: Mapping[str, str]
    left_out: tuple[str, ...]


def export(reader: Reader, region: str, *, around: str = "") -> Exported:
    """The account as a world file.

    ``around`` is an instance: what is read is its VPC and all that is in it. Without it, it is
    every VPC but default ones that nothing is in. Of IAM there are the roles of instance profiles
    that are in use, with their policies. User data is left out on purpose: it often has secrets.
    What takes a call for every instance (protection against being terminated or stopped) is then
    read of that instance alone: EC2 would throttle who needs it now.
    Raises InvalidInput where there is no such instance.
    """
    return _Export(reader, region, around).exported()


@dataclass
class _Export:
    reader: Reader
    region: str
    around: str
    ids: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def exported(self) -> Exported:
        self.network()
        self.machines()
        self.identities()
        self.balancing()
        self.scaling()
        self.routes()
        # IAM's are read as they are met.
        for kind in ("policies", "roles", "profiles", "launch_templates"):
            self.parts[kind] = dict(sorted(self.parts[kind].items()))
        world = form.AccountWorld.model_validate({"region": self.region, **self.parts})
        return Exported(world, self.ids, tuple(dict.fromkeys(self.left_out)))

    # Names

    def keep(
        self,
        kind: str,
        items: Iterable[Any],
        *,
        identity: Callable[[Any], str],
        order: Callable[[Any], Any],
        name: Callable[[Any], str],
        prefix: str,
    ) -> list[tuple[str, Any]]:
        """The items with their names, in an order that doesn't depend on ids."""
        ordered = sorted(items, key=lambda item: json.dumps(order(item), sort_keys=True))
        bases = [name(item) or prefix for item in ordered]
        often = Counter(bases)
        numbers: Counter[str] = Counter()
        found = []
        taken = {key.removeprefix(f"{kind}/") for key in self.ids if key.startswith(f"{kind}/")}
        for item, base in zip(ordered, bases, strict=True):
            text = base
            while text in taken or ((often[base] > 1 or base == prefix) and text == base):
                numbers[base] += 1
                text = f"{base}-{numbers[base]}"
            taken.add(text)
            self.names[identity(item)] = text
            self.ids[f"{kind}/{text}"] = identity(item)
            found.append((text, item))
        return found

    def known(self, identities: Iterable[str]) -> tuple[str, ...]:
        """The names of those that are part of the world, in order of the alphabet."""
        return tuple(sorted(self.names[item] for item in identities if item in self.names))

    # EC2's networks

    def network(self) -> None:
        ec2 = self.reader("ec2")
        vpcs = self._vpcs(ec2)
        here = [{"Name": "vpc-id", "Values": [vpc["VpcId"] for vpc in vpcs] or ["none"]}]
        attached = {
            side["VpcId"]
            for gateway in all_of(ec2, "describe_internet_gateways", "InternetGateways")
            for side in gateway["Attachments"]
        }
        self.parts["vpcs"] = {
            name: form.Vpc(
                cidr=vpc["CidrBlock"],
                more_cidrs=tuple(
                    sorted(
                        item["CidrBlock"]
                        for item in vpc.get("CidrBlockAssociationSet", [])
                        if item["CidrBlock"] != vpc["CidrBlock"]
                    )
                ),
                dns_hostnames=ec2.describe_vpc_attribute(
                    VpcId=vpc["VpcId"], Attribute="enableDnsHostnames"
                )["EnableDnsHostnames"]["Value"],
                internet_gateway=vpc["VpcId"] in attached,
                tags=_tags(vpc),
            )
            for name, vpc in self.keep(
                "vpcs",
                vpcs,
                identity=lambda vpc: str(vpc["VpcId"]),
                order=lambda vpc: [vpc["CidrBlock"], _tags(vpc)],
                name=_name,
                prefix="vpc",
            )
        }
        for vpc in vpcs:
            if vpc.get("Ipv6CidrBlockAssociationSet"):
                self.left_out.append(f"{vpc['VpcId']}: its IPv6 networks")
        self._subnets(ec2, here)
        self._nat_gateways(ec2)
        self._prefix_lists(ec2)
        self._groups(ec2, here)
        self._acls(ec2, here)

    def _vpcs(self, ec2: Any) -> list[Any]:
        vpcs = all_of(ec2, "describe_vpcs", "Vpcs")
        if not self.around:
            used = {eni["VpcId"] for eni in all_of(ec2, "describe_network_interfaces", _ENIS)}
            return [vpc for vpc in vpcs if not vpc.get("IsDefault") or vpc["VpcId"] in used]
        # By a filter: an id that is unknown is no error then.
        found = _instances(ec2, [{"Name": "instance-id", "Values": [self.around]}])
        if not found:
            raise InvalidInput(f"There is no instance {self.around} in {self.region}.")
        if found[0]["State"]["Name"] not in _THERE or not found[0].get("VpcId"):
            state = found[0]["State"]["Name"]
            raise InvalidInput(f"{self.around} is {state}: there is nothing around it to read.")
        return [vpc for vpc in vpcs if vpc["VpcId"] == found[0]["VpcId"]]

    def _subnets(self, ec2: Any, here: list[Any]) -> None:
        self.parts["subnets"] = {
            name: form.Subnet(
                vpc=self.names[subnet["VpcId"]],
                cidr=subnet["CidrBlock"],
                zone=subnet["AvailabilityZone"],
                public_addresses=subnet.get("MapPublicIpOnLaunch", False),
                tags=_tags(subnet),
            )
            for name, subnet in self.keep(
                "subnets",
                all_of(ec2, "describe_subnets", "Subnets", Filters=here),
                identity=lambda subnet: str(subnet["SubnetId"]),
                order=lambda subnet: [self.names[subnet["VpcId"]], _place(subnet["CidrBlock"])],
                name=_name,
                prefix="subnet",
            )
        }

    def _nat_gateways(self, ec2: Any) -> None:
        there = [
            gateway
            for gateway in all_of(ec2, "describe_nat_gateways", "NatGateways")
            if gateway["SubnetId"] in self.names and gateway["State"] in ("pending", "available")
        ]
        self.parts["nat_gateways"] = {
            name: form.NatGateway(subnet=self.names[gateway["SubnetId"]], tags=_tags(gateway))
            for name, gateway in self.keep(
                "nat_gateways",
                there,
                identity=lambda gateway: str(gateway["NatGatewayId"]),
                order=lambda gateway: [self.names[gateway["SubnetId"]], _tags(gateway)],
                name=_name,
                prefix="nat",
            )
        }

    def _prefix_lists(self, ec2: Any) -> None:
        own = [
            item
            for item in all_of(ec2, "describe_managed_prefix_lists", "PrefixLists")
            if item.get("OwnerId") != "AWS"
        ]
        self.parts["prefix_lists"] = {
            name: form.PrefixList(
                family=item["AddressFamily"],
                entries=tuple(
                    sorted(
                        entry["Cidr"]
                        for entry in all_of(
                            ec2,
                            "get_managed_prefix_list_entries",
                            "Entries",
                            PrefixListId=item["PrefixListId"],
                        )
                    )
                ),
                tags=_tags(item),
            )
            for name, item in self.keep(
                "prefix_lists",
                own,
                identity=lambda item: str(item["PrefixListId"]),
                order=lambda item: item["PrefixListName"],
                name=lambda item: str(item["PrefixListName"]),
                prefix="prefix-list",
            )
        }

    def _groups(self, ec2: Any, here: list[Any]) -> None:
        named = self.keep(
            "security_groups",
            all_of(ec2, "describe_security_groups", "SecurityGroups", Filters=here),
            identity=lambda group: str(group["GroupId"]),
            order=lambda group: [group["GroupName"], self.names[group["VpcId"]]],
            name=lambda group: str(group["GroupName"]),
            prefix="group",
        )
        self.parts["security_groups"] = {
            name: form.SecurityGroup(
                vpc=self.names[group["VpcId"]],
                name=group["GroupName"],
                description=group["Description"],
                rules=tuple(self._rules(group)),
                tags=_tags(group),
            )
            for name, group in named
        }

    def _rules(self, group: Mapping[str, Any]) -> list[form.GroupRule]:
        rules = []
        for egress, member in ((False, "IpPermissions"), (True, "IpPermissionsEgress")):
            for permission in group.get(member, []):
                for peer in self._peers(permission, str(group["GroupId"])):
                    rules.append(
                        form.GroupRule(
                            egress=egress,
                            protocol=permission["IpProtocol"],
                            first=permission.get("FromPort"),
                            last=permission.get("ToPort"),
                            peer=peer,
                        )
                    )
        return sorted(rules, key=lambda rule: rule.model_dump_json())

    def _peers(self, permission: Mapping[str, Any], group: str) -> list[str]:
        found = [item["CidrIp"] for item in permission.get("IpRanges", [])]
        found += [item["CidrIpv6"] for item in permission.get("Ipv6Ranges", [])]
        for member, key, word in (
            ("UserIdGroupPairs", "GroupId", "group"),
            ("PrefixListIds", "PrefixListId", "prefix-list"),
        ):
            for item in permission.get(member, []):
                if item.get(key) in self.names:
                    found.append(f"{word}:{self.names[item[key]]}")
                else:
                    self.left_out.append(f"{group}: the rule for {item.get(key)}, from elsewhere")
        return found

    def _acls(self, ec2: Any, here: list[Any]) -> None:
        def subnets(acl: Any) -> tuple[str, ...]:
            return self.known(item["SubnetId"] for item in acl["Associations"])

        self.parts["network_acls"] = {
            name: form.NetworkAcl(
                vpc=self.names[acl["VpcId"]],
                default=acl["IsDefault"],
                subnets=subnets(acl),
                rules=_entries(acl),
                tags=_tags(acl),
            )
            for name, acl in self.keep(
                "network_acls",
                all_of(ec2, "describe_network_acls", "NetworkAcls", Filters=here),
                identity=lambda acl: str(acl["NetworkAclId"]),
                order=lambda acl: [
                    self.names[acl["VpcId"]],
                    not acl["IsDefault"],
                    subnets(acl),
                    [rule.model_dump() for rule in _entries(acl)],
                ],
                name=_name,
                prefix="acl",
            )
        }

    def routes(self) -> None:
        """Route tables and endpoints: last, because routes may lead to instances."""
        ec2 = self.reader("ec2")
        tables = [
            table
            for table in all_of(ec2, "describe_route_tables", "RouteTables")
            if table["VpcId"] in self.names
        ]

        def subnets(table: Any) -> tuple[str, ...]:
            return self.known(item.get("SubnetId", "") for item in table["Associations"])

        def main(table: Any) -> bool:
            return any(item.get("Main") for item in table["Associations"])

        found: dict[str, form.RouteTable] = {}
        self.parts["route_tables"] = found
        for name, table in self.keep(
            "route_tables",
            tables,
            identity=lambda table: str(table["RouteTableId"]),
            order=lambda table: [
                self.names[table["VpcId"]],
                not main(table),
                subnets(table),
                [route.model_dump() for route in self._routes(table)],
            ],
            name=_name,
            prefix="routes",
        ):
            found[name] = form.RouteTable(
                vpc=self.names[table["VpcId"]],
                main=main(table),
                subnets=subnets(table),
                routes=tuple(self._routes(table)),
                tags=_tags(table),
            )
        self._endpoints(ec2)

    def _routes(self, table: Mapping[str, Any]) -> list[form.WorldRoute]:
        found = []
        for route in table["Routes"]:
            to = route.get("DestinationCidrBlock", "")
            gateway = str(route.get("GatewayId", ""))
            if gateway == "local" or gateway.startswith("vpce-"):
                continue
            nat, instance = route.get("NatGatewayId", ""), route.get("InstanceId", "")
            if route.get("State", "active") != "active" or not to:
                through = ""
            elif gateway.startswith("igw-"):
                through = "internet"
            elif nat in self.names:
                through = f"nat:{self.names[nat]}"
            elif instance in self.names:
                through = f"instance:{self.names[instance]}"
            else:
                through = ""
            if through:
                found.append(form.WorldRoute(to=to, through=through))
            else:
                named = to or route.get("DestinationIpv6CidrBlock") or "a prefix list"
                self.left_out.append(f"{table['RouteTableId']}: the route to {named}")
        return sorted(found, key=lambda route: _place(route.to))

    def _endpoints(self, ec2: Any) -> None:
        there = [
            item
            for item in all_of(ec2, "describe_vpc_endpoints", "VpcEndpoints")
            if item["VpcId"] in self.names
        ]
        supported = [item for item in there if item["VpcEndpointType"] in ("Interface", "Gateway")]
        for item in there:
            if item not in supported:
                self.left_out.append(
                    f"{item['VpcEndpointId']}: a {item['VpcEndpointType']} endpoint"
                )
        self.parts["endpoints"] = {
            name: form.Endpoint(
                vpc=self.names[item["VpcId"]],
                service=item["ServiceName"],
                kind=item["VpcEndpointType"],
                subnets=self.known(item.get("SubnetIds", [])),
                groups=self.known(group["GroupId"] for group in item.get("Groups", [])),
                route_tables=self.known(item.get("RouteTableIds", [])),
                private_dns=item["VpcEndpointType"] == "Interface"
                and item.get("PrivateDnsEnabled", False),
                tags=_tags(item),
            )
            for name, item in self.keep(
                "endpoints",
                supported,
                identity=lambda item: str(item["VpcEndpointId"]),
                order=lambda item: [
                    item["ServiceName"],
                    self.names[item["VpcId"]],
                    self.known(item.get("SubnetIds", [])),
                ],
                name=lambda item: str(item["ServiceName"]).rpartition(".")[2],
                prefix="endpoint",
            )
        }

    # Instances

    def machines(self) -> None:
        ec2 = self.reader("ec2")
        vpcs = [self.ids[f"vpcs/{name}"] for name in self.parts["vpcs"]]
        here = [{"Name": "vpc-id", "Values": vpcs or ["none"]}]
        there = [
            instance for instance in _instances(ec2, here) if instance["State"]["Name"] in _THERE
        ]
        named = self.keep(
            "instances",
            there,
            identity=lambda instance: str(instance["InstanceId"]),
            order=lambda instance: [
                self.names[instance["VpcId"]],
                _place(f"{instance['PrivateIpAddress']}/32"),
            ],
            name=_name,
            prefix="instance",
        )
        self._images(ec2, [(item["ImageId"], item.get("RootDeviceName", "")) for item in there])
        volumes: dict[str, list[Any]] = {}
        for volume in all_of(ec2, "describe_volumes", "Volumes"):
            for attachment in volume["Attachments"]:
                volumes.setdefault(attachment.get("InstanceId", ""), []).append(volume)
        known = [volume for item in there for volume in volumes.get(item["InstanceId"], [])]
        self._keys(known)
        enis: dict[str, list[Any]] = {}
        for eni in all_of(ec2, "describe_network_interfaces", _ENIS, Filters=here):
            enis.setdefault(eni.get("Attachment", {}).get("InstanceId", ""), []).append(eni)
        self.parts["instances"] = {
            name: self._instance(
                ec2,
                instance,
                enis.get(instance["InstanceId"], []),
                volumes.get(instance["InstanceId"], []),
            )
            for name, instance in named
        }
        if self.around and len(named) > 1:
            self.left_out.append(
                f"of all instances but {self.around}: whether they are protected against being "
                "terminated or stopped, and what their shutdown does"
            )

    def _images(self, ec2: Any, used: list[tuple[str, str]]) -> None:
        devices = {image: device or "/dev/sda1" for image, device in used}
        if not devices:
            self.parts.setdefault("images", {})
            return
        # By a filter: images that are gone or private are left out then, instead of an error.
        found = {
            image["ImageId"]: image
            for image in ec2.describe_images(
                Filters=[{"Name": "image-id", "Values": sorted(devices)}]
            )["Images"]
        }
        known: dict[str, form.Image] = self.parts.setdefault("images", {})
        for name, item in self.keep(
            "images",
            [found.get(image, {"ImageId": image}) for image in devices],
            identity=lambda image: str(image["ImageId"]),
            order=lambda image: [image.get("Name", ""), devices[image["ImageId"]]],
            name=lambda image: str(image.get("Name", "")),
            prefix="image",
        ):
            known[name] = form.Image(
                root_device=item.get("RootDeviceName") or devices[item["ImageId"]],
                architecture=item.get("Architecture") or "x86_64",
            )

    def _keys(self, volumes: list[Any]) -> None:
        kms = self.reader("kms")
        used = sorted({volume["KmsKeyId"] for volume in volumes if volume.get("KmsKeyId")})
        described = [kms.describe_key(KeyId=key)["KeyMetadata"] for key in used]
        own = [key for key in described if key.get("KeyManager") != "AWS"]
        self.parts["keys"] = {
            name: form.Tagged()
            for name, _ in self.keep(
                "keys",
                own,
                identity=lambda key: str(key["Arn"]),
                order=lambda key: key.get("Description", ""),
                name=lambda key: str(key.get("Description", "")),
                prefix="key",
            )
        }

    def _instance(
        self, ec2: Any, instance: Any, interfaces: list[Any], volumes: list[Any]
    ) -> form.Instance:
        identity, root = instance["InstanceId"], instance.get("RootDeviceName")

        def attribute(name: str) -> Any:
            if self.around not in ("", identity):
                return None
            answer = ec2.describe_instance_attribute(InstanceId=identity, Attribute=name)
            return answer[name[0].upper() + name[1:]].get("Value")

        options = instance.get("MetadataOptions", {})
        profile = instance.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]
        enis = sorted(
            (eni for eni in interfaces if not eni.get("RequesterManaged")),
            key=lambda eni: eni["Attachment"]["DeviceIndex"],
        )
        attached = sorted(
            (_volume(self.names, volume, identity) for volume in volumes),
            key=lambda volume: (volume.device != root, volume.device),
        )
        return form.Instance(
            image=self.names[instance["ImageId"]],
            type=instance["InstanceType"],
            state="stopped" if instance["State"]["Name"].startswith("stop") else "running",
            profile=profile or None,
            spot=instance.get("InstanceLifecycle") == "spot",
            termination_protection=bool(attribute("disableApiTermination")),
            stop_protection=bool(attribute("disableApiStop")),
            shutdown=attribute("instanceInitiatedShutdownBehavior") or "stop",
            metadata_endpoint=options.get("HttpEndpoint", "enabled"),
            metadata_tokens=options.get("HttpTokens", "optional"),
            metadata_tags=options.get("InstanceMetadataTags", "disabled"),
            interfaces=tuple(self._interface(eni) for eni in enis),
            volumes=tuple(attached),
            tags=_tags(instance),
        )

    def _interface(self, eni: Any) -> form.WorldInterface:
        ordered = sorted(eni["PrivateIpAddresses"], key=lambda item: not item.get("Primary"))
        return form.WorldInterface(
            subnet=self.names[eni["SubnetId"]],
            addresses=tuple(item["PrivateIpAddress"] for item in ordered),
            groups=self.known(group["GroupId"] for group in eni["Groups"]),
            elastic=any(item.get("Association", {}).get("AllocationId") for item in ordered),
            delete_on_termination=eni["Attachment"]["DeleteOnTermination"],
            source_dest_check=eni.get("SourceDestCheck", True),
            tags={tag["Key"]: tag["Value"] for tag in sorted(eni["TagSet"], key=_key)},
        )

    # IAM

    def identities(self) -> None:
        iam = self.reader("iam")
        self.parts.update(policies={}, roles={}, profiles={})
        used = {item.profile for item in self.parts["instances"].values() if item.profile}
        for name in sorted(used):
            self.profile(iam, name)

    def profile(self, iam: Any, name: str) -> None:
        if name in self.parts["profiles"]:
            return
        found = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        role = next((item["RoleName"] for item in found["Roles"]), None)
        self.parts["profiles"][name] = form.Profile(path=found["Path"], role=role)
        self.ids[f"profiles/{name}"] = found["Arn"]
        if role is not None and role not in self.parts["roles"]:
            self.parts["roles"][role] = self._role(iam, role)

    def _role(self, iam: Any, name: str) -> form.Role:
        role = iam.get_role(RoleName=name)["Role"]
        self.ids[f"roles/{name}"] = role["Arn"]
        inline = all_of(iam, "list_role_policies", "PolicyNames", RoleName=name)
        attached = all_of(iam, "list_attached_role_policies", "AttachedPolicies", RoleName=name)
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return form.Role(
            path=role["Path"],
            trust=role["AssumeRolePolicyDocument"],
            inline={
                policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in sorted(inline)
            },
            policies=tuple(sorted(self._policy(iam, item["PolicyArn"]) for item in attached)),
            boundary=self._policy(iam, boundary) if boundary else None,
            tags=_tags(role),
        )

    def _policy(self, iam: Any, arn: str) -> str:
        if arn in self.names:
            return self.names[arn]
        policy = iam.get_policy(PolicyArn=arn)["Policy"]
        name = self.names[arn] = str(policy["PolicyName"])
        version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])
        # AWS's own may have a path (/service-role/) of which the account's can have the like.
        self.parts["policies"][name] = form.Policy(
            path=policy["Path"], document=version["PolicyVersion"]["Document"]
        )
        self.ids[f"policies/{name}"] = arn
        return name

    # Load balancers and Auto Scaling groups

    def balancing(self) -> None:
        elbv2 = self.reader("elbv2")
        groups = [
            item
            for item in all_of(elbv2, "describe_target_groups", "TargetGroups")
            if item.get("VpcId") in self.names
        ]
        kept = [item for item in groups if item["TargetType"] in ("instance", "ip")]
        for item in groups:
            if item not in kept:
                self.left_out.append(f"{item['TargetGroupArn']}: targets of {item['TargetType']}")
        self.parts["target_groups"] = {
            name: form.TargetGroup(
                vpc=self.names[item["VpcId"]],
                protocol=item["Protocol"],
                port=item["Port"],
                kind=item["TargetType"],
                targets=self._targets(elbv2, item),
            )
            for name, item in self._by_name("target_groups", kept, "TargetGroupArn", _TARGETS)
        }
        there = [
            item
            for item in all_of(elbv2, "describe_load_balancers", "LoadBalancers")
            if item.get("VpcId") in self.names
        ]
        balancers = [item for item in there if item["Type"] in ("application", "network")]
        for item in there:
            if item not in balancers:
                self.left_out.append(f"{item['LoadBalancerArn']}: a {item['Type']} load balancer")
        self.parts["load_balancers"] = {
            name: form.LoadBalancer(
                kind=item["Type"],
                scheme=item.get("Scheme", "internet-facing"),
                subnets=self.known(zone["SubnetId"] for zone in item["AvailabilityZones"]),
                groups=self.known(item.get("SecurityGroups", [])),
                listeners=self._listeners(elbv2, item["LoadBalancerArn"]),
            )
            for name, item in self._by_name(
                "load_balancers", balancers, "LoadBalancerArn", "LoadBalancerName"
            )
        }
        self._classic()

    def _by_name(
        self, kind: str, items: list[Any], identity: str, name: str
    ) -> list[tuple[str, Any]]:
        return self.keep(
            kind,
            items,
            identity=lambda item: str(item[identity]),
            order=lambda item: item[name],
            name=lambda item: str(item[name]),
            prefix=kind,
        )

    def _targets(self, elbv2: Any, group: Any) -> tuple[form.Target, ...]:
        health = elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        found = []
        for item in health["TargetHealthDescriptions"]:
            identity, port = item["Target"]["Id"], item["Target"]["Port"]
            if item["TargetHealth"]["State"] == "draining":
                continue
            if group["TargetType"] == "ip":
                found.append(form.Target(id=identity, port=port))
            elif identity in self.names:
                found.append(form.Target(id=self.names[identity], port=port))
        return tuple(sorted(found, key=lambda target: (target.id, target.port)))

    def _listeners(self, elbv2: Any, balancer: str) -> tuple[form.Listener, ...]:
        found = []
        for item in all_of(elbv2, "describe_listeners", "Listeners", LoadBalancerArn=balancer):
            arns = [action.get("TargetGroupArn") for action in item["DefaultActions"]]
            if len(arns) == 1 and arns[0] in self.names:
                found.append(
                    form.Listener(
                        port=item["Port"],
                        protocol=item["Protocol"],
                        target_group=self.names[arns[0]],
                    )
                )
            else:
                self.left_out.append(f"{item['ListenerArn']}: what it does but forwarding")
        return tuple(sorted(found, key=lambda listener: listener.port))

    def _classic(self) -> None:
        elb = self.reader("elb")
        there = [
            item
            for item in all_of(elb, "describe_load_balancers", "LoadBalancerDescriptions")
            if item.get("VPCId") in self.names
        ]
        self.parts["classic_balancers"] = {
            name: form.ClassicBalancer(
                scheme=item.get("Scheme") or "internet-facing",
                subnets=self.known(item["Subnets"]),
                groups=self.known(item["SecurityGroups"]),
                listeners=tuple(
                    form.ClassicListener(
                        protocol=listener["Protocol"],
                        port=listener["LoadBalancerPort"],
                        instance_protocol=listener["InstanceProtocol"],
                        instance_port=listener["InstancePort"],
                    )
                    for listener in sorted(
                        (entry["Listener"] for entry in item["ListenerDescriptions"]),
                        key=lambda listener: listener["LoadBalancerPort"],
                    )
                ),
                instances=self.known(entry["InstanceId"] for entry in item["Instances"]),
            )
            for name, item in self._by_name(
                "classic_balancers", there, "LoadBalancerName", "LoadBalancerName"
            )
        }

    def scaling(self) -> None:
        autoscaling = self.reader("autoscaling")
        self.parts["launch_templates"] = {}
        found: dict[str, form.AutoScalingGroup] = {}
        self.parts["scaling_groups"] = found
        for group in all_of(autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups"):
            subnets = [item for item in group.get("VPCZoneIdentifier", "").split(",") if item]
            if not self.known(subnets):
                continue
            name = group["AutoScalingGroupName"]
            template = self._template(group)
            if template is None:
                self.left_out.append(f"{name}: an Auto Scaling group without a launch template")
                continue
            found[name] = self._scaling_group(group, template, subnets)
            self.ids[f"scaling_groups/{name}"] = name
        self.parts["scaling_groups"] = dict(sorted(found.items()))

    def _scaling_group(
        self, group: Any, template: str, subnets: list[str]
    ) -> form.AutoScalingGroup:
        members = [
            item for item in group["Instances"] if item["LifecycleState"].startswith("InService")
        ]
        guarded = [item["InstanceId"] for item in members if item.get("ProtectedFromScaleIn")]
        return form.AutoScalingGroup(
            min=group["MinSize"],
            max=group["MaxSize"],
            desired=group["DesiredCapacity"],
            template=template,
            subnets=self.known(subnets),
            health_check="ELB" if "ELB" in group["HealthCheckType"] else "EC2",
            grace_seconds=group.get("HealthCheckGracePeriod", 0),
            target_groups=self.known(group.get("TargetGroupARNs", [])),
            classic_balancers=self.known(group.get("LoadBalancerNames", [])),
            suspended=tuple(
                sorted(item["ProcessName"] for item in group.get("SuspendedProcesses", []))
            ),
            instances=self.known(item["InstanceId"] for item in members),
            protected=self.known(guarded),
            tags=tuple(
                form.ScalingTag(
                    key=tag["Key"], value=tag["Value"], propagate=tag["PropagateAtLaunch"]
                )
                for tag in sorted(group.get("Tags", []), key=_key)
                if not tag["Key"].startswith("aws:")
            ),
        )

    def _template(self, group: Any) -> str | None:
        mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
        named = group.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification")
        if not named:
            return None
        ec2, name = self.reader("ec2"), str(named["LaunchTemplateName"])
        (version,) = ec2.describe_launch_template_versions(
            LaunchTemplateName=name, Versions=[named.get("Version", "$Default")]
        )["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        if data.get("ImageId") and data["ImageId"] not in self.names:
            self._images(ec2, [(data["ImageId"], "")])
        given = data.get("IamInstanceProfile", {})
        profile = given.get("Name") or given.get("Arn", "").rpartition("/")[2] or None
        if profile is not None:
            self.profile(self.reader("iam"), profile)
        groups = data.get("SecurityGroupIds", [])
        for eni in data.get("NetworkInterfaces", []):
            groups = [*groups, *eni.get("Groups", [])]
        tags = [
            tag
            for spec in data.get("TagSpecifications", [])
            if spec["ResourceType"] == "instance"
            for tag in spec["Tags"]
        ]
        self.parts["launch_templates"][name] = form.LaunchTemplate(
            image=self.names.get(data.get("ImageId", "")),
            type=data.get("InstanceType"),
            groups=self.known(groups),
            profile=profile,
            instance_tags=_tags({"Tags": tags}),
        )
        self.ids[f"launch_templates/{name}"] = version["LaunchTemplateId"]
        return name


_ENIS = "NetworkInterfaces"
_THERE = ("pending", "running", "stopping", "stopped")
_TARGETS = "TargetGroupName"


def all_of(client: Any, operation: str, member: str, **parameters: Any) -> list[Any]:
    """All items of an answer, of all its pages."""
    if client.can_paginate(operation):
        pages = client.get_paginator(operation).paginate(**parameters)
        return [item for page in pages for item in page[member]]
    return list(getattr(client, operation)(**parameters)[member])


def _instances(ec2: Any, filters: list[Any]) -> list[Any]:
    found = all_of(ec2, "describe_instances", "Reservations", Filters=filters)
    return [instance for reservation in found for instance in reservation["Instances"]]


def _volume(names: Mapping[str, str], volume: Any, instance: str) -> form.WorldVolume:
    attachment = next(item for item in volume["Attachments"] if item["InstanceId"] == instance)
    return form.WorldVolume(
        device=attachment["Device"],
        size=volume["Size"],
        kind=volume["VolumeType"],
        encrypted=volume["Encrypted"],
        key=names.get(volume.get("KmsKeyId", "")),
        delete_on_termination=attachment["DeleteOnTermination"],
        tags=_tags(volume),
    )


def _entries(acl: Mapping[str, Any]) -> tuple[form.AclRule, ...]:
    found = []
    for entry in acl["Entries"]:
        if entry["RuleNumber"] == _LAST_ENTRY:
            continue
        ports, icmp = entry.get("PortRange") or {}, entry.get("IcmpTypeCode") or {}
        found.append(
            form.AclRule(
                number=entry["RuleNumber"],
                egress=entry["Egress"],
                action=entry["RuleAction"],
                protocol=str(entry["Protocol"]),
                network=entry.get("CidrBlock") or entry["Ipv6CidrBlock"],
                first=ports.get("From", icmp.get("Type")),
                last=ports.get("To", icmp.get("Code")),
            )
        )
    return tuple(sorted(found, key=lambda rule: (rule.egress, rule.number)))


def _key(tag: Mapping[str, str]) -> str:
    return tag["Key"]


def _tags(item: Mapping[str, Any]) -> dict[str, str]:
    """Without those of AWS, which nobody can set."""
    return {
        tag["Key"]: tag["Value"]
        for tag in sorted(item.get("Tags") or [], key=_key)
        if not tag["Key"].startswith("aws:")
    }


def _name(item: Mapping[str, Any]) -> str:
    return _tags(item).get("Name", "")


def _place(cidr: str) -> str:
    """What sorts networks by their addresses."""
    network = ipaddress.ip_network(cidr, strict=False)
    return f"{network.version} {int(network.network_address):039d} {network.prefixlen:03d}"
