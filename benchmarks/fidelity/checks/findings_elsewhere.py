"""Services beside those that Clampdown calls: what they answer where somebody uses them as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check

_ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/app-role"
_NOTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}],
}
_NOT_THERE = "moto has nothing of it, and Clampdown does not call it"
_PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}


def _all_done(seen: Verdicts, calls: Mapping[str, Callable[[], Any]]) -> None:
    for rule, call in calls.items():
        seen.done(rule, call)


@check(
    "elsewhere",
    "investigating",
    known={
        "a behaviour graph is created": Known("detective:CreateGraph", _NOT_THERE),
        "behaviour graphs are listed": Known("detective:ListGraphs", _NOT_THERE),
        "Config knows the history of an instance": Known(
            "config:GetResourceConfigHistory", "moto's Config knows buckets, but no instances"
        ),
        "Macie lists findings": Known("macie2:ListFindings", _NOT_THERE),
    },
)
def _investigating(account: Account, seen: Verdicts) -> None:
    detective, config = account("detective"), account("config")
    account("s3").create_bucket(Bucket="recorded")
    _all_done(
        seen,
        {
            "a behaviour graph is created": detective.create_graph,
            "behaviour graphs are listed": detective.list_graphs,
            "Config records": lambda: config.put_configuration_recorder(
                ConfigurationRecorder={
                    "name": "default",
                    "roleARN": _ROLE,
                    "recordingGroup": {"allSupported": True},
                }
            ),
            "Config has rules": lambda: config.put_config_rule(
                ConfigRule={
                    "ConfigRuleName": "r",
                    "Source": {
                        "Owner": "AWS",
                        "SourceIdentifier": "S3_BUCKET_PUBLIC_READ_PROHIBITED",
                    },
                }
            ),
            "Config knows the history of an instance": lambda: config.get_resource_config_history(
                resourceType="AWS::EC2::Instance", resourceId=account.ids.victim
            ),
            "Config knows the history of a bucket": lambda: config.get_resource_config_history(
                resourceType="AWS::S3::Bucket", resourceId="recorded"
            ),
            "Config is queried": lambda: config.select_resource_config(
                Expression="SELECT resourceId"
            ),
            "Inspector lists findings": account("inspector2").list_findings,
            "Macie lists findings": account("macie2").list_findings,
            "Athena lists workgroups": account("athena").list_work_groups,
            "tagged resources are found": account("resourcegroupstaggingapi").get_resources,
        },
    )


@check(
    "elsewhere",
    "responding",
    known={
        "Incident Manager lists response plans": Known(
            "ssm-incidents:ListResponsePlans", _NOT_THERE
        ),
        "Security Incident Response lists cases": Known("security-ir:ListCases", _NOT_THERE),
        "a chat application has its channels": Known(
            "chatbot:DescribeSlackChannelConfigurations", _NOT_THERE
        ),
    },
)
def _responding(account: Account, seen: Verdicts) -> None:
    backup = account("backup")
    _all_done(
        seen,
        {
            "Incident Manager lists response plans": account("ssm-incidents").list_response_plans,
            "Security Incident Response lists cases": account("security-ir").list_cases,
            "Fault Injection Service lists templates": account("fis").list_experiment_templates,
            "a chat application has its channels": account(
                "chatbot"
            ).describe_slack_channel_configurations,
            "a state machine is created": lambda: account("stepfunctions").create_state_machine(
                name="s", definition=json.dumps(_PASS), roleArn=_ROLE
            ),
            "a backup vault is created": lambda: backup.create_backup_vault(BackupVaultName="v"),
            "a backup vault is locked": lambda: backup.put_backup_vault_lock_configuration(
                BackupVaultName="v", MinRetentionDays=1
            ),
        },
    )


@check(
    "elsewhere",
    "organization",
    known={
        "quotas are listed": Known("service-quotas:ListServiceQuotas", _NOT_THERE),
    },
)
def _organization(account: Account, seen: Verdicts) -> None:
    organizations = account("organizations")
    _all_done(
        seen,
        {
            "an organization is created": lambda: organizations.create_organization(
                FeatureSet="ALL"
            ),
            "it has service control policies": lambda: organizations.create_policy(
                Name="nothing",
                Description="d",
                Type="SERVICE_CONTROL_POLICY",
                Content=json.dumps(_NOTHING),
            ),
            "it has accounts": lambda: organizations.create_account(
                Email="a@example.com", AccountName="second"
            ),
            "Identity Center lists its instances": account("sso-admin").list_instances,
            "shared resources are listed": lambda: account("ram").get_resource_shares(
                resourceOwner="SELF"
            ),
            "quotas are listed": lambda: account("service-quotas").list_service_quotas(
                ServiceCode="ec2"
            ),
        },
    )


@check("elsewhere", "network")
def _network(account: Account, seen: Verdicts) -> None:
    resolver = account("route53resolver")
    _all_done(
        seen,
        {
            "WAF has sets of addresses": lambda: account("wafv2").create_ip_set(
                Name="blocked",
                Scope="REGIONAL",
                IPAddressVersion="IPV4",
                Addresses=["198.51.100.4/32"],
            ),
            "Network Firewall lists firewalls": account("network-firewall").list_firewalls,
            "Shield lists protections": account("shield").list_protections,
            "DNS Firewall has lists of domains": lambda: resolver.create_firewall_domain_list(
                Name="blocked", CreatorRequestId="1"
            ),
            "queries of DNS are logged": resolver.list_resolver_query_log_configs,
        },
    )
