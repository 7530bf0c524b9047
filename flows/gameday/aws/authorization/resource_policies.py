"""The policies of resources: of buckets, keys, queues, topics, functions, secrets, and roles' trust.

IAM User Guide, "AWS services that work with IAM": the services with resource-based policies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flows.gameday.aws import settings
from flows.gameday.aws.authorization.consistency import iam_in_force
from flows.gameday.aws.authorization.evaluation import Kind
from flows.gameday.aws.authorization.policy import Asked, Policy, Principal, read_policy
from flows.gameday.aws.authorization.resources import Resource

_PARTS_OF_AN_ARN = 6


@dataclass(frozen=True)
class ResourcePolicy:
    """A resource's policy, if it has one. With ``decides``, nobody gets in whom it doesn't name.

    ``owner`` is the resource's account: from others, its policy must let people in. It is empty for
    resources that have no policies.

    A role "must also have … a trust policy" that names who assumes it (AssumeRole), and "no AWS
    principal … has any permissions to a KMS key unless they are explicitly allowed … in a key
    policy, IAM policy, or grant", where the IAM policy counts only if the key policy lets it (KMS
    Developer Guide, "Key policies").
    """

    policy: Policy | None = None
    decides: bool = False
    kind: Kind = "resource-based policy"
    owner: str = ""


NONE = ResourcePolicy()


def correct() -> None:
    """Have S3 leave its buckets' policies to IAM where that is enforced.

    moto holds a policy's statements against everybody, whomever they name and under whatever
    conditions. Where IAM isn't enforced, everybody is the administrator, who came over HTTPS.
    """
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket

    permission = FakeBucket.get_permission

    def get_permission(self: Any, action: str, resource: str) -> Any:
        if settings.SETTINGS.enforce_iam:
            return PermissionResult.PERMITTED
        found = permission(self, action, resource)
        if found is not PermissionResult.DENIED:
            return found
        anybody = Principal(self.account_id, f"arn:aws:iam::{self.account_id}:root")
        asked = Asked(action, resource, anybody, {"aws:securetransport": ("true",)})
        policy = _read(self.policy)
        denied = policy is not None and policy.denies(asked)
        return PermissionResult.DENIED if denied else PermissionResult.NEUTRAL

    FakeBucket.get_permission = get_permission


def policy_of(action: str, resource: Resource) -> ResourcePolicy:
    """The policy of the resource on which the action is."""
    service = action.partition(":")[0]
    parts = resource.arn.split(":", _PARTS_OF_AN_ARN - 1)
    find = _BY_SERVICE.get(service)
    if find is None or len(parts) < _PARTS_OF_AN_ARN:
        return NONE
    # KMS and S3 have actions on what has no policy: aliases, all buckets.
    return replace(find(resource, parts[3], parts[5]), owner=resource.account)


def _read(document: str | bytes | None) -> Policy | None:
    if not document:
        return None
    return read_policy(document.decode() if isinstance(document, bytes) else document)


def _role(resource: Resource, region: str, name: str) -> ResourcePolicy:
    if not name.startswith("role/"):
        return NONE
    roles = iam_in_force(resource.account).roles.values() if resource.account else ()
    found = next((role for role in roles if role.arn == resource.arn), None)
    document: Any = found.assume_role_policy_document if found is not None else None
    text = json.dumps(document) if isinstance(document, Mapping) else document
    return ResourcePolicy(_read(text), decides=True, kind="role trust policy")


def _bucket(resource: Resource, region: str, name: str) -> ResourcePolicy:
    from moto.s3.models import s3_backends

    if not resource.account:
        return NONE
    bucket = s3_backends[resource.account]["aws"].buckets[name.partition("/")[0]]
    return ResourcePolicy(_read(bucket.policy))


def _key(resource: Resource, region: str, name: str) -> ResourcePolicy:
    from moto.kms.models import kms_backends

    key = kms_backends[resource.account][region].keys.get(name.removeprefix("key/"))
    if key is None:
        return NONE
    return ResourcePolicy(_read(key.policy), decides=True)


def _queue(resource: Resource, region: str, name: str) -> ResourcePolicy:
    from moto.sqs.models import sqs_backends

    queue = sqs_backends[resource.account][region].queues.get(name)
    return ResourcePolicy(_read(queue.policy if queue is not None else None))


def _topic(resource: Resource, region: str, name: str) -> ResourcePolicy:
    from moto.sns.models import sns_backends

    topic = sns_backends[resource.account][region].topics.get(resource.arn)
    return ResourcePolicy(_read(topic.policy if topic is not None else None))


def _function(resource: Resource, region: str, name: str) -> ResourcePolicy:
    from moto.awslambda.models import lambda_backends

    functions = lambda_backends[resource.account][region].list_functions()
    wanted = name.removeprefix("function:").partition(":")[0]
    found = next((item for item in functions if item.function_name == wanted), None)
    policy = getattr(found, "policy", None)
    statements = [_of_function(item) for item in (policy.statements if policy is not None else [])]
    document = {"Version": "2012-10-17", "Statement": statements}
    return ResourcePolicy(_read(json.dumps(document)) if statements else None)


def _of_function(statement: Mapping[str, Any]) -> dict[str, Any]:
    """moto keeps a principal as AddPermission has it: a bare ARN or account."""
    named = statement.get("Principal")
    bare = isinstance(named, str) and named != "*"
    return {**statement, **({"Principal": {"AWS": named}} if bare else {})}


def _secret(resource: Resource, region: str, name: str) -> ResourcePolicy:
    from moto.secretsmanager.models import secretsmanager_backends

    secrets = secretsmanager_backends[resource.account][region].secrets
    found = next((item for item in secrets.values() if item.arn == resource.arn), None)
    return ResourcePolicy(_read(getattr(found, "policy", None)))


_BY_SERVICE: Mapping[str, Callable[[Resource, str, str], ResourcePolicy]] = {
    "kms": _key,
    "lambda": _function,
    "s3": _bucket,
    "secretsmanager": _secret,
    "sns": _topic,
    "sqs": _queue,
    "sts": _role,
}
