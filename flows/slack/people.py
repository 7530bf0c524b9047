"""Who a Slack user is, as Slack says at the moment of a decision."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from flows.identity import Identity
from runbooks.errors import ClampdownError

# Somebody who was put into a group waits this long to count; somebody who was taken out counts no
# longer than this.
_GROUPS_HOLD = timedelta(minutes=2)


class IdentityUnknown(ClampdownError):
    """Slack can't be asked who somebody is, and so they may decide nothing there."""


@dataclass(frozen=True)
class _Members:
    users: frozenset[str]
    until: float


class People:
    """Looks people up. ``team`` is the workspace's id; ``usergroups`` are those that may count."""

    def __init__(self, client: AsyncWebClient, team: str, usergroups: Iterable[str] = ()) -> None:
        self._client = client
        self._team = team
        self._usergroups = tuple(dict.fromkeys(usergroups))
        self._members: dict[str, _Members] = {}

    async def identify(self, user: str, team: str) -> Identity:
        """Who the user is now; ``team`` is the workspace that the request says they are of.

        Raises IdentityUnknown: without an answer nobody decides.
        """
        found = await self._ask("users.info", user, self._client.users_info(user=user))
        profile = found["user"]
        home = profile.get("team_id") or team
        return Identity(
            "slack",
            user,
            home,
            # Slack's own bot is a user, "USLACKBOT", that is flagged as none.
            bot=bool(profile.get("is_bot") or profile.get("is_workflow_bot"))
            or user == "USLACKBOT",
            guest=bool(profile.get("is_restricted") or profile.get("is_ultra_restricted")),
            # In a shared channel, people of other organisations click as well (Slack Connect).
            stranger=bool(profile.get("is_stranger")) or not home == team == self._team,
            deactivated=bool(profile.get("deleted")),
            usergroups=await self._groups_of(user),
        )

    async def _groups_of(self, user: str) -> tuple[str, ...]:
        """The user groups that they are in; none of a group that Slack doesn't answer for."""
        found: list[str] = []
        for group in self._usergroups:
            known = self._members.get(group)
            if known is None or known.until < time.monotonic():
                try:
                    answer = await self._ask(
                        "usergroups.users.list",
                        group,
                        self._client.usergroups_users_list(usergroup=group),
                    )
                except IdentityUnknown:
                    continue
                until = time.monotonic() + _GROUPS_HOLD.total_seconds()
                known = self._members[group] = _Members(frozenset(answer["users"]), until)
            if user in known.users:
                found.append(group)
        return tuple(found)

    async def _ask(self, method: str, about: str, request: Any) -> Any:
        try:
            return await request
        except (SlackApiError, OSError, TimeoutError, ValueError) as error:
            reason = (
                error.response.get("error", "no answer")
                if isinstance(error, SlackApiError)
                else type(error).__name__
            )
            raise IdentityUnknown(
                f"Slack can't be asked who {about} is ({method}: {reason}); nothing was decided.",
                advice="`clampdown approve` works without Slack.",
            ) from error
