"""Slack: whether the app is let in, may do what it must, and reaches the channels and the approvers."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from flows.doctor.check import Check, NotLooked, Result, Shared, ok, problem, some, warning
from flows.doctor.setup import Setup
from flows.slack.failures import FAILURES, code_of, reason
from flows.slack.settings import SlackSettings, load_slack_settings
from runbooks.errors import ClampdownError
from runbooks.playbook import ApproverGroup, Playbooks, SlackPlaces

_GROUP = "Slack"
_SECONDS = 4
_NO_APP = "The app is not let in."
_HELP = "docs/slack.md, Troubleshooting, says what it means."
_TOKENS = ("BOT_TOKEN", "APP_TOKEN", "SIGNING_SECRET")
# As deployments/slack-manifest.yaml asks for them.
SCOPES = (
    "commands",
    "chat:write",
    "files:write",
    "im:write",
    "users:read",
    "usergroups:read",
    "channels:history",
    "groups:history",
)
CHANNEL_SCOPES = ("channels:manage", "channels:read")


class _SlackRefuses(ClampdownError):
    """Slack refuses a call, or gives no answer."""


def checks(setup: Setup) -> list[Check]:
    places = setup.playbooks.slack
    if places is None:
        return [Check(_GROUP, "app", _not_set_up)]
    app = _App()
    made = [
        Check(_GROUP, "tokens", app.has_tokens, meaning="`clampdown slack` does not start."),
        Check(_GROUP, "app", app.is_let_in, meaning="Nothing is told or asked in Slack."),
        Check(
            _GROUP,
            "scopes",
            lambda: app.may(places),
            meaning="What they are for fails when it is needed.",
        ),
        Check(
            _GROUP,
            "connection",
            app.connects,
            meaning="Commands and clicks don't come through.",
        ),
    ]
    made += [
        Check(
            _GROUP,
            f"channel {channel}",
            partial(app.reaches, channel),
            meaning="What is to be told there is told nowhere, or in the main channel.",
        )
        for channel in _channels(setup.playbooks, places)
    ]
    made += [
        Check(
            _GROUP,
            f"approvers {name}",
            partial(app.knows, group),
            meaning="Nobody of them can decide anything in Slack.",
        )
        for name, group in setup.playbooks.approvers.items()
        if group.slack_team
    ]
    return made


def _not_set_up() -> Result:
    raise NotLooked("It is not set up: playbooks.yaml has no `slack`.")


def _channels(book: Playbooks, places: SlackPlaces) -> list[str]:
    named = [places.channel, *(place.channel for place in places.by_severity)]
    named += [route.channel for route in book.routes if route.channel]
    named += [team.channel for team in book.teams.values() if team.channel]
    return list(dict.fromkeys(named))


class _App:
    """The app in its workspace, asked in the ways in which the service will."""

    def __init__(self) -> None:
        self._http = _has("SIGNING_SECRET") and not _has("APP_TOKEN")
        self._settings = Shared(lambda: load_slack_settings(http=self._http))
        self._identity = Shared(self._read_identity)

    def has_tokens(self) -> Result:
        """With none at all Slack is not set up yet; with some, it is meant to work and does not."""
        if not any(map(_has, _TOKENS)):
            return warning(
                "playbooks.yaml has `slack`, and no token of the app is set here.",
                meaning="Approvals through Slack will not work: nothing is told or asked there; "
                "`clampdown approve` works without.",
                advice="Set CLAMPDOWN_SLACK_BOT_TOKEN and CLAMPDOWN_SLACK_APP_TOKEN (docs/slack.md), "
                "or take `slack` out of playbooks.yaml.",
            )
        self._settings()
        if self._http:
            return ok("The bot's token and the signing secret are there (HTTP mode).")
        return ok("The bot's and the app's token are there (Socket Mode).")

    def is_let_in(self) -> Result:
        self._settings.needed("There are no tokens.")
        identity = self._identity()
        return ok(f"It is {identity['user']} in {identity['team']} ({identity['team_id']}).")

    def may(self, places: SlackPlaces) -> Result:
        """Slack names the token's scopes in the headers of every answer."""
        headers = self._identity.needed(_NO_APP).headers
        named = {str(name).lower(): value for name, value in headers.items()}
        if "x-oauth-scopes" not in named:
            raise NotLooked("Slack doesn't say which scopes the app has.")
        has = {scope.strip() for scope in str(named["x-oauth-scopes"]).split(",")}
        wanted = [*SCOPES, *(CHANNEL_SCOPES if places.incident_channels else ())]
        if missing := [scope for scope in wanted if scope not in has]:
            return problem(
                f"The app lacks {some(missing, len(wanted))}.",
                advice="Put deployments/slack-manifest.yaml into the app's settings and reinstall it.",
            )
        return ok("It has every scope of deployments/slack-manifest.yaml.")

    def connects(self) -> Result:
        """Slack gives the address of a connection; none is opened."""
        self._identity.needed(_NO_APP)
        if self._http:
            raise NotLooked(
                "In HTTP mode Slack comes to you: its event URL says if it gets through."
            )
        token = self._settings().app_token.get_secret_value()
        self._ask(lambda client: client.apps_connections_open(app_token=token))
        return ok("Slack gives it connections.")

    def reaches(self, channel: str) -> Result:
        self._identity.needed(_NO_APP)
        self._ask(lambda client: client.conversations_history(channel=channel, limit=1))
        return ok("The app is in it.")

    def knows(self, group: ApproverGroup) -> Result:
        team = str(self._identity.needed(_NO_APP)["team_id"])
        if group.slack_team != team:
            return warning(
                f"They are of workspace {group.slack_team}, and the app is in {team}.",
                advice="Correct `slack_team`, unless another process serves that workspace.",
            )
        if not group.slack_usergroup:
            return ok("They are of the app's workspace.")
        usergroup = group.slack_usergroup
        answer = self._ask(lambda client: client.usergroups_users_list(usergroup=usergroup))
        people = {*group.slack_users, *(answer["users"] or ())}
        if not people:
            return problem(
                f"Nobody is in the user group {usergroup}.", advice="Put people into it, in Slack."
            )
        return ok(f"{len(people)} of the app's workspace.")

    def _read_identity(self) -> Any:
        return self._ask(lambda client: client.auth_test())

    def _ask(self, ask: Callable[[WebClient], Any]) -> Any:
        settings = self._settings.needed("There are no tokens.")
        try:
            return ask(_client(settings))
        except (*FAILURES, ValueError) as error:
            said = reason(error)
            if not isinstance(error, SlackApiError):
                raise _SlackRefuses(
                    f"Slack can't be reached ({said}).", advice="`clampdown approve` works without."
                ) from error
            if code_of(error) == "ratelimited":
                raise NotLooked("Slack asks to wait: it has been asked too often.") from error
            raise _SlackRefuses(f"Slack refuses it: {said}.", advice=_HELP) from error


def _client(settings: SlackSettings) -> WebClient:
    return WebClient(
        settings.bot_token.get_secret_value(), base_url=settings.api_url, timeout=_SECONDS
    )


def _has(name: str) -> bool:
    return bool(os.environ.get(f"CLAMPDOWN_SLACK_{name}"))
