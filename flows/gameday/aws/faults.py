"""Faults that a simulated AWS has on demand: throttling, refusals, slowness, lost answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict, Field

_QUERY_SERVICES = frozenset(
    {"autoscaling", "cloudformation", "cloudwatch", "elb", "elbv2", "iam", "rds", "sns", "sts"}
)


class Fault(BaseModel):
    """What happens to the calls that match.

    ``service`` and ``operation`` are globs over the API's names (``ec2``, ``CreateSnapshot*``);
    ``containing`` is text that the call's parameters must contain, for example one id. Of the
    matching calls the ``nth`` is the first to be hit, and ``times`` of them are (None: all that
    follow).

    ``error`` answers ``code`` with the HTTP ``status`` and does nothing; ``latency`` waits
    ``seconds`` and then carries the call out; ``drop`` cuts the connection before anything is
    done; ``lost_answer`` carries the call out and then cuts the connection.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str = "*"
    operation: str = "*"
    containing: str = ""
    effect: Literal["error", "latency", "drop", "lost_answer"] = "error"
    code: str = "InternalError"
    message: str = ""
    status: int = Field(400, ge=400, le=599)
    seconds: float = Field(0.0, ge=0)
    nth: int = Field(1, ge=1)
    times: int | None = Field(None, ge=1)

    def matches(self, service: str, operation: str, parameters: Mapping[str, Any]) -> bool:
        return (
            fnmatchcase(service, self.service)
            and fnmatchcase(operation, self.operation)
            and (not self.containing or self.containing in json.dumps(parameters, default=str))
        )

    def hits(self, number: int) -> bool:
        """Whether the matching call of this number, counted from 1, is hit."""
        return number >= self.nth and (self.times is None or number < self.nth + self.times)


class Faults:
    """The faults that are set, in order; the first that hits a call is the one that it meets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._seen: list[int] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)
            self._seen.append(0)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._seen.clear()

    def meet(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Fault | None:
        """The fault that this call meets, if any; every fault that matches has seen it."""
        met: Fault | None = None
        with self._lock:
            for number, fault in enumerate(self._faults):
                if fault.matches(service, operation, parameters):
                    self._seen[number] += 1
                    if met is None and fault.hits(self._seen[number]):
                        met = fault
        return met


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
    elif service in _QUERY_SERVICES:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{xml_code}</Code>"
            f"<Message>{xml_message}</Message></Error><RequestId>simulated</RequestId>"
            "</ErrorResponse>"
        )
    else:
        body = json.dumps({"__type": code, "message": message})
        return body.encode(), "application/x-amz-json-1.1"
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), "text/xml"
