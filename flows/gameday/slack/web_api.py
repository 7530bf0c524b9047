"""Slack's Web API over HTTP: tokens, methods, errors, rate limits and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from flows.gameday.slack import chat_methods, conversation_methods, other_methods
from flows.gameday.slack.arguments import Arguments
from flows.gameday.slack.door import cut
from flows.gameday.slack.faults import Fault, Faults
from flows.gameday.slack.limits import Limits
from flows.gameday.slack.views import Views
from flows.gameday.slack.workspace import Refusal, UploadedFile, Workspace

Handler = Callable[[Arguments], dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """A method: what carries it out, its tier of rate limits (0: none), and which token it takes."""

    handler: Handler
    tier: int
    of_app: bool = False


@dataclass(frozen=True)
class Call:
    """A call of the Web API as it was answered. ``error`` is empty where it succeeded."""

    method: str
    arguments: Mapping[str, Any]
    error: str
    status: int
    at: float


@dataclass
class WebApi:
    """The Web API of one workspace. ``calls`` are all that were made, in order.

    ``limits`` None is without rate limits.
    """

    workspace: Workspace
    views: Views
    faults: Faults
    limits: Limits | None
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._methods = _methods(self.workspace, self.views)

    def routes(self) -> list[Route]:
        return [
            Route("/api/{method}", self._answer, methods=["GET", "POST"]),
            Route("/upload/v1/{file}", self._upload, methods=["POST"]),
        ]

    async def _answer(self, request: Request) -> Response:
        name = request.path_params["method"]
        arguments: Arguments | Refusal
        body = await request.body()
        try:
            arguments = Arguments.read(
                request.url.query, request.headers.get("content-type", ""), body
            )
        except Refusal as refusal:
            arguments = refusal
        given: Mapping[str, Any] = {} if isinstance(arguments, Refusal) else arguments
        fault = self.faults.meet(name, given)
        if fault and fault.effect == "drop":
            await cut(request.scope)
            self._remember(name, given, "dropped", 0)
            return Response()
        if fault and fault.effect == "slow":
            await asyncio.sleep(fault.seconds)
            fault = None
        if fault and fault.effect != "lost_answer":
            return self._failed(name, given, fault)
        throttled = self._throttled(name, given)
        if throttled:
            return throttled
        answer = self._carried_out(name, arguments, request.headers.get("authorization", ""))
        self._remember(name, given, answer.get("error", ""), 200)
        if fault:
            await cut(request.scope)
        return JSONResponse(answer, headers={"x-oauth-scopes": ",".join(self._scopes())})

    def _carried_out(
        self, name: str, arguments: Arguments | Refusal, authorization: str
    ) -> dict[str, Any]:
        try:
            method = self._methods.get(name)
            if method is None:
                raise Refusal("unknown_method", req_method=name)
            if isinstance(arguments, Refusal):
                raise arguments
            self._authenticate(method, authorization, arguments)
            return {"ok": True, **method.handler(arguments)}
        except Refusal as refusal:
            return {"ok": False, "error": refusal.code, **refusal.more}

    def _authenticate(self, method: Method, authorization: str, arguments: Arguments) -> None:
        scheme, _, token = authorization.partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else arguments.text("token")
        if not token:
            raise Refusal("not_authed")
        installed = self.workspace.installation
        if token not in (installed.bot_token, installed.app_token):
            raise Refusal("invalid_auth")
        if (token == installed.app_token) != method.of_app:
            raise Refusal("not_allowed_token_type")

    def _throttled(self, name: str, given: Mapping[str, Any]) -> Response | None:
        method = self._methods.get(name)
        if self.limits is None or method is None:
            return None
        wait = self.limits.take(name, method.tier, str(given.get("channel", "")))
        return self._rate_limited(name, given, wait) if wait else None

    def _rate_limited(self, name: str, given: Mapping[str, Any], seconds: float) -> Response:
        self._remember(name, given, "ratelimited", 429)
        return JSONResponse(
            {"ok": False, "error": "ratelimited"},
            status_code=429,
            headers={"retry-after": str(max(1, round(seconds)))},
        )

    def _failed(self, name: str, given: Mapping[str, Any], fault: Fault) -> Response:
        match fault.effect:
            case "ratelimited":
                return self._rate_limited(name, given, fault.seconds)
            case "server_error":
                self._remember(name, given, "server_error", fault.status)
                return PlainTextResponse("Server Error", status_code=fault.status)
        self._remember(name, given, fault.code, 200)
        return JSONResponse({"ok": False, "error": fault.code})

    def _remember(self, name: str, given: Mapping[str, Any], error: str, status: int) -> None:
        without_token = {key: value for key, value in given.items() if key != "token"}
        with self.workspace.changing():
            self.calls.append(Call(name, without_token, error, status, self.workspace.clock()))

    def _scopes(self) -> tuple[str, ...]:
        return self.workspace.app.scopes or ("chat:write", "commands")

    async def _upload(self, request: Request) -> Response:
        """The address that files.getUploadURLExternal gave; whoever has it may send the file."""
        file = self.workspace.files.get(request.path_params["file"])
        content = await request.body()
        if file is None or file.content is not None:
            return PlainTextResponse("Not Found", status_code=404)
        if len(content) != file.length:
            return PlainTextResponse("Bad Request", status_code=400)
        with self.workspace.changing():
            self.workspace.files[file.id] = UploadedFile(
                file.id, file.name, file.length, content=content
            )
        return PlainTextResponse(f"OK - {len(content)}")


def _methods(workspace: Workspace, views: Views) -> dict[str, Method]:
    """Every method with its tier (docs.slack.dev, "Web API methods")."""

    def of(handler: Callable[[Workspace, Arguments], dict[str, Any]]) -> Handler:
        return partial(handler, workspace)

    def viewing(handler: Callable[[Views, Arguments], dict[str, Any]]) -> Handler:
        return partial(handler, views)

    return {
        "api.test": Method(lambda given: {"args": dict(given)}, 4),
        "apps.connections.open": Method(of(other_methods.open_connection), 3, of_app=True),
        "auth.test": Method(of(other_methods.auth_test), 0),
        "chat.delete": Method(of(chat_methods.delete), 3),
        "chat.getPermalink": Method(of(chat_methods.get_permalink), 0),
        "chat.postEphemeral": Method(of(chat_methods.post_ephemeral), 4),
        "chat.postMessage": Method(of(chat_methods.post_message), 0),
        "chat.update": Method(of(chat_methods.update), 3),
        "conversations.create": Method(of(conversation_methods.create), 2),
        "conversations.history": Method(of(conversation_methods.history), 3),
        "conversations.info": Method(of(conversation_methods.info), 3),
        "conversations.invite": Method(of(conversation_methods.invite), 3),
        "conversations.join": Method(of(conversation_methods.join), 3),
        "conversations.list": Method(of(conversation_methods.list_), 2),
        "conversations.open": Method(of(conversation_methods.open_), 3),
        "conversations.replies": Method(of(conversation_methods.replies), 3),
        "conversations.setTopic": Method(of(conversation_methods.set_topic), 2),
        "files.completeUploadExternal": Method(of(other_methods.complete_upload), 4),
        "files.getUploadURLExternal": Method(of(other_methods.get_upload_url), 4),
        "reactions.add": Method(of(chat_methods.add_reaction), 3),
        "usergroups.list": Method(of(other_methods.list_groups), 2),
        "usergroups.users.list": Method(of(other_methods.list_group_users), 2),
        "users.info": Method(of(other_methods.user_info), 4),
        "views.open": Method(viewing(other_methods.open_view), 4),
        "views.publish": Method(viewing(other_methods.publish_view), 4),
        "views.push": Method(viewing(other_methods.push_view), 4),
        "views.update": Method(viewing(other_methods.update_view), 4),
    }
