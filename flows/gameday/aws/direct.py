"""Requests go straight to moto's handlers where nothing between changes them: a quarter of a call.

Flask's contexts, hooks and routes are for what is told apart by its path. All that most services
have is a POST to ``/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from http.client import responses
from typing import Any

Handler = Callable[[Any, str, dict[str, str]], Any]


class Direct:
    """A WSGI application that answers as moto's own does. ``application`` is moto's."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._handlers: dict[str, Handler | None] = {}

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        app = self._application.get_application(environ)
        handler = None
        if environ["PATH_INFO"] == "/" and environ["REQUEST_METHOD"] == "POST":
            if app.service not in self._handlers:
                self._handlers[app.service] = _handler(app)
            handler = self._handlers[app.service]
        if handler is None or environ.get("QUERY_STRING"):
            answered: Iterable[bytes] = app(environ, start)
            return answered
        return _answer(handler, environ, start)


def _handler(app: Any) -> Handler | None:
    """What a service does with a POST to ``/``, None where that has a part in it."""
    from werkzeug.exceptions import HTTPException

    try:
        endpoint, parts = app.url_map.bind("127.0.0.1").match("/", method="POST")
    except HTTPException:
        return None
    handler: Handler | None = getattr(app.view_functions[endpoint], "callback", None)
    return None if parts else handler


def _answer(handler: Handler, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    from botocore.exceptions import ClientError
    from werkzeug.exceptions import HTTPException

    request = _request_class()(environ)
    try:
        result = handler(request, f"{request.host_url}", dict(request.headers))
    except ClientError as error:
        result = 400, {}, error.response["Error"]["Message"]
    except HTTPException as error:
        refused: Iterable[bytes] = error.get_response(environ)(environ, start)
        return refused
    status, headers, content = result if len(result) == 3 else (200, {}, result)
    body = content.encode() if isinstance(content, str) else content
    told = [(str(name), str(value)) for name, value in headers.items()]
    names = {name.lower() for name, _ in told}
    if "content-type" not in names:
        told.append(("Content-Type", "text/html; charset=utf-8"))
    told.append(("Access-Control-Allow-Origin", "*"))
    if "content-length" not in names:
        told.append(("Content-Length", str(len(body))))
    start(f"{status} {responses.get(int(status), 'UNKNOWN').upper()}", told)
    return [body]


@cache
def _request_class() -> Any:
    from moto.core.request import Request

    class DirectRequest(Request):  # type: ignore[misc]
        """As moto has it of its server, but for Flask."""

        from_wsgi_server = True

    return DirectRequest
