"""Slack: tokens, scopes, channels and approvers, at the simulated Slack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.doctor import slack as slack_checks
from flows.doctor.check import Result
from flows.doctor.examination import examine
from flows.doctor.setup import Setup
from flows.gameday.slack.app import App
from flows.gameday.slack.faults import Fault
from flows.gameday.slack.server import SimulatedSlack
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from runbooks.loader import load
from tests.conftest import ROOT

MANIFEST: dict[str, Any] = yaml.safe_load(
    (ROOT / "deployments" / "slack-manifest.yaml").read_text(encoding="utf-8")
)
WANTED = MANIFEST["oauth_config"]["scopes"]["bot"]


class Workspace:
    """A workspace with the app that the manifest describes, in the channel ``incidents``."""

    def __init__(self, slack: SimulatedSlack, file: Path, patch: pytest.MonkeyPatch) -> None:
        self.slack = slack
        self.file = file
        self.alice = slack.person("alice")
        self.room = slack.channel("incidents", self.alice)
        self.usergroup = slack.group("oncall", self.alice)
        self.places = f"{{channel: {self.room.id}}}"
        self.group = f"slack_usergroup: {self.usergroup.id}"
        self.team = slack.workspace.team.id
        installation = slack.installation
        patch.setenv("CLAMPDOWN_SLACK_BOT_TOKEN", installation.bot_token)
        patch.setenv("CLAMPDOWN_SLACK_APP_TOKEN", installation.app_token)
        patch.setenv("CLAMPDOWN_SLACK_API_URL", slack.api_url)

    def examine(self) -> dict[str, Result]:
        places = self.places and f"slack: {self.places}\n"
        self.file.write_text(
            "version: 1\n"
            'accounts: {"123456789012": {name: sandbox, environment: test}}\n'
            f"approvers: {{oncall: {{slack_team: {self.team}, {self.group}, local_users: [bob]}}}}\n"
            f"{places}"
            "playbooks:\n  p: {title: t, target: ec2.instance, steps: [{step: ec2.protect}]}\n"
        )
        setup = Setup(Settings(playbooks=self.file), ServeSettings(), load(self.file))
        found = examine(slack_checks.checks(setup))
        return {check.name: result for check, result in found.found}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with SimulatedSlack(App.from_manifest(MANIFEST), unlimited=True) as slack:
        yield Workspace(slack, tmp_path / "playbooks.yaml", monkeypatch)


def without_tokens(patch: pytest.MonkeyPatch) -> None:
    for name in ("BOT_TOKEN", "APP_TOKEN"):
        patch.delenv(f"CLAMPDOWN_SLACK_{name}")


def not_looked(found: dict[str, Result], *but: str) -> bool:
    return {result.status for name, result in found.items() if name not in but} == {"not looked at"}


def test_the_scopes_looked_for_are_those_of_the_manifest() -> None:
    text = (ROOT / "deployments" / "slack-manifest.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load(text.replace("# - channels:", "- channels:"))

    assert list(slack_checks.SCOPES) == WANTED
    assert [*slack_checks.SCOPES, *slack_checks.CHANNEL_SCOPES] == (
        whole["oauth_config"]["scopes"]["bot"]
    )


def test_a_good_app_is_good_and_posts_nothing(workspace: Workspace) -> None:
    found = workspace.examine()

    assert {name: result.status for name, result in found.items()} == {
        "tokens": "ok",
        "app": "ok",
        "scopes": "ok",
        "connection": "ok",
        f"channel {workspace.room.id}": "ok",
        "approvers oncall": "ok",
    }, found
    assert workspace.team in found["app"].what
    assert {call.method for call in workspace.slack.calls} == {
        "apps.connections.open",
        "auth.test",
        "conversations.history",
        "usergroups.users.list",
    }
    assert workspace.slack.messages(workspace.room) == []
    assert workspace.slack.connections == 0


def test_where_slack_is_not_set_up_there_is_nothing_to_look_at(workspace: Workspace) -> None:
    workspace.places = ""

    found = workspace.examine()

    assert not_looked(found)
    assert "not set up" in found["app"].what
    assert workspace.slack.calls == []


@pytest.mark.parametrize("missing", ["BOT_TOKEN", "APP_TOKEN"])
def test_a_missing_token_is_one_problem(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(f"CLAMPDOWN_SLACK_{missing}")

    found = workspace.examine()

    assert found["tokens"].status == "problem"
    assert f"CLAMPDOWN_SLACK_{missing}" in found["tokens"].what
    assert not_looked(found, "tokens")


def test_a_signing_secret_alone_is_a_problem(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_tokens(monkeypatch)
    monkeypatch.setenv(
        "CLAMPDOWN_SLACK_SIGNING_SECRET", workspace.slack.installation.signing_secret
    )

    found = workspace.examine()

    assert found["tokens"].status == "problem"
    assert "CLAMPDOWN_SLACK_BOT_TOKEN" in found["tokens"].what


# As compose.yaml hands on what compose.env does not name.
@pytest.mark.parametrize("empty", [False, True])
def test_without_any_token_slack_is_not_set_up_yet_which_is_one_warning(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    without_tokens(monkeypatch)
    if empty:
        for name in ("BOT_TOKEN", "APP_TOKEN", "SIGNING_SECRET"):
            monkeypatch.setenv(f"CLAMPDOWN_SLACK_{name}", "")

    found = workspace.examine()

    assert found["tokens"].status == "warning"
    assert "Approvals through Slack will not work" in found["tokens"].meaning
    assert "CLAMPDOWN_SLACK_BOT_TOKEN" in found["tokens"].advice
    assert not_looked(found, "tokens")
    assert workspace.slack.calls == []


def test_in_http_mode_a_signing_secret_is_enough(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLAMPDOWN_SLACK_APP_TOKEN")
    monkeypatch.setenv(
        "CLAMPDOWN_SLACK_SIGNING_SECRET", workspace.slack.installation.signing_secret
    )

    found = workspace.examine()

    assert "HTTP mode" in found["tokens"].what
    assert found["app"].status == "ok"
    assert found["connection"].status == "not looked at"


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked"])
def test_an_app_that_is_not_let_in_is_one_problem(workspace: Workspace, code: str) -> None:
    workspace.slack.fault(Fault(method="auth.test", code=code))

    found = workspace.examine()

    assert found["app"].status == "problem"
    assert code in found["app"].what
    assert not_looked(found, "app", "tokens")


def test_a_slack_that_is_down_is_told_with_what_works_without(workspace: Workspace) -> None:
    workspace.slack.down()

    result = workspace.examine()["app"]

    assert result.status == "problem"
    assert "can't be reached" in result.what
    assert "clampdown approve" in result.advice


def test_a_slack_that_asks_to_wait_is_no_problem(workspace: Workspace) -> None:
    workspace.slack.fault(Fault(method="auth.test", effect="ratelimited"))

    assert not_looked(workspace.examine(), "tokens")


def test_missing_scopes_are_named(workspace: Workspace) -> None:
    scopes = tuple(scope for scope in WANTED if scope not in {"im:write", "files:write"})
    workspace.slack.workspace.app = replace(workspace.slack.workspace.app, scopes=scopes)

    result = workspace.examine()["scopes"]

    assert result.status == "problem"
    assert "files:write, im:write" in result.what


def test_channels_of_their_own_need_more_scopes(workspace: Workspace) -> None:
    workspace.places = f"{{channel: {workspace.room.id}, incident_channels: true}}"

    assert "channels:manage, channels:read" in workspace.examine()["scopes"].what


def test_an_app_token_that_opens_no_connection_is_a_problem(workspace: Workspace) -> None:
    app = replace(workspace.slack.workspace.app, socket_mode=False)
    workspace.slack.workspace.app = app

    result = workspace.examine()["connection"]

    assert result.status == "problem"
    assert "not_enabled" in result.what


def test_a_channel_that_the_app_is_not_in_is_a_problem(workspace: Workspace) -> None:
    other = workspace.slack.channel("critical", workspace.alice, with_app=False)
    critical = f"{{severity: '>= 8', channel: {other.id}}}"
    workspace.places = f"{{channel: {workspace.room.id}, by_severity: [{critical}]}}"

    found = workspace.examine()

    assert found[f"channel {workspace.room.id}"].status == "ok"
    assert found[f"channel {other.id}"].status == "problem"
    assert "not_in_channel" in found[f"channel {other.id}"].what


def test_approvers_of_another_workspace_are_told(workspace: Workspace) -> None:
    workspace.team = "T0ANOTHER"

    assert workspace.examine()["approvers oncall"].status == "warning"


def test_a_user_group_with_nobody_in_it_is_a_problem(workspace: Workspace) -> None:
    empty = workspace.slack.group("nobody")
    workspace.group = f"slack_usergroup: {empty.id}"
    assert f"Nobody is in the user group {empty.id}" in workspace.examine()["approvers oncall"].what

    workspace.group = "slack_usergroup: S0MISSING"
    assert "no_such_subteam" in workspace.examine()["approvers oncall"].what
