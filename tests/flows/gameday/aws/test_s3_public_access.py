"""Block Public Access: of a bucket and of an account, for what is given and for what was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.accounts import account_client, clients_of
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]
BUCKET, KEY = "published", "report.pdf"
SETTINGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _block(*names: str) -> dict[str, bool]:
    return {name: name in names for name in SETTINGS}


@pytest.fixture
def s3(aws: Client, world: WorldIds) -> Any:
    """With a bucket that blocks nothing, and an object in it."""
    client = aws("s3")
    client.create_bucket(
        Bucket=BUCKET,
        ObjectOwnership="ObjectWriter",
        CreateBucketConfiguration={"LocationConstraint": world.region},
    )
    client.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=_block())
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"report")
    return client


@pytest.fixture
def published(s3: Any) -> Any:
    """The bucket's policy lets everybody read."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    return s3


@pytest.fixture
def control(simulated_aws: SimulatedAws, world: WorldIds) -> Any:
    return account_client(simulated_aws.url, world.region)


def _status(world: WorldIds) -> int:
    """Of the answer to somebody without credentials."""
    try:
        with urlopen(f"{world.url}/{BUCKET}/{KEY}") as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def _set(s3: Any, *names: str) -> None:
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=_block(*names))


def test_a_public_acl_lets_nobody_in_where_it_is_ignored(s3: Any, world: WorldIds) -> None:
    assert _status(world) == 403
    s3.put_object_acl(Bucket=BUCKET, Key=KEY, ACL="public-read")
    assert _status(world) == 200

    _set(s3, "IgnorePublicAcls")

    assert _status(world) == 403
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"report"


def test_an_ignored_acl_does_not_shut_out_whom_the_policy_lets_in(
    published: Any, world: WorldIds
) -> None:
    published.put_object_acl(Bucket=BUCKET, Key=KEY, ACL="public-read")

    _set(published, "IgnorePublicAcls")

    assert _status(world) == 200


def test_a_public_policy_lets_in_only_the_account_where_it_is_restricted(
    published: Any, aws: Client, world: WorldIds
) -> None:
    others = clients_of(world, aws)("s3")
    assert _status(world) == 200
    assert others.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"report"

    _set(published, "RestrictPublicBuckets")

    assert _status(world) == 403
    with refused("AccessDenied"):
        others.get_object(Bucket=BUCKET, Key=KEY)
    with refused("AccessDenied"):
        others.list_objects_v2(Bucket=BUCKET)
    assert published.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"report"


def test_a_policy_that_names_another_account_is_not_restricted(
    s3: Any, aws: Client, world: WorldIds
) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)

    _set(s3, *SETTINGS)

    others = clients_of(world, aws)("s3")
    assert others.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"report"


def test_an_account_blocks_what_its_buckets_do_not(
    published: Any, control: Any, world: WorldIds
) -> None:
    control.put_public_access_block(
        AccountId=world.account, PublicAccessBlockConfiguration=_block(*SETTINGS)
    )

    assert _status(world) == 403
    with refused("AccessDenied"):
        published.put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    found = control.get_public_access_block(AccountId=world.account)
    assert found["PublicAccessBlockConfiguration"] == _block(*SETTINGS)

    control.delete_public_access_block(AccountId=world.account)
    assert _status(world) == 200


def test_calls_for_an_account_are_recorded_by_the_names_of_iam(
    control: Any, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    simulated_aws.calls.clear()

    control.put_public_access_block(
        AccountId=world.account, PublicAccessBlockConfiguration=_block(*SETTINGS)
    )
    control.get_public_access_block(AccountId=world.account)

    change, read = simulated_aws.calls
    assert change.name == "s3:PutAccountPublicAccessBlock"
    assert change.parameters["AccountId"] == world.account
    assert (change.changes, read.changes) == (True, False)
    assert read.name == "s3:GetAccountPublicAccessBlock"
