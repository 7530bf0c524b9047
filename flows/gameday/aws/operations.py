"""Operations that moto lacks, added by their names in the API: paths and parameters are AWS's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any

Operation = Callable[[Any, dict[str, Any]], Mapping[str, Any] | None]
"""What carries out an operation: it is given moto's response object, which knows account and
Region, and the call's parameters by their names in the API; it returns the answer likewise."""

_IN_PATH = re.compile(r"\{(\w+)(\+?)\}")


def add(response: Any, operations: Mapping[str, Operation]) -> None:
    """Have a service of moto carry these operations out; those that it has are replaced.

    ``response`` is moto's response class of the service. The names, paths and parameters of the
    operations are read from the service's own model, botocore's.
    """
    from moto.core.utils import camelcase_to_underscores, get_service_model

    model: Any = get_service_model(response().boto3_service_name)
    for name, carry_out in operations.items():
        setattr(response, camelcase_to_underscores(name), _method(carry_out))
        path = model.operation_model(name).http["requestUri"].split("?", 1)[0]
        if path != "/":
            urls = import_module(response.__module__.rsplit(".", 1)[0] + ".urls")
            pattern = _IN_PATH.sub(_segment, path)
            urls.url_paths.setdefault(f"{{0}}{pattern}$", response.dispatch)


def error(code: str, message: str, **fields: str) -> Exception:
    """An error of a service, by its code there; its HTTP status is that of the service's model.

    ``fields`` are what else the model has the error say, by the names of the API.
    """
    raised: Exception = _refused_call()(code, message)
    for name, value in fields.items():
        setattr(raised, name, value)
    return raised


def page(
    items: list[Any], size: int | None, token: str | None, *, bad_token: Exception
) -> tuple[list[Any], str | None]:
    """One page of a list and the token of the next, or None where it is the last.

    ``size`` None takes all that is left. Raises ``bad_token`` for a token that none of the pages
    before gave.
    """
    try:
        start = int(token) if token else 0
    except ValueError:
        raise bad_token from None
    if not 0 <= start <= len(items):
        raise bad_token
    end = len(items) if size is None else start + size
    return items[start:end], str(end) if end < len(items) else None


def timestamp(at: datetime) -> str:
    """A moment as AWS's JSON services write it: ``2026-11-25T08:30:00.123Z``."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


@cache
def _refused_call() -> Any:
    from moto.core.exceptions import ServiceException

    # A class of ours: moto looks the code up in the model of the service in whose package the
    # class is, and its own base class is in that of none.
    class RefusedCall(ServiceException):  # type: ignore[misc]
        """A call is refused with an error of its service."""

    return RefusedCall


def _segment(named: re.Match[str]) -> str:
    # ``{Key+}`` may have slashes in it, and so may ARNs.
    slashes = named[2] or named[1].lower().endswith("arn")
    return f"(?P<{named[1]}>{'.+' if slashes else '[^/]+'})"


def _method(carry_out: Operation) -> Callable[[Any], Any]:
    from moto.core.responses import ActionResult

    def method(self: Any) -> Any:
        return ActionResult(carry_out(self, _asked(self)) or {})

    return method


def _asked(response: Any) -> dict[str, Any]:
    """The parameters of the call by their names in the API."""
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.request import determine_request_protocol
    from moto.core.utils import get_service_model

    request = response.normalized_request
    model: Any = get_service_model(response.boto3_service_name)
    operation = model.operation_model(response._get_action())
    protocol = determine_request_protocol(model, request.content_type)
    parsed = PROTOCOL_PARSERS[protocol](operation, map_type=dict).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": response.uri_match,
        }
    )
    return dict(parsed)
