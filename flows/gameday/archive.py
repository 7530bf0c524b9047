"""Past drills: where they are kept, and what each came to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from flows.gameday.assessment import Assessment, Past
from flows.gameday.drills import Drill, drill_homes, live_drills, read_drill
from flows.gameday.run import run_all
from flows.gameday.scenario_file import load_scenario
from flows.gameday.score import assess, coverage, pasts
from flows.gameday.score.reading import read
from flows.gameday.score.trend import past_of
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
    return assessed(drill_in(home), settings)


def drill_in(home: Path) -> Drill:
    """The drill that is kept in a folder of its own."""
    with closing(Journal.open(f"sqlite:///{home / 'journal.db'}")) as journal:
        return read_drill(home, journal, home.name)


def find_drill(name: str | None, settings: Settings) -> Drill:
    """A drill by its id, in a simulation or live; the newest one for None. Raises InvalidInput."""
    homes = {home.name: home for home in drill_homes(settings.home)}
    live = {drill.id: drill for drill in _live(settings)}
    known = sorted({*homes, *live})
    if not known:
        raise InvalidInput("There was no drill yet.", advice="`clampdown gameday run` plays one.")
    wanted = name or known[-1]
    if wanted in live:
        return live[wanted]
    if wanted not in homes:
        newest = ", ".join(known[-3:])
        raise InvalidInput(f"There is no drill {wanted!r}.", advice=f"The newest are {newest}.")
    return drill_in(homes[wanted])


def all_pasts(settings: Settings) -> list[Past]:
    """What every drill came to that has ended, the oldest first."""
    live = [past_of(read(drill)) for drill in _live(settings) if drill.ended]
    return sorted([*pasts(settings.home), *live], key=lambda past: (past.at, past.drill))


def assessed(drill: Drill, settings: Settings) -> Assessment:
    """What a drill came to, beside what earlier ones of its scenario did."""
    known = all_pasts(settings)
    playbooks = load(settings.playbooks, STEPS)
    return assess(drill, playbooks, known, coverage(known, playbooks))


def _live(settings: Settings) -> list[Drill]:
    """The live drills; they are in the journal of real incidents, if there is one yet."""
    if not settings.journal and not (settings.home / "journal.db").exists():
        return []
    with closing(Journal.open(settings.journal_url)) as journal:
        return list(live_drills(settings.home, journal))
