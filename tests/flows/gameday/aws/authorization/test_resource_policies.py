"""The policies of resources, seen from their own account and from another one."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from flows.gameday.aws.server import SimulatedAws
from tests.flows.gameday.aws.authorization.conftest import ACCOUNT, Iam, Keys
from tests.flows.gameday.aws.authorization.documents import allow, document

OTHER = "999999999999"
EVE = f"arn:aws:iam::{ACCOUNT}:user/eve"


def named(principal: str, action: str, resource: str = "*") -> str:
    return document({**allow(action, resource), "Principal": {"AWS": principal}})


class Thing:
    """A resource with a policy: how it is made, is given a policy, and is used."""

    def __init__(
        self,
        make: Callable[[Any, Iam], str],
        give: Callable[[Any, str, str], Any],
        use: Callable[[Any, str], Any],
        action: str,
    ) -> None:
        self.make, self.give, self.use, self.action = make, give, use, action


def _bucket(s3: Any, iam: Iam) -> str:
    s3.create_bucket(
        Bucket="evidence", CreateBucketConfiguration={"LocationConstraint": iam.region}
    )
    s3.put_object(Bucket="evidence", Key="a b/ü+%7E", Body=b"x")
    return "evidence"


THINGS = {
    "s3": Thing(
        _bucket,
        lambda s3, name, policy: s3.put_bucket_policy(Bucket=name, Policy=policy),
        lambda s3, name: s3.get_object(Bucket=name, Key="a b/ü+%7E"),
        "s3:GetObject",
    ),
    "sqs": Thing(
        lambda sqs, iam: str(sqs.create_queue(QueueName="findings")["QueueUrl"]),
        lambda sqs, url, policy: sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"Policy": policy}
        ),
        lambda sqs, url: sqs.receive_message(QueueUrl=url),
        "sqs:ReceiveMessage",
    ),
    "sns": Thing(
        lambda sns, iam: str(sns.create_topic(Name="findings")["TopicArn"]),
        lambda sns, arn, policy: sns.set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=policy
        ),
        lambda sns, arn: sns.publish(TopicArn=arn, Message="x"),
        "sns:Publish",
    ),
    "kms": Thing(
        lambda kms, iam: str(kms.create_key()["KeyMetadata"]["Arn"]),
        lambda kms, arn, policy: kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=policy),
        lambda kms, arn: kms.encrypt(KeyId=arn, Plaintext=b"x"),
        "kms:Encrypt",
    ),
    "secretsmanager": Thing(
        lambda secrets, iam: str(secrets.create_secret(Name="key", SecretString="x")["ARN"]),
        lambda secrets, arn, policy: secrets.put_resource_policy(
            SecretId=arn, ResourcePolicy=policy
        ),
        lambda secrets, arn: secrets.get_secret_value(SecretId=arn),
        "secretsmanager:GetSecretValue",
    ),
}


def resource_of(service: str, name: str) -> str:
    return f"arn:aws:s3:::{name}/*" if service == "s3" else "*"


@pytest.mark.parametrize("service", THINGS)
def test_whom_the_policy_names_needs_nothing_else_in_the_same_account(
    iam: Iam, service: str
) -> None:
    thing, owner = THINGS[service], iam.client(service)
    eve = iam.client(service, iam.user("eve"))
    name = thing.make(owner, iam)

    with pytest.raises(ClientError, match="not authorized to perform"):
        thing.use(eve, name)
    thing.give(owner, name, named(EVE, thing.action, resource_of(service, name)))
    thing.use(eve, name)


def across(iam: Iam, aws: SimulatedAws) -> Keys:
    """Keys of a user of another account, to whom their own account allows everything."""
    aws.configure(enforce_iam=False)
    theirs = iam.client("iam", iam.assume(f"arn:aws:iam::{OTHER}:role/builder"))
    theirs.create_user(UserName="mallory")
    theirs.put_user_policy(UserName="mallory", PolicyName="p", PolicyDocument=document(allow()))
    keys = Keys.of(theirs.create_access_key(UserName="mallory")["AccessKey"])
    aws.configure(enforce_iam=True)
    return keys


def test_a_bucket_of_another_account_is_closed_until_its_policy_opens_it(
    iam: Iam, simulated_aws: SimulatedAws
) -> None:
    owner = iam.client("s3")
    bucket = THINGS["s3"].make(owner, iam)
    keys = across(iam, simulated_aws)
    mallory = iam.client("s3", keys)

    with pytest.raises(ClientError, match="because no resource-based policy allows"):
        THINGS["s3"].use(mallory, bucket)
    owner.put_bucket_policy(
        Bucket=bucket,
        Policy=named(f"arn:aws:iam::{OTHER}:root", "s3:GetObject", f"arn:aws:s3:::{bucket}/*"),
    )
    THINGS["s3"].use(mallory, bucket)


def test_a_queue_of_another_account_is_closed_until_its_policy_opens_it(
    iam: Iam, simulated_aws: SimulatedAws
) -> None:
    owner = iam.client("sqs")
    queue = THINGS["sqs"].make(owner, iam)
    mallory = iam.client("sqs", across(iam, simulated_aws))

    with pytest.raises(ClientError, match="because no resource-based policy allows"):
        THINGS["sqs"].use(mallory, queue)


def test_a_function_is_invoked_by_whom_its_policy_names(iam: Iam) -> None:
    role = iam.role("fn", {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", "def handler(event, context): return 1")
    functions = iam.client("lambda")
    functions.create_function(
        FunctionName="f",
        Runtime="python3.11",
        Role=role,
        Handler="f.handler",
        Code={"ZipFile": packed.getvalue()},
    )
    eve = iam.client("lambda", iam.user("eve"))
    allowed = {
        "FunctionName": "f",
        "StatementId": "eve",
        "Action": "lambda:GetFunction",
        "Principal": EVE,
    }

    with pytest.raises(ClientError, match="lambda:GetFunction on resource"):
        eve.get_function(FunctionName="f")
    functions.add_permission(**allowed)
    assert json.dumps(eve.get_function(FunctionName="f")["Configuration"]["FunctionName"])
