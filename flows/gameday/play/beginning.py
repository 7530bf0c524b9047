"""How a drill begins: a world that was there before, and a first record that says what is played."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from flows.gameday.drills import DIED
from flows.gameday.play.before import Before
from flows.gameday.play.diary import Diary
from flows.gameday.play.job import Job
from flows.gameday.play.mailbox import Mailbox
from flows.gameday.play.outside import Outside, ask
from flows.gameday.worlds import WorldIds, build
from runbooks.calls import sha256

# Everything in the world is older than the scenario.
_BUILT_BEFORE = timedelta(hours=1)
_FIRST_DAY = datetime(2026, 1, 1, 9, tzinfo=UTC)


def start_of(job: Job) -> datetime:
    """When a scenario begins: as it says, or on a day that follows from nothing but the seed."""
    if job.scenario.start is not None:
        return job.scenario.start.astimezone(UTC)
    return _FIRST_DAY + timedelta(days=random.Random(f"{job.seed} start").randrange(365))


def built(job: Job) -> tuple[WorldIds, datetime]:
    """A world that was there before the scenario begins, and when that is."""
    start = start_of(job)
    set_ahead(job.url, (start - _BUILT_BEFORE - datetime.now(UTC)).total_seconds())
    world = build(job.world, job.url)
    outside = Outside(world)
    Mailbox(outside).set_up()
    Before.look(outside).write(job.home)
    return world, start


def left_by_another(job: Job, diary: Diary) -> tuple[WorldIds, datetime]:
    """The world in which the player before this one has died, and when that was."""
    about = diary.began.body
    world = WorldIds(job.url, about["account"], about["region"], dict(about["names"]))
    return world, diary.records(DIED)[-1].at


def set_ahead(url: str, seconds: float) -> None:
    """Have the simulated AWS be so many seconds ahead of this machine's clock."""
    ask(url, "POST", "clock", {"ahead": seconds})


def beginning(job: Job, world: WorldIds, playbooks_digest: str) -> dict[str, Any]:
    """A drill's first record."""
    definition = job.scenario.model_dump(mode="json", by_alias=True)
    return {
        "scenario": job.name,
        "title": job.scenario.title,
        "definition": definition,
        "digest": sha256(definition),
        "playbooks_digest": playbooks_digest,
        "mode": job.mode,
        "seed": job.seed,
        "tool": version("clampdown"),
        "people": job.people,
        "region": world.region,
        "account": world.account,
        "names": world.ids,
        "played_at": datetime.now(UTC).isoformat(),
    }
