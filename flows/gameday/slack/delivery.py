"""How Slack tells the app what people do: over HTTP with signed requests, or over Socket Mode."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp

from flows.gameday.slack.socket_mode import NotConnected, SocketMode
from flows.gameday.slack.workspace import Workspace

Kind = Literal["slash_commands", "interactive", "events_api"]

# "Your app must respond within 3 seconds"; a failed event is sent again "nearly immediately", after
# one minute and after five (docs.slack.dev, "Events API", "Retries").
ACK_SECONDS = 3.0
RETRY_SECONDS = (0.0, 60.0, 300.0)


@dataclass(frozen=True)
class Request:
    """What is sent to the app. Over HTTP it is the body with its headers, over Socket Mode the
    envelope; sent again, either is the same to the byte."""

    kind: Kind
    payload: Mapping[str, Any]
    envelope: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Ack:
    """What the app answered, and after how long.

    ``status`` is that of HTTP; acknowledging an envelope counts as 200, no answer as 0. ``error``
    is what Slack tells the person: empty, or ``operation_timeout``, ``dispatch_failed``,
    ``http_client_error``, ``http_service_error``, ``invalid_response``. Where nothing was sent it
    is ``slack_is_down``, or ``not_subscribed`` of an event that the app doesn't want.
    """

    status: int
    body: Any
    seconds: float
    error: str = ""
    attempts: int = 1
    request: Request | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return not self.error


def signed(body: bytes, signing_secret: str, timestamp: int | None = None) -> dict[str, str]:
    """The headers by which the app knows that a request is Slack's (docs.slack.dev, "Verifying
    requests from Slack"). ``timestamp`` is now, unless another is given."""
    at = str(int(time.time()) if timestamp is None else timestamp)
    signature = hmac.new(
        signing_secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256
    )
    return {
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": f"v0={signature.hexdigest()}",
    }


@dataclass
class Urls:
    """Where the app gets its requests. Empty: it uses Socket Mode."""

    commands: str = ""
    interactivity: str = ""
    events: str = ""

    def of(self, kind: Kind) -> str:
        return {
            "slash_commands": self.commands,
            "interactive": self.interactivity,
            "events_api": self.events,
        }[kind]


class Delivery:
    """Sends what happened, in the server's loop. ``acks`` are all answers, in order."""

    def __init__(
        self,
        workspace: Workspace,
        sockets: SocketMode,
        *,
        ack_seconds: float = ACK_SECONDS,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        self.urls = Urls()
        self.acks: list[Ack] = []
        self._workspace = workspace
        self._sockets = sockets
        self._ack_seconds = ack_seconds
        self._retry_seconds = retry_seconds
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def deliver(
        self, kind: Kind, payload: Mapping[str, Any], *, accepts_response: bool
    ) -> Ack:
        """Tell the app once, and give its answer."""
        return await self.send(self._request(kind, payload, accepts_response))

    async def deliver_event(self, payload: Mapping[str, Any]) -> Ack:
        """Tell the app of an event, up to four times."""
        request = self._request("events_api", payload, False)
        ack = await self.send(request)
        for number, pause in enumerate(self._retry_seconds, start=1):
            if not ack.error or ack.body == _NO_RETRY:
                break
            await asyncio.sleep(pause)
            ack = await self.send(self._again(request, number, ack))
            ack = replace(ack, attempts=number + 1)
        return ack

    async def send(self, request: Request) -> Ack:
        """Send a request as it is, be it for the first time or again."""
        began = time.monotonic()
        post = self._post if request.body else self._over_socket
        status, body, error = await post(request)
        ack = Ack(status, body, time.monotonic() - began, error, request=request)
        with self._workspace.changing():
            self.acks.append(ack)
        return ack

    async def verify(self, url: str) -> bool:
        """Whether the app answers the challenge with which Slack checks an address for events."""
        challenge = self._workspace.ids.word(52)
        payload = {
            "token": self._workspace.installation.verification_token,
            "challenge": challenge,
            "type": "url_verification",
        }
        status, body, _ = await self._post(self._signed("events_api", payload), url)
        answered = body.get("challenge") if isinstance(body, Mapping) else body
        return status == 200 and answered == challenge

    def _request(self, kind: Kind, payload: Mapping[str, Any], accepts: bool) -> Request:
        if self.urls.of(kind):
            return self._signed(kind, payload)
        envelope: dict[str, Any] = {
            "envelope_id": self._workspace.ids.uuid(),
            "payload": dict(payload),
            "type": kind,
            "accepts_response_payload": accepts,
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": 0, "retry_reason": ""}
        return Request(kind, payload, envelope)

    def _signed(self, kind: Kind, payload: Mapping[str, Any]) -> Request:
        content_type = "application/x-www-form-urlencoded"
        if kind == "slash_commands":
            body = urlencode(payload).encode()
        elif kind == "interactive":
            body = urlencode({"payload": json.dumps(payload)}).encode()
        else:
            content_type, body = "application/json", json.dumps(payload).encode()
        headers = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "Accept": "application/json,*/*",
            **signed(body, self._workspace.installation.signing_secret),
        }
        return Request(kind, payload, headers=headers, body=body)

    def _again(self, request: Request, number: int, ack: Ack) -> Request:
        """The same event, with what was wrong before. Slack signs it anew."""
        if request.body:
            reason = {"operation_timeout": "http_timeout", "dispatch_failed": "connection_failed"}
            headers = {
                **request.headers,
                **signed(request.body, self._workspace.installation.signing_secret),
                "X-Slack-Retry-Num": str(number),
                "X-Slack-Retry-Reason": reason.get(ack.error, "http_error"),
            }
            return replace(request, headers=headers)
        envelope = {
            **request.envelope,
            "envelope_id": self._workspace.ids.uuid(),
            "retry_attempt": number,
            "retry_reason": "timeout",
        }
        return replace(request, envelope=envelope)

    async def _over_socket(self, request: Request) -> tuple[int, Any, str]:
        try:
            answer = await self._sockets.send(dict(request.envelope), self._ack_seconds)
        except NotConnected:
            return 0, None, "dispatch_failed"
        except TimeoutError:
            return 0, None, "operation_timeout"
        return 200, answer if request.envelope.get("accepts_response_payload") else None, ""

    async def _post(self, request: Request, url: str = "") -> tuple[int, Any, str]:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        timeout = aiohttp.ClientTimeout(total=self._ack_seconds)
        try:
            async with self._session.post(
                url or self.urls.of(request.kind),
                data=request.body,
                headers=dict(request.headers),
                timeout=timeout,
                max_redirects=2,
            ) as answer:
                content = await answer.read()
        except TimeoutError:
            return 0, None, "operation_timeout"
        except aiohttp.ClientError:
            return 0, None, "dispatch_failed"
        if not 200 <= answer.status < 300:
            no_retry = answer.headers.get("X-Slack-No-Retry") == "1"
            error = "http_client_error" if answer.status < 500 else "http_service_error"
            return answer.status, _NO_RETRY if no_retry else _text(content), error
        return answer.status, _read(content, answer.content_type), ""


_NO_RETRY = "X-Slack-No-Retry: 1"


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _read(content: bytes, content_type: str) -> Any:
    """The answer: what stands in JSON, else its text; None where there is nothing."""
    if not content:
        return None
    if content_type == "application/json":
        try:
            return json.loads(content)
        except ValueError:
            pass
    return _text(content)
