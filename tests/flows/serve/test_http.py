"""The HTTP face: what is asked by whom, what is refused, and that it never keeps the service busy."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from flows import listening
from flows.intake_desk import Taken
from flows.journal.errors import JournalUnavailable
from flows.serve import http
from flows.serve.http import POLICIES, http_app, routes, serve_http
from flows.serve.metrics import Metrics
from flows.slack.http import Signed
from runbooks.errors import InvalidInput

TOKEN = "3q9v-a-token-of-more-than-32-characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
INCIDENT = "inc-20260101-abcdef"
MOST = 1 << 20


class Desk:
    """Stands for the intake: takes what comes, or raises."""

    def __init__(self, taken: Taken | None = None, error: Exception | None = None) -> None:
        self.given: list[tuple[bytes, str]] = []
        self.threads: set[str] = set()
        self._taken = taken or Taken(findings=1, incidents=(INCIDENT,))
        self._error = error

    def take(self, document: bytes, via: str) -> Taken:
        self.given.append((document, via))
        self.threads.add(threading.current_thread().name)
        if self._error:
            raise self._error
        return self._taken


async def slack_says(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands for the Slack app behind its signature."""
    await PlainTextResponse("slack")(scope, receive, send)


def parts(**more: Any) -> dict[str, Any]:
    return {
        "ready": list,
        "take": Desk().take,
        "webhook_token": TOKEN,
        "slack": Signed(Starlette(routes=[Route("/slack/events", slack_says)]), "a secret"),
        "metrics": Metrics(),
        **more,
    }


def app(**more: Any) -> ASGIApp:
    return http_app(**parts(**more))


def ask(asked: ASGIApp, method: str, path: str, **request: Any) -> httpx.Response:
    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(asked, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, **request)

    return asyncio.run(sent())


def post(desk: Desk, **request: Any) -> httpx.Response:
    return ask(app(take=desk.take), "POST", "/findings", **{"headers": BEARER, **request})


# Who may ask for what


def test_every_path_has_a_policy_and_keeps_to_it_without_credentials() -> None:
    made = routes(**parts())
    assert {route.path for route in made} == set(POLICIES)
    desk = Desk()
    served = app(take=desk.take)
    for route in made:
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        answer = ask(served, method, route.path, content=b"{}")
        expected = {"public": 200, "token": 401, "slack": 401}[POLICIES[route.path]]
        assert (route.path, answer.status_code) == (route.path, expected)
        assert (method == "GET") == (POLICIES[route.path] == "public")
    assert desk.given == []


@pytest.mark.parametrize(
    "path",
    ["/", "/findings/", "/Health", "/health/", "/docs", "/openapi.json", "/%00", "/..", "/*"],
)
def test_there_is_nothing_on_other_paths(path: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "CONNECT", "PATCH"):
        assert ask(app(), method, path, headers=BEARER).status_code == 404


@pytest.mark.parametrize("path", sorted(POLICIES))
def test_a_wrong_method_is_refused(path: str) -> None:
    right = "GET" if POLICIES[path] == "public" else "POST"
    for method in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"} - {right}:
        answer = ask(app(), method, path, headers=BEARER)
        assert (method, answer.status_code) == (method, 405)
        assert right in answer.headers["allow"]


def test_what_is_not_configured_is_not_there() -> None:
    for token in ("", "   "):
        assert ask(app(webhook_token=token), "POST", "/findings").status_code == 404
        bearer = {"Authorization": f"Bearer {token}"}
        assert ask(app(webhook_token=token), "POST", "/findings", headers=bearer).status_code == 404
    assert ask(app(take=None), "POST", "/findings", headers=BEARER).status_code == 404
    assert ask(app(slack=None), "POST", "/slack/events").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", TOKEN)],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Bearer {TOKEN[:-1]}")],
        [("Authorization", f"Bearer {TOKEN}x")],
        [("Authorization", f"Bearer {TOKEN} {TOKEN}")],
        [("Authorization", f"Bearer {TOKEN.upper()}")],
        [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")],
        [("Authorization", "Bearer no"), ("Authorization", f"Bearer {TOKEN}")],
        [("authorization", b"Bearer \xff\xfe")],
        [("authorization", "Bearer ключ".encode())],
        [("X-Authorization", f"Bearer {TOKEN}")],
        [("Cookie", f"Authorization=Bearer {TOKEN}")],
    ],
)
def test_without_the_token_nothing_is_taken(headers: Any) -> None:
    desk = Desk()
    answer = post(desk, headers=headers, content=b"{}")
    assert (answer.status_code, desk.given) == (401, [])
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


def test_the_scheme_is_written_as_one_likes() -> None:
    assert post(Desk(), headers={"Authorization": f"bearer  {TOKEN}"}).status_code == 202


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1:8809", ""])
@pytest.mark.parametrize("path", ["/findings", "/slack/events"])
def test_a_browser_changes_nothing(origin: str, path: str) -> None:
    desk = Desk()
    for method in ("POST", "OPTIONS", "PUT"):
        answer = ask(app(take=desk.take), method, path, headers={**BEARER, "Origin": origin})
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert desk.given == []


def test_nothing_sets_a_cookie_or_lets_another_origin_in() -> None:
    for path in POLICIES:
        answer = ask(app(), "GET", path, headers={"Origin": "https://evil.example"})
        names = set(answer.headers)
        assert not {name for name in names if name.startswith(("access-control", "set-cookie"))}


# Health, readiness, figures


def test_it_is_ready_when_nothing_keeps_it_from_working() -> None:
    answer = ask(app(), "GET", "/ready")
    assert (answer.status_code, answer.json()) == (200, [])


def test_it_says_what_keeps_it_from_working() -> None:
    reasons = ["The queue urgent was not read for 90 s."]
    answer = ask(app(ready=lambda: reasons), "GET", "/ready")
    assert (answer.status_code, answer.json()) == (503, reasons)


def test_a_check_that_is_refused_or_never_ends_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[str]:
        raise JournalUnavailable("The journal is away.", advice="Look at the disk.")

    answer = ask(app(ready=away), "GET", "/ready")
    assert (answer.status_code, answer.json()) == (503, ["The journal is away. Look at the disk."])

    monkeypatch.setattr(http, "_READY_WITHIN", 0.05)
    enough = threading.Event()
    asked: list[str] = []

    def hangs() -> list[str]:
        asked.append("once")
        enough.wait(10)
        return []

    async def many() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app(ready=hangs))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answers = await asyncio.gather(*(client.get("/ready") for _ in range(20)))
            assert (await client.get("/health")).status_code == 200
        enough.set()
        return answers

    for answer in asyncio.run(many()):
        assert (answer.status_code, answer.json()) == (
            503,
            ["What it needs has not answered within 0.05 seconds."],
        )
    assert asked == ["once"]


def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics()
    metrics.lease_lost()
    answer = ask(app(metrics=metrics), "GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "clampdown_leases_lost_total 1.0\n" in answer.text
    assert "_created" not in answer.text


# Findings


def test_a_document_is_taken_byte_for_byte_in_a_thread_of_the_webhooks() -> None:
    desk = Desk()
    document = b'{"id": "\xff\x00"}'
    answer = post(desk, content=document)
    assert answer.status_code == 202
    assert answer.json() == {"findings": 1, "rejected": 0, "incidents": [INCIDENT]}
    assert desk.given == [(document, "webhook")]
    assert {name.partition("_")[0] for name in desk.threads} == {"webhook"}


@pytest.mark.parametrize(
    ("taken", "status"),
    [
        (Taken(findings=2, rejected=1, incidents=(INCIDENT,)), 202),
        (Taken(findings=1, duplicates=1), 202),
        (Taken(), 202),
        (Taken(rejected=3), 422),
    ],
)
def test_who_sends_nothing_that_is_understood_is_told(taken: Taken, status: int) -> None:
    answer = post(Desk(taken))
    assert answer.status_code == status
    assert answer.json() == {
        "findings": taken.findings,
        "rejected": taken.rejected,
        "incidents": list(taken.incidents),
    }


def test_what_can_not_be_taken_now_is_to_be_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    answer = post(Desk(error=JournalUnavailable("The journal of secret.example is away.")))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "secret.example" not in answer.text
    assert "secret.example is away" in caplog.text


def test_a_fault_of_ours_shows_nothing_of_itself() -> None:
    answer = post(Desk(error=RuntimeError("boom at /home/x")))
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


@pytest.mark.parametrize("size", [MOST, MOST + 1, 3 * MOST])
def test_more_than_a_mebibyte_is_not_read(size: int) -> None:
    desk = Desk()
    told = post(desk, content=b"a" * size).status_code

    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, size, 1 << 16):
            yield b"a" * min(1 << 16, size - start)

    untold = post(desk, content=in_parts()).status_code
    fits = size <= MOST
    assert (told, untold) == ((202, 202) if fits else (413, 413))
    assert [len(document) for document, _ in desk.given] == ([size, size] if fits else [])


def test_a_body_that_breaks_off_is_not_taken() -> None:
    desk = Desk()
    answers: list[int] = []

    async def sent() -> None:
        messages = [
            {"type": "http.request", "body": b'{"half', "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/findings", "headers": headers}
        await app(take=desk.take)({**scope, "query_string": b""}, receive, send)

    asyncio.run(sent())
    assert (answers, desk.given) == ([408], [])


def test_few_are_taken_at_once_and_the_rest_is_answered_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_TAKEN_WITHIN", 0.3)
    enough = threading.Event()
    at_once: list[str] = []

    def take(document: bytes, via: str) -> Taken:
        at_once.append(via)
        enough.wait(10)
        return Taken()

    async def flood() -> list[int]:
        transport = httpx.ASGITransport(app(take=take))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            posts = [
                asyncio.ensure_future(client.post("/findings", headers=BEARER, content=b"{}"))
                for _ in range(50)
            ]
            await asyncio.sleep(0)
            for path in ("/health", "/ready", "/metrics"):
                assert (await client.get(path)).status_code == 200
            assert not any(post.done() for post in posts)
            answers = await asyncio.gather(*posts)
        enough.set()
        return [answer.status_code for answer in answers]

    assert asyncio.run(flood()) == [503] * 50
    # What nobody waits for any more, and was not begun, is left.
    assert len(at_once) == http._AT_ONCE


def test_what_slack_sends_is_slacks_app_to_judge() -> None:
    seen: list[bytes] = []

    async def slack(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["body"])
        await slack_says(scope, receive, send)

    answer = ask(app(slack=slack), "POST", "/slack/events", content=b"payload=1")
    assert (answer.status_code, answer.text, seen) == (200, "slack", [b"payload=1"])


# Over the wire


def over_the_wire(served: ASGIApp, work: Callable[[str, int], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with serve_http(served, "127.0.0.1", 0) as url:
            host, _, port = url.removeprefix("http://").partition(":")
            return await asyncio.wait_for(work(host, int(port)), 10)

    return asyncio.run(run())


async def said(host: str, port: int, request: bytes) -> bytes:
    """All that is answered to some bytes until the connection is closed."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionError:
        # What was not read yet, when the connection was closed, has cut off the answer.
        return b""
    finally:
        writer.close()


HEAD = f"POST /findings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


def test_it_is_served_without_naming_the_server() -> None:
    async def work(host: str, port: int) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            findings = await client.post("/findings", headers=BEARER, content=b"{}")
            assert findings.status_code == 202
            assert (await client.post("/findings", content=b"{}")).status_code == 401
            return await client.get("/health")

    answer = over_the_wire(app(), work)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert "server" not in answer.headers


def test_who_sends_too_much_hears_of_it() -> None:
    async def work(host: str, port: int) -> list[int]:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            body = b"a" * (2 * MOST)
            first = await client.post("/findings", headers=BEARER, content=body)
            return [first.status_code, (await client.get("/health")).status_code]

    assert over_the_wire(app(), work) == [413, 200]


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_BODY_WITHIN", 0.1)
    desk = Desk()

    async def work(host: str, port: int) -> tuple[bytes, bytes]:
        beginning = b'Content-Length: 100\r\n\r\n{"half'
        findings = await said(host, port, HEAD + beginning)
        monkeypatch.setattr(listening, "_LONGEST_CONNECTION", 0.3)
        slack = b"POST /slack/events HTTP/1.1\r\nHost: x\r\n"
        return findings, await said(host, port, slack + beginning)

    findings, slack = over_the_wire(app(take=desk.take), work)
    assert findings.startswith(b"HTTP/1.1 408 ")
    assert slack.startswith(b"HTTP/1.1 401 ")
    assert desk.given == []


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /health HTT",
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /findings HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "half a request", "a whole one", "a refused one"],
)
def test_no_connection_is_held_for_long(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "_LONGEST_CONNECTION", 0.2)

    async def work(host: str, port: int) -> bytes:
        return await said(host, port, beginning)

    began = time.monotonic()
    answer = over_the_wire(app(), work)
    assert time.monotonic() - began < 3
    assert bool(answer) == beginning.endswith((b"\r\n\r\n", b"{"))
    assert caplog.records == []


def test_a_request_that_is_being_answered_is_answered_however_old_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "_LONGEST_CONNECTION", 0.1)

    def take(document: bytes, via: str) -> Taken:
        time.sleep(0.3)
        return Taken(findings=1)

    async def work(host: str, port: int) -> bytes:
        return await said(host, port, HEAD + b"Content-Length: 2\r\n\r\n{}")

    assert over_the_wire(app(take=take), work).startswith(b"HTTP/1.1 202 ")


def test_there_are_never_more_connections_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_MOST_CONNECTIONS", 5)

    async def work(host: str, port: int) -> int:
        pairs = [await asyncio.open_connection(host, port) for _ in range(5)]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        for _, other in pairs:
            other.close()
            await other.wait_closed()
        # Then there is room again.
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            return (await client.get("/health")).status_code

    assert over_the_wire(app(), work) == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{}",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET http://evil.example/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_nonsense_is_neither_an_error_nor_a_log_entry(
    request_: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "_LONGEST_CONNECTION", 0.3)

    async def work(host: str, port: int) -> bytes:
        answer = await said(host, port, request_)
        assert (await said(host, port, b"GET /health HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")
        return answer

    answer = over_the_wire(app(), work)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert b"Traceback" not in answer
    assert caplog.records == []


def test_it_ends_while_somebody_holds_a_connection() -> None:
    async def run() -> float:
        async with serve_http(app(), "127.0.0.1", 0) as url:
            port = int(url.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost:")
            await writer.drain()
            began = time.monotonic()
        ended = time.monotonic() - began
        writer.close()
        return ended

    assert asyncio.run(run()) < 5


def test_a_port_that_is_taken_is_said_with_the_setting_that_takes_another() -> None:
    async def run(host: str, port: int) -> None:
        async with serve_http(app(), host, port):
            raise AssertionError("it listens")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=rf"port {port} of 127.0.0.1: .*CLAMPDOWN_PORT"):
            asyncio.run(run("127.0.0.1", port))
    # No address of this machine, a name that can't be one, and none at all.
    for host in ("192.0.2.1", "a" * 64, ""):
        with pytest.raises(InvalidInput, match=f"Nothing can listen on port 0 of {host}: "):
            asyncio.run(run(host, 0))
