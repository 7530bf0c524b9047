"""IAM: what carries tags and what can't be deleted while it is used."""

from __future__ import annotations

from typing import Any


def correct() -> None:
    """Have GetInstanceProfile show tags, and refuse to delete a role that a profile holds."""
    from moto.iam.exceptions import DeleteConflictException
    from moto.iam.models import IAMBackend

    delete = IAMBackend.delete_role

    def delete_role(self: Any, role_name: str) -> None:
        for profile in self.instance_profiles.values():
            if any(role.name == role_name for role in profile.roles):
                raise DeleteConflictException(
                    "Cannot delete entity, must remove roles from instance profile first."
                )
        delete(self, role_name)

    IAMBackend.delete_role = delete_role
