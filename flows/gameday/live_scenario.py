"""A live drill as a scenario, so that it is scored and reported as any other drill."""

from __future__ import annotations

from datetime import timedelta

from flows.gameday.live_finding import KIND
from flows.gameday.scenario import Event, FindingInject, Objective, Scenario

_WITHIN = timedelta(minutes=15)
_LASTS = timedelta(hours=4)


def live_scenario(playbook: str, *, keep: bool) -> Scenario:
    """One finding, and its containment in time; and that all is as before, unless it is kept."""
    objectives = [
        Objective(id="in-time", title="Contained in time", until="contained", within=_WITHIN),
        Objective(
            id="contained", title="Contained and verified", holds="contained", of=("target",)
        ),
    ]
    if not keep:
        title = "Everything is as it was before"
        objectives.append(Objective(id="as-before", title=title, holds="undone", of=("target",)))
    return Scenario(
        version=1,
        title=f"Live drill of {playbook}",
        purpose="Containment of a real instance that is there for drills, with the people on call.",
        playbook=playbook,
        world="live",
        lasts=_LASTS,
        timeline=(Event(at=timedelta(), finding=FindingInject(type=KIND, on="target")),),
        objectives=tuple(objectives),
    )
