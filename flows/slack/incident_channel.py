"""A channel of its own for an incident, ``#inc-…``, and what the usual channel says of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from flows.journal.record import Record
from flows.slack.blocks import section
from flows.slack.message import OPENING_URGENCY, Message
from flows.slack.opening import status
from flows.slack.posting import MessageRefused, NoSuchChannel, sent
from flows.slack.text import channel_link, code, plain, safe
from flows.slack.told import Told
from runbooks.playbook import Approve, ApproverGroup, Manual, Playbook, Playbooks

CHANNEL = "slack.channel"
NOTICE = "notice"
# Slack's documents differ on how many conversations.invite takes; this many it always took.
_INVITED_AT_ONCE = 100
_CHANNELS_A_PAGE = 1_000
_NAME_TAKEN = "name_taken"
_LOG = logging.getLogger(__name__)


async def open_channel(
    client: AsyncWebClient, records: Sequence[Record], playbooks: Playbooks
) -> str:
    """The id of the incident's own channel, with those in it whom its playbook asks.

    One that was made already, by a process that died before it could say so, is found by its name.
    Raises NoSuchChannel where Slack lets the app make none, RateLimited, NotSent.
    """
    name = records[0].incident
    try:
        made = await sent(client.conversations_create(name=name))
        channel = str(made["channel"]["id"])
    except MessageRefused as refused:
        if str(refused) != _NAME_TAKEN:
            raise NoSuchChannel(f"none can be made: {refused}") from refused
        channel = await _named(client, name)
    await _invite(client, channel, await _people(client, records[0], playbooks))
    return channel


def own_channel(records: Iterable[Record]) -> str:
    """The channel that was made for the incident; empty where none was."""
    made = [str(record.body["channel"]) for record in records if record.kind == CHANNEL]
    return made[-1] if made else ""


def notice(told: Told, channel: str) -> Message:
    """What the usual channel says of an incident that is told in one of its own."""
    said = (
        f"{told.mark} *{safe(told.title, 200)}*: {code(told.short_targets(), 60)}. "
        f"{status(told)}. All of it is in {channel_link(channel)}"
    )
    text = plain(f"{told.mark} {told.title}: {told.short_targets()}. {status(told)}", 300)
    return Message(NOTICE, text, (section(said),), OPENING_URGENCY, thread=False)


async def _named(client: AsyncWebClient, name: str) -> str:
    cursor = ""
    while True:
        page = await sent(
            client.conversations_list(
                types="public_channel",
                exclude_archived=True,
                limit=_CHANNELS_A_PAGE,
                cursor=cursor or None,
            )
        )
        for channel in page["channels"]:
            if channel["name"] == name:
                return str(channel["id"])
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            raise NoSuchChannel(f"there was one named {name}, and it is archived or private")


async def _people(client: AsyncWebClient, opened: Record, playbooks: Playbooks) -> list[str]:
    """The Slack users whom the incident's playbook may ask, and who has asked for it."""
    playbook = Playbook.model_validate(opened.body["definition"])
    names = dict.fromkeys(_groups(playbook))
    users: list[str] = []
    for group in (playbooks.approvers[name] for name in names if name in playbooks.approvers):
        users += [*group.slack_users, *group.deputies.values(), *await _members(client, group)]
    kind, _, rest = opened.actor.id.partition(":")
    if kind == "slack":
        users.append(rest.rpartition("/")[2])
    return list(dict.fromkeys(users))


def _groups(playbook: Playbook) -> Iterator[str]:
    for entry in playbook.steps:
        if isinstance(entry, Approve):
            gate = entry.approve
            yield from (alternative.group for alternative in gate.alternatives)
            yield from gate.notify
            yield from (name for name in (gate.escalate_to, gate.break_glass) if name)
        elif isinstance(entry, Manual):
            yield entry.manual.by


async def _members(client: AsyncWebClient, group: ApproverGroup) -> Sequence[str]:
    if not group.slack_usergroup:
        return ()
    try:
        listed = await sent(client.usergroups_users_list(usergroup=group.slack_usergroup))
    except MessageRefused as refused:
        _LOG.warning("Slack: the members of %s are not known: %s", group.slack_usergroup, refused)
        return ()
    return [str(user) for user in listed["users"] or ()]


async def _invite(client: AsyncWebClient, channel: str, users: Sequence[str]) -> None:
    """Invite people; whoever can't be is left out, and still pinged where they are."""
    for start in range(0, len(users), _INVITED_AT_ONCE):
        some: Any = list(users[start : start + _INVITED_AT_ONCE])
        try:
            # ``force``: one who has left the workspace keeps the others from nothing.
            await sent(client.conversations_invite(channel=channel, users=some, force=True))
        except MessageRefused as refused:
            _LOG.warning("Slack: not all could be invited to %s: %s", channel, refused)
