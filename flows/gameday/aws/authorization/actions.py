"""What a request needs to be allowed: its own action, and those that come with it.

Service Authorization Reference, "Actions defined by …" of each service, with its column "Dependent
actions"; IAM User Guide, "Grant a user permissions to pass a role to an AWS service".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.gameday.aws.authorization.conditions import Context
from flows.gameday.aws.authorization.resources import (
    EVERYTHING,
    Place,
    Resource,
    ec2_new,
    resources_of,
    role_resource,
    s3_resource,
)
from flows.gameday.aws.recording import Request


@dataclass(frozen=True)
class Need:
    """An action that must be allowed on each of the resources, with condition keys of its own."""

    action: str
    resources: Sequence[Resource] = (EVERYTHING,)
    context: Context = field(default_factory=dict)


# Services whose prefix in IAM is not the name that boto3 gives them.
_PREFIXES = {
    "dynamodbstreams": "dynamodb",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tag",
    "s3control": "s3",
    "sesv2": "ses",
    "stepfunctions": "states",
}

# Operations whose actions have other names. The first is the operation's own; where there are
# several, all are needed.
_RENAMED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "kms": {"ReEncrypt": ("ReEncryptFrom", "ReEncryptTo")},
    "lambda": {
        "Invoke": ("InvokeFunction",),
        "InvokeAsync": ("InvokeFunction",),
        "InvokeWithResponseStream": ("InvokeFunction",),
    },
    "s3": {
        "CompleteMultipartUpload": ("PutObject",),
        "CopyObject": ("PutObject",),
        "CreateMultipartUpload": ("PutObject",),
        "DeleteBucketEncryption": ("PutEncryptionConfiguration",),
        "DeleteBucketLifecycle": ("PutLifecycleConfiguration",),
        "DeleteBucketOwnershipControls": ("PutBucketOwnershipControls",),
        "DeleteBucketReplication": ("PutReplicationConfiguration",),
        "DeleteBucketTagging": ("PutBucketTagging",),
        "DeleteObjects": ("DeleteObject",),
        "DeletePublicAccessBlock": ("PutBucketPublicAccessBlock",),
        "GetBucketAccelerateConfiguration": ("GetAccelerateConfiguration",),
        "GetBucketEncryption": ("GetEncryptionConfiguration",),
        "GetBucketLifecycleConfiguration": ("GetLifecycleConfiguration",),
        "GetBucketNotificationConfiguration": ("GetBucketNotification",),
        "GetBucketReplication": ("GetReplicationConfiguration",),
        "GetObjectAttributes": ("GetObject", "GetObjectAttributes"),
        "GetObjectLockConfiguration": ("GetBucketObjectLockConfiguration",),
        "GetPublicAccessBlock": ("GetBucketPublicAccessBlock",),
        "HeadBucket": ("ListBucket",),
        "HeadObject": ("GetObject",),
        "ListBuckets": ("ListAllMyBuckets",),
        "ListMultipartUploads": ("ListBucketMultipartUploads",),
        "ListObjectVersions": ("ListBucketVersions",),
        "ListObjects": ("ListBucket",),
        "ListObjectsV2": ("ListBucket",),
        "ListParts": ("ListMultipartUploadParts",),
        "PutBucketAccelerateConfiguration": ("PutAccelerateConfiguration",),
        "PutBucketEncryption": ("PutEncryptionConfiguration",),
        "PutBucketLifecycleConfiguration": ("PutLifecycleConfiguration",),
        "PutBucketNotificationConfiguration": ("PutBucketNotification",),
        "PutBucketReplication": ("PutReplicationConfiguration",),
        "PutObjectLockConfiguration": ("PutBucketObjectLockConfiguration",),
        "PutPublicAccessBlock": ("PutBucketPublicAccessBlock",),
        "SelectObjectContent": ("GetObject",),
        "UploadPart": ("PutObject",),
        "UploadPartCopy": ("PutObject",),
    },
    "s3control": {
        "DeletePublicAccessBlock": ("PutAccountPublicAccessBlock",),
        "GetPublicAccessBlock": ("GetAccountPublicAccessBlock",),
        "PutPublicAccessBlock": ("PutAccountPublicAccessBlock",),
    },
    "sqs": {
        "ChangeMessageVisibilityBatch": ("ChangeMessageVisibility",),
        "DeleteMessageBatch": ("DeleteMessage",),
        "SendMessageBatch": ("SendMessage",),
    },
}
# With a version named, reading and deleting are other actions.
_OF_A_VERSION = {
    "DeleteObject": "DeleteObjectVersion",
    "GetObject": "GetObjectVersion",
    "GetObjectAcl": "GetObjectVersionAcl",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectAcl": "PutObjectVersionAcl",
    "PutObjectTagging": "PutObjectVersionTagging",
}
# "No permissions are required to perform this operation. If an administrator attaches a policy …
# that explicitly denies access to the sts:GetCallerIdentity action, you can still perform this
# operation" (GetCallerIdentity); and "No permissions are required for users to perform this
# operation" (GetSessionToken). The others are for callers without AWS credentials.
FREE = frozenset(
    {
        "sts:AssumeRoleWithSAML",
        "sts:AssumeRoleWithWebIdentity",
        "sts:GetCallerIdentity",
        "sts:GetSessionToken",
    }
)
# What only long-term credentials can call (IAM User Guide, "Compare AWS STS credentials").
FOR_KEYS_ONLY = frozenset({"sts:GetFederationToken", "sts:GetSessionToken"})
# Operations that make something and tag it; they need the action that tags as well.
_TAGGING: Mapping[str, Mapping[str, str]] = {
    "elbv2": dict.fromkeys(
        ("CreateListener", "CreateLoadBalancer", "CreateRule", "CreateTargetGroup"), "AddTags"
    ),
    "iam": {
        "CreateInstanceProfile": "TagInstanceProfile",
        "CreatePolicy": "TagPolicy",
        "CreateRole": "TagRole",
        "CreateUser": "TagUser",
    },
    "kms": {"CreateKey": "TagResource"},
    "lambda": {"CreateFunction": "TagResource"},
    "sns": {"CreateTopic": "TagResource"},
    "sqs": {"CreateQueue": "TagQueue"},
}
_EC2_KINDS_BY_SPECIFICATION = "TagSpecifications"
# Roles that a request hands to a service: operations, the parameter, and the service that gets it.
_PASSED: Mapping[str, tuple[tuple[re.Pattern[str], str, str], ...]] = {
    "autoscaling": ((re.compile("PutLifecycleHook"), "RoleARN", "autoscaling.amazonaws.com"),),
    "cloudformation": (
        (
            re.compile("(Create|Update|Delete)Stack|CreateChangeSet|ContinueUpdateRollback"),
            "RoleARN",
            "cloudformation.amazonaws.com",
        ),
    ),
    "cloudtrail": (
        (
            re.compile("(Create|Update)Trail"),
            "CloudWatchLogsRoleArn",
            "cloudtrail.amazonaws.com",
        ),
    ),
    "ec2": (
        (
            re.compile("CreateFlowLogs"),
            "DeliverLogsPermissionArn",
            "vpc-flow-logs.amazonaws.com",
        ),
    ),
    "ecs": (
        (re.compile("RegisterTaskDefinition"), "taskRoleArn", "ecs-tasks.amazonaws.com"),
        (re.compile("RegisterTaskDefinition"), "executionRoleArn", "ecs-tasks.amazonaws.com"),
    ),
    "lambda": (
        (re.compile("CreateFunction|UpdateFunctionConfiguration"), "Role", "lambda.amazonaws.com"),
    ),
    "ssm": ((re.compile("SendCommand"), "ServiceRoleArn", "ssm.amazonaws.com"),),
    "stepfunctions": (
        (re.compile("(Create|Update)StateMachine"), "roleArn", "states.amazonaws.com"),
    ),
}
_WITH_AN_INSTANCE_PROFILE = frozenset(
    {
        "AssociateIamInstanceProfile",
        "ReplaceIamInstanceProfileAssociation",
        "RequestSpotInstances",
        "RunInstances",
    }
)


def needs_of(request: Request, place: Place) -> list[Need]:
    """All that the request's caller must be allowed, the operation's own action first.

    ``place`` is the account and Region in which it is made.
    """
    prefix = _PREFIXES.get(request.service, request.service)
    resources = resources_of(request, place)
    needs = [Need(f"{prefix}:{name}", resources) for name in _names(request)]
    needs += _with_it(request, place, resources)
    return needs


def _names(request: Request) -> tuple[str, ...]:
    service, operation = request.service, request.operation
    names = _RENAMED.get(service, {}).get(operation, (operation,))
    if service == "s3" and ({"VersionId", "versionId"} & set(request.parameters)):
        return tuple(_OF_A_VERSION.get(name, name) for name in names)
    return names


def _with_it(request: Request, place: Place, resources: Sequence[Resource]) -> Iterator[Need]:
    service, operation, given = request.service, request.operation, request.parameters
    if service == "ec2":
        yield from _ec2_tags(operation, given, place)
        if operation in _WITH_AN_INSTANCE_PROFILE:
            yield from _profile(given.get("IamInstanceProfile"), place)
    elif service == "iam" and operation == "AddRoleToInstanceProfile":
        # "The caller of this operation must be granted the PassRole permission on the IAM role by a
        # permissions policy" (AddRoleToInstanceProfile); no service gets it.
        yield Need("iam:PassRole", [_own_role(str(given.get("RoleName")), place)])
    elif service == "sts" and operation == "AssumeRole":
        if given.get("Tags"):
            yield Need("sts:TagSession", resources)
        if given.get("SourceIdentity"):
            yield Need("sts:SetSourceIdentity", resources)
    elif service == "s3" and "copy-source" in "".join(given).lower():
        yield from _copied(given)
    tagging = _TAGGING.get(service, {}).get(operation)
    if tagging and (given.get("Tags") or given.get("tags")):
        prefix = _PREFIXES.get(service, service)
        yield Need(f"{prefix}:{tagging}", resources)
    for pattern, parameter, to in _PASSED.get(service, ()):
        arn = given.get(parameter)
        if arn and pattern.fullmatch(operation):
            yield passing(role_resource(str(arn)), to)


def passing(role: Resource, service: str) -> Need:
    """What it takes to hand a role to an AWS service."""
    return Need("iam:PassRole", [role], {"iam:passedtoservice": (service,)})


def _ec2_tags(operation: str, given: Mapping[str, Any], place: Place) -> Iterator[Need]:
    """To tag on creation takes ec2:CreateTags on what is made, with ec2:CreateAction the operation
    (EC2 User Guide, "Grant permission to tag Amazon EC2 resources during creation")."""
    kinds = [
        str(item.get("ResourceType") or "")
        for item in given.get(_EC2_KINDS_BY_SPECIFICATION, [])
        if item.get("Tags")
    ]
    if kinds:
        yield Need(
            "ec2:CreateTags",
            [ec2_new(kind, place) for kind in kinds],
            {"ec2:createaction": (operation,)},
        )


def _profile(named: Any, place: Place) -> Iterator[Need]:
    """An instance gets the role that is in the profile."""
    from moto.iam.models import iam_backends

    if not isinstance(named, Mapping):
        return
    for profile in iam_backends[place.account]["aws"].instance_profiles.values():
        if profile.name == named.get("Name") or profile.arn == named.get("Arn"):
            for role in profile.roles:
                yield passing(role_resource(str(role.arn)), "ec2.amazonaws.com")


def _own_role(name: str, place: Place) -> Resource:
    from moto.iam.models import iam_backends

    for role in iam_backends[place.account]["aws"].roles.values():
        if role.name == name:
            return role_resource(str(role.arn))
    return place.resource("iam", f"role/{name}", of_a_region=False)


def _copied(given: Mapping[str, Any]) -> Iterator[Need]:
    for key, value in given.items():
        if "copy-source" in key.lower():
            path, _, version = str(value).lstrip("/").partition("?versionId=")
            yield Need("s3:GetObjectVersion" if version else "s3:GetObject", [s3_resource(path)])


# Condition keys


def context_of(request: Request) -> dict[str, tuple[str, ...]]:
    """The condition keys that follow from the request's own parameters."""
    given = request.parameters
    tags = dict(_tags(request))
    removed = given.get("TagKeys") or given.get("tagKeys") or []
    context: dict[str, tuple[str, ...]] = {
        f"aws:requesttag/{key}".lower(): (value,) for key, value in tags.items()
    }
    keys = (*tags, *(removed if isinstance(removed, list) else [removed]))
    if keys:
        context["aws:tagkeys"] = tuple(dict.fromkeys(map(str, keys)))
    for key, parameter in _FROM_PARAMETERS.get(request.service, {}).items():
        value = given.get(parameter)
        if value is not None:
            context[key] = _texts(value)
    if request.service == "ec2":
        attributes = set(given) - {"DryRun"}
        if request.operation.startswith("Modify") and request.operation.endswith("Attribute"):
            context["ec2:attribute"] = tuple(sorted(attributes))
    if request.service == "kms":
        for key, value in (given.get("EncryptionContext") or {}).items():
            context[f"kms:encryptioncontext:{key}".lower()] = (str(value),)
    return context


_FROM_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "cloudformation": {
        "cloudformation:rolearn": "RoleARN",
        "cloudformation:stackpolicyurl": "StackPolicyURL",
        "cloudformation:templateurl": "TemplateURL",
    },
    "iam": {
        "iam:awsservicename": "AWSServiceName",
        "iam:permissionsboundary": "PermissionsBoundary",
        "iam:policyarn": "PolicyArn",
    },
    "s3": {
        "s3:delimiter": "delimiter",
        "s3:max-keys": "max-keys",
        "s3:prefix": "prefix",
        "s3:versionid": "versionId",
    },
    "sts": {
        "sts:durationseconds": "DurationSeconds",
        "sts:externalid": "ExternalId",
        "sts:rolesessionname": "RoleSessionName",
        "sts:sourceidentity": "SourceIdentity",
        "sts:transitivetagkeys": "TransitiveTagKeys",
    },
}


def _tags(request: Request) -> Iterator[tuple[str, str]]:
    given = request.parameters
    for specification in given.get(_EC2_KINDS_BY_SPECIFICATION, []) or []:
        if isinstance(specification, Mapping):
            yield from _pairs(specification.get("Tags"))
    for name in ("Tags", "tags"):
        yield from _pairs(given.get(name))


def _pairs(tags: Any) -> Iterator[tuple[str, str]]:
    if isinstance(tags, Mapping):
        yield from ((str(key), str(value)) for key, value in tags.items())
        return
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, Mapping):
            key = next((tag[name] for name in ("Key", "TagKey", "key") if name in tag), None)
            value = next((tag[name] for name in ("Value", "TagValue", "value") if name in tag), "")
            if key is not None:
                yield str(key), str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return tuple(map(str, value))
    return (str(value),)
