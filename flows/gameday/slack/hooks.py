"""The addresses that commands and interactions bring along for answers (``response_url``).

Their form is Slack's, on hooks.slack.com; the simulated Slack answers to their paths. Each takes
five messages within thirty minutes (docs.slack.dev, "Handling user interaction").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from flows.gameday.slack import blocks as block_kit
from flows.gameday.slack.records import Channel, Message
from flows.gameday.slack.workspace import Workspace

HOST = "https://hooks.slack.com"
MOST_USES = 5
SECONDS = 30 * 60


@dataclass
class Hook:
    """One such address: for whom and where, by which message, and how often it was used."""

    user: str
    channel: Channel
    message: Message | None
    since: float
    uses: int = 0


class Hooks:
    """All of them in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._hooks: dict[str, Hook] = {}

    def new(self, kind: str, user: str, channel: Channel, message: Message | None = None) -> str:
        """A new address; ``kind`` is ``commands``, ``actions`` or ``app``."""
        ids = self._workspace.ids
        path = f"/{kind}/{self._workspace.team.id}/{ids.digits(13)}/{ids.word(24)}"
        with self._workspace.changing():
            self._hooks[path] = Hook(user, channel, message, self._workspace.clock())
        return HOST + path

    def routes(self) -> list[Route]:
        return [
            Route(f"/{kind}/{{team}}/{{number}}/{{word}}", self._answer, methods=["POST"])
            for kind in ("commands", "actions", "app")
        ]

    async def _answer(self, request: Request) -> Response:
        try:
            given = json.loads(await request.body())
        except ValueError:
            return PlainTextResponse("invalid_payload", status_code=400)
        hook = self._hooks.get(request.url.path)
        if hook is None:
            return _refused("invalid_url")
        if self._workspace.clock() - hook.since > SECONDS:
            return _refused("expired_url")
        if hook.uses >= MOST_USES:
            return _refused("used_url")
        blocks = given.get("blocks") or []
        if block_kit.problems_of_message(blocks):
            return PlainTextResponse("invalid_blocks", status_code=400)
        hook.uses += 1
        self._use(hook, given, blocks)
        return PlainTextResponse("ok")

    def _use(self, hook: Hook, given: dict[str, Any], blocks: list[Any]) -> None:
        workspace, channel = self._workspace, hook.channel
        content: dict[str, Any] = {
            "text": str(given.get("text", "")),
            "blocks": workspace.with_ids(blocks),
        }
        message = hook.message
        if message is not None and message.ts in channel.messages:
            if given.get("delete_original"):
                return workspace.delete(channel, message)
            if given.get("replace_original", False):
                workspace.edit(channel, channel.messages[message.ts], **content)
                return None
        thread_ts = str(given.get("thread_ts", ""))
        if given.get("response_type") == "in_channel":
            workspace.post(channel, workspace.bot_user, **content, thread_ts=thread_ts)
        else:
            workspace.whisper(
                channel, workspace.bot_user, **content, to=hook.user, thread_ts=thread_ts
            )
        return None


def _refused(code: str) -> Response:
    return JSONResponse({"ok": False, "error": code}, status_code=404)
