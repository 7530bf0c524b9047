"""Building a world: a YAML description in, an account in the simulated AWS and its ids out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.gameday.worlds.account import AccountWorld, parse_account
from flows.gameday.worlds.construction import SERVICES, Construction
from runbooks.errors import InvalidInput
from runbooks.yaml_source import parse

ACCOUNT = "123456789012"
_ACCESS_KEY = "AKIASIMULATED0000000"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataVolume(_Model):
    """A data volume of the victim; ``size`` in GiB."""

    device: str
    size: int
    encrypted: bool = False


class ScalingGroup(_Model):
    name: str
    min: int
    max: int
    desired: int


class World(_Model):
    """A world file."""

    region: str
    cidr: str
    zones: tuple[str, str]
    role: str
    tags: dict[str, str]
    group: ScalingGroup
    victim_data_volumes: tuple[DataVolume, ...]


@dataclass(frozen=True)
class WorldIds:
    """The ids of what was built, by what it is in the world."""

    url: str
    account: str
    region: str
    ids: dict[str, str]

    @property
    def victim(self) -> str:
        return self.ids["victim"]


def load_world(name: str = "small") -> World:
    """A world that ships with Clampdown. Raises InvalidInput where there is none of that name."""
    file = files("flows.gameday.worlds") / f"{name}.yaml"
    if not file.is_file():
        raise InvalidInput(f"There is no world {name!r}.")
    source = parse(file.read_bytes())
    if source.faults:
        fault = source.faults[0]
        raise InvalidInput(f"{name}.yaml:{fault.position.line}: {fault.message}")
    return World.model_validate(source.data)


def read_world(path: Path) -> World | AccountWorld:
    """The world of a file of either form; one with a ``version`` is an account's.

    Raises InvalidInput, with the line of what is wrong, and OSError.
    """
    document = path.read_bytes()
    source = parse(document)
    if source.faults or not isinstance(source.data, dict) or "version" in source.data:
        return parse_account(document, path.name)
    try:
        return World.model_validate(source.data)
    except ValidationError as error:
        place = tuple(error.errors()[0]["loc"])
        line = source.position(place).line
        raise InvalidInput(f"{path.name}:{line}: {error.errors()[0]['msg']}") from error


@cache
def client(url: str, region: str, service: str) -> Any:
    """A boto3 client on the simulated AWS; the same one for the same arguments."""
    from botocore.config import Config

    return _session().client(
        service,
        region_name=region,
        endpoint_url=url,
        config=Config(max_pool_connections=16, retries={"total_max_attempts": 1}),
    )


def build(world: World | AccountWorld, url: str) -> WorldIds:
    """Build the world in the simulated AWS at ``url``, which holds nothing yet.

    The ids of an account's world are by kind and name: ``instances/web-1``.
    """
    if isinstance(world, World):
        return _Builder(world, url).build()
    clients = {name: client(url, world.region, name) for name in SERVICES}
    return WorldIds(url, ACCOUNT, world.region, Construction(world, clients).build())


@cache
def _session() -> Any:
    import boto3

    return boto3.Session(_ACCESS_KEY, "simulated")


class _Builder:
    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self.aws = {name: client(url, world.region, name) for name in SERVICES}
        self.ec2 = self.aws["ec2"]
        self.ids: dict[str, str] = {}

    def build(self) -> WorldIds:
        self.network()
        self.role()
        self.balancers()
        self.group()
        self.victim()
        self.others()
        return WorldIds(self.url, ACCOUNT, self.world.region, self.ids)

    def network(self) -> None:
        ec2, ids = self.ec2, self.ids
        ids["vpc"] = ec2.create_vpc(CidrBlock=self.world.cidr)["Vpc"]["VpcId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=ids["vpc"])
        prefix = ".".join(self.world.cidr.split(".")[:2])
        for number, zone in enumerate(self.world.zones):
            for kind, third in (("public", number), ("private", number + 10)):
                ids[f"{kind}_{zone}"] = ec2.create_subnet(
                    VpcId=ids["vpc"],
                    CidrBlock=f"{prefix}.{third}.0/24",
                    AvailabilityZone=f"{self.world.region}{zone}",
                )["Subnet"]["SubnetId"]
        self.routes(gateway)
        for name in ("balancer", "web"):
            ids[f"{name}_group"] = ec2.create_security_group(
                GroupName=f"payments-{name}", Description=name, VpcId=ids["vpc"]
            )["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=ids["balancer_group"],
            IpPermissions=[_tcp(443, 443, IpRanges=[{"CidrIp": "0.0.0.0/0"}])],
        )
        ec2.authorize_security_group_ingress(
            GroupId=ids["web_group"],
            IpPermissions=[_tcp(8080, 8082, UserIdGroupPairs=[{"GroupId": ids["balancer_group"]}])],
        )

    def routes(self, gateway: str) -> None:
        """Public subnets reach the Internet, and private ones through a NAT gateway."""
        ec2, ids = self.ec2, self.ids
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        ids["nat"] = ec2.create_nat_gateway(
            SubnetId=ids[f"public_{self.world.zones[0]}"], AllocationId=address
        )["NatGateway"]["NatGatewayId"]
        ways = {"public": {"GatewayId": gateway}, "private": {"NatGatewayId": ids["nat"]}}
        for kind, target in ways.items():
            table = ec2.create_route_table(VpcId=ids["vpc"])["RouteTable"]["RouteTableId"]
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
            for zone in self.world.zones:
                ec2.associate_route_table(RouteTableId=table, SubnetId=ids[f"{kind}_{zone}"])

    def role(self) -> None:
        iam, name = self.aws["iam"], self.world.role
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        iam.create_role(RoleName=name, Path="/app/", AssumeRolePolicyDocument=json.dumps(trust))
        iam.create_instance_profile(InstanceProfileName=f"{name}-profile", Path="/app/")
        iam.add_role_to_instance_profile(InstanceProfileName=f"{name}-profile", RoleName=name)
        self.ids["role"], self.ids["profile"] = name, f"{name}-profile"
        self.ids["key"] = self.aws["kms"].create_key(Description="volumes")["KeyMetadata"]["Arn"]
        self.ids["image"] = self.ec2.register_image(
            Name="payments-web", RootDeviceName="/dev/sda1", Architecture="x86_64"
        )["ImageId"]

    def balancers(self) -> None:
        elbv2, ids = self.aws["elbv2"], self.ids
        public = [ids[f"public_{zone}"] for zone in self.world.zones]
        for name, kind, protocol, target in (
            ("alb", "application", "HTTP", "instance"),
            ("nlb", "network", "TCP", "ip"),
            ("ports", None, "HTTP", "instance"),
        ):
            ids[f"{name}_targets"] = elbv2.create_target_group(
                Name=f"payments-{name}",
                Protocol=protocol,
                Port=8080,
                VpcId=ids["vpc"],
                TargetType=target,
            )["TargetGroups"][0]["TargetGroupArn"]
            if kind:
                ids[f"{name}_balancer"] = elbv2.create_load_balancer(
                    Name=f"payments-{name}",
                    Subnets=public,
                    Type=kind,
                    SecurityGroups=[ids["balancer_group"]],
                )["LoadBalancers"][0]["LoadBalancerArn"]
            elbv2.create_listener(
                LoadBalancerArn=ids[f"{'nlb' if kind == 'network' else 'alb'}_balancer"],
                Protocol=protocol,
                Port=80 if kind else 8081,
                DefaultActions=[{"Type": "forward", "TargetGroupArn": ids[f"{name}_targets"]}],
            )
        listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}
        for name in ("classic", "legacy"):
            ids[f"{name}_balancer"] = f"payments-{name}"
            self.aws["elb"].create_load_balancer(
                LoadBalancerName=f"payments-{name}",
                Listeners=[listener],
                Subnets=public,
                SecurityGroups=[ids["balancer_group"]],
            )

    def group(self) -> None:
        group, ids = self.world.group, self.ids
        tags = [{"Key": "Name", "Value": group.name}, *_tags(self.world.tags)]
        self.ec2.create_launch_template(
            LaunchTemplateName=group.name,
            LaunchTemplateData={
                "ImageId": ids["image"],
                "InstanceType": "m5.large",
                "SecurityGroupIds": [ids["web_group"]],
                "IamInstanceProfile": {"Name": ids["profile"]},
                "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
            },
        )
        self.aws["autoscaling"].create_auto_scaling_group(
            AutoScalingGroupName=group.name,
            MinSize=group.min,
            MaxSize=group.max,
            DesiredCapacity=group.desired,
            VPCZoneIdentifier=",".join(ids[f"private_{zone}"] for zone in self.world.zones),
            LaunchTemplate={"LaunchTemplateName": group.name, "Version": "$Latest"},
            TargetGroupARNs=[ids["alb_targets"]],
            LoadBalancerNames=[ids["classic_balancer"]],
            HealthCheckType="ELB",
            HealthCheckGracePeriod=60,
            Tags=[{**tag, "PropagateAtLaunch": True} for tag in tags],
        )
        ids["group"] = group.name
        members = self.aws["autoscaling"].describe_auto_scaling_groups()["AutoScalingGroups"][0]
        found = sorted(item["InstanceId"] for item in members["Instances"])
        ids["victim"] = found[0]
        for number, member in enumerate(found[1:], start=1):
            ids[f"member_{number}"] = member
        for member in found:
            self.profile(member)

    def profile(self, instance: str) -> None:
        """A launch template's profile is associated by AWS; moto leaves that out."""
        known = self.ec2.describe_iam_instance_profile_associations(
            Filters=[{"Name": "instance-id", "Values": [instance]}]
        )["IamInstanceProfileAssociations"]
        if not known:
            self.ec2.associate_iam_instance_profile(
                InstanceId=instance, IamInstanceProfile={"Name": self.ids["profile"]}
            )

    def victim(self) -> None:
        ec2, ids = self.ec2, self.ids
        described = ec2.describe_instances(InstanceIds=[ids["victim"]])
        instance = described["Reservations"][0]["Instances"][0]
        zone, subnet = instance["Placement"]["AvailabilityZone"], instance["SubnetId"]
        for number, volume in enumerate(self.world.victim_data_volumes, start=1):
            request: dict[str, Any] = {"Size": volume.size, "AvailabilityZone": zone}
            if volume.encrypted:
                request |= {"Encrypted": True, "KmsKeyId": ids["key"]}
            made = ec2.create_volume(VolumeType="gp3", **request)["VolumeId"]
            ec2.attach_volume(VolumeId=made, InstanceId=ids["victim"], Device=volume.device)
            ids[f"volume_{number}"] = made
        # Data volumes that came with the launch are deleted with the instance.
        ec2.modify_instance_attribute(
            InstanceId=ids["victim"],
            BlockDeviceMappings=[
                {
                    "DeviceName": self.world.victim_data_volumes[0].device,
                    "Ebs": {"DeleteOnTermination": True},
                }
            ],
        )
        second = ec2.create_network_interface(
            SubnetId=subnet, Groups=[ids["web_group"]], SecondaryPrivateIpAddressCount=1
        )["NetworkInterface"]
        ec2.attach_network_interface(
            NetworkInterfaceId=second["NetworkInterfaceId"],
            InstanceId=ids["victim"],
            DeviceIndex=1,
        )
        primary = instance["NetworkInterfaces"][0]
        ids["victim_eni"] = primary["NetworkInterfaceId"]
        ids["victim_ip"] = primary["PrivateIpAddress"]
        ids["victim_second_eni"] = second["NetworkInterfaceId"]
        addresses = [ids["victim_ip"]]
        addresses += [item["PrivateIpAddress"] for item in second["PrivateIpAddresses"]]
        elbv2 = self.aws["elbv2"]
        elbv2.register_targets(
            TargetGroupArn=ids["nlb_targets"],
            Targets=[{"Id": address, "Port": 8080} for address in addresses],
        )
        elbv2.register_targets(
            TargetGroupArn=ids["ports_targets"],
            Targets=[{"Id": ids["victim"], "Port": port} for port in (8081, 8082)],
        )
        self.aws["elb"].register_instances_with_load_balancer(
            LoadBalancerName=ids["legacy_balancer"], Instances=[{"InstanceId": ids["victim"]}]
        )

    def others(self) -> None:
        for name in ("standalone", "bystander"):
            profile = {"IamInstanceProfile": {"Name": self.ids["profile"]}}
            tags = [{"Key": "Name", "Value": name}, *_tags(self.world.tags)]
            self.ids[name] = self.ec2.run_instances(
                ImageId=self.ids["image"],
                InstanceType="m5.large",
                MinCount=1,
                MaxCount=1,
                SubnetId=self.ids[f"private_{self.world.zones[0]}"],
                SecurityGroupIds=[self.ids["web_group"]],
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
                **(profile if name == "bystander" else {}),
            )["Instances"][0]["InstanceId"]


def _tcp(first: int, last: int, **peers: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, **peers}


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


__all__ = ["ACCOUNT", "World", "WorldIds", "build", "client", "load_world", "read_world"]
