"""What a player is told to play."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from flows.gameday.drills import Mode
from flows.gameday.scenario import Scenario
from flows.gameday.worlds import AccountWorld, World


class Job(BaseModel):
    """A drill to be played: ``name`` is its scenario's, ``home`` the folder that it is kept in.

    ``url`` is the simulated AWS. ``resumes`` is whether it was begun by a player that was killed.
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
    resumes: bool = False

    def line(self) -> str:
        """The job as one line of JSON, which ``model_validate_json`` reads again."""
        return self.model_dump_json(by_alias=True)
