"""S3's Block Public Access: of buckets and of whole accounts (PublicAccessBlockConfiguration)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flows.gameday.aws.s3 import access_denied

_PUBLIC = ("/global/AllUsers", "/global/AuthenticatedUsers")


def correct() -> None:
    """Have public access blocked where it would be given, and where it was given before."""
    _giving()
    _using()


def _giving() -> None:
    from moto.s3.models import PublicAccessBlock, S3Backend
    from moto.s3.responses import S3Response
    from moto.s3.utils import bucket_policy_is_public

    create = S3Backend.create_bucket

    def create_bucket(self: Any, bucket_name: str, *arguments: Any, **named: Any) -> Any:
        bucket = create(self, bucket_name, *arguments, **named)
        # New buckets block public access, since April 2023 (S3 User Guide, "Blocking public access
        # to your Amazon S3 storage").
        bucket.public_access_block = PublicAccessBlock("true", "true", "true", "true")
        return bucket

    S3Backend.create_bucket = create_bucket

    put_policy = S3Backend.put_bucket_policy

    def put_bucket_policy(self: Any, bucket_name: str, policy: bytes) -> None:
        # BlockPublicPolicy "causes Amazon S3 to reject calls to PUT Bucket policy if the specified
        # bucket policy allows public access" (PublicAccessBlockConfiguration).
        blocked = _blocks(self.get_bucket(bucket_name), "block_public_policy")
        if blocked and bucket_policy_is_public(policy):
            raise access_denied()
        put_policy(self, bucket_name, policy)

    S3Backend.put_bucket_policy = put_bucket_policy

    put_acl = S3Backend.put_bucket_acl

    def put_bucket_acl(self: Any, bucket_name: str, acl: Any) -> None:
        _refuse_public_acl(self.get_bucket(bucket_name), acl)
        put_acl(self, bucket_name, acl)

    S3Backend.put_bucket_acl = put_bucket_acl

    for method in ("put_object", "put_object_acl"):
        setattr(S3Response, method, _without_public_acl(getattr(S3Response, method)))


def _using() -> None:
    from moto.s3.responses import S3Response

    respond = S3Response._key_response

    def _key_response(self: Any, request: Any, full_url: str) -> Any:
        bucket = _existing(self, request, full_url)
        if bucket is not None:
            _refuse_others(self, request, bucket)
            _refuse_by_ignored_acl(self, request, bucket)
        return respond(self, request, full_url)

    S3Response._key_response = _key_response
    respond_of_bucket = S3Response._bucket_response

    def _bucket_response(self: Any, request: Any, full_url: str) -> Any:
        bucket = _existing(self, request, full_url)
        if bucket is not None:
            _refuse_others(self, request, bucket)
        return respond_of_bucket(self, request, full_url)

    S3Response._bucket_response = _bucket_response


def _existing(response: Any, request: Any, full_url: str) -> Any:
    from moto.s3.exceptions import S3ClientError

    name = response.parse_bucket_name_from_url(request, full_url)
    try:
        return response.backend.get_bucket(name) if name else None
    except S3ClientError:
        return None


def _refuse_others(response: Any, request: Any, bucket: Any) -> None:
    """RestrictPublicBuckets "restricts access to this bucket to only AWS service principals and
    authorized users within this account if the bucket has a public policy"."""
    from moto.s3.utils import bucket_policy_is_public

    others = _is_anonymous(request) or response.current_account != bucket.account_id
    if (
        others
        and bucket.policy
        and _blocks(bucket, "restrict_public_buckets")
        and bucket_policy_is_public(bucket.policy)
    ):
        raise access_denied()


def _refuse_by_ignored_acl(response: Any, request: Any, bucket: Any) -> None:
    """IgnorePublicAcls "causes Amazon S3 to ignore all public ACLs on this bucket and objects in this
    bucket": only its policy can let the anonymous in."""
    from moto.iam.access_control import PermissionResult

    if not _is_anonymous(request) or not _blocks(bucket, "ignore_public_acls"):
        return
    name = response.parse_key_name()
    key = response.backend.get_object(bucket.name, name)
    permission = bucket.get_permission("s3:GetObject", f"{bucket.arn}/{name}")
    public = key is not None and key.acl is not None and key.acl.public_read
    if public and permission != PermissionResult.PERMITTED:
        raise access_denied()


def _is_anonymous(request: Any) -> bool:
    return "Authorization" not in request.headers and "Signature=" not in request.url


def _without_public_acl(call: Any) -> Any:
    # "BlockPublicAcls … PUT Bucket acl and PUT Object acl calls fail if the specified ACL is
    # public. PUT Object calls fail if the request includes a public ACL."
    def called(self: Any) -> Any:
        bucket = self.backend.get_bucket(self.bucket_name)
        _refuse_public_acl(bucket, self._acl_from_headers(self.headers))
        return call(self)

    return called


def _refuse_public_acl(bucket: Any, acl: Any) -> None:
    grantees = [grantee for grant in (acl.grants if acl else ()) for grantee in grant.grantees]
    public = any((grantee.uri or "").endswith(_PUBLIC) for grantee in grantees)
    if public and _blocks(bucket, "block_public_acls"):
        raise access_denied()


def _blocks(bucket: Any, setting: str) -> bool:
    """Whether a bucket blocks it, or its account does: "the most restrictive combination"."""
    from moto.s3control.models import s3control_backends

    account = s3control_backends[bucket.account_id][bucket.partition]
    settings: Iterable[Any] = (bucket.public_access_block, account.public_access_block)
    return any(bool(getattr(item, setting, False)) for item in settings if item is not None)
