"""What the service listens to, and how much it does at once: from the environment, ``CLAMPDOWN_…``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runbooks.errors import InvalidInput

# Whoever guesses the token may have incidents proposed.
_SHORTEST_TOKEN = 32


class ServeSettings(BaseSettings):
    """Settings of ``clampdown serve`` and ``clampdown worker``.

    ``queues`` are the URLs of the SQS queues that findings come from, the most urgent first;
    ``dead_letters`` is the URL of the one to which what can't be understood is sent. An empty
    ``webhook_token`` means that nothing is taken over HTTP. ``sweep_minutes`` is how often GuardDuty
    is asked for what events have lost, 0 for never. ``worker_port`` is where a worker answers for its
    health and its figures, None for nowhere. ``incidents_at_once`` bounds how many incidents
    are being contained side by side; those that wait for people or for AWS don't count.
    """

    model_config = SettingsConfigDict(
        env_prefix="CLAMPDOWN_", extra="ignore", env_file=None, hide_input_in_errors=True
    )

    queues: Annotated[tuple[str, ...], NoDecode] = ()
    dead_letters: str = ""
    webhook_token: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: int = Field(default=8809, ge=0, le=65_535)
    worker_port: int | None = Field(default=None, ge=0, le=65_535)
    sweep_minutes: int = Field(default=5, ge=0, le=1_440)
    incidents_at_once: int = Field(default=8, ge=1, le=64)

    @field_validator("queues", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(url for url in (part.strip() for part in value.split(",")) if url)
        return value

    @field_validator("webhook_token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        if token.get_secret_value() and len(token.get_secret_value().strip()) < _SHORTEST_TOKEN:
            raise ValueError(f"must have at least {_SHORTEST_TOKEN} characters")
        return token


def load_serve_settings() -> ServeSettings:
    """The settings from the environment. Raises InvalidInput."""
    try:
        return ServeSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "CLAMPDOWN_" + str(first["loc"][0]).upper()
        raise InvalidInput(f"{name} is not valid: {first['msg']}.") from error
