"""Permissions boundaries of users, which moto doesn't keep; those of roles it does."""

from __future__ import annotations

from typing import Any


def correct() -> None:
    """Have users have a boundary (CreateUser, PutUserPermissionsBoundary)."""
    from moto.core.responses import EmptyResult
    from moto.iam.models import User
    from moto.iam.responses import IamResponse

    User.permissions_boundary_arn = None
    User.permissions_boundary = property(
        lambda user: (
            user.permissions_boundary_arn
            and {
                "PermissionsBoundaryType": "Policy",
                "PermissionsBoundaryArn": user.permissions_boundary_arn,
            }
        )
    )
    create = IamResponse.create_user

    def create_user(self: Any) -> Any:
        arn = self._get_param("PermissionsBoundary")
        if arn:
            # Raises NoSuchEntity.
            self.backend.get_policy(arn)
        made = create(self)
        self.backend.get_user(self._get_param("UserName")).permissions_boundary_arn = arn
        return made

    def put_user_permissions_boundary(self: Any) -> Any:
        user = self.backend.get_user(self._get_param("UserName"))
        user.permissions_boundary_arn = self.backend.get_policy(
            self._get_param("PermissionsBoundary")
        ).arn
        return EmptyResult()

    def delete_user_permissions_boundary(self: Any) -> Any:
        self.backend.get_user(self._get_param("UserName")).permissions_boundary_arn = None
        return EmptyResult()

    IamResponse.create_user = create_user
    IamResponse.put_user_permissions_boundary = put_user_permissions_boundary
    IamResponse.delete_user_permissions_boundary = delete_user_permissions_boundary
