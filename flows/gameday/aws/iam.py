"""IAM: AWS's own managed policies, and what can't be taken away or added."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

# "Role inline policies: aggregate size of 10,240 characters", white space not counted (IAM and STS
# quotas).
INLINE_CHARACTERS = 10_240


def correct() -> None:
    """Have AWS's managed policies be there, and refuse what IAM refuses of roles and profiles."""
    _managed_policies()
    _inline_policies()
    _profiles()


def _managed_policies() -> None:
    from moto.iam.models import IAMBackend

    # moto's 1,400 AWS managed policies take long to make at every reset: only those that somebody
    # asks for are made.
    attach, get = IAMBackend.attach_role_policy, IAMBackend.get_policy

    def attach_role_policy(self: Any, policy_arn: str, role_name: str) -> None:
        _require_managed(self, policy_arn)
        attach(self, policy_arn, role_name)

    def get_policy(self: Any, policy_arn: str) -> Any:
        _require_managed(self, policy_arn)
        return get(self, policy_arn)

    IAMBackend.attach_role_policy = attach_role_policy
    IAMBackend.get_policy = get_policy


def _require_managed(backend: Any, arn: str) -> None:
    from moto.iam.models import AWSManagedPolicy

    if not arn.startswith("arn:aws:iam::aws:policy/") or arn in backend.managed_policies:
        return
    name = arn.rsplit("/", 1)[1]
    data = _known().get(name)
    if data is not None:
        made = AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
        if made.arn == arn:
            backend.managed_policies[arn] = made


@cache
def _known() -> dict[str, Any]:
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    known: dict[str, Any] = json.loads(aws_managed_policies_data)
    return known


def _inline_policies() -> None:
    from moto.iam.models import IAMBackend

    put = IAMBackend.put_role_policy

    def put_role_policy(self: Any, role_name: str, policy_name: str, policy_json: str) -> None:
        others = [
            document
            for name, document in self.get_role(role_name).policies.items()
            if name != policy_name
        ]
        if sum(len("".join(text.split())) for text in (*others, policy_json)) > INLINE_CHARACTERS:
            from moto.iam.exceptions import LimitExceededException

            raise LimitExceededException(
                f"Maximum policy size of {INLINE_CHARACTERS} bytes exceeded for role {role_name}"
            )
        put(self, role_name, policy_name, policy_json)

    IAMBackend.put_role_policy = put_role_policy


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
