"""Who a Slack user is, as Slack says at the moment of a decision."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from flows.identity import Identity
from flows.slack.failures import FAILURES, code_of, reason
from runbooks.errors import ClampdownError
from runbooks.playbook import ApproverGroup

# Somebody who was put into a group waits this long to count; somebody who was taken out counts no
# longer than this.
_GROUPS_HOLD = timedelta(minutes=2)
# Nobody is in a user group that is no more, or is switched off (Slack, usergroups.users.list).
_NO_GROUP = "no_such_subteam"


class IdentityUnknown(ClampdownError):
    """Slack can't be asked who somebody is, and so they may decide nothing there."""


@dataclass(frozen=True)
class _Members:
    users: frozenset[str]
    until: float


class People:
    """Looks people up. ``team`` is the workspace's id, asked of Slack where it is left empty;
    ``approvers`` are the groups in which they may be."""

    def __init__(
        self, client: AsyncWebClient, approvers: Iterable[ApproverGroup], team: str = ""
    ) -> None:
        self._client = client
        self._approvers = tuple(approvers)
        self._team = team
        self._members: dict[str, _Members] = {}

    async def identify(self, user: str, team: str) -> Identity:
        """Who the user is now; ``team`` is the workspace that the request says they are of.

        Raises IdentityUnknown: without an answer nobody decides.
        """
        if not self._team:
            own = await self._ask("auth.test", "Clampdown itself", self._client.auth_test())
            self._team = str(own["team_id"])
        answer = await self._ask("users.info", user, self._client.users_info(user=user))
        profile = answer["user"]
        teams = _teams(profile)
        member = self._team in teams and team in teams
        # Whoever is in several workspaces of an organisation is one person: one name, one vote.
        home = self._team if member else str(profile.get("team_id") or team)
        return Identity(
            "slack",
            user,
            home,
            # Slack's own bot is a user, "USLACKBOT", that is flagged as none.
            bot=bool(profile.get("is_bot") or profile.get("is_workflow_bot"))
            or user == "USLACKBOT",
            guest=bool(profile.get("is_restricted") or profile.get("is_ultra_restricted")),
            # In a shared channel, people of other organisations click as well (Slack Connect).
            stranger=bool(profile.get("is_stranger")) or not member,
            deactivated=bool(profile.get("deleted")),
            usergroups=await self._groups_of(user) if member else (),
        )

    async def _groups_of(self, user: str) -> tuple[str, ...]:
        """The user groups that they are in, of those that may count.

        Where Slack doesn't answer for one, nobody is in it. Who could be in no other is told that,
        rather than that they are on no list: raises IdentityUnknown.
        """
        found: list[str] = []
        unknown: IdentityUnknown | None = None
        here = [group for group in self._approvers if group.slack_team == self._team]
        for group in dict.fromkeys(group.slack_usergroup for group in here):
            try:
                if group and user in await self._members_of(group):
                    found.append(group)
            except IdentityUnknown as error:
                unknown = error
        if unknown and not found and not any(user in group.slack_users for group in here):
            raise unknown
        return tuple(found)

    async def _members_of(self, group: str) -> frozenset[str]:
        known = self._members.get(group)
        if known is None or known.until < time.monotonic():
            listing = self._client.usergroups_users_list(usergroup=group)
            try:
                users = (await self._ask("usergroups.users.list", group, listing))["users"] or ()
            except IdentityUnknown as error:
                cause = error.__cause__
                if not (isinstance(cause, SlackApiError) and code_of(cause) == _NO_GROUP):
                    raise
                users = ()
            until = time.monotonic() + _GROUPS_HOLD.total_seconds()
            known = self._members[group] = _Members(frozenset(users), until)
        return known.users

    async def _ask(self, method: str, about: str, request: Awaitable[Any]) -> Any:
        try:
            return await request
        except (*FAILURES, ValueError) as error:
            raise IdentityUnknown(
                f"Slack can't be asked who {about} is ({method}: {reason(error)}); nothing was "
                "decided.",
                advice="`clampdown approve` works without Slack.",
            ) from error


def _teams(profile: Any) -> set[str]:
    """The workspaces that somebody is a member of: their own, and in an organisation (Enterprise
    Grid) those that it lists for them."""
    listed = (profile.get("enterprise_user") or {}).get("teams") or ()
    return {str(team) for team in (profile.get("team_id"), *listed) if team}
