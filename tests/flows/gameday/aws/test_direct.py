"""What goes straight to moto's handlers is answered as it is by moto's own application."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flows.gameday.aws.direct import Direct
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import instance

Client = Callable[[str], Any]
_VARYING = re.compile(rb"(?<=<RequestId>)[^<]*|(?<=<requestId>)[^<]*|(?<=<RequestID>)[^<]*")


def _environ(request: Any) -> dict[str, Any]:
    """The WSGI request of one that botocore would send."""
    body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": "/" + request.url.split("/", 3)[3].partition("?")[0],
        "QUERY_STRING": request.url.partition("?")[2],
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode() if isinstance(value, bytes) else str(value)
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    return environ


class Sent(Exception):
    """A request is caught before it is sent."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


def _request(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
    def catch(request: Any, **_: Any) -> None:
        raise Sent(request)

    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register(event, catch)
    try:
        getattr(client, operation)(**parameters)
    except Sent as sent:
        return sent.request
    finally:
        client.meta.events.unregister(event, catch)
    raise AssertionError("nothing was sent")


def _answered(application: Any, environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
    begun: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        begun.append((status, headers))

    body = b"".join(application(environ, start))
    status, headers = begun[-1]
    told = {name.lower(): value for name, value in headers}
    # They are others for each answer.
    for name in ("x-amzn-requestid", "x-amz-crc32"):
        told.pop(name, None)
    return status, told, _VARYING.sub(b"", body)


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "direct"),
    [
        ("ec2", "describe_instances", {}, True),
        ("ec2", "describe_vpcs", {"VpcIds": ["vpc-0123456789abcdef0"]}, True),
        ("ec2", "describe_vpcs", {"DryRun": True}, True),
        ("sts", "get_caller_identity", {}, True),
        ("iam", "list_roles", {}, True),
        ("iam", "get_role", {"RoleName": "nobody"}, True),
        ("autoscaling", "describe_auto_scaling_groups", {}, True),
        ("elbv2", "describe_target_groups", {}, True),
        ("kms", "list_keys", {}, True),
        ("kms", "describe_key", {"KeyId": "nothing"}, True),
        ("sqs", "list_queues", {}, True),
        ("sqs", "get_queue_url", {"QueueName": "nothing"}, True),
        ("events", "list_rules", {}, True),
        ("guardduty", "list_detectors", {}, False),
        ("s3", "list_buckets", {}, False),
    ],
)
def test_the_answer_is_the_same(
    aws: Client,
    simulated_aws: SimulatedAws,
    service: str,
    operation: str,
    parameters: dict[str, Any],
    direct: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = _request(aws(service), operation, parameters)
    motos = simulated_aws._dispatch._application
    expected = _answered(motos, _environ(request))
    through_flask: list[str] = []
    answer = Flask.wsgi_app

    def wsgi_app(self: Flask, environ: Any, start: Any) -> Any:
        through_flask.append(environ["PATH_INFO"])
        return answer(self, environ, start)

    monkeypatch.setattr(Flask, "wsgi_app", wsgi_app)

    assert _answered(Direct(motos), _environ(request)) == expected
    assert (not through_flask) is direct


def test_what_is_not_simulated_is_said_to_be_missing(
    aws: Client, world: WorldIds, ec2: Any
) -> None:
    with pytest.raises(Exception, match="NotSimulated"):
        ec2.describe_capacity_blocks()

    assert instance(ec2, world.victim)
