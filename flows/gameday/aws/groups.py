"""EC2 security groups: what can't be deleted, and how many there may be."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.errors import ec2_error


def correct() -> None:
    """Refuse to delete groups in use, to make two of a name, or more than the quota allows."""
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
        return create(self, name, description, vpc_id, **more)

    EC2Backend.create_security_group = create_security_group


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
