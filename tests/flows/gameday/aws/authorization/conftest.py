"""A simulated AWS that enforces IAM, and people in it who may do what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.authorization.documents import document

ACCOUNT = "123456789012"
_DEFAULT = ("AKIASIMULATED0000000", "simulated")


class Keys(NamedTuple):
    access_key: str
    secret: str
    token: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Keys:
        """From what IAM, STS or an instance's metadata service gave out."""
        token = given.get("SessionToken") or given.get("Token")
        return cls(given["AccessKeyId"], given["SecretAccessKey"], token)


class Iam:
    """Makes users and roles, and clients with anybody's credentials."""

    def __init__(self, aws: SimulatedAws, region: str) -> None:
        self.aws = aws
        self.region = region
        self.iam = self.client("iam")

    def client(self, service: str, keys: Keys | None = None, **more: Any) -> Any:
        access_key, secret, token = keys or (*_DEFAULT, None)
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.aws.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}, **more),
        )

    def user(self, name: str, *statements: dict[str, Any], **more: Any) -> Keys:
        self.iam.create_user(UserName=name, **more)
        if statements:
            self.allow_user(name, *statements)
        return Keys.of(self.iam.create_access_key(UserName=name)["AccessKey"])

    def allow_user(self, name: str, *statements: dict[str, Any], policy: str = "own") -> None:
        self.iam.put_user_policy(
            UserName=name, PolicyName=policy, PolicyDocument=document(*statements)
        )

    def role(
        self, name: str, trust: dict[str, Any], *statements: dict[str, Any], **more: Any
    ) -> str:
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust), **more)
        if statements:
            self.allow_role(name, *statements)
        return str(made["Role"]["Arn"])

    def allow_role(self, name: str, *statements: dict[str, Any], policy: str = "own") -> None:
        self.iam.put_role_policy(
            RoleName=name, PolicyName=policy, PolicyDocument=document(*statements)
        )

    def policy(self, name: str, *statements: dict[str, Any]) -> str:
        made = self.iam.create_policy(PolicyName=name, PolicyDocument=document(*statements))
        return str(made["Policy"]["Arn"])

    def assume(self, role: str, keys: Keys | None = None, **more: Any) -> Keys:
        answer = self.client("sts", keys).assume_role(
            RoleArn=role, RoleSessionName=more.pop("session", "case-7"), **more
        )
        return Keys.of(answer["Credentials"])

    def on_instance(self, instance_id: str) -> Keys:
        """What somebody on the instance gets from its metadata service."""
        return Keys.of(self.aws.instance_credentials(instance_id))


@pytest.fixture
def iam(simulated_aws: SimulatedAws, world: WorldIds) -> Iam:
    """In the small world, with IAM enforced from now on."""
    simulated_aws.configure(enforce_iam=True)
    return Iam(simulated_aws, world.region)
