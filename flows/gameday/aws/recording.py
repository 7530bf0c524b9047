"""Reading and recording calls: what was asked, in which account, when, and how it ended."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, overload
from urllib.parse import parse_qsl, unquote

from flows.gameday.aws.identities import Identity
from flows.gameday.aws.s3_operations import s3_operation

_CREDENTIAL = re.compile(r"Credential=([^/,]+)/\d{8}/([^/,]+)/([^/,]+)/")
_READING = ("Describe", "Get", "List", "Lookup", "Search", "Head", "Simulate", "Filter", "Query")
# Reads by name that hand out credentials, or change nothing that anybody could read back.
_READING_TOO = frozenset({"AssumeRole", "GetCallerIdentity", "ValidateTemplate"})

# Services whose name in a signature is not the name that boto3 gives them.
_SIGNED_AS = {
    "monitoring": "cloudwatch",
    "email": "ses",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
_LOAD_BALANCING = {"2012-06-01": "elb", "2015-12-01": "elbv2"}
# The versions of the query APIs: by them a request without a signature is known.
_VERSIONS = {
    **_LOAD_BALANCING,
    "2010-03-31": "sns",
    "2010-05-08": "iam",
    "2010-05-15": "cloudformation",
    "2011-01-01": "autoscaling",
    "2011-06-15": "sts",
    "2016-11-15": "ec2",
}


@dataclass(frozen=True)
class RecordedCall:
    """One call, in the words of the API: ``ec2``, ``DescribeInstances``, its parameters by name.

    ``error`` is the code of AWS's error, empty for a success; ``status`` is the HTTP status, or 0
    where the connection was cut before an answer. ``at`` is when it was carried out, in UTC.
    ``identity`` is who signed it.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    account: str
    region: str
    at: datetime
    seconds: float
    status: int
    error: str = ""
    identity: Identity | None = None
    source_address: str = ""
    user_agent: str = ""

    @property
    def name(self) -> str:
        return f"{self.service}:{self.operation}"

    @property
    def changes(self) -> bool:
        """Whether the call is one that changes something. Dry runs and reads don't."""
        if self.operation in _READING_TOO or self.parameters.get("DryRun") is True:
            return False
        verb = self.operation.split(" ", 1)[0]
        return not (self.operation.startswith(_READING) or verb in ("GET", "HEAD"))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "at": self.at.isoformat(), "changes": self.changes}


@dataclass(frozen=True)
class Request:
    """What a request says of itself before it is answered."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    access_key: str
    region: str
    source_address: str = ""
    user_agent: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, Any], body: bytes) -> Request:
        """Read a WSGI request whose body is given.

        What its service's model doesn't know is named by method and path.
        """
        # A presigned URL has its signature in the query.
        signature = environ.get("HTTP_AUTHORIZATION") or unquote(environ.get("QUERY_STRING", ""))
        match = _CREDENTIAL.search(signature)
        access_key, region, signed_as = match.groups() if match else ("", "", "")
        form: dict[str, str] = {}
        if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
            form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        if not (match or form or environ.get("HTTP_X_AMZ_TARGET")):
            # Only S3 answers without a signature to what names no action.
            signed_as = "s3"
        service = _service(signed_as.lower(), form.get("Version", ""))
        operation, parameters = _operation(service, environ, body, form)
        return cls(
            service,
            operation,
            parameters,
            access_key,
            region,
            environ.get("REMOTE_ADDR", ""),
            environ.get("HTTP_USER_AGENT", ""),
        )

    def recorded(
        self,
        account: str,
        at: datetime,
        seconds: float,
        status: int,
        error: str = "",
        identity: Identity | None = None,
    ) -> RecordedCall:
        return RecordedCall(
            self.service,
            self.operation,
            self.parameters,
            account,
            self.region,
            at.astimezone(UTC),
            round(seconds, 4),
            status,
            error,
            identity,
            self.source_address,
            self.user_agent,
        )


@dataclass
class Calls(Sequence[RecordedCall]):
    """Every call since the last reset, in the order in which they were carried out."""

    _calls: list[RecordedCall] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, call: RecordedCall) -> None:
        with self._lock:
            self._calls.append(call)

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()

    def forget_after(self, count: int) -> None:
        """Forget all but the first ``count`` calls."""
        with self._lock:
            del self._calls[count:]

    def of(self, service: str, operation: str | None = None) -> list[RecordedCall]:
        """The calls of one service, or of one operation of it."""
        return [
            call for call in self if call.service == service and operation in (None, call.operation)
        ]

    @property
    def changes(self) -> list[RecordedCall]:
        """The calls that change something, whether or not they succeeded."""
        return [call for call in self if call.changes]

    @overload
    def __getitem__(self, index: int) -> RecordedCall: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedCall]: ...
    def __getitem__(self, index: int | slice) -> RecordedCall | list[RecordedCall]:
        with self._lock:
            return self._calls[index]

    def __iter__(self) -> Iterator[RecordedCall]:
        with self._lock:
            return iter(list(self._calls))

    def __len__(self) -> int:
        with self._lock:
            return len(self._calls)


def _service(signed_as: str, version: str) -> str:
    if not signed_as:
        return _VERSIONS.get(version, "")
    if signed_as == "elasticloadbalancing":
        return _LOAD_BALANCING.get(version, "elbv2")
    return _SIGNED_AS.get(signed_as, signed_as)


def _operation(
    service: str, environ: Mapping[str, Any], body: bytes, form: Mapping[str, str]
) -> tuple[str, Mapping[str, Any]]:
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return str(target).rsplit(".", 1)[-1], _json(body)
    if "Action" in form:
        return form["Action"], _parameters(service, form["Action"], form)
    if service == "s3":
        return s3_operation(environ)
    routed = _routed(service, environ)
    if routed is None:
        return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", _json(body)
    operation, in_path = routed
    in_query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    return operation, {**in_path, **in_query, **_json(body)}


def _parameters(service: str, operation: str, form: Mapping[str, str]) -> Mapping[str, Any]:
    """A form's fields by the names of the API (``SecurityGroupIds``), not those on the wire
    (``SecurityGroupId.1``)."""
    from botocore.exceptions import UnknownServiceError
    from botocore.model import OperationNotFoundError
    from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
    from moto.core.utils import get_service_model

    plain = {key: value for key, value in form.items() if key not in ("Action", "Version")}
    try:
        model: Any = get_service_model(service)
        parser: Any = PROTOCOL_PARSERS["ec2" if service == "ec2" else "query"]
        parsed = parser(model.operation_model(operation), map_type=dict).parse(
            {"method": "POST", "values": plain, "headers": {}, "body": b"", "url_path": "/"}
        )
    except (UnknownServiceError, OperationNotFoundError, RequestParserError):
        return plain
    result: dict[str, Any] = _plain(parsed)
    return result


def _routed(service: str, environ: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    from botocore.exceptions import UnknownServiceError
    from moto.core.request import Request as MotoRequest
    from moto.core.routing import NotFound, get_service_router

    if not service:
        return None
    try:
        router: Any = get_service_router(service)
        operation, in_path = router.match(MotoRequest(dict(environ)))
    except (NotFound, NotImplementedError, UnknownServiceError):
        return None
    return str(operation.name), dict(in_path)


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value
