"""Earlier drills: what each came to, how milestones compare, and what was not drilled for long.

What a drill came to is folded from its journal once and kept beside it, under the journal's heads:
hundreds of journals are not folded again each time. It is no record: where it is missing, or the
journal has gone on, it is made again.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from flows.gameday.assessment import Coverage, Past, Timing
from flows.gameday.drills import PREFIX, Drill, drill_homes, read_drill
from flows.gameday.score.evidence import journal_of
from flows.gameday.score.milestones import MILESTONES, reached
from flows.gameday.score.passing import passed
from flows.gameday.score.reading import Played, read
from flows.gameday.score.verdicts import score, verdicts
from flows.journal.journal import Journal
from runbooks.calls import sha256
from runbooks.errors import ClampdownError
from runbooks.playbook import Playbooks

STALE = timedelta(days=90)
"""After so long a playbook counts as not drilled."""
_FILE = "summary.json"
# What a summary holds, and how it is made: another number makes all of them again.
_VERSION = 1
_DAY_IN_ID = re.compile(re.escape(PREFIX) + r"(\d{8}-\d{6})\b")


def pasts(home: Path) -> list[Past]:
    """The drills under CLAMPDOWN_HOME that have ended and can be read, the oldest first.

    What is being played, was broken off without a word, or is of another version is left out.
    """
    found = (_past(drill) for drill in drill_homes(home) if drill.name.startswith(PREFIX))
    return sorted((past for past in found if past), key=lambda past: (past.at, past.drill))


def past_of(played: Played) -> Past:
    """What a drill came to, for the drills after it."""
    about = played.drill.about
    judged = verdicts(played)
    return Past(
        drill=played.drill.id,
        at=played_at(played.drill),
        mode=about["mode"],
        seed=about["seed"],
        score=score(judged)[0],
        passed=passed(played.drill, judged, journal_of(played)),
        milestones=milestones(played),
        scenario=about["scenario"],
        playbook=played.scenario.playbook,
    )


def milestones(played: Played) -> dict[str, float]:
    """The milestones that the main finding reached, in seconds after it arrived."""
    found = {name: reached(played, name, played.main_finding).after for name in MILESTONES}
    return {name: after for name, after in found.items() if after is not None}


def played_at(drill: Drill) -> datetime:
    """When a drill was really played: its records are on the scenario's clock."""
    if said := drill.about.get("played_at"):
        with suppress(ValueError):
            return datetime.fromisoformat(said).astimezone(UTC)
    if match := _DAY_IN_ID.match(drill.id):
        with suppress(ValueError):
            return datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    return drill.at


def earlier(played: Played, known: Sequence[Past]) -> tuple[Past, ...]:
    """The drills of the same scenario that were played before this one, the oldest first."""
    about, at = played.drill.about, played_at(played.drill)
    return tuple(
        sorted(
            (
                past
                for past in known
                if past.scenario == about["scenario"]
                and past.drill != played.drill.id
                and (past.at, past.drill) < (at, played.drill.id)
            ),
            key=lambda past: (past.at, past.drill),
        )
    )


def timings(played: Played, before: Sequence[Past]) -> tuple[Timing, ...]:
    """Each milestone of the main finding beside its target and the drills before, in the same mode:
    seconds of a simulation say nothing about those of people.

    Milestones that were never reached, and are no objective, are left out.
    """
    mode = played.drill.about["mode"]
    comparable = [past for past in before if past.mode == mode]
    targets = {
        objective.until: objective.within.total_seconds()
        for objective in reversed(played.scenario.objectives)
        if objective.until
        and objective.within is not None
        and objective.finding == played.main_finding
    }
    found = []
    for name in MILESTONES:
        known = [past.milestones[name] for past in comparable if name in past.milestones]
        now = reached(played, name, played.main_finding)
        if now.after is None and name not in targets and not known:
            continue
        found.append(
            Timing(
                name,
                now.after,
                targets.get(name),
                known[-1] if known else None,
                median(known) if known else None,
                max(known, default=None),
                now.sources,
            )
        )
    return tuple(found)


def coverage(
    known: Sequence[Past], playbooks: Playbooks, now: datetime | None = None
) -> tuple[Coverage, ...]:
    """When each playbook was last drilled, those that were not for longest first."""
    now = now or datetime.now(UTC)
    found = []
    for name in playbooks.playbooks:
        of_it = [past for past in known if past.playbook == name]
        last = max(of_it, key=lambda past: past.at, default=None)
        found.append(
            Coverage(
                name,
                last.at if last else None,
                last.passed if last else None,
                last is None or now - last.at >= STALE,
            )
        )
    never = datetime.min.replace(tzinfo=UTC)
    return tuple(sorted(found, key=lambda item: (item.last or never, item.playbook)))


def _past(home: Path) -> Past | None:
    """What a drill came to: as it is kept, or made from its journal; None for one to leave out."""
    try:
        heads = _heads(home / "journal.db")
        kept = _kept(home / _FILE, heads)
        if kept is not None:
            return kept
        journal = Journal.open(f"sqlite:///{home / 'journal.db'}")
        try:
            drill = read_drill(home, journal, home.name)
        finally:
            journal.close()
        if not drill.records or drill.ended is None:
            return None
        past = past_of(read(drill))
    except (ClampdownError, sqlite3.Error, KeyError):
        return None
    _keep(home / _FILE, heads, past)
    return past


def _heads(file: Path) -> str:
    """One hash for the last records of all chains. Opening a journal takes 20 ms, this 0.3 ms."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        # The other columns are those of the row with the maximum (SQLite, "Bare columns in an
        # aggregate query").
        heads = connection.execute(
            "SELECT incident, MAX(seq), hash FROM records GROUP BY incident ORDER BY incident"
        ).fetchall()
    return sha256([list(head) for head in heads])


def _kept(file: Path, heads: str) -> Past | None:
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if (kept["version"], kept["heads"]) != (_VERSION, heads):
            return None
        past = kept["past"]
        return Past(**{**past, "at": datetime.fromisoformat(past["at"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(file: Path, heads: str, past: Past) -> None:
    document = {
        "version": _VERSION,
        "heads": heads,
        "past": {**asdict(past), "at": past.at.isoformat()},
    }
    # Whoever may only read drills makes them out each time.
    with suppress(OSError):
        new = file.with_suffix(".new")
        new.write_text(json.dumps(document), encoding="utf-8")
        new.replace(file)
