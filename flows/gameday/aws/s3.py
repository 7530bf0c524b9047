"""S3: what Object Lock keeps, and uploads that arrived damaged."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flows.gameday.aws import simulated_time

# The checksums that can be computed here; CRC-32C and CRC-64/NVME need libraries of their own, and
# are taken as they come.
_CHECKSUMS: Mapping[str, Callable[[bytes], bytes]] = {
    "SHA256": lambda body: hashlib.sha256(body).digest(),
    "SHA1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
}
_ALGORITHMS = (*_CHECKSUMS, "CRC32C", "CRC64NVME")


def correct() -> None:
    """Have retention hold, damaged uploads refused, and refusals say so."""
    _memory()
    _uploads()
    _retention()
    _denials()


def _memory() -> None:
    """Have objects be as forgettable, and as memorable, as everything else is."""
    from moto.s3.models import FakeKey, FakeMultipart, S3Backend, S3BackendDict

    reset = S3Backend.reset

    def forget(self: Any) -> None:
        # moto would empty every object that was ever made, those that are remembered too.
        FakeKey.instances_tracked.clear()
        FakeMultipart.instances_tracked.clear()
        reset(self)

    S3Backend.reset = forget
    FakeKey.__del__ = lambda key: key.dispose()
    # Which account has a bucket follows from where it is.
    S3BackendDict.bucket_accounts = property(
        lambda services: {
            bucket: (partition, account)
            for account, partitions in list(services.items())
            for partition, backend in dict(partitions).items()
            for bucket in backend.buckets
        },
        lambda services, value: None,
    )


def _uploads() -> None:
    from moto.s3.responses import S3Response

    put = S3Response._key_response_put

    def _key_response_put(self: Any, query: dict[str, Any], key_name: str) -> Any:
        # "The Content-MD5 or x-amz-sdk-checksum-algorithm header is required" for uploads with a
        # retention (PutObject), and any checksum will do; moto wants the algorithm named as well.
        given = [name for name in _ALGORITHMS if self.headers.get(f"x-amz-checksum-{name.lower()}")]
        if given and not self.headers.get("x-amz-sdk-checksum-algorithm"):
            self.request.environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = given[0]
        return put(self, query, key_name)

    S3Response._key_response_put = _key_response_put
    S3Response.put_object = _checked(S3Response.put_object)
    S3Response.upload_part = _checked(S3Response.upload_part)


def _checked(upload: Any) -> Any:
    def uploaded(self: Any) -> Any:
        body = self.body or b""
        _compare(self.headers, body if isinstance(body, bytes) else body.encode())
        return upload(self)

    return uploaded


def _compare(headers: Mapping[str, str], body: bytes) -> None:
    """Raise what S3 raises where the body isn't what its headers say ("Checking object integrity",
    S3 User Guide)."""
    md5 = headers.get("Content-MD5")
    if md5:
        try:
            digest = base64.b64decode(md5, validate=True)
        except ValueError:
            digest = b""
        if len(digest) != hashlib.md5(usedforsecurity=False).digest_size:
            raise _refused("InvalidDigest", "The Content-MD5 you specified is not valid.")
        if digest != hashlib.md5(body, usedforsecurity=False).digest():
            raise _refused(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
            )
    for name, computed in _CHECKSUMS.items():
        said = headers.get(f"x-amz-checksum-{name.lower()}")
        if said and said != base64.b64encode(computed(body)).decode():
            raise _refused(
                "BadDigest", f"The {name} you specified did not match the calculated checksum."
            )
    sha256 = headers.get("x-amz-content-sha256", "")
    if len(sha256) == 64 and sha256 != hashlib.sha256(body).hexdigest():
        raise _refused(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )


def _retention() -> None:
    from moto.core.responses import ActionResult
    from moto.s3.exceptions import AccessDeniedByLock, InvalidBucketState, MissingKey
    from moto.s3.models import S3Backend
    from moto.s3.responses import S3Response

    configured = S3Backend.get_object_lock_configuration

    def get_object_lock_configuration(self: Any, bucket_name: str) -> Any:
        # "Days … Years: You must select one" (DefaultRetention); moto says 0 of the other.
        enabled, mode, days, years = configured(self, bucket_name)
        return enabled, mode, days or None, years or None

    S3Backend.get_object_lock_configuration = get_object_lock_configuration

    put = S3Response.put_object_retention

    def put_object_retention(self: Any) -> Any:
        key = self.backend.get_object(
            self.bucket_name, self.parse_key_name(), version_id=self._get_param("versionId")
        )
        bypass = self.headers.get("x-amz-bypass-governance-retention", "").lower() == "true"
        mode, until = self._mode_until_from_body()
        if key is not None and _loosens(key, mode, until, bypass=bypass):
            raise AccessDeniedByLock()
        return put(self)

    S3Response.put_object_retention = put_object_retention

    get = S3Response._key_response_get

    def _key_response_get(self: Any, query: dict[str, Any], key_name: str) -> Any:
        # GetObjectRetention, which moto takes for GetObject.
        if "retention" not in query:
            return get(self, query, key_name)
        key = self.backend.get_object(
            self.bucket_name, key_name, version_id=self._get_param("versionId")
        )
        if key is None:
            raise MissingKey(key=key_name)
        if not key.lock_mode or not key.lock_until:
            raise _refused(
                "NoSuchObjectLockConfiguration",
                "The specified object does not have a ObjectLock configuration",
            )
        self.data["Action"] = "GetObjectRetention"
        kept = {"Mode": key.lock_mode, "RetainUntilDate": _moment(key.lock_until)}
        return self.serialized(ActionResult({"Retention": kept}))

    S3Response._key_response_get = _key_response_get

    version = S3Backend.put_bucket_versioning

    def put_bucket_versioning(self: Any, bucket_name: str, status: str) -> None:
        # Versioning can't be suspended for a bucket that has Object Lock (S3 User Guide, "Object
        # Lock considerations").
        if status == "Suspended" and self.get_bucket(bucket_name).object_lock_enabled:
            raise InvalidBucketState(
                "An Object Lock configuration is present on this bucket, so the versioning state "
                "cannot be changed."
            )
        version(self, bucket_name, status)

    S3Backend.put_bucket_versioning = put_bucket_versioning


def _loosens(key: Any, mode: str | None, until: str | None, *, bypass: bool) -> bool:
    """Whether a new retention would take away from the one that is in force, and may not.

    In compliance mode nobody can change the mode or shorten the period; in governance mode, who
    may bypass it and says so can (S3 User Guide, "Retention modes").
    """
    if key.lock_mode not in ("COMPLIANCE", "GOVERNANCE") or not key.lock_until:
        return False
    ends = _moment(key.lock_until)
    if ends <= simulated_time.now():
        return False
    shorter = until is None or _moment(until) < ends
    if key.lock_mode == "COMPLIANCE":
        return mode != "COMPLIANCE" or shorter
    return (shorter or mode is None) and not bypass


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _denials() -> None:
    from moto.s3.responses import S3Response

    respond = S3Response._key_response

    def _key_response(self: Any, request: Any, full_url: str) -> Any:
        answer = respond(self, request, full_url)
        # "AccessDenied" (S3 error codes); moto answers a bucket policy's Deny with an empty page.
        empty = isinstance(answer, tuple) and answer[0] == 403 and not answer[2]
        if empty and request.method not in ("HEAD", "OPTIONS"):
            raise access_denied()
        return answer

    S3Response._key_response = _key_response


def access_denied() -> Exception:
    """S3's refusal of what isn't allowed."""
    from moto.s3.exceptions import S3AccessDeniedError

    denied: Exception = S3AccessDeniedError()
    return denied


def _refused(code: str, message: str) -> Exception:
    from moto.s3.exceptions import S3ClientError

    refused: Exception = S3ClientError(code, message)
    return refused
