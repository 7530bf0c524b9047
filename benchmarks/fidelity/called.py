"""The operations of AWS that Clampdown calls, or will call: of these none may be known to differ."""

from __future__ import annotations

from runbooks.permissions import actions_of
from runbooks.registry import STEPS

# What containment beyond the shipped steps takes: network, evidence, identities, data, compute.
TO_COME = frozenset(
    f"{service}:{operation}"
    for service, operations in {
        "ec2": "StopInstances StartInstances ModifyInstanceMetadataOptions CreateFlowLogs "
        "DescribeFlowLogs DeleteFlowLogs CreateNetworkAcl CreateNetworkAclEntry "
        "DeleteNetworkAclEntry ReplaceNetworkAclAssociation DescribeNetworkAcls "
        "CreateTrafficMirrorFilter CreateTrafficMirrorFilterRule CreateTrafficMirrorTarget "
        "CreateTrafficMirrorSession DescribeTrafficMirrorSessions CopySnapshot "
        "ModifySnapshotAttribute DescribeSnapshotAttribute LockSnapshot DescribeLockedSnapshots "
        "UnlockSnapshot GetConsoleOutput GetConsoleScreenshot CreateVolume AttachVolume "
        "DeleteTags RevokeSecurityGroupIngress",
        "ssm": "SendCommand GetCommandInvocation ListCommandInvocations CancelCommand "
        "DescribeInstanceInformation",
        "iam": "UpdateAccessKey ListAccessKeys PutUserPolicy DeleteUserPolicy PutRolePolicy "
        "DeleteRolePolicy DeleteLoginProfile GetLoginProfile ListGroupsForUser "
        "RemoveUserFromGroup AddUserToGroup AttachUserPolicy SimulatePrincipalPolicy",
        "sts": "AssumeRole GetCallerIdentity",
        "s3": "PutPublicAccessBlock GetPublicAccessBlock PutBucketPolicy GetBucketPolicy "
        "DeleteBucketPolicy PutBucketVersioning PutObject GetObject HeadObject "
        "PutObjectLockConfiguration PutObjectRetention GetBucketLocation",
        "rds": "ModifyDBInstance CreateDBSnapshot DescribeDBInstances DescribeDBSnapshots "
        "ModifyDBSnapshotAttribute",
        "secretsmanager": "RotateSecret DescribeSecret",
        "kms": "CreateGrant PutKeyPolicy GetKeyPolicy Sign GetPublicKey DescribeKey Encrypt "
        "Decrypt GenerateDataKey",
        "lambda": "PutFunctionConcurrency DeleteFunctionConcurrency GetFunctionConcurrency "
        "UpdateFunctionConfiguration GetFunction",
        "ecs": "UpdateService DescribeServices StopTask DescribeTasks "
        "UpdateContainerInstancesState",
        "eks": "ListAccessEntries DescribeAccessEntry DeleteAccessEntry CreateAccessEntry "
        "DescribeCluster",
        "guardduty": "ListDetectors ListFindings GetFindings ArchiveFindings UnarchiveFindings "
        "CreateSampleFindings",
        "securityhub": "BatchImportFindings GetFindings BatchUpdateFindings",
        "cloudtrail": "LookupEvents",
        "sqs": "ReceiveMessage DeleteMessage DeleteMessageBatch ChangeMessageVisibility "
        "ChangeMessageVisibilityBatch SendMessage SendMessageBatch GetQueueAttributes",
        "sns": "Publish",
        "events": "PutEvents PutRule PutTargets",
    }.items()
    for operation in operations.split()
)


def called() -> frozenset[str]:
    """``service:Operation`` of every call that a shipped step may make, and of those to come."""
    return frozenset(actions_of(STEPS.values())) | TO_COME
