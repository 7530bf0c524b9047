"""The state of a simulated Slack: one workspace, with everything that is in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from flows.gameday.slack.app import App, Installation
from flows.gameday.slack.ids import Ids
from flows.gameday.slack.records import SLACKBOT, Channel, Message, Team, User, UserGroup

Watcher = Callable[[Channel, dict[str, Any]], None]


class Refusal(Exception):
    """Slack answers a call with an error: its code, and what else stands in the answer."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.more = more


@dataclass(frozen=True)
class UploadedFile:
    """A file, from the moment that an address for it was asked for. ``content`` None: not sent."""

    id: str
    name: str
    length: int
    title: str = ""
    content: bytes | None = None
    shared: bool = False


class Workspace:
    """Everything in the workspace. All of it is read and changed under ``changed``, which is also
    notified of every change.

    ``clock`` gives seconds since 1970.
    """

    def __init__(
        self, app: App, seed: int = 0, *, enterprise: bool = False, clock: Callable[[], float]
    ) -> None:
        self.app = app
        self.ids = Ids(seed)
        self.clock = clock
        self.changed = threading.Condition(threading.RLock())
        enterprise_id = self.ids.new("E") if enterprise else ""
        self.team = Team(
            self.ids.new("T"),
            "Example Corp",
            "example-corp",
            enterprise_id,
            "Example Enterprise" if enterprise else "",
        )
        self.installation = Installation.new(self.ids)
        self.url = ""
        self.users: dict[str, User] = {}
        self.groups: dict[str, UserGroup] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, UploadedFile] = {}
        self.tickets: set[str] = set()
        self.watchers: list[Watcher] = []
        self._last_ts = 0
        handle = app.name.lower().replace(" ", "-")
        for user_id, name, shown in (
            (SLACKBOT, "slackbot", "Slackbot"),
            (self.installation.bot_user, handle, app.name),
        ):
            self.users[user_id] = User(user_id, name, shown, self.team, is_bot=True)

    @property
    def bot_user(self) -> str:
        return self.installation.bot_user

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the workspace still, and tell those who wait that it has changed."""
        with self.changed:
            yield
            self.changed.notify_all()

    def until(self, check: Callable[[], Any], within: float = 5.0) -> Any:
        """What ``check`` gives as soon as that is true; it is tried anew after every change.

        It must only look: the workspace is held still meanwhile. Raises TimeoutError.
        """
        deadline = time.monotonic() + within
        with self.changed:
            while not (found := check()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"Nothing of the kind happened within {within} s.")
                # What is checked may also lie outside of the workspace.
                self.changed.wait(min(left, 0.05))
        return found

    def new_ts(self) -> str:
        """A timestamp that is later than every other of the workspace."""
        self._last_ts = max(int(self.clock() * 1_000_000), self._last_ts + 1)
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def need(self, *any_of: str) -> None:
        """Refuse the call unless the app has one of these scopes."""
        if not self.app.has_scope(*any_of):
            provided = ",".join(self.app.scopes or ())
            raise Refusal("missing_scope", needed=any_of[0], provided=provided)

    def user(self, user_id: str) -> User:
        found = self.users.get(user_id)
        if found is None:
            raise Refusal("user_not_found")
        return found

    def channel(self, channel_id: str) -> Channel:
        """The channel as far as the app may know of it: of a private one only as a member."""
        found = self.channels.get(channel_id)
        if found is None or (found.private and self.bot_user not in found.members):
            raise Refusal("channel_not_found")
        return found

    def message(self, channel: Channel, ts: str) -> Message:
        found = channel.messages.get(ts)
        if found is None or found.tombstone:
            raise Refusal("message_not_found")
        return found

    def direct_message(self, user_id: str) -> Channel:
        """The conversation of the app and this user, opened where it is not yet."""
        with self.changing():
            for channel in self.channels.values():
                if channel.im_with == user_id:
                    return channel
            opened = Channel(
                self.ids.new("D"),
                "",
                self.team,
                im_with=user_id,
                members={user_id, self.bot_user},
                created=int(self.clock()),
            )
            self.channels[opened.id] = opened
            return opened

    def post(self, channel: Channel, user_id: str, text: str, **more: Any) -> Message:
        """Post a message; ``more`` are fields of :class:`Message`."""
        with self.changing():
            message = self._written(channel, user_id, text, **more)
            if message.thread_ts and message.thread_ts in channel.messages:
                # A reply to a reply goes into the thread of both.
                root = channel.messages[message.thread_ts]
                message.thread_ts = root.thread_ts or root.ts
            channel.add(message)
            self._tell(channel, channel.message_json(message))
        return message

    def whisper(
        self, channel: Channel, user_id: str, text: str, *, to: str, **more: Any
    ) -> Message:
        """Post a message that one person sees."""
        with self.changing():
            message = self._written(channel, user_id, text, shown_to=to, **more)
            channel.ephemerals.append(message)
        return message

    def edit(self, channel: Channel, message: Message, **fields: Any) -> Message:
        """Change a message. Who has it as it was keeps it so."""
        with self.changing():
            edited = replace(message, **fields)
            channel.messages[message.ts] = edited
            self._tell(
                channel,
                {
                    "type": "message",
                    "subtype": "message_changed",
                    "hidden": True,
                    "ts": self.new_ts(),
                    "message": channel.message_json(edited),
                    "previous_message": channel.message_json(message),
                },
            )
        return edited

    def delete(self, channel: Channel, message: Message) -> None:
        """Delete a message. Where it has replies, a mark stays in its place."""
        with self.changing():
            if channel.replies(message.ts):
                channel.messages[message.ts] = Message(
                    channel.id,
                    message.ts,
                    SLACKBOT,
                    "This message was deleted.",
                    self.team.id,
                    thread_ts=message.ts,
                    tombstone=True,
                )
            else:
                channel.remove(message)
            self._tell(
                channel,
                {
                    "type": "message",
                    "subtype": "message_deleted",
                    "hidden": True,
                    "ts": self.new_ts(),
                    "deleted_ts": message.ts,
                    "previous_message": message.to_json(),
                },
            )

    def with_ids(self, blocks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The blocks as Slack keeps them, with the ids and flags that it adds."""
        return [
            {
                **flagged(block),
                "block_id": block.get("block_id") or self.ids.word(5),
                **self._elements_with_ids(block),
            }
            for block in blocks
        ]

    def bot_profile(self) -> dict[str, Any]:
        return {
            "id": self.installation.bot_id,
            "app_id": self.installation.app_id,
            "name": self.app.name,
            "deleted": False,
            "updated": 0,
            "icons": {},
            "team_id": self.team.id,
        }

    def _written(self, channel: Channel, user_id: str, text: str, **more: Any) -> Message:
        author = self.users[user_id]
        is_app = user_id == self.bot_user
        return Message(
            channel.id,
            self.new_ts(),
            user_id,
            text,
            author.team.id,
            bot=self.bot_profile() if is_app else None,
            client_msg_id="" if author.is_bot else self.ids.uuid(),
            **more,
        )

    def _elements_with_ids(self, block: Mapping[str, Any]) -> dict[str, Any]:
        added: dict[str, Any] = {}
        if block.get("type") == "actions":
            added["elements"] = [self._with_action_id(item) for item in block["elements"]]
        for name in ("accessory", "element"):
            if isinstance(block.get(name), Mapping) and block[name].get("type") != "image":
                added[name] = self._with_action_id(block[name])
        return added

    def _with_action_id(self, element: Mapping[str, Any]) -> dict[str, Any]:
        return {**flagged(element), "action_id": element.get("action_id") or self.ids.word(5)}

    def _tell(self, channel: Channel, event: dict[str, Any]) -> None:
        for watcher in self.watchers:
            watcher(channel, event)


def flagged(value: Any) -> Any:
    """A copy in which every text has the flags that Slack gives it."""
    if isinstance(value, Mapping):
        copied = {key: flagged(item) for key, item in value.items()}
        if isinstance(value.get("text"), str):
            if value.get("type") == "plain_text":
                copied.setdefault("emoji", True)
            elif value.get("type") == "mrkdwn":
                copied.setdefault("verbatim", False)
        return copied
    if isinstance(value, list):
        return [flagged(item) for item in value]
    return value
