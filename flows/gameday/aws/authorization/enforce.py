"""IAM in front of every call of the simulated AWS: who it is, what they need, whether they may.

The answers to those who may not are AWS's: "Common errors" of each service's API reference, and
"Troubleshoot access denied error messages" (IAM User Guide).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from flows.gameday.aws import settings, simulated_time
from flows.gameday.aws.authorization import consistency, principals
from flows.gameday.aws.authorization.actions import (
    FOR_KEYS_ONLY,
    FREE,
    Need,
    context_of,
    needs_of,
)
from flows.gameday.aws.authorization.conditions import Context
from flows.gameday.aws.authorization.evaluation import (
    Decision,
    Policies,
    decide,
    refusal_text,
)
from flows.gameday.aws.authorization.policy import Asked
from flows.gameday.aws.authorization.principals import Caller, CredentialsRejected, Rejection
from flows.gameday.aws.authorization.resource_policies import policy_of
from flows.gameday.aws.authorization.resources import Place
from flows.gameday.aws.authorization.signature import is_signed_with
from flows.gameday.aws.faults import error_answer
from flows.gameday.aws.recording import Request

Answer = tuple[str, list[tuple[str, str]], bytes]

# moto's own operations, and not AWS's.
_NOT_AWS = "/moto-api"
_READING = ("Describe", "Get", "List", "Simulate")
_CHANGES_IAM = ("iam", "cloudformation")


class Refused(Exception):
    """What somebody isn't allowed, and why, in AWS's words."""


@dataclass(frozen=True)
class Authority:
    """Somebody's permissions in the course of one request.

    ``via`` are the AWS services through which it came, the first one first.
    """

    caller: Caller
    place: Place
    context: Context = field(default_factory=dict)
    via: tuple[str, ...] = ()

    def through(self, service: str) -> Authority:
        """The same, when the AWS service calls on in the caller's name."""
        return Authority(self.caller, self.place, self.context, (*self.via, service))

    def require(self, needs: Iterable[Need], about: Context | None = None) -> None:
        """Raise Refused for the first of the needs that isn't allowed.

        ``about`` are condition keys that hold for all of them.
        """
        base = {
            **self.context,
            **self.caller.context,
            **_called_via(self.via),
            **(about or {}),
        }
        control = principals.control_policies(self.caller.principal.account)
        for need in needs:
            for resource in need.resources:
                theirs = policy_of(need.action, resource)
                asked = Asked(
                    need.action,
                    resource.arn,
                    self.caller.principal,
                    {
                        **base,
                        **need.context,
                        **resource.context,
                        **(
                            {"aws:resourceaccount": (resource.account,)} if resource.account else {}
                        ),
                    },
                )
                decision = decide(
                    asked,
                    Policies(
                        self.caller.identity,
                        self.caller.boundary,
                        self.caller.session,
                        control,
                        theirs.policy,
                        theirs.owner,
                        theirs.decides,
                        theirs.kind,
                    ),
                )
                if not decision.allowed:
                    raise Refused(refusal_text(asked, decision))


def _called_via(services: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """aws:ViaAWSService, aws:CalledVia and its first and last (global condition context keys)."""
    if not services:
        return {"aws:viaawsservice": ("false",)}
    return {
        "aws:viaawsservice": ("true",),
        "aws:calledvia": services,
        "aws:calledviafirst": services[:1],
        "aws:calledvialast": services[-1:],
    }


# In whose name a request is being carried out; the simulated AWS carries out one at a time.
_current: Authority | None = None


def current() -> Authority | None:
    """Whose request is being carried out; None where nothing is enforced."""
    return _current


def refusal(environ: Mapping[str, Any], request: Request, account: str) -> Answer | None:
    """What AWS answers to a request that its caller isn't allowed, or None for one that is.

    ``environ`` is the request in WSGI, ``account`` the one whose resources it names.
    """
    global _current
    _current = None
    if environ["PATH_INFO"].startswith(_NOT_AWS):
        return None
    place = Place(account, request.region or "us-east-1")
    unknown = _not_yet_known(environ, request, place)
    if request.service in _CHANGES_IAM and not request.operation.startswith(_READING):
        consistency.before_change(account)
    if not settings.SETTINGS.enforce_iam:
        return unknown
    try:
        _current = _authorize(environ, request, place)
    except CredentialsRejected as rejected:
        return _rejected(environ, request, rejected.why)
    except Refused as refused:
        return _refused(environ, request, refused)
    return unknown


def _authorize(environ: Mapping[str, Any], request: Request, place: Place) -> Authority:
    caller = principals.caller_of(request.access_key, place.account, _token(environ))
    if caller.secret is not None and not is_signed_with(caller.secret, environ):
        raise CredentialsRejected("unsigned")
    authority = Authority(caller, place, dict(_context(environ, request, caller)))
    needs = needs_of(_about_oneself(request, caller), place)
    without_keys = request.service == "s3" or request.operation.startswith("AssumeRoleWith")
    if not request.access_key and not without_keys:
        raise CredentialsRejected("missing")
    if caller.began is not None and needs[0].action in FOR_KEYS_ONLY:
        raise Refused(f"Cannot call {request.operation} with session credentials")
    if needs[0].action in FREE:
        return authority
    if needs[0].action == "sts:AssumeRole" and caller.began and caller.began.source_identity:
        # It persists across chained sessions: each sets it again, and none can change it (IAM User
        # Guide, "Monitor and control actions taken with assumed roles").
        needs.append(Need("sts:SetSourceIdentity", needs[0].resources))
        wanted = request.parameters.get("SourceIdentity", caller.began.source_identity)
        if wanted != caller.began.source_identity:
            role = needs[0].resources[0].arn
            asked = Asked("sts:SetSourceIdentity", role, caller.principal)
            raise Refused(refusal_text(asked, Decision("role trust policy")))
    authority.require(needs, context_of(request))
    return authority


def _about_oneself(request: Request, caller: Caller) -> Request:
    """ "If you do not specify a user name, IAM determines the user name implicitly based on the …
    access key ID signing the request" (CreateAccessKey and others)."""
    name = caller.context.get("aws:username", ())
    about_a_user = request.service == "iam" and request.operation.endswith(_OF_ONESELF)
    if not (about_a_user and name) or "UserName" in request.parameters:
        return request
    return replace(request, parameters={**request.parameters, "UserName": name[0]})


_OF_ONESELF = ("AccessKey", "AccessKeys", "ChangePassword", "GetUser", "LoginProfile")


def _token(environ: Mapping[str, Any]) -> str:
    given = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
    if given is None:
        given = parse_qs(environ.get("QUERY_STRING", "")).get("X-Amz-Security-Token", [""])[0]
    return str(given)


def _context(
    environ: Mapping[str, Any], request: Request, caller: Caller
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The global condition keys of every request."""
    now = simulated_time.now()
    forwarded = environ.get("HTTP_X_FORWARDED_FOR")
    # On this machine all have one address; X-Forwarded-For says from where a scenario's come.
    address = forwarded.split(",")[0].strip() if forwarded else environ.get("REMOTE_ADDR")
    yield "aws:currenttime", (now.strftime("%Y-%m-%dT%H:%M:%SZ"),)
    yield "aws:epochtime", (str(int(now.timestamp())),)
    yield "aws:securetransport", ("true",)
    yield "aws:requestedregion", (request.region or "us-east-1",)
    yield "aws:principalisawsservice", ("false",)
    if address:
        yield "aws:sourceip", (str(address),)
    if environ.get("HTTP_USER_AGENT"):
        yield "aws:useragent", (str(environ["HTTP_USER_AGENT"]),)
    if environ.get("HTTP_REFERER"):
        yield "aws:referer", (str(environ["HTTP_REFERER"]),)
    organization = principals.organization_id(caller.principal.account)
    if organization:
        yield "aws:principalorgid", (organization,)


def _not_yet_known(environ: Mapping[str, Any], request: Request, place: Place) -> Answer | None:
    """EC2's answer where it doesn't know a new instance profile, or that a role is in it, yet:
    "Invalid IAM Instance Profile name" (EC2 User Guide, "Troubleshoot IAM roles")."""
    named = request.parameters.get("IamInstanceProfile")
    if settings.SETTINGS.iam_consistency_seconds <= 0 or not isinstance(named, Mapping):
        return None
    name, arn = named.get("Name"), named.get("Arn")
    for profile in consistency.iam_in_force(place.account).instance_profiles.values():
        if profile.name == name or profile.arn == arn:
            if profile.roles:
                return None
            return _answer(
                environ,
                request,
                "InvalidParameterValue",
                f'IAM Instance Profile "{profile.arn}" has no associated IAM Roles',
                400,
            )
    parameter = "name" if name else "arn"
    return _answer(
        environ,
        request,
        "InvalidParameterValue",
        f"Value ({name or arn}) for parameter iamInstanceProfile.{parameter} is invalid. "
        f"Invalid IAM Instance Profile {parameter}",
        400,
    )


# Answers


@cache
def _family(service: str) -> str:
    """Services that answer alike: EC2, S3, and the others by their protocol."""
    from botocore.exceptions import UnknownServiceError
    from moto.core.utils import get_service_model

    if service in ("ec2", "s3"):
        return service
    try:
        model: Any = get_service_model(service)
        protocol = str(model.metadata["protocol"])
    except (UnknownServiceError, KeyError):
        return "query"
    return protocol if protocol in ("json", "rest-json") else "query"


_INVALID = "The security token included in the request is invalid."
_EXPIRED = "The security token included in the request is expired"
_UNSIGNED = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)
_NOT_VALIDATED = "AWS was not able to validate the provided access credentials"
_NO_SUCH_KEY = "The AWS Access Key Id you provided does not exist in our records."
# Code, message and status where it isn't about permissions, by family.
_REJECTIONS: Mapping[Rejection, Mapping[str, tuple[str, str, int]]] = {
    "invalid": {
        "ec2": ("AuthFailure", _NOT_VALIDATED, 401),
        "s3": ("InvalidAccessKeyId", _NO_SUCH_KEY, 403),
        "json": ("UnrecognizedClientException", _INVALID, 400),
        "rest-json": ("UnrecognizedClientException", _INVALID, 403),
        "query": ("InvalidClientTokenId", _INVALID, 403),
    },
    "expired": {
        "ec2": ("RequestExpired", "Request has expired.", 400),
        "s3": ("ExpiredToken", "The provided token has expired.", 400),
        "json": ("ExpiredTokenException", _EXPIRED, 400),
        "rest-json": ("ExpiredTokenException", _EXPIRED, 403),
        "query": ("ExpiredToken", _EXPIRED, 403),
    },
    "unsigned": {
        "ec2": ("AuthFailure", _NOT_VALIDATED, 401),
        "json": ("InvalidSignatureException", _UNSIGNED, 400),
        "rest-json": ("InvalidSignatureException", _UNSIGNED, 403),
        "query": ("SignatureDoesNotMatch", _UNSIGNED, 403),
    },
    "missing": {
        "json": ("MissingAuthenticationTokenException", "Missing Authentication Token", 400),
        "query": ("MissingAuthenticationToken", "Request is missing Authentication Token", 403),
    },
}
_DENIALS: Mapping[str, tuple[str, int]] = {
    "ec2": ("UnauthorizedOperation", 403),
    "json": ("AccessDeniedException", 400),
    "rest-json": ("AccessDeniedException", 403),
    "query": ("AccessDenied", 403),
}
# Services that call a refusal otherwise than their family does.
_DENIALS_OF: Mapping[str, tuple[str, int]] = {
    "sns": ("AuthorizationError", 403),
    "sqs": ("AccessDenied", 403),
}


def _rejected(environ: Mapping[str, Any], request: Request, why: Rejection) -> Answer:
    known = _REJECTIONS[why]
    return _answer(environ, request, *known.get(_family(request.service), known["query"]))


def _refused(environ: Mapping[str, Any], request: Request, refused: Refused) -> Answer:
    by_family = _DENIALS.get(_family(request.service), _DENIALS["query"])
    code, status = _DENIALS_OF.get(request.service, by_family)
    message = str(refused)
    if request.service == "ec2":
        message = f"You are not authorized to perform this operation. {message}"
    return _answer(environ, request, code, message, status)


def _answer(
    environ: Mapping[str, Any], request: Request, code: str, message: str, status: int
) -> Answer:
    # A service that has several protocols answers in the one in which it was asked. What isn't JSON
    # has the same XML for errors, but for EC2 and S3.
    family = "json" if environ.get("HTTP_X_AMZ_TARGET") else _family(request.service)
    answer, kind = error_answer("sts" if family == "query" else family, code, message)
    if environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        answer, kind = _cbor({"__type": code, "message": message}), "application/cbor"
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(answer))),
        ("x-amzn-errortype", code),
        *([("smithy-protocol", "rpc-v2-cbor")] if kind == "application/cbor" else []),
    ]
    return f"{status} {_REASONS[status]}", headers, answer


def _cbor(texts: Mapping[str, str]) -> bytes:
    """A map of texts in CBOR (RFC 8949, section 3): a map is of major type 5, a text of 3."""
    parts = [bytes([0xA0 | len(texts)])]
    for text in (item for pair in texts.items() for item in pair):
        data = text.encode()
        parts.append(b"\x79" + len(data).to_bytes(2, "big") + data)
    return b"".join(parts)


_REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}
