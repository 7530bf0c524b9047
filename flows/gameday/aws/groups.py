"""EC2 security groups: what is in them, what can't be deleted, and how many there may be."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.errors import ec2_error


def correct() -> None:
    """Have default groups let in themselves, say which rules are revoked, and refuse to delete
    groups in use, to make two of a name, or more than the quota allows."""
    _deleted()
    _made()
    _revoked()


def _deleted() -> None:
    from moto.ec2.models import EC2Backend

    delete = EC2Backend.delete_security_group

    def delete_security_group(
        self: Any, name: str | None = None, group_id: str | None = None
    ) -> Any:
        group = self.get_security_group_from_id(group_id) if group_id else None
        if group is not None and group.is_default:
            # "CannotDelete: You cannot delete the default security group" (EC2 error codes).
            raise ec2_error("CannotDelete", f'the specified group: "{group_id}" is a default group')
        # "If you attempt to delete a security group that is associated with an instance or network
        # interface, or is referenced by another security group in the same VPC, the operation
        # fails with DependencyViolation" (DeleteSecurityGroup).
        if group is not None and (_on_interface(self, group.id) or _referenced(self, group.id)):
            raise ec2_error("DependencyViolation", f"resource {group_id} has a dependent object")
        # What is deleted has no tags any more (DescribeTags); moto keeps them.
        result = delete(self, name, group_id)
        self.tags.pop(group_id, None)
        return result

    EC2Backend.delete_security_group = delete_security_group


def _made() -> None:
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.security_groups import SecurityGroupRule

    create = EC2Backend.create_security_group

    def create_security_group(
        self: Any, name: str, description: str, vpc_id: str | None = None, **more: Any
    ) -> Any:
        in_vpc = list(self.groups.get(vpc_id, {}).values()) if vpc_id else []
        # "You can't have two security groups for the same VPC with the same name"; names are
        # case-insensitive (CreateSecurityGroup).
        if any(group.name.lower() == name.lower() for group in in_vpc) and not more.get("force"):
            raise ec2_error(
                "InvalidGroup.Duplicate",
                f"The security group '{name}' already exists for VPC '{vpc_id}'",
            )
        if len(in_vpc) >= settings.SETTINGS.groups_per_vpc:
            raise ec2_error(
                "SecurityGroupLimitExceeded",
                f"The maximum number of security groups for VPC '{vpc_id}' has been reached.",
            )
        group = create(self, name, description, vpc_id, **more)
        if group.is_default:
            # "Allows inbound traffic from all resources that are assigned to this security group"
            # (VPC User Guide, "Default security groups for your VPCs").
            itself = {"GroupId": group.id, "OwnerId": self.account_id, "UserId": self.account_id}
            group.add_ingress_rule(
                SecurityGroupRule(self, "-1", group.id, None, None, {}, itself, is_egress=False)
            )
        return group

    EC2Backend.create_security_group = create_security_group


def _revoked() -> None:
    from moto.ec2.responses.security_groups import SecurityGroups

    # RevokeSecurityGroupIngress and -Egress answer RevokedSecurityGroupRules.
    def revoking(revoke: Any, rules: str) -> Any:
        def revoked(self: Any) -> Any:
            name = self._get_param("GroupId") or self._get_param("GroupName")
            group = self.ec2_backend.get_security_group_by_name_or_id(name)
            before = list(getattr(group, rules)) if group is not None else []
            answer = revoke(self)
            left = {rule.id for rule in getattr(group, rules)}
            answer.result["RevokedSecurityGroupRules"] = [
                _revoked_rule(rule) for rule in before if rule.id not in left
            ]
            return answer

        return revoked

    SecurityGroups.revoke_security_group_ingress = revoking(
        SecurityGroups.revoke_security_group_ingress, "ingress_rules"
    )
    SecurityGroups.revoke_security_group_egress = revoking(
        SecurityGroups.revoke_security_group_egress, "egress_rules"
    )


def _revoked_rule(rule: Any) -> dict[str, Any]:
    return {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.ip_protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "CidrIpv4": rule.cidr_ipv4,
        "CidrIpv6": rule.cidr_ipv6,
        "PrefixListId": rule.prefix_list_id,
        "ReferencedGroupId": rule.source_group.get("GroupId"),
        "Description": rule.ip_range.get("Description") or rule.source_group.get("Description"),
    }


def _on_interface(backend: Any, group_id: str) -> bool:
    return any(group.id == group_id for eni in backend.enis.values() for group in eni._group_set)


def _referenced(backend: Any, group_id: str) -> bool:
    return any(
        rule.source_group.get("GroupId") == group_id
        for groups in backend.groups.values()
        for group in groups.values()
        if group.id != group_id
        for rule in (*group.ingress_rules, *group.egress_rules)
    )
