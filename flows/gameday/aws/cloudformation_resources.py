"""CloudFormation's resources: made with all of their properties, and deleted by their own ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flows.gameday.aws.volumes import require_zone

Properties = Mapping[str, Any]


def correct() -> None:
    """Have EC2 resources be made as their properties say; moto leaves out most of them."""
    from moto.ec2.models.elastic_block_store import Volume, VolumeAttachment
    from moto.ec2.models.instances import Instance
    from moto.ec2.models.route_tables import RouteTable
    from moto.ec2.models.security_groups import SecurityGroup
    from moto.ec2.models.subnets import Subnet, SubnetRouteTableAssociation
    from moto.ec2.models.vpcs import VPC, VPCEndPoint

    VolumeAttachment.physical_resource_id = property(
        lambda attachment: f"{attachment.volume_id}|{attachment.instance_id}"
    )
    SubnetRouteTableAssociation.physical_resource_id = property(
        lambda association: association.association_id
    )
    makers: dict[Any, Callable[[Any, str, Properties], Any]] = {
        Instance: _instance,
        RouteTable: _route_table,
        SecurityGroup: _security_group,
        Subnet: _subnet,
        SubnetRouteTableAssociation: _subnet_routes,
        VPC: _vpc,
        VPCEndPoint: _endpoint,
        Volume: _volume,
        VolumeAttachment: _attachment,
    }
    for model, make in makers.items():
        model.create_from_cloudformation_json = classmethod(_maker(make))
    _roles()


def _maker(make: Callable[[Any, str, Properties], Any]) -> Callable[..., Any]:
    def create(
        cls: Any, name: str, resource: Any, account_id: str, region_name: str, **_: Any
    ) -> Any:
        from moto.ec2.models import ec2_backends

        return make(ec2_backends[account_id][region_name], name, resource["Properties"])

    return create


def _instance(ec2: Any, name: str, given: Properties) -> Any:
    profile = given.get("IamInstanceProfile")
    template = given.get("LaunchTemplate", {})
    reservation = ec2.run_instances(
        given.get("ImageId"),
        1,
        given.get("UserData"),
        [],
        instance_type=given.get("InstanceType", "m1.small"),
        is_instance_type_default="InstanceType" not in given,
        region_name=ec2.region_name,
        subnet_id=given.get("SubnetId"),
        key_name=given.get("KeyName"),
        security_group_ids=[*given.get("SecurityGroupIds", []), *given.get("SecurityGroups", [])],
        nics=[_interface(item) for item in given.get("NetworkInterfaces", [])],
        private_ip=given.get("PrivateIpAddress"),
        tags={"instance": _tags(given)},
        ebs_optimized=_true(given.get("EbsOptimized")),
        disable_api_termination=_true(given.get("DisableApiTermination")),
        instance_initiated_shutdown_behavior=given.get("InstanceInitiatedShutdownBehavior"),
        launch_template={key: str(value) for key, value in template.items()},
        metadata_options=given.get("MetadataOptions", {}),
        iam_instance_profile_name=profile,
        **_block_devices(given),
    )
    [instance] = reservation.instances
    if profile:
        ec2.associate_iam_instance_profile(instance.id, iam_instance_profile_name=profile)
    for volume in given.get("Volumes", []):
        ec2.attach_volume(volume["VolumeId"], instance.id, volume["Device"])
    return instance


def _interface(given: Properties) -> dict[str, Any]:
    kept = ("NetworkInterfaceId", "SubnetId", "PrivateIpAddress", "Description")
    return {
        **{key: given[key] for key in kept if key in given},
        "DeviceIndex": int(given["DeviceIndex"]),
        "Groups": list(given.get("GroupSet", [])),
        "DeleteOnTermination": _true(given.get("DeleteOnTermination", True)),
        "AssociatePublicIpAddress": _true(given.get("AssociatePublicIpAddress")),
    }


def _block_devices(given: Properties) -> dict[str, Any]:
    if not given.get("BlockDeviceMappings"):
        return {}
    return {
        "block_device_mappings": [
            {
                "DeviceName": item["DeviceName"],
                "NoDevice": item.get("NoDevice"),
                "Ebs": {
                    **item.get("Ebs", {}),
                    "Encrypted": _true(item.get("Ebs", {}).get("Encrypted")),
                    # "The default is true" (AWS::EC2::Instance Ebs, DeleteOnTermination).
                    "DeleteOnTermination": _true(
                        item.get("Ebs", {}).get("DeleteOnTermination", True)
                    ),
                },
            }
            for item in given["BlockDeviceMappings"]
        ]
    }


def _volume(ec2: Any, name: str, given: Properties) -> Any:
    require_zone(ec2, given["AvailabilityZone"])
    size = given.get("Size")
    volume = ec2.create_volume(
        None if size is None else int(size),
        given["AvailabilityZone"],
        snapshot_id=given.get("SnapshotId"),
        encrypted=_true(given.get("Encrypted")),
        kms_key_id=given.get("KmsKeyId"),
        volume_type=given.get("VolumeType"),
        iops=_number(given.get("Iops")),
        throughput=_number(given.get("Throughput")),
    )
    volume.add_tags(_tags(given))
    return volume


def _attachment(ec2: Any, name: str, given: Properties) -> Any:
    return ec2.attach_volume(given["VolumeId"], given["InstanceId"], given["Device"])


def _security_group(ec2: Any, name: str, given: Properties) -> Any:
    vpc = given.get("VpcId")
    group = ec2.create_security_group(
        given.get("GroupName", name), given["GroupDescription"], vpc, tags=_tags(given)
    )
    # "When you specify a VPC security group, CloudFormation creates a default egress rule …
    # removed if you specify egress rules" (AWS::EC2::SecurityGroup, SecurityGroupEgress).
    if given.get("SecurityGroupEgress"):
        group.egress_rules.clear()
    for direction in ("Ingress", "Egress"):
        authorize = getattr(ec2, f"authorize_security_group_{direction.lower()}")
        for rule in given.get(f"SecurityGroup{direction}", []):
            authorize(
                group.id,
                str(rule["IpProtocol"]),
                rule.get("FromPort"),
                rule.get("ToPort"),
                _ranges(rule),
                source_groups=_peers(rule),
                prefix_list_ids=_prefix_lists(rule),
                vpc_id=vpc,
            )
    return group


def _ranges(rule: Properties) -> list[dict[str, str]]:
    described = {"Description": rule["Description"]} if "Description" in rule else {}
    return [{key: rule[key], **described} for key in ("CidrIp", "CidrIpv6") if key in rule]


def _peers(rule: Properties) -> list[dict[str, str]]:
    keys = ("SourceSecurityGroupId", "DestinationSecurityGroupId")
    return [{"GroupId": rule[key]} for key in keys if key in rule]


def _prefix_lists(rule: Properties) -> list[dict[str, str]]:
    keys = ("SourcePrefixListId", "DestinationPrefixListId")
    return [{"PrefixListId": rule[key]} for key in keys if key in rule]


def _vpc(ec2: Any, name: str, given: Properties) -> Any:
    vpc = ec2.create_vpc(given["CidrBlock"], given.get("InstanceTenancy", "default"))
    vpc.enable_dns_support = _true(given.get("EnableDnsSupport", True))
    vpc.enable_dns_hostnames = _true(given.get("EnableDnsHostnames"))
    vpc.add_tags(_tags(given))
    return vpc


def _subnet(ec2: Any, name: str, given: Properties) -> Any:
    zone = given.get("AvailabilityZone")
    subnet = ec2.create_subnet(given["VpcId"], given["CidrBlock"], availability_zone=zone)
    subnet.map_public_ip_on_launch = _true(given.get("MapPublicIpOnLaunch"))
    subnet.add_tags(_tags(given))
    return subnet


def _route_table(ec2: Any, name: str, given: Properties) -> Any:
    table = ec2.create_route_table(vpc_id=given["VpcId"])
    table.add_tags(_tags(given))
    return table


def _subnet_routes(ec2: Any, name: str, given: Properties) -> Any:
    from moto.ec2.models.subnets import SubnetRouteTableAssociation

    table, subnet = given["RouteTableId"], given["SubnetId"]
    made: Any = SubnetRouteTableAssociation(table, subnet)
    made.association_id = ec2.associate_route_table(table, subnet_id=subnet)
    return made


def _endpoint(ec2: Any, name: str, given: Properties) -> Any:
    return ec2.create_vpc_endpoint(
        vpc_id=given["VpcId"],
        service_name=given["ServiceName"],
        endpoint_type=given.get("VpcEndpointType", "Gateway"),
        policy_document=_document(given.get("PolicyDocument")),
        route_table_ids=list(given.get("RouteTableIds", [])),
        subnet_ids=list(given.get("SubnetIds", [])),
        security_group_ids=list(given.get("SecurityGroupIds", [])),
        private_dns_enabled=_true(given.get("PrivateDnsEnabled")),
        tags=_tags(given),
    )


def _roles() -> None:
    from moto.iam.models import Role, iam_backends
    from moto.utilities.utils import get_partition

    make = Role.create_from_cloudformation_json.__func__

    def create(
        cls: Any, /, name: str, resource: Any, account_id: str, region_name: str, **more: Any
    ) -> Any:
        given = dict(resource["Properties"])
        given["Tags"] = {tag["Key"]: tag for tag in given.get("Tags", [])}
        # IAM has policies as texts; moto would keep the template's objects, and fall over them.
        given["Policies"] = [
            {**policy, "PolicyDocument": _document(policy["PolicyDocument"])}
            for policy in given.get("Policies", [])
        ]
        role = make(cls, name, {**resource, "Properties": given}, account_id, region_name, **more)
        iam = iam_backends[account_id][get_partition(region_name)]
        try:
            for arn in given.get("ManagedPolicyArns", []):
                iam.attach_role_policy(arn, role.name)
        except Exception:
            _delete_role(iam, role)
            raise
        return role

    Role.create_from_cloudformation_json = classmethod(create)


def delete(stack: Any, name: str, policy: str) -> None:
    """Delete one resource of a stack, as CloudFormation does. Raises what the service raises."""
    from moto.ec2.models import ec2_backends
    from moto.iam.models import iam_backends

    resource = stack.resource_map._parsed_resources[name]
    kind = stack.template_dict["Resources"][name]["Type"]
    ec2 = ec2_backends[stack.account_id][stack.region_name]
    if kind in _DELETED_BY_EC2:
        # "Snapshot: … CloudFormation creates a snapshot for the resource before deleting it"
        # (DeletionPolicy attribute).
        if kind == "AWS::EC2::Volume" and policy == "Snapshot":
            ec2.create_snapshot(resource.id, f"Created by CloudFormation for {stack.name}")
        _DELETED_BY_EC2[kind](ec2, resource)
        # "Terminated instances remain visible" for a while, and their tags with them (EC2 User
        # Guide, "Terminate instances"); those of everything else are gone.
        if kind != "AWS::EC2::Instance":
            ec2.tags.pop(getattr(resource, "id", ""), None)
    elif kind == "AWS::IAM::Role":
        _delete_role(iam_backends[stack.account_id]["aws"], resource)
    elif kind == "AWS::IAM::InstanceProfile":
        iam_backends[stack.account_id]["aws"].delete_instance_profile(
            resource.name, ignore_attached_roles=True
        )
    else:
        stack.resource_map._delete_resource(resource, stack.template_dict["Resources"][name])


def _detach(ec2: Any, attachment: Any) -> None:
    volume = ec2.volumes.get(attachment.volume_id)
    if volume is not None and volume.attachment is not None:
        ec2.detach_volume(volume.id, volume.attachment.instance.id, None)


def _terminate(ec2: Any, instance: Any) -> None:
    if instance.state != "terminated":
        ec2.terminate_instances([instance.id])


_DELETED_BY_EC2: dict[str, Callable[[Any, Any], object]] = {
    "AWS::EC2::Instance": _terminate,
    "AWS::EC2::NetworkInterface": lambda ec2, eni: ec2.delete_network_interface(eni.id),
    "AWS::EC2::RouteTable": lambda ec2, table: ec2.delete_route_table(table.id),
    "AWS::EC2::SecurityGroup": lambda ec2, group: ec2.delete_security_group(group_id=group.id),
    "AWS::EC2::Subnet": lambda ec2, subnet: ec2.delete_subnet(subnet.id),
    "AWS::EC2::SubnetRouteTableAssociation": lambda ec2, item: ec2.disassociate_route_table(
        item.association_id
    ),
    "AWS::EC2::VPC": lambda ec2, vpc: ec2.delete_vpc(vpc.id),
    "AWS::EC2::VPCEndpoint": lambda ec2, endpoint: ec2.delete_vpc_endpoints([endpoint.id]),
    "AWS::EC2::Volume": lambda ec2, volume: ec2.delete_volume(volume.id),
    "AWS::EC2::VolumeAttachment": _detach,
}


def _delete_role(iam: Any, role: Any) -> None:
    """What the template gave the role goes with it; what others gave it is in the way."""
    for arn in list(role.managed_policies):
        iam.detach_role_policy(arn, role.name)
    role.policies.clear()
    iam.delete_role(role.name)


def _document(policy: Any) -> Any:
    """A policy as a text, as which a template may have it, too. In YAML its version is a date."""
    return json.dumps(policy, default=str) if isinstance(policy, dict) else policy


def _tags(given: Properties) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in given.get("Tags", [])}


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
