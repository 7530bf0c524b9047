"""The templates of ``deployments/cloudformation``, and what they make in a simulated AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from flows.gameday.aws.server import ACCOUNT, SimulatedAws
from tests.conftest import ROOT

TEMPLATES = ROOT / "deployments" / "cloudformation"
SECURITY, MEMBER = TEMPLATES / "clampdown.yaml", TEMPLATES / "member.yaml"
REGION = "eu-west-1"
MEMBER_ACCOUNT = "222222222222"
EXTERNAL_ID = "a-long-random-value-7f3a"
SERVICE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/clampdown-service"
MEMBER_ROLE = f"arn:aws:iam::{MEMBER_ACCOUNT}:role/clampdown"
QUEUES = ("urgent", "ordinary", "dead-letters")


class Keys(NamedTuple):
    """Credentials; everybody's own are those of the account's administrator."""

    access_key: str = "AKIASIMULATED0000000"
    secret: str = "simulated"
    token: str | None = None


class Deployment:
    """Both templates deployed: one in the security account, the other in a member account."""

    def __init__(self, aws: SimulatedAws) -> None:
        self.aws = aws
        self.deploy(SECURITY)
        member = self.session(f"arn:aws:iam::{MEMBER_ACCOUNT}:role/administrator")
        self.deploy(MEMBER, member, ServiceRoleArn=SERVICE_ROLE, ExternalId=EXTERNAL_ID)

    def deploy(
        self, template: Path, keys: Keys | None = None, region: str = REGION, **parameters: str
    ) -> dict[str, str]:
        """Make a stack; its outputs."""
        cloudformation = self.client("cloudformation", keys, region)
        stack = f"clampdown-{template.stem}"
        cloudformation.create_stack(
            StackName=stack,
            TemplateBody=template.read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        )
        made = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        assert made["StackStatus"] == "CREATE_COMPLETE", cloudformation.describe_stack_events(
            StackName=stack
        )
        return {item["OutputKey"]: item["OutputValue"] for item in made["Outputs"]}

    def client(self, service: str, keys: Keys | None = None, region: str = REGION) -> Any:
        access_key, secret, token = keys or Keys()
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.aws.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def session(self, role: str, keys: Keys | None = None, **more: Any) -> Keys:
        asked = {"RoleArn": role, "RoleSessionName": "clampdown-test", **more}
        given = self.client("sts", keys).assume_role(**asked)["Credentials"]
        return Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def as_the_service(self) -> Keys:
        """As the service is once ECS has given it its role's credentials. From now on IAM counts."""
        keys = self.session(SERVICE_ROLE)
        self.aws.configure(enforce_iam=True)
        return keys

    def queue(self, name: str) -> str:
        return f"{self.aws.url}/{ACCOUNT}/clampdown-{name}"

    def taken(self, name: str) -> list[dict[str, Any]]:
        """What is in a queue."""
        sqs = self.client("sqs")
        found: list[dict[str, Any]] = []
        while messages := sqs.receive_message(
            QueueUrl=self.queue(name), MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
        return found

    def rules(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            rule["Name"]: {**rule, "pattern": json.loads(rule["EventPattern"])}
            for rule in self.client("events").list_rules()["Rules"]
        }

    def target(self, rule: str) -> dict[str, Any]:
        """The one target of a rule."""
        (target,) = self.client("events").list_targets_by_rule(Rule=rule)["Targets"]
        return dict(target)


def policies_of(member: Callable[[str], Any], role: str) -> list[dict[str, Any]]:
    """The documents of the managed policies that a role has."""
    iam = member("iam")
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    found = []
    for item in attached:
        arn = item["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)
        found.append(document["PolicyVersion"]["Document"])
    return found


def policy_of(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
