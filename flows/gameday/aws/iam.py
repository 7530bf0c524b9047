"""IAM: AWS's own managed policies, and what can't be taken away or added."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

# "Role inline policies: aggregate size of 10,240 characters", of users 2,048, of groups 5,120, white
# space not counted (IAM and STS quotas).
_INLINE_CHARACTERS = {"role": 10_240, "user": 2_048, "group": 5_120}


def correct() -> None:
    """Have AWS's managed policies be there, and refuse what IAM refuses of identities."""
    from moto.iam.models import IAMBackend

    for kind in _INLINE_CHARACTERS:
        for change, corrected in (("attach", _attaching), ("put", _putting)):
            name = f"{change}_{kind}_policy"
            setattr(IAMBackend, name, corrected(getattr(IAMBackend, name), kind))
    _managed_policies()
    _users()
    _profiles()


def _managed_policies() -> None:
    from moto.iam.models import IAMBackend

    get = IAMBackend.get_policy

    def get_policy(self: Any, policy_arn: str) -> Any:
        _require_managed(self, policy_arn)
        return get(self, policy_arn)

    IAMBackend.get_policy = get_policy


def _attaching(attach: Any, kind: str) -> Any:
    def attach_policy(self: Any, policy_arn: str, *name: str, **named: str) -> None:
        _require_managed(self, policy_arn)
        # What is attached already stays so; moto would count it as attached twice, and never again
        # let the policy be deleted.
        holder = getattr(self, f"get_{kind}")(*name, *named.values())
        if policy_arn not in holder.managed_policies:
            attach(self, policy_arn, *name, **named)

    return attach_policy


def _require_managed(backend: Any, arn: str) -> None:
    """Make the policy of AWS's own that has this ARN, where it isn't there yet: moto would make all
    1,600 at every reset."""
    from moto.iam.models import AWSManagedPolicy

    if not arn.startswith("arn:aws:iam::aws:policy/") or arn in backend.managed_policies:
        return
    name = arn.rsplit("/", 1)[1]
    data = _known().get(name)
    if data is not None:
        made = AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
        if made.arn == arn:
            backend.managed_policies[arn] = made
            backend.aws_managed_policies.append(made)


@cache
def _known() -> dict[str, Any]:
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    known: dict[str, Any] = json.loads(aws_managed_policies_data)
    return known


def _putting(put: Any, kind: str) -> Any:
    most = _INLINE_CHARACTERS[kind]

    def put_policy(self: Any, name: str, policy_name: str, policy_json: str) -> None:
        kept = getattr(self, f"get_{kind}")(name).policies
        others = [document for other, document in kept.items() if other != policy_name]
        if sum(len("".join(text.split())) for text in (*others, policy_json)) > most:
            from moto.iam.exceptions import LimitExceededException

            raise LimitExceededException(
                f"Maximum policy size of {most} bytes exceeded for {kind} {name}"
            )
        put(self, name, policy_name, policy_json)

    return put_policy


def _users() -> None:
    from moto.iam.exceptions import DeleteConflictException
    from moto.iam.models import IAMBackend

    delete = IAMBackend.delete_user

    def delete_user(self: Any, user_name: str) -> None:
        # "Before attempting to delete a user, remove the following items" (DeleteUser).
        user = self.get_user(user_name)
        for kept, first in {
            "login profile": user.password,
            "access keys": user.access_keys,
            "signing certificates": user.signing_certificates,
            "SSH public keys": user.ssh_public_keys,
            "MFA devices": user.mfa_devices,
        }.items():
            if first:
                raise DeleteConflictException(f"Cannot delete entity, must delete {kept} first.")
        if self.get_groups_for_user(user_name):
            raise DeleteConflictException(
                "Cannot delete entity, must remove users from group first."
            )
        delete(self, user_name)

    IAMBackend.delete_user = delete_user


def _profiles() -> None:
    from moto.iam.exceptions import NotFoundException
    from moto.iam.models import IAMBackend

    remove = IAMBackend.remove_role_from_instance_profile

    def remove_role_from_instance_profile(self: Any, profile_name: str, role_name: str) -> None:
        # NoSuchEntity (RemoveRoleFromInstanceProfile).
        if role_name not in {role.name for role in self.get_instance_profile(profile_name).roles}:
            raise NotFoundException(
                f"Instance profile {profile_name} does not have the role {role_name}."
            )
        remove(self, profile_name, role_name)

    IAMBackend.remove_role_from_instance_profile = remove_role_from_instance_profile
