"""``clampdown gameday shadow``: what would have been done, held against what people did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import (
    AsJson,
    PlaybooksFile,
    Simulate,
    load_playbooks,
    print_json,
    settings_of,
)
from runbooks.errors import InvalidInput

if TYPE_CHECKING:
    from flows.gameday.shadow.said import AwsLook, Truth
    from flows.responder import Responder

app = typer.Typer(
    help="See what would have been done in shadow, and hold it against what people did.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Days = Annotated[int, typer.Option("--days", help="Of how many days up to now.", min=1, max=3_650)]


@app.command("list")
def list_judgements(
    days: Days = 30,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    as_json: AsJson = False,
) -> None:
    """List what was judged: what would have been done about which finding, and when."""
    from flows.journal.journal import Journal
    from flows.shadow.records import judgements

    settings = settings_of(playbooks, simulate)
    found = judgements(Journal.open(settings.journal_url), settings.simulate, _since(days))
    if as_json:
        documents = [
            {"chain": item.chain, "sentence": item.sentence, **item.body} for item in found
        ]
        print_json({"judgements": documents})
        return
    from flows.console.terminal import console, shown, table

    if not found:
        typer.echo("Nothing was judged. `mode: shadow` in a route, or `clampdown serve --shadow`.")
        return
    rows = table("CHAIN", "BEGINS (UTC)", "VERDICT", "FINDING", "TARGETS")
    for item in found:
        rows.add_row(
            item.chain,
            f"{item.begins:%Y-%m-%d %H:%M:%S}",
            item.verdict,
            shown(item.body["finding"]["type"]),
            shown(", ".join(item.targets)),
        )
    console().print(rows)


@app.command()
def compare(
    days: Days = 30,
    without_aws: Annotated[
        bool, typer.Option("--without-aws", help="Don't look at the targets, nor at CloudTrail.")
    ] = False,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    as_json: AsJson = False,
) -> None:
    """Hold it against what people did: what they say, their incidents, and what AWS shows.

    Sends only reads: ec2:DescribeInstances, ec2:DescribeSecurityGroupRules and
    cloudtrail:LookupEvents, for what nobody has said anything about.
    """
    from flows.gameday.shadow.compare import compare as hold
    from flows.gameday.shadow.compare import lines
    from flows.responder import Responder

    settings = settings_of(playbooks, simulate)
    responder = Responder(settings, load_playbooks(settings))
    since = _since(days)
    with _looking(responder, since, without_aws) as aws:
        comparison = hold(responder.journal, settings.simulate, since=since, aws=aws)
    if as_json:
        print_json(comparison.to_json())
        return
    for line in lines(comparison):
        typer.echo(line)


@app.command()
def mark(
    chain: Annotated[str, typer.Argument(metavar="CHAIN", help="shd-…, of `shadow list`.")],
    contained_at: Annotated[
        str | None,
        typer.Option("--contained-at", metavar="TIME", help="People had contained it by then."),
    ] = None,
    false_alarm: Annotated[
        bool, typer.Option("--false-alarm", help="There was nothing to contain.")
    ] = False,
    missed: Annotated[
        bool, typer.Option("--missed", help="It was real, and nobody contained it.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="A reason, for the journal.")] = "",
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what a judged finding really was. It is recorded as yours; the newest word counts."""
    from flows.gameday.shadow.said import mark as write
    from flows.identity import local_identity
    from flows.journal.journal import Journal

    if [contained_at is not None, false_alarm, missed].count(True) != 1:
        raise InvalidInput("Give one of --contained-at TIME, --false-alarm and --missed.")
    truth: Truth = "false alarm" if false_alarm else "missed" if missed else "contained"
    at = _time(contained_at) if contained_at is not None else None
    identity = local_identity()
    journal = Journal.open(settings_of(playbooks).journal_url)
    write(journal, chain, identity, truth=truth, contained_at=at, why=why)
    if as_json:
        print_json({"chain": chain, "truth": truth, "by": identity.principal})
    else:
        typer.echo(f"{chain}: {truth}, says {identity.principal}.")


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is not a time.", advice="Write it as 2026-11-23T14:05:00Z."
        ) from error


@contextmanager
def _looking(responder: Responder, since: datetime, without: bool) -> Iterator[AwsLook | None]:
    """A look at every place where something was judged."""
    if without:
        yield None
        return
    from flows.gameday.shadow.said import AwsLook
    from flows.shadow.records import judgements
    from runbooks.aws import Reader, Where

    connections = responder.reading_connections("clampdown-shadow")
    places = {
        (target["account"], target["region"])
        for judgement in judgements(responder.journal, responder.settings.simulate, since)
        for target in judgement.body["targets"]
    }
    try:
        yield AwsLook({place: Reader(connections, Where(*place)) for place in places})
    finally:
        connections.close()
