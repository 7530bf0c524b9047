"""S3: what Object Lock keeps, and what it checks of what it is given."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check

_BUCKET = "evidence-of-the-case"


class _Locked:
    """A bucket with Object Lock."""

    def __init__(self, account: Account) -> None:
        self.api = account("s3")
        self.api.create_bucket(Bucket=_BUCKET, ObjectLockEnabledForBucket=True)

    def put(self, key: str, **more: Any) -> dict[str, str]:
        """Put an object; what names its version."""
        more.setdefault("ChecksumAlgorithm", "SHA256")
        answer = self.api.put_object(Bucket=_BUCKET, Key=key, Body=b"x", **more)
        return {"Bucket": _BUCKET, "Key": key, "VersionId": answer["VersionId"]}

    def keep_by_default(self) -> None:
        self.api.put_object_lock_configuration(
            Bucket=_BUCKET,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
            },
        )


@check("s3", "compliance mode")
def _compliance(account: Account, seen: Verdicts) -> None:
    bucket = _Locked(account)
    bucket.keep_by_default()
    version, s3 = bucket.put("k"), bucket.api
    mode = s3.head_object(Bucket=_BUCKET, Key="k").get("ObjectLockMode")
    seen.holds("an object gets the bucket's retention", mode == "COMPLIANCE", mode)
    seen.refused("deleting the version", "AccessDenied", lambda: s3.delete_object(**version))
    seen.refused(
        "deleting the version with a bypass",
        "AccessDenied",
        lambda: s3.delete_object(**version, BypassGovernanceRetention=True),
    )
    until = datetime.now(UTC) + timedelta(minutes=1)
    seen.refused(
        "shortening its retention",
        "AccessDenied",
        lambda: s3.put_object_retention(
            **version, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
        ),
    )
    named = {"Key": "k", "VersionId": version["VersionId"]}
    answer = s3.delete_objects(Bucket=_BUCKET, Delete={"Objects": [named]})
    seen.holds("DeleteObjects says that it can't", bool(answer.get("Errors")), answer)
    seen.done("the version is still there", lambda: s3.head_object(**version))
    bucket.put("deleted")
    answer = s3.delete_object(Bucket=_BUCKET, Key="deleted")
    seen.holds(
        "deleting without a version makes a delete marker", answer.get("DeleteMarker") is True
    )
    seen.refused(
        "suspending the bucket's versioning",
        "InvalidBucketState",
        lambda: s3.put_bucket_versioning(
            Bucket=_BUCKET, VersioningConfiguration={"Status": "Suspended"}
        ),
    )


@check("s3", "governance mode and legal holds")
def _governance(account: Account, seen: Verdicts) -> None:
    bucket = _Locked(account)
    s3, now = bucket.api, datetime.now(UTC)
    version = bucket.put(
        "g", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=now + timedelta(days=1)
    )
    seen.refused(
        "deleting the version without a bypass",
        "AccessDenied",
        lambda: s3.delete_object(**version),
    )
    seen.done(
        "the version is deleted with a bypass",
        lambda: s3.delete_object(**version, BypassGovernanceRetention=True),
    )
    held = bucket.put(
        "held",
        ObjectLockLegalHoldStatus="ON",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=now + timedelta(seconds=1),
    )
    time.sleep(1.05)
    seen.refused(
        "deleting what is under a legal hold when its retention is over",
        "AccessDenied",
        lambda: s3.delete_object(**held, BypassGovernanceRetention=True),
    )


@check("s3", "uploads")
def _uploads(account: Account, seen: Verdicts) -> None:
    bucket = _Locked(account)
    bucket.keep_by_default()
    s3 = bucket.api
    bucket.put("k")
    seen.refused(
        "writing only if it isn't there, where it is",
        "PreconditionFailed",
        lambda: bucket.put("k", IfNoneMatch="*"),
    )
    attributes = s3.get_object_attributes(
        Bucket=_BUCKET, Key="k", ObjectAttributes=["Checksum"]
    ).get("Checksum", {})
    seen.holds("its SHA-256 is kept", "ChecksumSHA256" in attributes, attributes)
    seen.refused(
        "a body whose SHA-256 is another",
        "BadDigest",
        lambda: s3.put_object(
            Bucket=_BUCKET, Key="damaged", Body=b"x", ChecksumSHA256="A" * 43 + "="
        ),
    )
    s3.put_bucket_encryption(
        Bucket=_BUCKET,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {
                        "SSEAlgorithm": "aws:kms",
                        "KMSMasterKeyID": account.ids.key,
                    }
                }
            ]
        },
    )
    bucket.put("encrypted")
    key = s3.head_object(Bucket=_BUCKET, Key="encrypted").get("SSEKMSKeyId")
    seen.holds("an object gets the bucket's encryption", key == account.ids.key, key)
