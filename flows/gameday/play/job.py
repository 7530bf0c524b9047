"""What a player is told to play."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from flows.gameday.drills import Mode
from flows.gameday.scenario import Scenario
from flows.gameday.worlds import AccountWorld, World

Players = Literal["stand-ins", "slack"]


class RealAccount(BaseModel):
    """The account of which the simulated one is a twin, as playbooks.yaml has it."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    environment: str


class Job(BaseModel):
    """A drill to be played: ``name`` is its scenario's, ``home`` the folder that it is kept in.

    ``url`` is the simulated AWS, ``account`` the one that it stands for (None for none).
    ``people`` is who plays: stand-ins, on a clock that skips, or people in Slack, in real time.
    ``resumes`` is whether it was begun by a player that was killed.
    """

    model_config = ConfigDict(frozen=True)

    drill: str
    name: str
    scenario: Scenario
    mode: Mode
    seed: int
    world: World | AccountWorld
    playbooks: Path
    home: Path
    url: str
    account: RealAccount | None = None
    people: Players = "stand-ins"
    resumes: bool = False

    def line(self) -> str:
        """The job as one line of JSON, which ``model_validate_json`` reads again."""
        return self.model_dump_json(by_alias=True)
