"""The methods for who is who, views and files."""

from __future__ import annotations

from typing import Any

from flows.gameday.slack.arguments import Arguments
from flows.gameday.slack.views import Views
from flows.gameday.slack.workspace import Refusal, UploadedFile, Workspace


def auth_test(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    team, installed = workspace.team, workspace.installation
    answer: dict[str, Any] = {
        "url": f"https://{team.domain}.slack.com/",
        "team": team.name,
        "user": workspace.users[installed.bot_user].name,
        "team_id": team.id,
        "user_id": installed.bot_user,
        "bot_id": installed.bot_id,
        "is_enterprise_install": False,
    }
    return answer | ({"enterprise_id": team.enterprise_id} if team.enterprise_id else {})


def open_connection(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    """An address that serves for one WebSocket."""
    if not workspace.app.socket_mode:
        raise Refusal("not_enabled")
    ticket = workspace.ids.uuid()
    with workspace.changing():
        workspace.tickets.add(ticket)
    address = workspace.url.replace("http://", "ws://", 1)
    return {"url": f"{address}/link/?ticket={ticket}&app_id={workspace.installation.app_id}"}


def user_info(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("users:read")
    return {"user": workspace.user(given.needed("user")).to_json()}


def list_groups(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("usergroups:read")
    return {
        "usergroups": [
            group.to_json(include_users=given.flag("include_users"))
            for group in workspace.groups.values()
            if not group.disabled or given.flag("include_disabled")
        ]
    }


def list_group_users(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("usergroups:read")
    group = workspace.groups.get(given.needed("usergroup"))
    if group is None or (group.disabled and not given.flag("include_disabled")):
        raise Refusal("no_such_subteam")
    return {"users": list(group.users)}


def open_view(views: Views, given: Arguments) -> dict[str, Any]:
    view = views.open(given.needed("trigger_id"), given.structure("view", "invalid_arguments"))
    return {"view": views.to_json(view)}


def push_view(views: Views, given: Arguments) -> dict[str, Any]:
    view = views.push(given.needed("trigger_id"), given.structure("view", "invalid_arguments"))
    return {"view": views.to_json(view)}


def update_view(views: Views, given: Arguments) -> dict[str, Any]:
    external_id = given.text("external_id")
    view = views.update(
        given.text("view_id") if external_id else given.needed("view_id"),
        external_id,
        given.structure("view", "invalid_arguments"),
        given.text("hash"),
    )
    return {"view": views.to_json(view)}


def publish_view(views: Views, given: Arguments) -> dict[str, Any]:
    view = views.publish(
        given.needed("user_id"), given.structure("view", "invalid_arguments"), given.text("hash")
    )
    return {"view": views.to_json(view)}


def get_upload_url(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    workspace.need("files:write")
    name = given.text("filename")
    length = given.text("length")
    if not name or not length.isdigit() or int(length) == 0:
        raise Refusal("missing_argument")
    file = UploadedFile(workspace.ids.new("F"), name, int(length))
    with workspace.changing():
        workspace.files[file.id] = file
    return {"upload_url": f"{workspace.url}/upload/v1/{file.id}", "file_id": file.id}


def complete_upload(workspace: Workspace, given: Arguments) -> dict[str, Any]:
    """Share files that were sent, in one message of the app."""
    workspace.need("files:write")
    wanted = given.structure("files", "invalid_arguments")
    if not isinstance(wanted, list) or not wanted:
        raise Refusal("invalid_arguments")
    files = []
    for item in wanted:
        file = workspace.files.get(item.get("id", ""))
        if file is None or file.content is None or file.shared:
            raise Refusal("file_not_found")
        files.append((file, item.get("title") or file.name))
    channels = [c for c in (given.text("channel_id"), *given.listed("channels")) if c]
    for channel_id in channels:
        channel = workspace.channels.get(channel_id)
        if channel is None or workspace.bot_user not in channel.members or channel.archived:
            raise Refusal("invalid_channel")
    shown = [_file_json(workspace, file, title) for file, title in files]
    with workspace.changing():
        for file, title in files:
            workspace.files[file.id] = UploadedFile(
                file.id, file.name, file.length, title, file.content, bool(channels)
            )
        for channel_id in channels:
            workspace.post(
                workspace.channels[channel_id],
                workspace.bot_user,
                given.text("initial_comment"),
                thread_ts=given.text("thread_ts"),
                files=shown,
            )
    return {"files": shown}


def _file_json(workspace: Workspace, file: UploadedFile, title: str) -> dict[str, Any]:
    kind = file.name.rpartition(".")[2] if "." in file.name else "text"
    address = f"https://files.slack.com/files-pri/{workspace.team.id}-{file.id}"
    return {
        "id": file.id,
        "created": int(workspace.clock()),
        "timestamp": int(workspace.clock()),
        "name": file.name,
        "title": title,
        "mimetype": "text/plain",
        "filetype": kind,
        "user": workspace.bot_user,
        "size": file.length,
        "mode": "hosted",
        "is_external": False,
        "is_public": False,
        "url_private": f"{address}/{file.name}",
        "url_private_download": f"{address}/download/{file.name}",
        "permalink": f"https://{workspace.team.domain}.slack.com/files/{file.id}/{file.name}",
    }
