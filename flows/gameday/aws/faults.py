"""Faults that a simulated AWS has on demand: throttling, refusals, slowness, lost answers."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.gameday.aws import simulated_time

Effect = Literal[
    "error",
    "throttle",
    "deny",
    "server_error",
    "expired_token",
    "latency",
    "drop",
    "lost_answer",
    "partial_page",
    "duplicate",
    "reorder",
]

FAULT = "clampdown.fault"
"""Where a request in WSGI has the fault that it meets while it is carried out."""


@dataclass(frozen=True)
class ErrorAnswer:
    """An error by its code, the status of HTTP and what it says."""

    code: str
    status: int
    message: str


class Fault(BaseModel):
    """What happens to the calls that match.

    ``service`` and ``operation`` are globs over the API's names (``ec2``, ``CreateSnapshot*``);
    ``containing`` is text that the call's parameters must contain, for example one id, and
    ``caller`` text that the User-Agent must contain, so that others are spared. Of the
    matching calls the ``nth`` is the first that can be hit, and the ``times`` calls from it on are
    (None: all that follow), each with the ``probability``. Which ones follows from the ``seed``,
    and so does every latency.

    ``error`` answers ``code`` with the HTTP ``status`` and does nothing. ``throttle``, ``deny``,
    ``server_error`` and ``expired_token`` do the same with the code and status that the service
    itself has for it, unless others are given. ``latency`` waits and then carries the call out:
    ``seconds``; or between ``seconds`` and ``most_seconds`` (``uniform``); or a time around the
    median ``seconds`` (``lognormal``, with ``sigma`` as the deviation of its logarithm).
    ``drop`` cuts the connection before anything is done; ``lost_answer`` carries the call out and
    then cuts the connection. ``partial_page`` ends a page after ``keep`` items, with a token for
    the rest; calls without pages don't notice. ``duplicate`` has SQS deliver what the call receives
    once more, even if it is deleted meanwhile, and ``reorder`` has the call receive any messages
    that can be, in any order; calls other than ReceiveMessage don't notice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str = "*"
    operation: str = "*"
    containing: str = ""
    caller: str = ""
    effect: Effect = "error"
    code: str = ""
    message: str = ""
    status: int | None = Field(default=None, ge=400, le=599)
    seconds: float = Field(default=0.0, ge=0)
    most_seconds: float = Field(default=0.0, ge=0)
    sigma: float = Field(default=0.5, gt=0)
    distribution: Literal["fixed", "uniform", "lognormal"] = "fixed"
    keep: int = Field(default=1, ge=0)
    nth: int = Field(default=1, ge=1)
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0

    @model_validator(mode="after")
    def _uniform_has_an_end(self) -> Fault:
        if self.distribution == "uniform" and self.most_seconds < self.seconds:
            raise ValueError("most_seconds must not be less than seconds")
        return self

    def matches(
        self, service: str, operation: str, parameters: Mapping[str, Any], caller: str = ""
    ) -> bool:
        return (
            fnmatchcase(service, self.service)
            and fnmatchcase(operation, self.operation)
            and self.caller in caller
            and (not self.containing or self.containing in json.dumps(parameters, default=str))
        )

    def hits(self, number: int) -> bool:
        """Whether the matching call of this number, counted from 1, is hit."""
        if number < self.nth or (self.times is not None and number >= self.nth + self.times):
            return False
        return self.probability >= 1 or self._chance(number, "hit").random() < self.probability

    def wait(self, number: int) -> float:
        """How many seconds the matching call of this number waits."""
        chance = self._chance(number, "wait")
        match self.distribution:
            case "uniform":
                return chance.uniform(self.seconds, self.most_seconds)
            case "lognormal":
                return self.seconds * chance.lognormvariate(0, self.sigma)
        return self.seconds

    @property
    def refuses(self) -> bool:
        """Whether it answers with an error, and does nothing."""
        return self.effect in ("error", "throttle", "deny", "server_error", "expired_token")

    @property
    def is_carried_out(self) -> bool:
        """Whether the call is carried out nevertheless."""
        return not self.refuses and self.effect != "drop"

    def answer(self, service: str) -> ErrorAnswer:
        """The error that the service answers with."""
        own = _own_error(self.effect, service)
        return ErrorAnswer(
            self.code or own.code,
            self.status or own.status,
            # Another code than the service's own has its own words.
            self.message or self.code or own.message,
        )

    def _chance(self, number: int, what: str) -> random.Random:
        # By the call's number, not in the order of calls: other threads change nothing.
        return random.Random(f"{self.seed} {what} {number}")


@dataclass(frozen=True)
class Met:
    """A fault that a call meets, and how many seconds it waits for it."""

    fault: Fault
    seconds: float

    @property
    def effect(self) -> Effect:
        return self.fault.effect


@dataclass
class _Set:
    """A fault that was set: how many calls it has seen and hit, and whether it is over."""

    fault: Fault
    seen: int = 0
    hits: int = 0
    over: bool = False


class Faults:
    """The faults that are set, in order; the first that hits a call is the one that it meets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Set] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(_Set(fault))

    def end(self, fault: Fault) -> None:
        """Have the fault hit nothing any more; what it has hit stays known."""
        with self._lock:
            for known in self._faults:
                known.over = known.over or known.fault == fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def hit(self) -> list[tuple[Fault, int]]:
        """Every fault that was set, and how many calls have met it."""
        with self._lock:
            return [(known.fault, known.hits) for known in self._faults]

    def meet(
        self, service: str, operation: str, parameters: Mapping[str, Any], caller: str = ""
    ) -> Met | None:
        """The fault that this call meets, if any; every fault that matches has seen it."""
        met: Met | None = None
        with self._lock:
            for known in self._faults:
                fault = known.fault
                if known.over or not fault.matches(service, operation, parameters, caller):
                    continue
                known.seen += 1
                if met is None and fault.hits(known.seen):
                    known.hits += 1
                    met = Met(fault, fault.wait(known.seen))
        return met


class Limit(BaseModel):
    """A limit of the rate of calls, as AWS has them: a bucket of tokens, of which a call takes one.

    ``burst`` is how many the bucket holds, ``per_second`` how many are put back ("the token bucket
    algorithm", EC2 Developer Guide, "Request throttling"). Each operation that matches has a bucket
    of its own, or, with ``shared``, all have one together; there is one for every account and
    Region.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str = "*"
    operation: str = "*"
    burst: int = Field(ge=1)
    per_second: float = Field(ge=0)
    shared: bool = False

    def matches(self, service: str, operation: str) -> bool:
        return fnmatchcase(service, self.service) and fnmatchcase(operation, self.operation)


@dataclass
class _Bucket:
    tokens: float
    filled: float


class Limits:
    """The limits that are set. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = simulated_time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limits: list[Limit] = []
        self._buckets: dict[tuple[int, str, str, str], _Bucket] = {}

    def add(self, limit: Limit) -> None:
        with self._lock:
            self._limits.append(limit)

    def clear(self) -> None:
        with self._lock:
            self._limits.clear()
            self._buckets.clear()

    def exceeded(self, service: str, operation: str, account: str, region: str) -> Fault | None:
        """The throttling that the call meets, where a bucket has no token for it.

        A call that is throttled takes no token from any bucket.
        """
        with self._lock:
            buckets = [
                self._bucket(number, limit, operation, account, region)
                for number, limit in enumerate(self._limits)
                if limit.matches(service, operation)
            ]
            if any(bucket.tokens < 1 for bucket in buckets):
                return Fault(effect="throttle")
            for bucket in buckets:
                bucket.tokens -= 1
        return None

    def _bucket(
        self, number: int, limit: Limit, operation: str, account: str, region: str
    ) -> _Bucket:
        now = self._clock()
        key = (number, "" if limit.shared else operation, account, region)
        bucket = self._buckets.setdefault(key, _Bucket(limit.burst, now))
        gained = (now - bucket.filled) * limit.per_second
        bucket.tokens, bucket.filled = min(limit.burst, bucket.tokens + gained), now
        return bucket


def error_answer(service: str, code: str, message: str) -> tuple[bytes, str]:
    """An error as the service writes it, and its content type."""
    xml_code, xml_message = escape(code), escape(message)
    if service == "ec2":
        text = (
            f"<Response><Errors><Error><Code>{xml_code}</Code><Message>{xml_message}</Message>"
            "</Error></Errors><RequestID>simulated</RequestID></Response>"
        )
    elif service == "s3":
        text = f"<Error><Code>{xml_code}</Code><Message>{xml_message}</Message></Error>"
    elif _protocol(service) in _IN_XML:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{xml_code}</Code>"
            f"<Message>{xml_message}</Message></Error><RequestId>simulated</RequestId>"
            "</ErrorResponse>"
        )
    else:
        body = json.dumps({"__type": code, "message": message})
        return body.encode(), "application/x-amz-json-1.1"
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), "text/xml"


# Of the protocols, REST's JSON answers with the status of HTTP that fits; the other JSON says 400.
_IN_XML = ("query", "rest-xml")


@cache
def _protocol(service: str) -> str:
    """The protocol of a service, as botocore speaks it; JSON where nothing is known of it."""
    from botocore.exceptions import UnknownServiceError
    from moto.core.utils import get_service_model

    try:
        model: Any = get_service_model(service)
    except UnknownServiceError:
        return "json"
    return str(model.resolved_protocol)


# Each service's own codes, as its API Reference lists them under "Common errors" and "Errors". The
# throttling codes are all known to the SDKs, which back off and try again (SDKs and Tools Reference
# Guide, "Retry behavior").
_THROTTLED = {
    "detective": ("TooManyRequestsException", 429),
    "ebs": ("RequestThrottledException", 400),
    "ec2": ("RequestLimitExceeded", 503),
    "guardduty": ("TooManyRequestsException", 429),
    "lambda": ("TooManyRequestsException", 429),
    "organizations": ("TooManyRequestsException", 400),
    "s3": ("SlowDown", 503),
    "sqs": ("RequestThrottled", 403),
}
_DENIED = {"ec2": ("UnauthorizedOperation", 403), "s3": ("AccessDenied", 403)}
_FAILED = {"ec2": ("InternalError", 500), "s3": ("InternalError", 500)}
_EXPIRED = {"ec2": ("RequestExpired", 400), "s3": ("ExpiredToken", 400)}


def _own_error(effect: Effect, service: str) -> ErrorAnswer:
    query, rest = _protocol(service) in _IN_XML, _protocol(service) == "rest-json"
    match effect:
        case "throttle":
            code, status = ("Throttling", 400) if query else ("ThrottlingException", 400)
            code, status = _THROTTLED.get(service, (code, 429 if rest else status))
            said = "Request limit exceeded." if service == "ec2" else "Rate exceeded"
            return ErrorAnswer(code, status, said)
        case "deny":
            code, status = ("AccessDenied", 403) if query else ("AccessDeniedException", 400)
            code, status = _DENIED.get(service, (code, 403 if rest else status))
            return ErrorAnswer(code, status, "You are not authorized to perform this operation.")
        case "server_error":
            code, status = ("InternalFailure", 500) if query else ("InternalServerError", 500)
            code, status = _FAILED.get(service, (code, status))
            return ErrorAnswer(code, status, "An internal error has occurred.")
        case "expired_token":
            code, status = ("ExpiredToken", 403) if query else ("ExpiredTokenException", 400)
            code, status = _EXPIRED.get(service, (code, 403 if rest else status))
            return ErrorAnswer(
                code, status, "The security token included in the request is expired"
            )
    return ErrorAnswer("InternalError", 400, "InternalError")
