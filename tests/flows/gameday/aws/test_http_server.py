"""HTTP itself: connections that stay, what is sent before it is asked for, and what is no request."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds

Client = Callable[[str], Any]
HEALTH = b"GET /_clampdown/health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def connection(simulated_aws: SimulatedAws) -> Iterator[socket.socket]:
    place = urlsplit(simulated_aws.url)
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=5) as made:
        yield made


def _answer(connection: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


def test_a_connection_serves_many_calls(connection: socket.socket) -> None:
    for _ in range(3):
        connection.sendall(HEALTH + b"\r\n")
        answer = _answer(connection)
        assert answer.status == 200
        assert json.loads(answer.read())["healthy"] is True
        assert answer.getheader("Date")


def test_a_connection_ends_when_it_is_asked_to(connection: socket.socket) -> None:
    connection.sendall(HEALTH + b"Connection: close\r\n\r\n")

    assert _answer(connection).read()
    assert connection.recv(1) == b""


def test_who_waits_to_send_a_body_is_told_to_go_on(connection: socket.socket) -> None:
    body = b"[]"
    connection.sendall(
        b"POST /_clampdown/faults HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        b"Content-Length: 2\r\n\r\n"
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")

    connection.sendall(body)

    assert json.loads(_answer(connection).read()) == {"added": 0}


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n", b"GET /moto-api/ HTTP/1.0\r\n"])
def test_older_callers_are_answered_too(connection: socket.socket, head: bytes) -> None:
    connection.sendall(head + b"\r\n")

    assert _answer(connection).status


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /_clampdown/health HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"GET /_clampdown/health HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /_clampdown/health HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused(connection: socket.socket, sent: bytes, status: int) -> None:
    connection.sendall(sent)

    assert _answer(connection).status == status


def test_a_caller_that_goes_away_in_the_middle_harms_nobody(
    connection: socket.socket, aws: Client
) -> None:
    connection.sendall(HEALTH + b"Half: a he")
    connection.close()

    assert aws("sts").get_caller_identity()["Account"]


def test_names_with_underscores_reach_only_what_knows_them(aws: Client, world: WorldIds) -> None:
    s3 = aws("s3")
    s3.create_bucket(
        Bucket="evidence", CreateBucketConfiguration={"LocationConstraint": world.region}
    )

    s3.put_object(Bucket="evidence", Key="a", Body=b"x", Metadata={"my_key": "1", "other": "2"})

    found = s3.head_object(Bucket="evidence", Key="a")["Metadata"]
    assert found == {"my_key": "1", "other": "2"}
