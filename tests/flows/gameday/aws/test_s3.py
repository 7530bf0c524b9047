from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]
BUCKET, KEY = "evidence", "case/7/memory.lime"
OPEN = {
    "BlockPublicAcls": False,
    "IgnorePublicAcls": False,
    "BlockPublicPolicy": False,
    "RestrictPublicBuckets": False,
}


@pytest.fixture
def s3(aws: Client, world: WorldIds) -> Any:
    client = aws("s3")
    client.create_bucket(
        Bucket=BUCKET,
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": world.region},
    )
    return client


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _in(days: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def _put_locked(s3: Any, mode: str) -> dict[str, str]:
    version = s3.put_object(
        Bucket=BUCKET,
        Key=KEY,
        Body=b"memory",
        ObjectLockMode=mode,
        ObjectLockRetainUntilDate=_in(30),
        ChecksumSHA256=_sha256(b"memory"),
    )["VersionId"]
    return {"Bucket": BUCKET, "Key": KEY, "VersionId": version}


def _retain(s3: Any, version: dict[str, str], mode: str, days: int, **more: Any) -> None:
    s3.put_object_retention(
        **version, Retention={"Mode": mode, "RetainUntilDate": _in(days)}, **more
    )


def test_retention_in_compliance_mode_can_only_be_extended(s3: Any) -> None:
    version = _put_locked(s3, "COMPLIANCE")

    for mode, days in (("COMPLIANCE", 1), ("GOVERNANCE", 60)):
        with refused("AccessDenied"):
            _retain(s3, version, mode, days)
        with refused("AccessDenied"):
            _retain(s3, version, mode, days, BypassGovernanceRetention=True)

    _retain(s3, version, "COMPLIANCE", 60)
    kept = s3.get_object_retention(**version)["Retention"]
    assert kept["RetainUntilDate"] == _in(60)
    with refused("AccessDenied"):
        s3.delete_object(**version, BypassGovernanceRetention=True)


def test_retention_in_governance_mode_is_shortened_only_with_a_bypass(s3: Any) -> None:
    version = _put_locked(s3, "GOVERNANCE")

    with refused("AccessDenied"):
        _retain(s3, version, "GOVERNANCE", 1)

    _retain(s3, version, "GOVERNANCE", 1, BypassGovernanceRetention=True)
    assert s3.get_object_retention(**version)["Retention"]["RetainUntilDate"] == _in(1)


def test_versioning_of_a_bucket_with_object_lock_can_not_be_suspended(s3: Any) -> None:
    with refused("InvalidBucketState"):
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"ChecksumSHA256": _sha256(b"other")}, "BadDigest"),
        ({"ChecksumSHA1": base64.b64encode(bytes(20)).decode()}, "BadDigest"),
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
        ({"ContentMD5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"ContentMD5": "bm90IGFuIE1ENQ=="}, "InvalidDigest"),
    ],
)
def test_an_upload_that_is_not_what_its_checksum_says_is_refused(
    s3: Any, headers: dict[str, str], code: str
) -> None:
    with refused(code):
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"memory", **headers)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def test_an_upload_that_is_what_its_checksum_says_is_kept(s3: Any) -> None:
    md5 = base64.b64encode(hashlib.md5(b"memory").digest()).decode()

    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"memory", ContentMD5=md5)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"memory", ChecksumSHA256=_sha256(b"memory"))
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"memory", ChecksumAlgorithm="SHA256")

    read = s3.get_object(Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
    assert (read["Body"].read(), read["ChecksumSHA256"]) == (b"memory", _sha256(b"memory"))


def test_a_body_that_was_changed_under_way_is_refused(s3: Any) -> None:
    def tampered(request: Any, **_: Any) -> None:
        request.body = b"forged"
        request.headers["Content-Length"] = "6"
        for name in list(request.headers):
            if name.lower().startswith("x-amz-checksum"):
                del request.headers[name]

    s3.meta.events.register("before-send.s3.PutObject", tampered)
    try:
        with refused("XAmzContentSHA256Mismatch"):
            s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"memory")
    finally:
        s3.meta.events.unregister("before-send.s3.PutObject", tampered)


def test_a_part_that_is_not_what_its_checksum_says_is_refused(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=KEY, ChecksumAlgorithm="SHA256")

    with refused("BadDigest"):
        s3.upload_part(
            Bucket=BUCKET,
            Key=KEY,
            UploadId=upload["UploadId"],
            PartNumber=1,
            Body=b"memory",
            ChecksumSHA256=_sha256(b"other"),
        )


def test_an_object_that_came_in_parts_is_as_long_as_they_were(s3: Any) -> None:
    body = b"x" * 6_000_000

    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=KEY)
    where = {"Bucket": BUCKET, "Key": KEY, "UploadId": upload["UploadId"]}
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**where, PartNumber=number, Body=body)["ETag"],
        }
        for number in (1, 2)
    ]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})

    assert s3.head_object(Bucket=BUCKET, Key=KEY)["ContentLength"] == 2 * len(body)
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == body * 2


def test_calls_to_s3_are_recorded_by_their_names_without_what_is_in_objects(
    s3: Any, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.calls.clear()
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b'{"password": "secret"}')
    s3.list_objects_v2(Bucket=BUCKET, Prefix="case/")
    s3.head_object(Bucket=BUCKET, Key=KEY)
    s3.get_bucket_versioning(Bucket=BUCKET)
    s3.delete_object(Bucket=BUCKET, Key=KEY)

    calls = list(simulated_aws.calls)
    assert [call.operation for call in calls] == [
        "PutObject",
        "ListObjectsV2",
        "HeadObject",
        "GetBucketVersioning",
        "DeleteObject",
    ]
    assert calls[0].parameters["Key"] == KEY
    assert "secret" not in str([call.to_json() for call in calls])
    assert [call.operation for call in simulated_aws.calls.changes] == ["PutObject", "DeleteObject"]


def test_if_none_match_writes_only_what_is_not_there(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"first", IfNoneMatch="*")

    with refused("PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"second", IfNoneMatch="*")
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"first"


def _policy(effect: str, action: str, principal: Any) -> str:
    statement = {
        "Effect": effect,
        "Principal": principal,
        "Action": action,
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_new_bucket_blocks_public_access(s3: Any) -> None:
    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]

    assert blocked == dict.fromkeys(OPEN, True)
    with refused("AccessDenied"):
        s3.put_bucket_policy(Bucket=BUCKET, Policy=_policy("Allow", "s3:GetObject", "*"))
    with refused("AccessDenied"):
        s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    with refused("AccessDenied"):
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"", ACL="authenticated-read")
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"")
    with refused("AccessDenied"):
        s3.put_object_acl(Bucket=BUCKET, Key=KEY, ACL="public-read")


def test_what_is_not_public_is_not_blocked(s3: Any, world: WorldIds) -> None:
    account = {"AWS": f"arn:aws:iam::{world.account}:root"}

    s3.put_bucket_policy(Bucket=BUCKET, Policy=_policy("Allow", "s3:GetObject", account))
    s3.put_bucket_acl(Bucket=BUCKET, ACL="private")

    assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"] is False


def test_public_access_is_possible_where_it_is_not_blocked(s3: Any) -> None:
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=OPEN)

    s3.put_bucket_policy(Bucket=BUCKET, Policy=_policy("Allow", "s3:GetObject", "*"))
    s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read")

    assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"] is True


def test_what_a_bucket_policy_denies_is_access_denied(s3: Any) -> None:
    s3.put_bucket_policy(Bucket=BUCKET, Policy=_policy("Deny", "s3:PutObject", "*"))

    with refused("AccessDenied"):
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"memory")


def test_objects_and_their_retention_come_back_with_what_is_remembered(
    s3: Any, simulated_aws: SimulatedAws
) -> None:
    version = _put_locked(s3, "COMPLIANCE")
    memory = simulated_aws.remember()

    simulated_aws.reset()
    assert s3.list_buckets()["Buckets"] == []

    simulated_aws.recall(memory)
    assert s3.get_object(**version)["Body"].read() == b"memory"
    with refused("AccessDenied"):
        _retain(s3, version, "COMPLIANCE", 1)
