"""What a workspace consists of, each in the shape in which Slack's API shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SLACKBOT = "USLACKBOT"


@dataclass(frozen=True)
class Team:
    """A workspace, or another organisation's that shares a channel with it."""

    id: str
    name: str
    domain: str
    enterprise_id: str = ""
    enterprise_name: str = ""


@dataclass
class User:
    """A member, a guest, a bot, or somebody of another organisation."""

    id: str
    name: str
    real_name: str
    team: Team
    is_bot: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False
    is_admin: bool = False
    deleted: bool = False
    tz: str = "Etc/UTC"

    def to_json(self) -> dict[str, Any]:
        """The user object of users.info. Of the deactivated Slack shows less."""
        shown: dict[str, Any] = {
            "id": self.id,
            "team_id": self.team.id,
            "name": self.name,
            "deleted": self.deleted,
            "profile": {
                "real_name": self.real_name,
                "real_name_normalized": self.real_name,
                "display_name": self.name,
                "display_name_normalized": self.name,
                "status_text": "",
                "status_emoji": "",
                "team": self.team.id,
            },
            "is_bot": self.is_bot,
            "is_app_user": False,
            "updated": 0,
        }
        if self.deleted:
            return shown
        if self.team.enterprise_id:
            shown["enterprise_user"] = {
                "id": self.id,
                "enterprise_id": self.team.enterprise_id,
                "enterprise_name": self.team.enterprise_name,
                "is_admin": False,
                "is_owner": False,
                "teams": [self.team.id],
            }
        if self.is_stranger:
            shown["is_stranger"] = True
        return shown | {
            "color": "9f69e7",
            "real_name": self.real_name,
            "tz": self.tz,
            "tz_label": "Coordinated Universal Time",
            "tz_offset": 0,
            "is_admin": self.is_admin,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": self.is_restricted,
            "is_ultra_restricted": self.is_ultra_restricted,
            "is_email_confirmed": True,
        }


@dataclass
class UserGroup:
    """A user group; people are mentioned by its handle."""

    id: str
    handle: str
    name: str
    team: Team
    users: list[str] = field(default_factory=list)
    disabled: bool = False
    created: int = 0

    def to_json(self, *, include_users: bool) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "team_id": self.team.id,
            "is_usergroup": True,
            "is_subteam": True,
            "name": self.name,
            "description": "",
            "handle": self.handle,
            "is_external": False,
            "date_create": self.created,
            "date_update": self.created,
            "date_delete": self.created if self.disabled else 0,
            "prefs": {"channels": [], "groups": []},
            "user_count": len(self.users),
        }
        return shown | ({"users": list(self.users)} if include_users else {})


@dataclass
class Message:
    """A message. ``shown_to`` is the one person who sees it, where it is ephemeral."""

    channel: str
    ts: str
    user: str
    text: str
    team: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    thread_ts: str = ""
    broadcast: bool = False
    metadata: dict[str, Any] | None = None
    bot: dict[str, Any] | None = None
    client_msg_id: str = ""
    edited_ts: str = ""
    shown_to: str = ""
    tombstone: bool = False

    @property
    def is_reply(self) -> bool:
        return self.thread_ts not in ("", self.ts)

    def to_json(self, *, metadata: bool = False) -> dict[str, Any]:
        """The message as conversations.history and the payloads show it."""
        shown: dict[str, Any] = {"type": "message", "user": self.user, "ts": self.ts}
        if self.tombstone:
            shown |= {"subtype": "tombstone", "hidden": True}
        if self.client_msg_id:
            shown["client_msg_id"] = self.client_msg_id
        if self.bot:
            shown |= {
                "bot_id": self.bot["id"],
                "app_id": self.bot["app_id"],
                "bot_profile": self.bot,
            }
        shown |= {"text": self.text, "team": self.team}
        for name in ("blocks", "attachments", "files"):
            if getattr(self, name):
                shown[name] = getattr(self, name)
        if self.reactions:
            shown["reactions"] = [
                {"name": name, "users": list(users), "count": len(users)}
                for name, users in self.reactions.items()
            ]
        if self.thread_ts:
            shown["thread_ts"] = self.thread_ts
        if self.broadcast:
            shown["subtype"] = "thread_broadcast"
        if self.edited_ts:
            shown["edited"] = {"user": self.bot["id"] if self.bot else self.user}
            shown["edited"]["ts"] = self.edited_ts
        if metadata and self.metadata:
            shown["metadata"] = self.metadata
        return shown


@dataclass
class Channel:
    """A channel or a direct message. Its messages are in the order in which they were posted."""

    id: str
    name: str
    team: Team
    private: bool = False
    im_with: str = ""
    members: set[str] = field(default_factory=set)
    archived: bool = False
    shared_with: tuple[Team, ...] = ()
    topic: str = ""
    creator: str = ""
    created: int = 0
    messages: dict[str, Message] = field(default_factory=dict)
    ephemerals: list[Message] = field(default_factory=list)
    _threads: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """``channel``, ``group`` or ``im``, as events call it."""
        return "im" if self.im_with else "group" if self.private else "channel"

    @property
    def scope(self) -> str:
        """What the scopes for it begin with: ``channels``, ``groups`` or ``im``."""
        return {"channel": "channels", "group": "groups", "im": "im"}[self.kind]

    @property
    def shown_name(self) -> str:
        """The name in the payloads of commands and interactions, which hide those of private
        conversations."""
        return {"im": "directmessage", "group": "privategroup"}.get(self.kind, self.name)

    def add(self, message: Message) -> None:
        self.messages[message.ts] = message
        if message.is_reply:
            self._threads.setdefault(message.thread_ts, []).append(message.ts)

    def remove(self, message: Message) -> None:
        del self.messages[message.ts]
        if message.is_reply:
            self._threads[message.thread_ts].remove(message.ts)

    def replies(self, root_ts: str) -> list[Message]:
        return [self.messages[ts] for ts in self._threads.get(root_ts, ())]

    def message_json(self, message: Message, *, metadata: bool = False) -> dict[str, Any]:
        """The message with what its thread adds to it."""
        shown = message.to_json(metadata=metadata)
        if message.is_reply:
            root = self.messages.get(message.thread_ts)
            return shown | ({"parent_user_id": root.user} if root else {})
        replies = self.replies(message.ts)
        if not replies:
            return shown
        users = list(dict.fromkeys(reply.user for reply in replies))
        return shown | {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users_count": len(users),
            "latest_reply": replies[-1].ts,
            "reply_users": users,
            "is_locked": False,
            "subscribed": False,
        }

    def to_json(self, viewer: str) -> dict[str, Any]:
        """The channel object of conversations.info, as this user sees it."""
        if self.im_with:
            return {
                "id": self.id,
                "created": self.created,
                "is_im": True,
                "is_org_shared": False,
                "is_archived": False,
                "user": self.im_with,
                "is_open": True,
            }
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": not self.private,
            "is_group": self.private,
            "is_im": False,
            "is_mpim": False,
            "is_private": self.private,
            "created": self.created,
            "creator": self.creator,
            "is_archived": self.archived,
            "is_general": False,
            "is_shared": bool(self.shared_with),
            "is_ext_shared": bool(self.shared_with),
            "is_org_shared": False,
            "is_pending_ext_shared": False,
            "pending_shared": [],
            "context_team_id": self.team.id,
            "shared_team_ids": [self.team.id, *(team.id for team in self.shared_with)],
            "is_member": viewer in self.members,
            "topic": {"value": self.topic, "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
            "previous_names": [],
            "num_members": len(self.members),
        }
