"""What Slack tells an app, in the shapes in which it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.slack.forms import state
from flows.gameday.slack.records import Channel, Message, User
from flows.gameday.slack.workspace import Workspace

Payload = dict[str, Any]


def slash_command(
    workspace: Workspace,
    user: User,
    channel: Channel,
    command: str,
    text: str,
    *,
    response_url: str,
    trigger_id: str,
) -> Payload:
    team = user.team
    enterprise = {"enterprise_id": team.enterprise_id, "enterprise_name": team.enterprise_name}
    return {
        "token": workspace.installation.verification_token,
        "team_id": team.id,
        "team_domain": team.domain,
        **(enterprise if team.enterprise_id else {}),
        "channel_id": channel.id,
        "channel_name": channel.shown_name,
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": text,
        "api_app_id": workspace.installation.app_id,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": trigger_id,
    }


def block_actions(
    workspace: Workspace,
    user: User,
    action: Mapping[str, Any],
    *,
    trigger_id: str,
    message: tuple[Channel, Message] | None = None,
    response_url: str = "",
    values: Mapping[str, Any] | None = None,
    view: Mapping[str, Any] | None = None,
) -> Payload:
    """The use of an element, in a message or in a view. An ephemeral message isn't shown in it."""
    payload = {
        "type": "block_actions",
        "user": _user(user),
        "api_app_id": workspace.installation.app_id,
        "token": workspace.installation.verification_token,
        "trigger_id": trigger_id,
        **_team(user),
    }
    if view is not None:
        container: Payload = {"type": "view", "view_id": view["id"]}
        return payload | {"container": container, "view": dict(view), "actions": [dict(action)]}
    assert message is not None
    channel, shown = message
    container = {
        "type": "message",
        "message_ts": shown.ts,
        "channel_id": channel.id,
        "is_ephemeral": bool(shown.shown_to),
    }
    if shown.is_reply:
        container["thread_ts"] = shown.thread_ts
    payload |= {
        "container": container,
        "channel": {"id": channel.id, "name": channel.shown_name},
    }
    if not shown.shown_to:
        payload["message"] = channel.message_json(shown)
    return payload | {
        "state": {"values": state(shown.blocks, values or {})},
        "response_url": response_url,
        "actions": [dict(action)],
    }


def view_submission(
    workspace: Workspace, user: User, view: Mapping[str, Any], *, trigger_id: str
) -> Payload:
    return {
        "type": "view_submission",
        **_team(user),
        "user": _user(user),
        "api_app_id": workspace.installation.app_id,
        "token": workspace.installation.verification_token,
        "trigger_id": trigger_id,
        "view": dict(view),
        "response_urls": [],
    }


def view_closed(
    workspace: Workspace, user: User, view: Mapping[str, Any], *, cleared: bool
) -> Payload:
    return {
        "type": "view_closed",
        **_team(user),
        "user": _user(user),
        "api_app_id": workspace.installation.app_id,
        "token": workspace.installation.verification_token,
        "view": dict(view),
        "is_cleared": cleared,
    }


def message_action(
    workspace: Workspace,
    user: User,
    channel: Channel,
    message: Message,
    callback_id: str,
    *,
    response_url: str,
    trigger_id: str,
) -> Payload:
    return {
        "type": "message_action",
        "token": workspace.installation.verification_token,
        "action_ts": workspace.new_ts(),
        **_team(user),
        "user": {
            "id": user.id,
            "username": user.name,
            "team_id": user.team.id,
            "name": user.name,
        },
        "channel": {"id": channel.id, "name": channel.shown_name},
        "callback_id": callback_id,
        "trigger_id": trigger_id,
        "message_ts": message.ts,
        "message": channel.message_json(message),
        "response_url": response_url,
    }


def shortcut(workspace: Workspace, user: User, callback_id: str, *, trigger_id: str) -> Payload:
    return {
        "type": "shortcut",
        "token": workspace.installation.verification_token,
        "action_ts": workspace.new_ts(),
        **_team(user),
        "user": {"id": user.id, "username": user.name, "team_id": user.team.id},
        "callback_id": callback_id,
        "trigger_id": trigger_id,
    }


def event_callback(
    workspace: Workspace, event: Mapping[str, Any], channel: Channel | None
) -> Payload:
    """An event as it is delivered. ``channel`` is where it happened."""
    team, where = workspace.team, channel.id if channel else ""
    enterprise_id = team.enterprise_id or None
    return {
        "token": workspace.installation.verification_token,
        "team_id": team.id,
        **({"enterprise_id": enterprise_id} if enterprise_id else {}),
        "api_app_id": workspace.installation.app_id,
        "event": dict(event),
        "type": "event_callback",
        "event_id": workspace.ids.new("Ev"),
        "event_time": int(float(event["event_ts"])),
        "authorizations": [
            {
                "enterprise_id": enterprise_id,
                "team_id": team.id,
                "user_id": workspace.bot_user,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": bool(channel and channel.shared_with),
        "event_context": f"1-{event['type']}-{team.id}-{where}",
    }


def app_home_opened(
    workspace: Workspace, user: User, channel: Channel, view: Mapping[str, Any] | None
) -> Payload:
    """The event, of which the Home tab is a part only once the app has published one."""
    return {
        "type": "app_home_opened",
        "user": user.id,
        "channel": channel.id,
        "tab": "home",
        **({"view": dict(view)} if view else {}),
        "event_ts": workspace.new_ts(),
    }


def message_event(channel: Channel, message: Mapping[str, Any]) -> Payload:
    return {
        **message,
        "channel": channel.id,
        "event_ts": message["ts"],
        "channel_type": channel.kind,
    }


def _user(user: User) -> Payload:
    return {
        "id": user.id,
        "username": user.name,
        "name": user.name,
        "team_id": user.team.id,
    }


def _team(user: User) -> Payload:
    """The organisation of whoever acts, which in a shared channel may be another than the app's."""
    team: Payload = {"id": user.team.id, "domain": user.team.domain}
    enterprise = None
    if user.team.enterprise_id:
        team |= {
            "enterprise_id": user.team.enterprise_id,
            "enterprise_name": user.team.enterprise_name,
        }
        enterprise = {"id": user.team.enterprise_id, "name": user.team.enterprise_name}
    return {"team": team, "enterprise": enterprise, "is_enterprise_install": False}
