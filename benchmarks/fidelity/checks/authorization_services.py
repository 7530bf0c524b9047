"""IAM's enforcement in each service, and what comes with a launch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.fidelity.account import Account, Credentials
from benchmarks.fidelity.checks.authorization_people import (
    administrator,
    allow,
    document,
    user,
)
from benchmarks.fidelity.verdicts import Verdicts, check

# A call of each service that needs nothing to be there, and with which code it is refused.
_CALLS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "ec2": ("UnauthorizedOperation", lambda api: api.describe_instances()),
    "autoscaling": ("AccessDenied", lambda api: api.describe_auto_scaling_groups()),
    "elbv2": ("AccessDenied", lambda api: api.describe_load_balancers()),
    "elb": ("AccessDenied", lambda api: api.describe_load_balancers()),
    "ssm": ("AccessDeniedException", lambda api: api.describe_parameters()),
    "cloudformation": ("AccessDenied", lambda api: api.list_stacks()),
    "iam": ("AccessDenied", lambda api: api.list_users()),
    "s3": ("AccessDenied", lambda api: api.list_buckets()),
    "kms": ("AccessDeniedException", lambda api: api.list_keys()),
    "sqs": ("AccessDenied", lambda api: api.list_queues()),
    "sns": ("AuthorizationError", lambda api: api.list_topics()),
    "events": ("AccessDeniedException", lambda api: api.list_rules()),
    "guardduty": ("AccessDeniedException", lambda api: api.list_detectors()),
    "securityhub": ("AccessDeniedException", lambda api: api.get_findings()),
    "dynamodb": ("AccessDeniedException", lambda api: api.list_tables()),
    "logs": ("AccessDeniedException", lambda api: api.describe_log_groups()),
    "cloudwatch": ("AccessDenied", lambda api: api.list_metrics()),
    "secretsmanager": ("AccessDeniedException", lambda api: api.list_secrets()),
    "rds": ("AccessDenied", lambda api: api.describe_db_instances()),
    "lambda": ("AccessDeniedException", lambda api: api.list_functions()),
    "ecs": ("AccessDeniedException", lambda api: api.list_clusters()),
    "eks": ("AccessDeniedException", lambda api: api.list_clusters()),
    "cloudtrail": ("AccessDeniedException", lambda api: api.describe_trails()),
    "config": ("AccessDeniedException", lambda api: api.describe_configuration_recorders()),
    "stepfunctions": ("AccessDeniedException", lambda api: api.list_state_machines()),
    "scheduler": ("AccessDeniedException", lambda api: api.list_schedules()),
}


@check("enforce", "each service asks IAM")
def _services(account: Account, seen: Verdicts) -> None:
    somebody = user(account, "somebody")
    iam = account("iam", credentials=administrator(account))
    account("securityhub").enable_security_hub()
    account.enforce()
    for service, (code, call) in _CALLS.items():
        api = account(service, credentials=somebody)
        seen.refused(f"{service} lets in nobody without a policy", code, partial(call, api))
    organizations = account("organizations", credentials=somebody)
    seen.refused(
        "organizations lets in nobody without a policy",
        "AccessDeniedException",
        lambda: organizations.list_roots(),
    )
    iam.put_user_policy(UserName="somebody", PolicyName="all", PolicyDocument=document(allow("*")))
    for service, (_, call) in _CALLS.items():
        api = account(service, credentials=somebody)
        seen.done(
            f"{service} lets in whom everything is allowed",
            partial(call, api),
        )
    seen.refused(
        "organizations says to whom everything is allowed that there is no organization",
        "AWSOrganizationsNotInUseException",
        lambda: organizations.list_roots(),
    )


@check("enforce", "dry runs, and the roles of instances")
def _launches(account: Account, seen: Verdicts) -> None:
    all_of_it, nothing = user(account, "s-all", allow("*")), user(account, "s-none")
    launching = user(account, "passr", allow("ec2:*"))
    account.enforce()

    def dry_run(who: Credentials) -> object:
        return account("ec2", credentials=who).stop_instances(
            InstanceIds=[account.ids.victim], DryRun=True
        )

    seen.refused(
        "a dry run without the permission", "UnauthorizedOperation", lambda: dry_run(nothing)
    )
    seen.refused("a dry run with the permission", "DryRunOperation", lambda: dry_run(all_of_it))
    seen.refused(
        "to launch with a role takes iam:PassRole",
        "UnauthorizedOperation",
        lambda: account("ec2", credentials=launching).run_instances(
            ImageId=account.ids.image,
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": "app-prof"},
        ),
    )
