"""S3: Block Public Access, bucket policies, notifications and large objects."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.checks.queues import Queue
from benchmarks.fidelity.verdicts import Verdicts, check

_BUCKET = "published-things"
# Enough for boto3 to upload it in two parts.
_LARGE = 9_000_000
_SETTINGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _statement(effect: str, action: str) -> str:
    statement = {
        "Effect": effect,
        "Principal": "*",
        "Action": action,
        "Resource": f"arn:aws:s3:::{_BUCKET}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class _Bucket:
    """A bucket whose objects may have ACLs."""

    def __init__(self, account: Account) -> None:
        self.api, self._url = account("s3"), account.url
        self.api.create_bucket(Bucket=_BUCKET, ObjectOwnership="ObjectWriter")
        self.block()

    def block(self, *names: str) -> None:
        """Block these, and nothing else."""
        self.api.put_public_access_block(
            Bucket=_BUCKET, PublicAccessBlockConfiguration={n: n in names for n in _SETTINGS}
        )

    def publish(self) -> Any:
        """Let everybody read its objects, by its policy."""
        return self.api.put_bucket_policy(
            Bucket=_BUCKET, Policy=_statement("Allow", "s3:GetObject")
        )

    def status_for_others(self, key: str) -> int:
        """The status of HTTP that somebody without credentials is answered."""
        try:
            with urlopen(f"{self._url}/{_BUCKET}/{key}") as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code


@check("s3", "public access that is blocked")
def _blocked(account: Account, seen: Verdicts) -> None:
    bucket = _Bucket(account)
    s3 = bucket.api
    bucket.block(*_SETTINGS)
    seen.refused("a public policy", "AccessDenied", bucket.publish)
    seen.refused(
        "a public ACL",
        ("AccessDenied", "AccessControlListNotSupported"),
        lambda: s3.put_bucket_acl(Bucket=_BUCKET, ACL="public-read"),
    )
    s3.put_bucket_policy(Bucket=_BUCKET, Policy=_statement("Deny", "s3:PutObject"))
    seen.refused(
        "what the bucket's policy denies everybody",
        "AccessDenied",
        lambda: s3.put_object(Bucket=_BUCKET, Key="x", Body=b"1"),
    )


@check("s3", "public access that was given before")
def _ignored(account: Account, seen: Verdicts) -> None:
    bucket = _Bucket(account)
    bucket.api.put_object(Bucket=_BUCKET, Key="k", Body=b"1")
    status = bucket.status_for_others("k")
    seen.holds("others can't read an object", status == 403, status)
    bucket.api.put_object_acl(Bucket=_BUCKET, Key="k", ACL="public-read")
    status = bucket.status_for_others("k")
    seen.holds("everybody reads what its ACL makes public", status == 200, status)
    bucket.block("IgnorePublicAcls")
    status = bucket.status_for_others("k")
    seen.holds("IgnorePublicAcls has others refused", status == 403, status)
    bucket.block()
    bucket.api.put_object_acl(Bucket=_BUCKET, Key="k", ACL="private")
    bucket.publish()
    status = bucket.status_for_others("k")
    seen.holds("everybody reads what the policy makes public", status == 200, status)
    bucket.block("RestrictPublicBuckets")
    status = bucket.status_for_others("k")
    seen.holds("RestrictPublicBuckets has others refused", status == 403, status)
    seen.done("the owner reads it", lambda: bucket.api.get_object(Bucket=_BUCKET, Key="k"))


@check("s3", "public access of an account")
def _of_the_account(account: Account, seen: Verdicts) -> None:
    bucket, control = _Bucket(account), account("s3control")
    control.meta.events.register(
        "before-sign.s3-control.*", _to_the_server_itself, unique_id="to-the-server-itself"
    )
    seen.done(
        "an account blocks public access",
        lambda: control.put_public_access_block(
            AccountId=ACCOUNT_ID, PublicAccessBlockConfiguration=dict.fromkeys(_SETTINGS, True)
        ),
    )
    blocked: Mapping[str, bool] = (
        seen.done(
            "and says what it blocks",
            lambda: control.get_public_access_block(AccountId=ACCOUNT_ID)[
                "PublicAccessBlockConfiguration"
            ],
        )
        or {}
    )
    seen.holds("all of it", blocked == dict.fromkeys(_SETTINGS, True), blocked)
    seen.refused("a public policy of any bucket", "AccessDenied", bucket.publish)


def _to_the_server_itself(request: Any, **_: Any) -> None:
    """S3 Control's requests go to the account's own host, which a server on this machine has not."""
    request.url = request.url.replace(f"//{ACCOUNT_ID}.", "//", 1)


@check("s3", "notifications and large objects")
def _notifications(account: Account, seen: Verdicts) -> None:
    s3, queue = account("s3"), Queue(account, "uploads", lets="s3.amazonaws.com")
    s3.create_bucket(Bucket=_BUCKET)
    s3.put_bucket_notification_configuration(
        Bucket=_BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    # S3 sends a test event first.
    queue.take()
    s3.put_object(Bucket=_BUCKET, Key="a", Body=b"1")
    bodies = queue.take()
    seen.holds("an upload is notified", len(bodies) == 1, bodies)
    seen.done(
        "an object is uploaded in parts",
        lambda: s3.upload_fileobj(io.BytesIO(b"0" * _LARGE), _BUCKET, "big"),
    )
    length = s3.head_object(Bucket=_BUCKET, Key="big")["ContentLength"]
    seen.holds("and is as long as they were", length == _LARGE, length)
