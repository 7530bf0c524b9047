"""Past drills: where they are kept, and what each came to."""

from __future__ import annotations

from pathlib import Path

from flows.gameday.assessment import Assessment
from flows.gameday.drills import drill_homes, read_drill
from flows.gameday.run import run_all
from flows.gameday.scenario_file import load_scenario
from flows.gameday.score import assess, coverage, pasts
from flows.journal.journal import Journal
from flows.settings import Settings
from runbooks.errors import InvalidInput
from runbooks.loader import load
from runbooks.registry import STEPS


def play(name: str, seed: int, settings: Settings) -> Assessment:
    """Play a scenario that ships, in a simulation of its own, and say how it went.

    Raises InvalidInput where there is none of that name, ClampdownError where it can't begin.
    """
    (home,) = run_all(
        {name: load_scenario(name)}, playbooks=settings.playbooks, home=settings.home, seed=seed
    )
    return assessed_drill(home, settings)


def home_of(drill: str | None, settings: Settings) -> Path:
    """The folder of a drill; of the newest one for None. Raises InvalidInput."""
    homes = {home.name: home for home in drill_homes(settings.home)}
    if not homes:
        raise InvalidInput("There was no drill yet.", advice="`clampdown gameday run` plays one.")
    if drill is None:
        return homes[max(homes)]
    if drill not in homes:
        newest = ", ".join(sorted(homes)[-3:])
        raise InvalidInput(f"There is no drill {drill!r}.", advice=f"The newest are {newest}.")
    return homes[drill]


def assessed_drill(home: Path, settings: Settings) -> Assessment:
    """What a drill came to, beside what earlier ones of its scenario did."""
    journal = Journal.open(f"sqlite:///{home / 'journal.db'}")
    try:
        drill = read_drill(home, journal, home.name)
    finally:
        journal.close()
    known = pasts(settings.home)
    playbooks = load(settings.playbooks, STEPS)
    before = [
        past
        for past in known
        if past.scenario == drill.about["scenario"] and past.drill != drill.id
    ]
    return assess(drill, playbooks, before, coverage(known, playbooks))
