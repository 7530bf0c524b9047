"""Slack's tokens and secret: without those that a mode needs, nothing starts."""

from __future__ import annotations

import pytest

from flows.slack.settings import SLACK, load_slack_settings
from runbooks.errors import InvalidInput

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAMPDOWN_SLACK_BOT_TOKEN", "xoxb-bot")
    monkeypatch.setenv("CLAMPDOWN_SLACK_APP_TOKEN", "xapp-app")
    monkeypatch.setenv("CLAMPDOWN_SLACK_SIGNING_SECRET", SECRET)


def test_each_mode_needs_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAMPDOWN_SLACK_SIGNING_SECRET")
    assert load_slack_settings(http=False).api_url == SLACK
    with pytest.raises(InvalidInput, match="CLAMPDOWN_SLACK_SIGNING_SECRET is missing"):
        load_slack_settings(http=True)
    monkeypatch.setenv("CLAMPDOWN_SLACK_SIGNING_SECRET", SECRET)
    monkeypatch.delenv("CLAMPDOWN_SLACK_APP_TOKEN")
    assert load_slack_settings(http=True).signing_secret.get_secret_value() == SECRET
    with pytest.raises(InvalidInput, match="CLAMPDOWN_SLACK_APP_TOKEN must hold"):
        load_slack_settings(http=False)


@pytest.mark.parametrize("secret", ["", " " * 32, "short", "x" * 15 + " " * 20])
def test_a_secret_that_could_be_guessed_is_none(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAMPDOWN_SLACK_SIGNING_SECRET", secret)
    with pytest.raises(InvalidInput, match="missing or too short"):
        load_slack_settings(http=True)


@pytest.mark.parametrize("token", ["", "xoxp-a-person", "xapp-app"])
def test_a_token_of_another_kind_is_none(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAMPDOWN_SLACK_BOT_TOKEN", token)
    with pytest.raises(InvalidInput, match="CLAMPDOWN_SLACK_BOT_TOKEN must hold") as refused:
        load_slack_settings(http=False)
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://slack.com/api/",
        "https://slack.com.evil.example/api/",
        "https://slack.com@evil.example/api/",
        "http://169.254.169.254/api/",
        "not a url",
    ],
)
def test_nothing_but_slack_is_spoken_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAMPDOWN_SLACK_API_URL", url)
    with pytest.raises(InvalidInput, match=r"CLAMPDOWN_SLACK_API_URL is https://slack\.com/api/"):
        load_slack_settings(http=False)


def test_a_simulated_slack_on_this_machine_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAMPDOWN_SLACK_API_URL", "http://127.0.0.1:9999/api/")
    assert load_slack_settings(http=False).api_url == "http://127.0.0.1:9999/api/"


def test_a_simulation_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAMPDOWN_SLACK_SIMULATE", "https://ec2.eu-west-1.amazonaws.com")
    with pytest.raises(Exception, match="not a simulated AWS on this machine"):
        load_slack_settings(http=False)


def test_tokens_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    text = repr(load_slack_settings(http=True))
    assert "xoxb-bot" not in text
    assert SECRET not in text
