"""``clampdown gameday``: rehearse playbooks, see how it went, and how it went before."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.gameday.shadow.commands import app as shadow_app
from flows.gameday.showing import Html, Seed, require_one, show, write_html
from flows.gameday.twin_commands import app as twin_app
from flows.gameday.twin_commands import replay
from flows.options import (
    FAILED,
    AsJson,
    PlaybooksFile,
    load_playbooks,
    print_json,
    say,
    settings_of,
)
from runbooks.errors import InvalidInput

if TYPE_CHECKING:
    from flows.gameday.assessment import Assessment
    from flows.gameday.scenario import Scenario

app = typer.Typer(
    help="Rehearse playbooks in a simulation, with faults, and see how it went.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.add_typer(shadow_app, name="shadow")
app.add_typer(twin_app, name="twin")
app.command()(replay)


class Players(StrEnum):
    """Who plays."""

    STAND_INS = "stand-ins"
    SLACK = "slack"


JUnit = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write objectives as JUnit XML, for CI."),
]


@app.command("list")
def list_scenarios(playbooks: PlaybooksFile = None, as_json: AsJson = False) -> None:
    """List the scenarios that ship, and how each went when it was last drilled."""
    from flows.gameday.archive import all_pasts
    from flows.gameday.scenario_file import load_scenario, shipped

    known = all_pasts(settings_of(playbooks))
    rows = []
    for name in shipped():
        scenario = load_scenario(name)
        of_it = [past for past in known if past.scenario == name]
        rows.append(
            {
                "name": name,
                "title": scenario.title,
                "playbook": scenario.playbook,
                "lasts_seconds": scenario.lasts.total_seconds(),
                "objectives": len(scenario.objectives),
                "drills": len(of_it),
                "last": of_it[-1].at.isoformat() if of_it else None,
                "passed": of_it[-1].passed if of_it else None,
                "score": of_it[-1].score if of_it else None,
            }
        )
    if as_json:
        print_json({"scenarios": rows})
        return
    from flows.console.terminal import console, table

    view = table("SCENARIO", "TITLE", "OBJECTIVES", "LAST DRILL", "SCORE")
    for row in rows:
        last = str(row["last"])[:10] if row["last"] else "never"
        score = "" if row["score"] is None else f"{row['score']:.0f}"
        view.add_row(str(row["name"]), str(row["title"]), str(row["objectives"]), last, score)
    console().print(view)


@app.command()
def run(
    scenario: Annotated[
        list[str] | None,
        typer.Argument(metavar="SCENARIO...", help="Names of `gameday list`, or scenario files."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All scenarios that ship.")] = False,
    people: Annotated[
        Players,
        typer.Option(
            "--people", help="Stand-ins, or real people in Slack: one scenario, in real time."
        ),
    ] = Players.STAND_INS,
    at_once: Annotated[
        int, typer.Option("--at-once", help="How many side by side.", min=1, max=16)
    ] = 1,
    seed: Seed = None,
    html: Html = None,
    junit: JUnit = None,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Play scenarios in a simulated AWS, with stand-ins for people, on a clock that skips waiting.

    Nothing real is reached. Ends with 1 where an objective is missed.
    """
    from flows.gameday.archive import assessed, drill_in
    from flows.gameday.run import drawn, run_all

    settings = settings_of(playbooks)
    load_playbooks(settings)
    chosen = _chosen(scenario or [], every)
    require_one(len(chosen), html)
    seed = drawn(seed)
    if people is Players.SLACK:
        from flows.slack.gamedays import play_in_slack

        if len(chosen) != 1:
            raise InvalidInput("People play one scenario at a time.", advice="Name one.")
        ((name, only),) = chosen.items()
        went = [play_in_slack(name, only, seed, settings, told=say)]
    else:
        homes = run_all(
            chosen,
            playbooks=settings.playbooks,
            home=settings.home,
            seed=seed,
            at_once=at_once,
            told=say,
        )
        went = [assessed(drill_in(home), settings) for home in homes]
    write_html(went[0], html)
    _write_junit(went, junit)
    show(went, as_json)
    if not all(assessment.passed for assessment in went):
        names = " ".join(item.scenario for item in went if not item.passed)
        say(f"Seed {seed}. The same again: clampdown gameday run {names} --seed {seed}")
        raise typer.Exit(FAILED)


@app.command()
def report(
    drill: Annotated[
        str | None, typer.Argument(metavar="DRILL", help="The newest one without.")
    ] = None,
    html: Html = None,
    junit: JUnit = None,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how a drill went: what was met and missed, what took how long, and what to learn."""
    from flows.gameday.archive import assessed, find_drill

    settings = settings_of(playbooks)
    went = assessed(find_drill(drill, settings), settings)
    write_html(went, html)
    _write_junit([went], junit)
    show([went], as_json)


@app.command("schedule")
def schedule_drills(
    scenario: Annotated[
        str | None, typer.Argument(metavar="SCENARIO", help="Lists all schedules without.")
    ] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", help='When, for example "0 10 * * TUE".')
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="In which time zone.")] = "UTC",
    window: Annotated[
        str | None,
        typer.Option("--window", help="A surprise: at some time within, for example 4h."),
    ] = None,
    blackout: Annotated[
        list[str] | None,
        typer.Option("--blackout", metavar="DAY[..DAY]", help="Never on these days."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the schedule away.")] = False,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Have Prefect start a drill again and again, or list what it will start.

    `clampdown gameday worker` plays them.
    """
    from datetime import timedelta

    from flows.gameday.schedule import DrillTimes, schedule, scheduled, unschedule
    from runbooks.step import read_duration, write_duration

    settings = settings_of(playbooks)
    if scenario is not None:
        from flows.gameday.scenario_file import load_scenario

        load_scenario(scenario)
        if remove:
            unschedule(scenario, settings)
            say(f"{scenario} has no schedule any more.")
            return
        if cron is None:
            raise InvalidInput(
                f"When is {scenario} to be played?", advice='For example --cron "0 10 * * TUE".'
            )
        try:
            length = read_duration(window) if window else timedelta(0)
        except ValueError as error:
            raise InvalidInput(f"--window: {error}.") from error
        schedule(scenario, DrillTimes(cron, timezone, length, tuple(blackout or ())), settings)
        say(f"{scenario} is scheduled. `clampdown gameday schedule` lists when.")
        return
    rows = scheduled(settings)
    if as_json:
        print_json(
            {
                "schedules": [
                    {
                        "scenario": row.scenario,
                        "cron": row.times.cron,
                        "timezone": row.times.timezone,
                        "window_seconds": row.times.window.total_seconds(),
                        "blackout": row.times.blackout,
                        "active": row.active,
                        "next": [at.isoformat() for at in row.next],
                    }
                    for row in rows
                ]
            }
        )
        return
    from flows.console.terminal import console, table

    view = table("SCENARIO", "CRON", "TIME ZONE", "SURPRISE WITHIN", "NOT ON", "NEXT (UTC)")
    for row in rows:
        within = write_duration(row.times.window) if row.times.window else ""
        due = (
            f"{row.next[0]:%Y-%m-%d %H:%M}" if row.next else ("" if row.active else "switched off")
        )
        days = ", ".join(row.times.blackout)
        view.add_row(row.scenario, row.times.cron, row.times.timezone, within, days, due)
    console().print(view)


@app.command()
def worker(playbooks: PlaybooksFile = None, as_json: AsJson = False) -> None:
    """Play what is scheduled, until Ctrl-C: a worker of Prefect, without credentials."""
    from flows.gameday.schedule import work

    del as_json
    raise typer.Exit(work(settings_of(playbooks)))


def _chosen(names: Sequence[str], every: bool) -> dict[str, Scenario]:
    from flows.gameday.scenario_file import load_scenario, read_scenario, shipped

    if not names and not every:
        raise InvalidInput(
            "Which scenario?", advice="Name some of `clampdown gameday list`, or give --all."
        )
    chosen: dict[str, Scenario] = {name: load_scenario(name) for name in shipped() if every}
    for name in names:
        path = Path(name)
        if path.suffix in {".yaml", ".yml"}:
            chosen[path.stem] = read_scenario(path)
        else:
            chosen[name] = load_scenario(name)
    return chosen


def _write_junit(went: Sequence[Assessment], junit: Path | None) -> None:
    if junit is not None:
        from flows.gameday.report import junit as suites

        junit.write_text(suites(went), encoding="utf-8")
