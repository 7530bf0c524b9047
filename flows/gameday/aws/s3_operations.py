"""Which operation of S3 a request is: its API has no names on the wire, and shares paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

_OF_ACCOUNT = "/v20180820/configuration/publicAccessBlock"


@dataclass(frozen=True)
class _Pattern:
    """How an operation looks: its method, whose path it has, and what its query and headers must
    have. ``members`` has where each parameter is: its name on the wire, by its name in the API."""

    name: str
    method: str
    level: int
    query: frozenset[tuple[str, str]]
    required: frozenset[str]
    members: Mapping[str, tuple[str, str]]

    def fits(self, query: Mapping[str, str], given: Mapping[str, Any]) -> bool:
        there = all(query.get(name) == value or not value for name, value in self.query)
        return (
            there and {name for name, _ in self.query} <= set(query) and self.required <= {*given}
        )


def s3_operation(environ: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The operation of a WSGI request to S3 and its parameters, without those in its body.

    Buckets are in the path (path-style). What is none of S3's is named by method and path. Block
    Public Access of an account is S3 Control's, which signs as S3 does; it is named as IAM and
    CloudTrail have it, ``PutAccountPublicAccessBlock``.
    """
    account = environ.get("HTTP_X_AMZ_ACCOUNT_ID")
    if account and environ["PATH_INFO"] == _OF_ACCOUNT:
        verb = environ["REQUEST_METHOD"].capitalize()
        return f"{verb}AccountPublicAccessBlock", {"AccountId": account}
    _, _, path = environ["PATH_INFO"].partition("/")
    bucket, _, key = unquote(path).partition("/")
    level = 2 if key else 1 if bucket else 0
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    best: tuple[int, str, dict[str, Any]] | None = None
    for pattern in _patterns():
        if pattern.level != level or pattern.method != environ["REQUEST_METHOD"]:
            continue
        given = _given(pattern, environ, bucket, key, query)
        weight = len(pattern.query) + len(pattern.required)
        if pattern.fits(query, given) and (best is None or weight > best[0]):
            best = weight, pattern.name, given
    if best is None:
        return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", {}
    return best[1:]


def _given(
    pattern: _Pattern, environ: Mapping[str, Any], bucket: str, key: str, query: Mapping[str, str]
) -> dict[str, Any]:
    of_path = {"Bucket": bucket, "Key": key}
    given: dict[str, Any] = {}
    for name, (where, wire) in pattern.members.items():
        value = {
            "uri": of_path.get(wire),
            "querystring": query.get(wire),
            "header": environ.get("HTTP_" + wire.upper().replace("-", "_")),
        }[where]
        if value is not None:
            given[name] = value
    return given


@cache
def _patterns() -> tuple[_Pattern, ...]:
    from moto.core.utils import get_service_model

    model: Any = get_service_model("s3")
    operations = [model.operation_model(name) for name in model.operation_names]
    return tuple(_pattern(operation) for operation in operations if not operation.deprecated)


def _pattern(operation: Any) -> _Pattern:
    path, _, query = operation.http["requestUri"].partition("?")
    shape = operation.input_shape
    members = {
        name: (member.serialization["location"], member.serialization.get("name", name))
        for name, member in (shape.members if shape else {}).items()
        if member.serialization.get("location") in ("uri", "querystring", "header")
    }
    return _Pattern(
        operation.name,
        operation.http["method"],
        path.count("{"),
        frozenset(parse_qsl(query, keep_blank_values=True)),
        frozenset(name for name in (shape.required_members if shape else ()) if name in members),
        members,
    )
