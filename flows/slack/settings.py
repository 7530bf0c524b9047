"""What Slack's app is known by: from the environment, with the prefix ``CLAMPDOWN_SLACK_``."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runbooks.connections import require_loopback
from runbooks.errors import ClampdownError, InvalidInput
from runbooks.playbook import Playbooks, SlackPlaces

SLACK = "https://slack.com/api/"
# Slack's own have 32 characters. Whoever may guess a shorter one signs approvals.
_SHORTEST_SECRET = 16
_HELP = "docs/slack.md says where to find it."


class SlackSettings(BaseSettings):
    """Tokens and secret of the Slack app, and where it listens in HTTP mode.

    ``simulate`` is a simulated AWS that people may ask for where everything else is live.
    ``api_url`` is Slack's Web API, or that of a simulated Slack on this machine.
    """

    model_config = SettingsConfigDict(
        env_prefix="CLAMPDOWN_SLACK_", extra="ignore", env_file=None, hide_input_in_errors=True
    )

    bot_token: SecretStr = SecretStr("")
    app_token: SecretStr = SecretStr("")
    signing_secret: SecretStr = SecretStr("")
    api_url: str = SLACK
    simulate: str = ""
    host: str = "127.0.0.1"
    port: int = Field(default=8808, ge=0, le=65_535)


def load_slack_settings(*, http: bool | None) -> SlackSettings:
    """The settings that Socket Mode or HTTP mode needs; None where Slack is only told things.

    Raises InvalidInput.
    """
    try:
        settings = SlackSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "CLAMPDOWN_SLACK_" + str(first["loc"][0]).upper()
        raise InvalidInput(f"{name} is not valid: {first['msg']}.") from error
    _require_token("BOT_TOKEN", settings.bot_token, "xoxb-")
    if http:
        _require_secret(settings.signing_secret)
    elif http is False:
        _require_token("APP_TOKEN", settings.app_token, "xapp-")
    _require_slack(settings.api_url)
    if settings.simulate:
        require_loopback(settings.simulate)
    return settings


def places_of(playbooks: Playbooks) -> SlackPlaces:
    """Where in Slack incidents are told. Raises InvalidInput where playbooks.yaml doesn't say."""
    if playbooks.slack is None:
        raise InvalidInput(
            "playbooks.yaml says nowhere where in Slack incidents are told.",
            advice="Give it `slack: {channel: C…}`; docs/slack.md says how.",
        )
    return playbooks.slack


def _require_token(name: str, token: SecretStr, prefix: str) -> None:
    if not token.get_secret_value().startswith(prefix):
        raise InvalidInput(
            f"CLAMPDOWN_SLACK_{name} must hold the Slack app's token that begins with {prefix}.",
            advice=_HELP,
        )


def _require_secret(secret: SecretStr) -> None:
    if len(secret.get_secret_value().strip()) < _SHORTEST_SECRET:
        raise InvalidInput(
            "CLAMPDOWN_SLACK_SIGNING_SECRET is missing or too short to prove that a request is "
            "Slack's; nothing is answered without it.",
            advice=_HELP,
        )


def _require_slack(url: str) -> None:
    if url == SLACK:
        return
    parts = urlsplit(url)
    try:
        require_loopback(f"{parts.scheme}://{parts.netloc}")
    except ClampdownError as error:
        raise InvalidInput(
            f"CLAMPDOWN_SLACK_API_URL is {SLACK} or a simulated Slack on this machine, not {url!r}."
        ) from error
