"""``clampdown gameday twin`` and ``replay``: the plan in a copy of the account, and the past again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.gameday.showing import Html, Seed, show, show_words, write_html
from flows.options import (
    FAILED,
    AsJson,
    PlaybooksFile,
    Region,
    Simulate,
    load_playbooks,
    print_json,
    say,
    settings_of,
)
from runbooks.errors import InvalidInput

if TYPE_CHECKING:
    from flows.gameday.drills import Drill, Mode
    from flows.gameday.play.job import RealAccount
    from flows.gameday.scenario import Scenario
    from flows.gameday.twin import Twin
    from flows.gameday.worlds import AccountWorld, World
    from flows.settings import Settings
    from runbooks.playbook import Playbooks

app = typer.Typer(
    help="Rehearse a plan in a copy of the real account around its target.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TwinFile = Annotated[
    Path | None, typer.Option("--twin", metavar="FILE", help="A twin that was saved.")
]


@app.command()
def take(
    target: Annotated[str, typer.Option("--target", help="An instance's id or ARN.")],
    save: Annotated[Path, typer.Option("--save", metavar="FILE", help="Where it is kept.")],
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Read the account around an instance, and save it as a file. Sends only reads."""
    settings = settings_of(playbooks, simulate, region)
    twin = _taken(target, load_playbooks(settings), settings)
    twin.save(save)
    if as_json:
        print_json({"file": str(save), "target": twin.target, "left_out": twin.left_out})
        return
    say(f"{save}: {_told(twin)}")
    for text in twin.left_out:
        say(f"  not as it is in the account: {text}")


@app.command()
def run(
    playbook: Annotated[str, typer.Argument()],
    target: Annotated[
        str | None, typer.Option("--target", help="An instance's id or ARN; its account is read.")
    ] = None,
    twin: TwinFile = None,
    finding: Annotated[
        Path | None,
        typer.Option("--finding", metavar="FILE", help="The finding that is rehearsed."),
    ] = None,
    seed: Seed = None,
    html: Html = None,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Carry a playbook out in a copy of the account, and show what would be different then.

    The account is read, or comes from a file that `twin take` has saved; nothing in it is changed.
    """
    from flows.gameday.archive import assessed
    from flows.gameday.twin import playbooks_of_twin, read_twin
    from flows.gameday.twin_scenario import twin_scenario
    from flows.intake.parse import parse_one

    if (target is None) is (twin is None):
        raise InvalidInput("Give either --target, whose account is read, or --twin, a saved one.")
    settings = settings_of(playbooks, simulate, region)
    loaded = load_playbooks(settings)
    copy = read_twin(twin) if twin else _taken(str(target), loaded, settings)
    there = playbooks_of_twin(loaded, copy)
    about = parse_one(finding).lookup() if finding else None
    scenario = twin_scenario(copy.world, copy.target, playbook, there, about)
    drill = _played(
        scenario,
        f"twin-{copy.target}",
        "twin",
        copy.world,
        _real(copy.account, there),
        seed,
        settings,
    )
    went = assessed(drill, settings)
    write_html(went, html)
    show([went], as_json)
    if not as_json:
        words = next(iter(went.in_words.values()), ("nothing",))
        show_words("What is different in the account then:", words)
    if not went.passed:
        raise typer.Exit(FAILED)


@app.command()
def permissions(playbooks: PlaybooksFile = None, as_json: AsJson = False) -> None:
    """Print the IAM policy that reading an account for a twin needs: reads alone."""
    from flows.gameday.twin import twin_permissions

    del playbooks, as_json
    print_json(twin_permissions())


def replay(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT")],
    twin: TwinFile = None,
    seed: Seed = None,
    html: Html = None,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Play a past incident again in the simulation, with today's playbook and yesterday's people:
    would it have gone better?"""
    from flows.gameday.archive import assessed
    from flows.gameday.replay import replay_scenario
    from flows.gameday.replay_comparison import compare
    from flows.gameday.twin import read_twin
    from flows.journal.journal import Journal

    settings = settings_of(playbooks)
    loaded = load_playbooks(settings)
    with closing(Journal.open(settings.journal_url)) as journal:
        then = journal.records(incident)
    if not then:
        raise InvalidInput(
            f"There is no incident {incident!r}.", advice="`clampdown incidents` lists them."
        )
    copy = read_twin(twin) if twin else None
    again = replay_scenario(
        then, loaded, copy.world if copy else None, copy.target if copy else None
    )
    real = _real(str(then[0].body["targets"][0]["account"]), again.playbooks)
    drill = _played(
        again.scenario, f"replay-{incident}", "replay", again.world, real, seed, settings
    )
    now = next(iter(drill.incidents.values()), None)
    compared = compare(then, now) if now else None
    words = [
        *(compared.sentences if compared else ("no incident was opened this time",)),
        *(f"not as it was: {text}" for text in again.missing),
    ]
    better = {True: "better", False: "worse", None: "no better and no worse"}
    verdict = better[compared.better if compared else None]
    went = assessed(drill, settings)
    write_html(went, html)
    show([went], as_json, compared=words)
    if not as_json:
        show_words(f"With today's playbook it would have gone {verdict}:", words)
    if not went.passed:
        raise typer.Exit(FAILED)


def _taken(target: str, playbooks: Playbooks, settings: Settings) -> Twin:
    from flows.gameday.twin import take_twin
    from flows.responder import Responder

    responder = Responder(settings, playbooks)
    reading = responder.reading_connections("clampdown-twin")
    with closing(reading) as connections:
        (ref,) = responder.references([target], connections)
    return take_twin(playbooks, ref, simulate=settings.simulate or None)


def _told(twin: Twin) -> str:
    return (
        f"{len(twin.world.instances)} instances around {twin.target} ({twin.instance}) of the account "
        f"{twin.account}, {twin.region}"
    )


def _real(account: str, simulated: Playbooks) -> RealAccount:
    """The account that the simulated one of the playbooks stands for."""
    from flows.gameday.play.job import RealAccount

    (like,) = simulated.accounts.values()
    return RealAccount(id=account, name=like.name, environment=like.environment)


def _played(
    scenario: Scenario,
    name: str,
    mode: Mode,
    world: World | AccountWorld,
    account: RealAccount,
    seed: int | None,
    settings: Settings,
) -> Drill:
    from flows.gameday.archive import drill_in
    from flows.gameday.run import drawn, run_drill

    return drill_in(
        run_drill(
            scenario,
            name=name,
            playbooks=settings.playbooks,
            home=settings.home,
            seed=drawn(seed),
            mode=mode,
            world=world,
            account=account,
            told=say,
        )
    )
