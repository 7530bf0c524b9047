"""Drills on a schedule: deployments of Prefect, each with its cron, its time zone and its days off.

A surprise drill begins at a time that nobody knows, within a window after the scheduled one. On days
that are blacked out nothing is played.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flows.gameday.days_off import blacked_out, zone
from flows.settings import Settings
from runbooks.errors import ClampdownError, InvalidInput

POOL = "clampdown-drills"
"""The work pool whose worker plays drills; it needs neither credentials nor the journal."""
FLOW = "clampdown-drill"
# By name: the flow stands above all that it plays with.
_ENTRYPOINT = "flows.deployed.drill"
LONGEST_WINDOW = timedelta(days=7)
_READY = timedelta(seconds=10)


@dataclass(frozen=True)
class DrillTimes:
    """When a scenario is played.

    ``cron`` is read in ``timezone`` (an IANA name). ``window`` is the time after it within which a
    surprise begins; zero is no surprise. ``blackout`` are days on which nothing is played:
    ``2026-12-24`` or ``2026-12-24..2027-01-02``.
    """

    cron: str
    timezone: str = "UTC"
    window: timedelta = timedelta(0)
    blackout: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InvalidInput for what can't be read."""
        from prefect.client.schemas.schedules import CronSchedule
        from pydantic import ValidationError

        zone(self.timezone)
        try:
            CronSchedule(cron=self.cron, timezone=self.timezone)
        except ValidationError as error:
            raise InvalidInput(
                f"{self.cron!r} is no cron expression.",
                advice='Five fields, for example "0 10 * * TUE".',
            ) from error
        if not timedelta(0) <= self.window <= LONGEST_WINDOW:
            raise InvalidInput(f"A window is at most {LONGEST_WINDOW.days} days.")
        for days in self.blackout:
            blacked_out(days, date.min)


@dataclass(frozen=True)
class ScheduledDrill:
    """A scenario's schedule as Prefect has it. ``next`` are the times it has planned."""

    scenario: str
    times: DrillTimes
    active: bool
    next: tuple[datetime, ...]


def schedule(scenario: str, times: DrillTimes, settings: Settings) -> ScheduledDrill:
    """Have Prefect start a drill of the scenario at these times, instead of those it knew.

    Raises InvalidInput, and ClampdownError where no Prefect server answers.
    """
    times.check()
    _reach(settings)
    from prefect.flows import load_flow_from_entrypoint
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    _make_pool()
    drill: Any = load_flow_from_entrypoint(_ENTRYPOINT)
    deployment: Any = drill.to_deployment(
        scenario,
        schedule=Cron(times.cron, timezone=times.timezone),
        parameters={
            "scenario": scenario,
            "window_minutes": int(times.window.total_seconds() // 60),
            "blackout": list(times.blackout),
            "timezone": times.timezone,
        },
        tags=["clampdown", "drill"],
        concurrency_limit=1,
        work_pool_name=POOL,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply()
    return ScheduledDrill(scenario, times, True, ())


def work(settings: Settings) -> int:
    """Play what is scheduled, until Ctrl-C; the exit code. Raises as :func:`schedule` does.

    Whoever reaches Prefect's API can run commands where this runs: it has no credentials.
    """
    _reach(settings)
    _make_pool()
    given = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", POOL]
    try:
        return subprocess.call(command, env=given)
    except KeyboardInterrupt:
        return 0


def unschedule(scenario: str, settings: Settings) -> None:
    """Take a scenario's schedule away. Raises InvalidInput where it has none."""
    _reach(settings)
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(f"{FLOW}/{scenario}")
        except ObjectNotFound as error:
            raise InvalidInput(
                f"{scenario} has no schedule.", advice="`clampdown gameday schedule` lists them."
            ) from error
        client.delete_deployment(found.id)


def scheduled(settings: Settings) -> list[ScheduledDrill]:
    """All scenarios' schedules that Prefect has."""
    _reach(settings)
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.schedules import CronSchedule

    with get_client(sync_client=True) as client:
        found = client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])), limit=200
        )
        planned = (
            client.get_scheduled_flow_runs_for_deployments([one.id for one in found], limit=200)
            if found
            else []
        )
        listed = []
        for one in found:
            crons = [item for item in one.schedules if isinstance(item.schedule, CronSchedule)]
            given = one.parameters
            for item in crons:
                cron: Any = item.schedule
                times = DrillTimes(
                    cron.cron,
                    cron.timezone or "UTC",
                    timedelta(minutes=given.get("window_minutes", 0)),
                    tuple(given.get("blackout") or ()),
                )
                due = sorted(
                    run.expected_start_time
                    for run in planned
                    if run.deployment_id == one.id and run.expected_start_time
                )
                name = str(given.get("scenario", one.name))
                listed.append(ScheduledDrill(name, times, item.active, tuple(due)))
    return sorted(listed, key=lambda item: item.scenario)


def _reach(settings: Settings) -> None:
    """Have Prefect's client talk to the server that there is. Raises ClampdownError for none."""
    from flows.prefect_server import NoAnswer, embed_prefect, require_answer, running_ui

    url = os.environ.get("PREFECT_API_URL") or running_ui(settings.prefect_home)
    if not url:
        raise InvalidInput(
            "No Prefect server is running that could keep a schedule.",
            advice="`clampdown serve` or `clampdown ui` runs one; or set PREFECT_API_URL.",
        )
    embed_prefect(settings.prefect_home)
    os.environ["PREFECT_API_URL"] = url
    try:
        require_answer(url, _READY)
    except NoAnswer as error:
        raise ClampdownError(f"Prefect's server at {url} does not answer.") from error


def _make_pool() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            return
