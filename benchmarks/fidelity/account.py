"""The account in which AWS's rules are checked: the same calls build it in any server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"


@dataclass(frozen=True)
class Credentials:
    """Of a user (no token) or of a session."""

    access_key: str = "AKIASIMULATED0000000"
    secret: str = "simulated"
    token: str | None = None


ADMINISTRATOR = Credentials()


@dataclass(frozen=True)
class Ids:
    """What the account holds. ``members`` are the instances of the Auto Scaling group ``asg``
    (2 to 6, desired 3), ``victim`` is in none: two volumes, the second encrypted with ``key``, two
    interfaces, and the instance profile ``app-prof``."""

    image: str
    vpc: str
    internet_gateway: str
    subnets: tuple[str, str]
    web_group: str
    app_group: str
    key: str
    key_elsewhere: str
    launch_template: str
    application_balancer: str
    network_balancer: str
    instance_targets: str
    ip_targets: str
    network_targets: str
    members: tuple[str, ...]
    victim: str
    user_keys: tuple[Credentials, Credentials]


@dataclass(frozen=True)
class Account:
    """An account in a server. ``configure`` sets times of a simulated AWS (settings by name) and
    ``enforce`` has IAM enforced from then on; a server that can't be told ignores the former."""

    url: str
    ids: Ids
    configure: Callable[..., None]
    enforce: Callable[[], None]

    def __call__(
        self, service: str, region: str = REGION, credentials: Credentials = ADMINISTRATOR
    ) -> Any:
        """A client of a service."""
        return client(self.url, service, region, credentials)

    def instance(self, instance_id: str) -> Any:
        """What DescribeInstances says of it."""
        answer = self("ec2").describe_instances(InstanceIds=[instance_id])
        return answer["Reservations"][0]["Instances"][0]

    def launch(
        self, *, data_volume: bool = True, second_interface: bool = True, **more: Any
    ) -> str:
        """One more instance like the victim; ``more`` are parameters of RunInstances."""
        return _launched(
            self("ec2"),
            {
                "ImageId": self.ids.image,
                "SubnetId": self.ids.subnets[0],
                "SecurityGroupIds": [self.ids.app_group],
                **more,
            },
            self.ids.key if data_volume else None,
            second_interface,
        )


@cache
def client(
    url: str, service: str, region: str = REGION, credentials: Credentials = ADMINISTRATOR
) -> Any:
    """A client that sends each request once."""
    from botocore.config import Config

    return _session().client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret,
        aws_session_token=credentials.token,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
    )


def trusted(service: str) -> str:
    """A trust policy for a service."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def build(url: str) -> Ids:
    """Build it in a server that holds nothing yet."""
    ec2, iam, elbv2 = (client(url, name) for name in ("ec2", "iam", "elbv2"))
    image = ec2.register_image(Name="linux", RootDeviceName="/dev/sda1")["ImageId"]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnets = tuple(
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}"
        )["Subnet"]["SubnetId"]
        for number, zone in ((1, "a"), (2, "b"))
    )
    web, app = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("web", "app")
    )
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[_open_to_the_world(443)])
    from_web = {
        "IpProtocol": "tcp",
        "FromPort": 8080,
        "ToPort": 8080,
        "UserIdGroupPairs": [{"GroupId": web}],
    }
    ec2.authorize_security_group_ingress(GroupId=app, IpPermissions=[from_web])
    key, elsewhere = (
        client(url, "kms", region).create_key(Description="ebs")["KeyMetadata"]["Arn"]
        for region in (REGION, "us-west-2")
    )
    iam.create_role(RoleName="app-role", AssumeRolePolicyDocument=trusted("ec2.amazonaws.com"))
    iam.create_instance_profile(InstanceProfileName="app-prof")
    iam.add_role_to_instance_profile(InstanceProfileName="app-prof", RoleName="app-role")
    iam.create_user(UserName="victim")
    first, second = (
        iam.create_access_key(UserName="victim")["AccessKey"] for _ in ("first", "second")
    )
    template = ec2.create_launch_template(
        LaunchTemplateName="lt",
        LaunchTemplateData={
            "ImageId": image,
            "InstanceType": "t3.micro",
            "SecurityGroupIds": [app],
            "IamInstanceProfile": {"Name": "app-prof"},
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": [{"Key": "tier", "Value": "app"}]}
            ],
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    alb = elbv2.create_load_balancer(
        Name="alb", Subnets=subnets, SecurityGroups=[web], Type="application"
    )["LoadBalancers"][0]["LoadBalancerArn"]
    nlb = elbv2.create_load_balancer(Name="nlb", Subnets=subnets, Type="network")["LoadBalancers"][
        0
    ]["LoadBalancerArn"]
    instance_targets, ip_targets, network_targets = (
        elbv2.create_target_group(
            Name=name, Protocol=protocol, Port=8080, VpcId=vpc, TargetType=kind
        )["TargetGroups"][0]["TargetGroupArn"]
        for name, protocol, kind in (
            ("tg-inst", "HTTP", "instance"),
            ("tg-ip", "HTTP", "ip"),
            ("tg-nlb", "TCP", "instance"),
        )
    )
    for balancer, protocol, targets in (
        (alb, "HTTP", instance_targets),
        (nlb, "TCP", network_targets),
    ):
        elbv2.create_listener(
            LoadBalancerArn=balancer,
            Protocol=protocol,
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
        )
    client(url, "elb").create_load_balancer(
        LoadBalancerName="clb",
        Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}],
        Subnets=list(subnets),
    )
    autoscaling = client(url, "autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="asg",
        MinSize=2,
        MaxSize=6,
        DesiredCapacity=3,
        VPCZoneIdentifier=",".join(subnets),
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
        TargetGroupARNs=[instance_targets],
        LoadBalancerNames=["clb"],
        Tags=[{"Key": "Name", "Value": "asg-node", "PropagateAtLaunch": True}],
    )
    group = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]
    victim = _launched(
        ec2, {"ImageId": image, "SubnetId": subnets[0], "SecurityGroupIds": [app]}, key, True
    )
    return Ids(
        image=image,
        vpc=vpc,
        internet_gateway=gateway,
        subnets=(subnets[0], subnets[1]),
        web_group=web,
        app_group=app,
        key=key,
        key_elsewhere=elsewhere,
        launch_template=template,
        application_balancer=alb,
        network_balancer=nlb,
        instance_targets=instance_targets,
        ip_targets=ip_targets,
        network_targets=network_targets,
        members=tuple(member["InstanceId"] for member in group["Instances"]),
        victim=victim,
        user_keys=(
            Credentials(first["AccessKeyId"], first["SecretAccessKey"]),
            Credentials(second["AccessKeyId"], second["SecretAccessKey"]),
        ),
    )


def _launched(ec2: Any, placed: dict[str, Any], key: str | None, second_interface: bool) -> str:
    devices = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}]
    if key is not None:
        data = {"VolumeSize": 20, "Encrypted": True, "KmsKeyId": key, "DeleteOnTermination": True}
        devices.append({"DeviceName": "/dev/sdf", "Ebs": data})
    wanted = {
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 1,
        "BlockDeviceMappings": devices,
        "IamInstanceProfile": {"Name": "app-prof"},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "victim"}]}
        ],
        **placed,
    }
    # A parameter that is given as None is left out.
    wanted = {name: value for name, value in wanted.items() if value is not None}
    instance: str = ec2.run_instances(**wanted)["Instances"][0]["InstanceId"]
    if second_interface:
        interface = ec2.create_network_interface(
            SubnetId=wanted["SubnetId"], Groups=wanted["SecurityGroupIds"]
        )["NetworkInterface"]["NetworkInterfaceId"]
        ec2.attach_network_interface(
            NetworkInterfaceId=interface, InstanceId=instance, DeviceIndex=1
        )
    return instance


def _open_to_the_world(port: int) -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "world"}],
    }


@cache
def _session() -> Any:
    import boto3

    return boto3.Session()
