"""Whether a request was signed with the secret of its access key.

IAM User Guide, "AWS Signature Version 4 for API requests: Create a signed request".
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote

_UNRESERVED = "-_.~"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)


def is_signed_with(secret: str, environ: Mapping[str, Any]) -> bool:
    """Whether the Authorization header of a WSGI request was made with the secret.

    What has no such header (a presigned URL) isn't looked at and counts as signed.
    """
    given = environ.get("HTTP_AUTHORIZATION")
    if given is None:
        return True
    match = _AUTHORIZATION.fullmatch(given)
    if match is None:
        return False
    _, day, region, service, names, signature = match.groups()
    moment = environ.get("HTTP_X_AMZ_DATE", "")
    scope = f"{day}/{region}/{service}/aws4_request"
    request = hashlib.sha256(_canonical(environ, service, names).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{request}"
    expected = hmac.new(_key(secret, day, region, service), text.encode(), "sha256").hexdigest()
    return hmac.compare_digest(expected, signature)


def _canonical(environ: Mapping[str, Any], service: str, names: str) -> str:
    path, _, query = str(environ["REQUEST_URI"]).partition("?")
    if service != "s3":
        # "Each path segment must be URI-encoded twice (except for Amazon S3 …)".
        normal = posixpath.normpath(path) if path.strip("/") else "/"
        ending = "/" if path.endswith("/") and normal != "/" else ""
        path = quote(normal.replace("//", "/") + ending, safe=f"/{_UNRESERVED}")
    pairs = sorted(
        (quote(key, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for key, value in parse_qsl(query, keep_blank_values=True)
    )
    headers = "".join(f"{name}:{_header(environ, name)}\n" for name in names.split(";"))
    payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256")
    if payload is None:
        payload = hashlib.sha256(environ["wsgi.input"].getvalue()).hexdigest()
    return "\n".join(
        (
            environ["REQUEST_METHOD"],
            path,
            "&".join(f"{key}={value}" for key, value in pairs),
            headers,
            names,
            payload,
        )
    )


def _header(environ: Mapping[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")
    return " ".join(str(value).split())


@lru_cache(256)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key
