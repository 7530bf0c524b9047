"""What CloudFormation calls to make and delete a resource, in the name of whoever made the stack.

The resource types' schemas in the CloudFormation registry list it under "handlers"; here is what is
always called, and what is called for a property. "CloudFormation uses … temporary session[s] that
[are] generated from your user credentials", or the stack's service role (CloudFormation User Guide,
"CloudFormation service role").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flows.gameday.aws.authorization import enforce, principals
from flows.gameday.aws.authorization.actions import Need, passing
from flows.gameday.aws.authorization.enforce import Authority, Refused
from flows.gameday.aws.authorization.resources import (
    EC2_ID,
    EVERYTHING,
    Place,
    Resource,
    ec2_new,
    ec2_resource,
    role_resource,
)
from flows.gameday.aws.errors import cloudformation_error

SERVICE = "cloudformation.amazonaws.com"
Verb = Literal["create", "delete"]

_READING = re.compile(r"\w+:(Describe|Get|List)\w*")


@dataclass(frozen=True)
class _Handler:
    """``kind`` is the resource's type in ARNs. ``given`` are actions by the property for which they
    are called."""

    kind: str
    create: tuple[str, ...]
    delete: tuple[str, ...]
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_HANDLERS: Mapping[str, _Handler] = {
    "AWS::EC2::Instance": _Handler(
        "instance",
        ("ec2:RunInstances", "ec2:DescribeInstances"),
        ("ec2:TerminateInstances", "ec2:DescribeInstances"),
    ),
    "AWS::EC2::RouteTable": _Handler(
        "route-table",
        ("ec2:CreateRouteTable", "ec2:DescribeRouteTables"),
        ("ec2:DescribeRouteTables", "ec2:DeleteRouteTable"),
    ),
    "AWS::EC2::SecurityGroup": _Handler(
        "security-group",
        ("ec2:CreateSecurityGroup", "ec2:DescribeSecurityGroups"),
        ("ec2:DescribeSecurityGroups", "ec2:DeleteSecurityGroup"),
        {
            "SecurityGroupEgress": (
                "ec2:RevokeSecurityGroupEgress",
                "ec2:AuthorizeSecurityGroupEgress",
            ),
            "SecurityGroupIngress": ("ec2:AuthorizeSecurityGroupIngress",),
        },
    ),
    "AWS::EC2::Subnet": _Handler(
        "subnet",
        ("ec2:DescribeSubnets", "ec2:CreateSubnet"),
        ("ec2:DescribeSubnets", "ec2:DeleteSubnet"),
        {"MapPublicIpOnLaunch": ("ec2:ModifySubnetAttribute",)},
    ),
    "AWS::EC2::SubnetRouteTableAssociation": _Handler(
        "route-table",
        ("ec2:AssociateRouteTable", "ec2:DescribeRouteTables"),
        ("ec2:DescribeRouteTables", "ec2:DisassociateRouteTable"),
    ),
    "AWS::EC2::VPC": _Handler(
        "vpc",
        ("ec2:CreateVpc", "ec2:DescribeVpcs"),
        ("ec2:DescribeVpcs", "ec2:DeleteVpc"),
        {
            "EnableDnsHostnames": ("ec2:ModifyVpcAttribute",),
            "EnableDnsSupport": ("ec2:ModifyVpcAttribute",),
        },
    ),
    "AWS::EC2::VPCEndpoint": _Handler(
        "vpc-endpoint",
        ("ec2:CreateVpcEndpoint", "ec2:DescribeVpcEndpoints"),
        ("ec2:DescribeVpcEndpoints", "ec2:DeleteVpcEndpoints"),
    ),
    "AWS::EC2::Volume": _Handler(
        "volume",
        ("ec2:CreateVolume", "ec2:DescribeVolumes"),
        ("ec2:DescribeVolumes", "ec2:DeleteVolume"),
    ),
    "AWS::EC2::VolumeAttachment": _Handler(
        "volume",
        ("ec2:AttachVolume", "ec2:DescribeVolumes"),
        ("ec2:DescribeVolumes",),
    ),
    "AWS::IAM::InstanceProfile": _Handler(
        "instance-profile",
        ("iam:CreateInstanceProfile", "iam:GetInstanceProfile"),
        ("iam:GetInstanceProfile", "iam:DeleteInstanceProfile"),
        {"Roles": ("iam:AddRoleToInstanceProfile",)},
    ),
    "AWS::IAM::Role": _Handler(
        "role",
        ("iam:CreateRole", "iam:GetRole"),
        ("iam:GetRole", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:DeleteRole"),
        {
            "ManagedPolicyArns": ("iam:AttachRolePolicy",),
            "Policies": ("iam:PutRolePolicy",),
            "Tags": ("iam:TagRole",),
        },
    ),
    "AWS::Route53Resolver::FirewallDomainList": _Handler(
        "firewall-domain-list",
        ("route53resolver:CreateFirewallDomainList", "route53resolver:GetFirewallDomainList"),
        ("route53resolver:GetFirewallDomainList", "route53resolver:DeleteFirewallDomainList"),
        {"Domains": ("route53resolver:UpdateFirewallDomains",)},
    ),
    "AWS::Route53Resolver::FirewallRuleGroup": _Handler(
        "firewall-rule-group",
        ("route53resolver:CreateFirewallRuleGroup", "route53resolver:GetFirewallRuleGroup"),
        ("route53resolver:GetFirewallRuleGroup", "route53resolver:DeleteFirewallRuleGroup"),
        {"FirewallRules": ("route53resolver:CreateFirewallRule",)},
    ),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": _Handler(
        "firewall-rule-group-association",
        (
            "route53resolver:AssociateFirewallRuleGroup",
            "route53resolver:GetFirewallRuleGroupAssociation",
        ),
        (
            "route53resolver:GetFirewallRuleGroupAssociation",
            "route53resolver:DisassociateFirewallRuleGroup",
        ),
    ),
}


def require(stack: Any, name: str, verb: Verb, physical: str = "") -> None:
    """Raise CloudFormation's AccessDenied where the resource may not be made or deleted.

    ``name`` is the resource's logical name in the stack, ``physical`` its id, if it has one. Types
    of which the handler isn't known need nothing.
    """
    authority = enforce.current()
    item = stack.template_dict["Resources"][name]
    handler = _HANDLERS.get(str(item.get("Type")))
    if authority is None or handler is None:
        return
    authority = _in_whose_name(stack, authority)
    try:
        authority.require(_needs(stack, name, verb, physical, handler, authority.place))
    except Refused as refused:
        raise cloudformation_error(
            "AccessDenied", f'Resource handler returned message: "{refused}"'
        ) from None


def _in_whose_name(stack: Any, authority: Authority) -> Authority:
    if not getattr(stack, "role_arn", None):
        return authority.through(SERVICE)
    caller = principals.role_caller(stack.role_arn, SERVICE)
    if caller is None:
        raise cloudformation_error("ValidationError", f"Role {stack.role_arn} can't be assumed")
    return Authority(caller, authority.place, authority.context)


def _needs(
    stack: Any, name: str, verb: Verb, physical: str, handler: _Handler, place: Place
) -> Iterator[Need]:
    properties = stack.template_dict["Resources"][name].get("Properties") or {}
    own = _resource(stack, name, physical, handler, properties, place)
    actions = list(getattr(handler, verb))
    if verb == "create":
        actions += [
            action
            for key, needed in handler.given.items()
            if key in properties
            for action in needed
        ]
    for action in dict.fromkeys(actions):
        reading = _READING.fullmatch(action) and not action.startswith("iam:")
        yield Need(action, [EVERYTHING if reading else own])
    if verb == "create" and handler.kind in ("instance", "instance-profile"):
        yield from _passed(stack, properties, handler.kind, place)


def _resource(
    stack: Any,
    name: str,
    physical: str,
    handler: _Handler,
    properties: Mapping[str, Any],
    place: Place,
) -> Resource:
    kind = handler.kind
    if kind.startswith("firewall-"):
        return place.resource("route53resolver", f"{kind}/{physical or '*'}")
    if kind in ("role", "instance-profile"):
        # What has no name gets "the stack's name, the logical ID, and a random string".
        given = properties.get("RoleName") or properties.get("InstanceProfileName")
        named = physical or (given if isinstance(given, str) else f"{stack.name}-{name}-*")
        path = properties.get("Path", "/")
        return place.resource("iam", f"{kind}{path}{named}", of_a_region=False)
    identity = EC2_ID.search(physical)
    return ec2_resource(identity[0], place) if identity else ec2_new(kind, place)


def _passed(stack: Any, properties: Mapping[str, Any], kind: str, place: Place) -> Iterator[Need]:
    """The roles that the profile gets, or that the instance gets with its profile."""
    from moto.iam.models import InstanceProfile, Role

    named = properties.get("IamInstanceProfile" if kind == "instance" else "Roles")
    for logical, made in stack.resource_map._parsed_resources.items():
        if f"'{logical}'" not in repr(named):
            continue
        roles = [made] if isinstance(made, Role) else []
        roles += made.roles if isinstance(made, InstanceProfile) else []
        for role in roles:
            if kind == "instance":
                yield passing(role_resource(str(role.arn)), "ec2.amazonaws.com")
            else:
                yield Need("iam:PassRole", [role_resource(str(role.arn))])
