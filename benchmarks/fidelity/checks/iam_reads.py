"""IAM: what an investigation reads, and what else is changed about roles."""

from __future__ import annotations

import json

from benchmarks.fidelity.account import ACCOUNT_ID, Account, trusted
from benchmarks.fidelity.checks.authorization_people import deny, document
from benchmarks.fidelity.checks.cloudformation_template import CAPABILITIES, TEMPLATE
from benchmarks.fidelity.verdicts import Known, Verdicts, check


@check("iam", "what is read of the account")
def _account(account: Account, seen: Verdicts) -> None:
    iam = account("iam")
    role = {"Resources": {"Role": TEMPLATE["Resources"]["Role"]}}
    account("cloudformation").create_stack(
        StackName="with-role", TemplateBody=json.dumps(role), Capabilities=CAPABILITIES
    )
    iam.put_role_policy(
        RoleName="app-role", PolicyName="IR-deny", PolicyDocument=document(deny("*"))
    )
    seen.done("a credential report is made", lambda: iam.generate_credential_report())
    seen.done("a credential report is read", lambda: iam.get_credential_report())
    details = seen.done(
        "the account's identities are read with their policies",
        lambda: iam.get_account_authorization_details(),
    )
    policies = {
        item["RoleName"].split("-Role-")[0]: [
            policy["PolicyName"] for policy in item["RolePolicyList"]
        ]
        for item in (details or {}).get("RoleDetailList", [])
    }
    seen.holds(
        "its roles are among them, those of stacks too",
        (policies.get("app-role"), policies.get("with-role")) == (["IR-deny"], ["p"]),
        policies,
    )
    seen.done("the account is summed up", lambda: iam.get_account_summary())


@check(
    "iam",
    "what is read of a user",
    known={
        "service-specific credentials of a user": Known(
            "iam:ListServiceSpecificCredentials", "nobody in a world has any"
        )
    },
)
def _user(account: Account, seen: Verdicts) -> None:
    iam, key = account("iam"), account.ids.user_keys[0].access_key
    for what, read in {
        "where a key was used last": lambda: iam.get_access_key_last_used(AccessKeyId=key),
        "MFA devices of a user": lambda: iam.list_mfa_devices(UserName="victim"),
        "signing certificates of a user": lambda: iam.list_signing_certificates(UserName="victim"),
        "service-specific credentials of a user": lambda: iam.list_service_specific_credentials(
            UserName="victim"
        ),
        "SSH keys of a user": lambda: iam.list_ssh_public_keys(UserName="victim"),
    }.items():
        seen.done(what, read)


@check(
    "iam",
    "what is read and changed of a role",
    known={
        "which services a role has used": Known(
            "iam:GenerateServiceLastAccessedDetails", "what is used isn't kept by service"
        ),
        "IAM Access Analyzer": Known("accessanalyzer:ListAnalyzers", "the service isn't simulated"),
    },
)
def _role(account: Account, seen: Verdicts) -> None:
    iam = account("iam")
    boundary = iam.create_policy(PolicyName="IRDenyAll", PolicyDocument=document(deny("*")))[
        "Policy"
    ]["Arn"]
    for what, call in {
        "a role gets a permissions boundary": lambda: iam.put_role_permissions_boundary(
            RoleName="app-role", PermissionsBoundary=boundary
        ),
        "a role's boundary is taken away": lambda: iam.delete_role_permissions_boundary(
            RoleName="app-role"
        ),
        "a role gets another trust policy": lambda: iam.update_assume_role_policy(
            RoleName="app-role", PolicyDocument=trusted("ec2.amazonaws.com")
        ),
        "instance profiles of a role": lambda: iam.list_instance_profiles_for_role(
            RoleName="app-role"
        ),
        "which services a role has used": lambda: iam.generate_service_last_accessed_details(
            Arn=f"arn:aws:iam::{ACCOUNT_ID}:role/app-role"
        ),
        "IAM Access Analyzer": lambda: account("accessanalyzer").list_analyzers(),
    }.items():
        seen.done(what, call)
