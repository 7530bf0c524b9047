"""Where things are and how they run: from the environment, with the prefix ``CLAMPDOWN_``."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runbooks.errors import InvalidInput


def _default_home() -> Path:
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "clampdown"


def _default_region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


class Settings(BaseSettings):
    """Settings of one process.

    ``home`` holds the state of a single machine. ``journal`` is an SQLAlchemy URL; empty means
    SQLite under ``home``. ``simulate`` points everything at a simulated AWS on this machine.
    ``region`` is where targets given by id are looked for. ``parallel_steps`` bounds how many
    steps run side by side. In ``shadow`` nothing is ever opened or changed: what would have been
    done is only recorded. A ``.env`` file is never read: it could redirect a run.
    """

    model_config = SettingsConfigDict(env_prefix="CLAMPDOWN_", extra="ignore", env_file=None)

    home: Path = Field(default_factory=_default_home)
    journal: str = ""
    playbooks: Path = Path("playbooks.yaml")
    simulate: str = ""
    region: str = Field(default_factory=_default_region)
    parallel_steps: int = Field(default=16, ge=1, le=64)
    shadow: bool = False

    @property
    def journal_url(self) -> str:
        return self.journal or f"sqlite:///{self.home / 'journal.db'}"

    @property
    def prefect_home(self) -> Path:
        return self.home / "prefect"


def load_settings(
    *,
    playbooks: Path | None = None,
    simulate: str | None = None,
    region: str | None = None,
) -> Settings:
    """The settings, with what the command line gives put over the environment.

    Raises InvalidInput.
    """
    given = {"playbooks": playbooks, "simulate": simulate, "region": region}
    try:
        return Settings(**{key: value for key, value in given.items() if value})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "CLAMPDOWN_" + str(first["loc"][0]).upper()
        raise InvalidInput(f"{name} is not valid: {first['msg']}.") from error
