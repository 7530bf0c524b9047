"""The command line: a thin shell over :class:`flows.responder.Responder`.

Every command takes ``--json`` (one document on standard output, everything else on standard
error). Exit codes: 0 done, 1 failed or needs a person, 2 invalid input or usage, 3 refused, 4 the
journal fails verification. What a command does not need is not imported: most take no longer to
start than boto3 alone.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.gameday.commands import app as gameday_app
from flows.options import (
    FAILED,
    INVALID,
    OK,
    TAMPERED,
    AsJson,
    PlaybooksFile,
    Region,
    Simulate,
    load_playbooks,
    print_json,
    say,
    settings_of,
)
from runbooks.errors import ClampdownError, InvalidInput

if TYPE_CHECKING:
    from flows.console.live_view import LiveView
    from flows.incident import Incident
    from flows.responder import Responder, Started
    from flows.settings import Settings
    from flows.slack.settings import SlackSettings
    from runbooks.playbook import Playbooks

_INTERRUPTED = 130

app = typer.Typer(
    name="clampdown",
    help="Contain compromised AWS resources: plan, approve, act, verify, undo; all of it recorded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
journal_app = typer.Typer(
    help="Prove the journal, and take it out.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(journal_app, name="journal")
app.add_typer(gameday_app, name="gameday")

WithoutPrefect = Annotated[
    bool, typer.Option("--without-prefect", help="Leave Prefect out; the result is the same.")
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="End at a gate instead of waiting for its decision.")
]
IncidentId = Annotated[str, typer.Argument(metavar="INCIDENT")]
Targets = Annotated[
    list[str], typer.Option("--target", help="An instance's id or ARN; may be repeated.")
]


@app.command()
def validate(
    file: Annotated[Path | None, typer.Argument(help="The playbooks file.")] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema for editors instead.")
    ] = False,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Check playbooks.yaml: every error, as file:line:column."""
    from runbooks.lint import notes
    from runbooks.loader import InvalidPlaybooks, json_schema, load
    from runbooks.registry import STEPS

    if schema:
        print_json(json_schema(STEPS))
        return
    path = file or settings_of(playbooks).playbooks
    try:
        loaded = load(path, STEPS)
    except InvalidPlaybooks as error:
        if as_json:
            print_json(
                {"valid": False, "problems": [problem.to_json() for problem in error.problems]}
            )
        else:
            for problem in error.problems:
                typer.echo(str(problem))
            say(f"{len(error.problems)} error(s) in {path}.")
        raise typer.Exit(INVALID) from error
    said = notes(loaded, STEPS)
    if as_json:
        print_json({"valid": True, "problems": [], "notes": said, "digest": loaded.digest})
        return
    for note in said:
        typer.echo(f"note: {note}")
    typer.echo(
        f"{path} is valid: {len(loaded.playbooks)} playbook(s), {len(loaded.routes)} route(s)."
    )


@app.command("playbooks")
def list_playbooks(playbooks: PlaybooksFile = None, as_json: AsJson = False) -> None:
    """List the playbooks and what routes lead to them."""
    loaded = load_playbooks(settings_of(playbooks))
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "title": playbook.title,
            "target": playbook.target,
            "steps": [step.id for step in playbook.run_steps()],
            "routes": sum(route.playbook == name for route in loaded.routes),
        }
        for name, playbook in loaded.playbooks.items()
    ]
    if as_json:
        print_json({"playbooks": rows})
        return
    from flows.console.terminal import console, table

    view = table("PLAYBOOK", "TARGET", "STEPS", "ROUTES", "TITLE")
    for row in rows:
        view.add_row(
            row["name"], row["target"], str(len(row["steps"])), str(row["routes"]), row["title"]
        )
    console().print(view)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PLAYBOOK")],
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what a playbook does, step by step, and which permissions it needs."""
    from flows.console.playbook_view import playbook_document, show_playbook

    loaded = load_playbooks(settings_of(playbooks))
    document = playbook_document(loaded, name)
    if as_json:
        print_json(document)
        return
    from flows.console.terminal import console

    show_playbook(console(), document)


@app.command()
def plan(
    playbook: Annotated[str, typer.Argument()],
    target: Targets,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Show the exact calls that a run would make, in order, with their undo. Sends only reads."""
    responder = _responder(playbooks, simulate, region, target)
    made, _ = responder.plan(playbook, target)
    if as_json:
        print_json(made.to_json())
        return
    from flows.console.plan_view import show_plan
    from flows.console.terminal import console

    show_plan(console(), made, responder.playbooks.playbooks[playbook].title, calls=True)


@app.command()
def run(
    playbook: Annotated[str, typer.Argument()],
    target: Targets,
    finding: Annotated[
        Path | None, typer.Option("--finding", help="The finding that this is about.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the journal.")] = "",
    without_prefect: WithoutPrefect = False,
    no_wait: NoWait = False,
    calls: Annotated[bool, typer.Option("--calls", help="Show every call.")] = False,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Open an incident and carry a playbook out on its targets."""
    from flows.identity import local_identity
    from flows.intake.parse import parse_one

    about = parse_one(finding) if finding else None
    with _shown(_responder(playbooks, simulate, region, target), as_json, calls) as responder:
        started = responder.run(
            playbook,
            target,
            local_identity(),
            finding=about,
            reason=reason,
            prefect=not without_prefect,
            wait=not no_wait,
        )
    _conclude(responder, started, as_json)


@app.command()
def respond(
    finding: Annotated[Path, typer.Option("--finding", help="A finding, in any of AWS's shapes.")],
    without_prefect: WithoutPrefect = False,
    no_wait: NoWait = False,
    calls: Annotated[bool, typer.Option("--calls", help="Show every call.")] = False,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    as_json: AsJson = False,
) -> None:
    """Do what the service would do with a finding: route it, then run its playbook or propose it."""
    from flows.identity import local_identity
    from flows.intake.parse import parse_one

    about = parse_one(finding)
    with _shown(_responder(playbooks, simulate, about.region), as_json, calls) as responder:
        started = responder.respond(
            about, local_identity(), prefect=not without_prefect, wait=not no_wait
        )
    _conclude(responder, started, as_json)


@app.command()
def incidents(playbooks: PlaybooksFile = None, as_json: AsJson = False) -> None:
    """List all incidents, the newest first."""
    responder = _responder(playbooks, None, None)
    if as_json:
        from flows.documents import incident_document

        found = responder.incidents()
        print_json({"incidents": [incident_document(item, []) for item in found]})
        return
    from flows.console.incident_view import show_incidents
    from flows.console.terminal import console
    from flows.incident_list import list_incidents

    show_incidents(console(), list_incidents(responder.journal))


@app.command()
def status(incident: IncidentId, playbooks: PlaybooksFile = None, as_json: AsJson = False) -> None:
    """Show where an incident stands: its steps, gates, tasks and unknown outcomes."""
    responder = _responder(playbooks, None, None)
    found = responder.incident(incident)
    gates = responder.gates(found)
    if as_json:
        from flows.documents import incident_document

        print_json(incident_document(found, gates))
        return
    from flows.console.incident_view import show_status
    from flows.console.terminal import console

    show_status(console(), found, gates)


@app.command()
def timeline(
    incident: IncidentId, playbooks: PlaybooksFile = None, as_json: AsJson = False
) -> None:
    """Show everything that happened in an incident, record by record; or in another chain of the
    journal: automatic, sweep, dead-letters, slack, fnd-…."""
    responder = _responder(playbooks, None, None)
    records = responder.journal.records(incident)
    if not records:
        raise InvalidInput("There is no such incident.", advice="`clampdown incidents` lists them.")
    from flows.console.incident_view import show_timeline
    from flows.console.sentences import sentence

    if as_json:
        from flows.documents import record_document

        print_json(
            {
                "incident": incident,
                "records": [{**record_document(r), "sentence": sentence(r)} for r in records],
            }
        )
        return
    from flows.console.terminal import console

    show_timeline(console(), records)


@app.command()
def approve(
    incident: IncidentId,
    gate: Annotated[str, typer.Argument(help="A gate, or a manual task that is done.")],
    why: Annotated[str, typer.Option("--why", help="A reason, for the journal.")] = "",
    digest: Annotated[
        str, typer.Option("--digest", help="The plan you looked at; another one is refused.")
    ] = "",
    code: Annotated[str, typer.Option("--code", help="Your authenticator's code.")] = "",
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="Alone, in an emergency; reviewed afterwards.")
    ] = False,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Approve a gate as the local user, or report a manual task done."""
    _decide(incident, gate, "approve", why, digest, code, break_glass, playbooks, as_json)


@app.command()
def deny(
    incident: IncidentId,
    gate: Annotated[str, typer.Argument(help="A gate, or a manual task that is not possible.")],
    why: Annotated[str, typer.Option("--why", help="The reason.")],
    code: Annotated[str, typer.Option("--code", help="Your authenticator's code.")] = "",
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Deny a gate as the local user, or report a manual task as not possible."""
    _decide(incident, gate, "deny", why, "", code, False, playbooks, as_json)


@app.command()
def resume(
    incident: IncidentId,
    without_prefect: WithoutPrefect = False,
    no_wait: NoWait = False,
    calls: Annotated[bool, typer.Option("--calls", help="Show every call.")] = False,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    as_json: AsJson = False,
) -> None:
    """Go on with an incident: after a crash, an interruption, a decision, or a mended failure."""
    from flows.identity import local_identity

    with _shown(_responder(playbooks, simulate, None), as_json, calls) as responder:
        started = responder.resume(
            incident, local_identity(), prefect=not without_prefect, wait=not no_wait
        )
    _conclude(responder, started, as_json)


@app.command()
def undo(
    incident: IncidentId,
    step: Annotated[str | None, typer.Option("--step", help="Only what this step did.")] = None,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    as_json: AsJson = False,
) -> None:
    """Take back what an incident changed, the last change first. Evidence stays."""
    from flows.console.terminal import counted
    from flows.identity import local_identity

    with _shown(_responder(playbooks, simulate, None), as_json, calls=False) as responder:
        undone = responder.undo(incident, local_identity(), step=step)
    if as_json:
        print_json(
            {
                "incident": incident,
                "status": responder.incident(incident).status,
                "calls": undone.calls,
                "taken_back": undone.taken_back,
                "failures": list(undone.failures),
                "kept": list(undone.kept),
            }
        )
    else:
        taken, calls = counted(undone.taken_back, "change"), counted(undone.calls, "call")
        typer.echo(f"{incident}: {taken} taken back with {calls}.")
        for kept in undone.kept:
            typer.echo(f"kept: {kept}")
        for failure in undone.failures:
            typer.echo(f"not taken back: {failure}")
    if undone.failures:
        raise typer.Exit(FAILED)


@app.command()
def abort(
    incident: IncidentId,
    why: Annotated[str, typer.Option("--why", help="The reason.")],
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop an incident now: nothing new is begun, what was done stays done."""
    from flows.identity import local_identity

    responder = _responder(playbooks, None, None)
    found = responder.abort(incident, local_identity(), why)
    if as_json:
        print_json({"incident": incident, "status": found.status})
    else:
        typer.echo(f"{incident} is aborted. `clampdown undo {incident}` takes back what was done.")


@app.command()
def permissions(
    playbook: Annotated[str | None, typer.Argument(help="One playbook; all without.")] = None,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the least-privilege IAM policy that a playbook needs."""
    from flows.intake.fetch import READS
    from runbooks.permissions import MANAGED_POLICY_CHARACTERS, characters_of, policy_for
    from runbooks.registry import STEPS

    loaded = load_playbooks(settings_of(playbooks))
    chosen = [_named(loaded, playbook)] if playbook else list(loaded.playbooks.values())
    steps = {entry.step: STEPS[entry.step] for item in chosen for entry in item.run_steps()}
    # The policy is a JSON document either way.
    del as_json
    own_roles = [account.role for account in loaded.accounts.values() if account.role]
    # One playbook is what people run; the whole of it is what the service does.
    policy = policy_for(steps.values(), own_roles, finding_reads=() if playbook else READS)
    print_json(policy)
    if (length := characters_of(policy)) > MANAGED_POLICY_CHARACTERS:
        say(
            f"{length:,} characters, and a managed policy has at most {MANAGED_POLICY_CHARACTERS:,}: "
            "attach one policy for each playbook, or use an inline policy of the role (10,240)."
        )


@app.command()
def sandbox(
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65_535)] = 0,
    latency: Annotated[
        int, typer.Option("--latency", help="Milliseconds added to calls.", min=0)
    ] = 0,
    enforce_iam: Annotated[
        bool, typer.Option("--enforce-iam", help="Have IAM's policies decide who may do what.")
    ] = False,
    iam_consistency: Annotated[
        float,
        typer.Option(
            "--iam-consistency",
            metavar="SECONDS",
            help="How long a change of IAM takes to count.",
            min=0,
        ),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option("--seed", help="What ids follow from: the same, the same ids.")
    ] = 0,
    world: Annotated[
        Path | None,
        typer.Option(
            "--world", metavar="FILE", help="A world file, not the small one.", show_default=False
        ),
    ] = None,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a simulated AWS on this machine, with an account in it, until Ctrl-C."""
    from datetime import timedelta

    from flows.gameday.sandbox import serve_sandbox

    del playbooks
    serve_sandbox(
        port=port,
        latency=timedelta(milliseconds=latency),
        enforce_iam=enforce_iam,
        iam_consistency=timedelta(seconds=iam_consistency),
        seed=seed,
        world=world,
        as_json=as_json,
        out=sys.stdout,
    )


@app.command()
def reap(
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Delete clean rooms whose time is over, in all accounts and Regions of playbooks.yaml."""
    responder = _responder(playbooks, simulate, region)
    reaped = responder.reap()
    if as_json:
        print_json(reaped.to_json())
    else:
        for room in reaped.deleted:
            typer.echo(f"deleting {room.stack} in {room.account}, {room.region}")
        for room in reaped.foreign:
            typer.echo(
                f"left {room.stack} in {room.account}, {room.region}: no incident of this journal "
                "has made it"
            )
        typer.echo(f"{len(reaped.deleted)} expired clean room(s).")
    for failure in reaped.failures:
        say(failure)
    if reaped.failures:
        raise typer.Exit(FAILED)


@app.command()
def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65_535)] = 4200,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Start Prefect's own UI on this machine, showing every run, until Ctrl-C."""
    from flows.prefect_server import serve_ui

    del as_json
    raise typer.Exit(serve_ui(settings_of(playbooks).prefect_home, port))


@app.command()
def slack(
    http: Annotated[
        bool, typer.Option("--http", help="Take Slack's requests over HTTP, not Socket Mode.")
    ] = False,
    without_prefect: WithoutPrefect = False,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Serve the Slack app: trigger, approve and follow incidents from there, until Ctrl-C."""
    import asyncio

    from flows.slack.main import serve_slack
    from flows.slack.settings import load_slack_settings

    settings = settings_of(playbooks, simulate, region)
    loaded = load_playbooks(settings)
    tokens = load_slack_settings(http=http)
    asyncio.run(
        serve_slack(
            settings, tokens, loaded, http=http, prefect=not without_prefect, as_json=as_json
        )
    )


@app.command()
def serve(
    workers: Annotated[
        bool, typer.Option("--workers", help="Hand incidents to `clampdown worker` processes.")
    ] = False,
    shadow: Annotated[
        bool,
        typer.Option("--shadow", help="Change nothing: only record what would have been done."),
    ] = False,
    without_prefect: WithoutPrefect = False,
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Take findings in and contain what they are about, always on, until Ctrl-C."""
    import asyncio

    from flows.serve.settings import load_serve_settings

    if workers and without_prefect:
        raise InvalidInput("--workers needs Prefect, which --without-prefect leaves out.")
    settings = settings_of(playbooks, simulate, region)
    if shadow:
        settings = settings.model_copy(update={"shadow": True})
    loaded = load_playbooks(settings)
    listens = load_serve_settings()
    tokens = _slack_settings(loaded)
    # This imports all of the service, after what is most often wrong was looked at.
    from flows.serve.main import run_service

    asyncio.run(
        run_service(
            settings,
            listens,
            tokens,
            loaded,
            workers=workers,
            prefect=not without_prefect,
            as_json=as_json,
        )
    )


@app.command()
def worker(
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Carry out what `clampdown serve --workers` hands over, until Ctrl-C."""
    import asyncio

    from flows.serve.settings import load_serve_settings

    settings = settings_of(playbooks, simulate, region)
    loaded = load_playbooks(settings)
    listens = load_serve_settings()
    from flows.serve.main import run_worker

    asyncio.run(run_worker(settings, listens, loaded, as_json=as_json))


@app.command("resume-automatic")
def resume_automatic(
    why: Annotated[str, typer.Option("--why", help="The reason, for the journal.")],
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    as_json: AsJson = False,
) -> None:
    """Let incidents start without a person again, after a budget has frozen that."""
    from flows.identity import local_identity

    responder = _responder(playbooks, simulate, None)
    responder.automatic.lift(local_identity(), why, responder.playbooks)
    if as_json:
        print_json({"frozen": False})
    else:
        typer.echo(
            "Incidents start automatically again. What was proposed meanwhile waits for you."
        )


@app.command()
def doctor(
    playbooks: PlaybooksFile = None,
    simulate: Simulate = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Look at the whole set-up: what is wrong, what it means, what to do. Changes nothing."""
    from flows.doctor.checks import checks
    from flows.doctor.examination import examine
    from flows.doctor.setup import Setup
    from flows.serve.settings import load_serve_settings

    settings = settings_of(playbooks, simulate, region)
    found = examine(checks(Setup(settings, load_serve_settings(), load_playbooks(settings))))
    if as_json:
        print_json(found.to_json())
    else:
        from flows.console.doctor_view import show_examination
        from flows.console.terminal import console

        show_examination(console(), found.to_json())
    if not found.healthy:
        raise typer.Exit(FAILED)


@gameday_app.command("live")
def drill_live(
    playbook: Annotated[str, typer.Argument()],
    target: Annotated[
        str, typer.Option("--target", help="An instance that is tagged clampdown:drill=true.")
    ],
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it contained, instead of taking it all back.")
    ] = False,
    create_sample_findings: Annotated[
        bool,
        typer.Option("--create-sample-findings", help="Have GuardDuty itself make the finding."),
    ] = False,
    without_prefect: WithoutPrefect = False,
    playbooks: PlaybooksFile = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Drill in the REAL account, on an instance that is there for it; then take everything back.

    Whatever is not tagged clampdown:drill=true, made by the drill or the target's own is refused.
    """
    from flows.gameday.live import live_drill
    from flows.identity import local_identity

    responder = _responder(playbooks, None, region, [target])
    with _shown(responder, as_json, calls=False):
        drilled = live_drill(
            responder,
            playbook,
            target,
            local_identity(),
            keep=keep,
            create_sample_findings=create_sample_findings,
            prefect=not without_prefect,
            told=say,
        )
    if as_json:
        print_json(
            {
                "drill": drilled.drill,
                "incident": drilled.incident,
                "passed": drilled.passed,
                "contained_after_seconds": drilled.contained_after.total_seconds(),
                "undone_after_seconds": (
                    drilled.undone_after.total_seconds() if drilled.undone_after else None
                ),
                "shortcomings": drilled.shortcomings,
            }
        )
    for text in drilled.shortcomings:
        say(text)
    if not drilled.passed:
        raise typer.Exit(FAILED)
    say(f"LIVE DRILL {drilled.drill} passed. `clampdown gameday report {drilled.drill}` shows it.")


@journal_app.command("verify")
def journal_verify(
    incident: Annotated[str | None, typer.Argument(metavar="[INCIDENT]")] = None,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Check every record's hash and link; name what was edited, removed, reordered or inserted."""
    from flows.incident import is_incident
    from flows.journal.journal import Journal
    from flows.journal.verify import verify

    checked = verify(Journal.open(settings_of(playbooks).journal_url), incident)
    incidents = sum(map(is_incident, checked.good))
    others = len(checked.good) - incidents
    if as_json:
        print_json(
            {
                "ok": checked.ok,
                "incidents": incidents,
                "other_chains": others,
                "records": checked.records,
                "problems": [
                    {"incident": p.incident, "seq": p.seq, "kind": p.kind, "message": p.message}
                    for p in checked.problems
                ],
            }
        )
    else:
        for problem in checked.problems:
            typer.echo(
                f"{problem.incident} record {problem.seq}: {problem.kind}: {problem.message}"
            )
        verdict = "the journal is whole" if checked.ok else "THE JOURNAL FAILS VERIFICATION"
        chains = f"{incidents} incident(s)" + (f" and {others} other chain(s)" if others else "")
        typer.echo(f"{checked.records} records of {chains}: {verdict}.")
    if not checked.ok:
        raise typer.Exit(TAMPERED)


@journal_app.command("export")
def journal_export(
    incident: Annotated[str | None, typer.Argument(metavar="[INCIDENT]")] = None,
    form: Annotated[str, typer.Option("--format", help="jsonl or csv.")] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o")] = None,
    playbooks: PlaybooksFile = None,
    as_json: AsJson = False,
) -> None:
    """Write the records out, as JSON lines that anybody can verify, or as CSV."""
    from flows.journal.export import export
    from flows.journal.journal import Journal

    if form not in {"jsonl", "csv"}:
        raise InvalidInput(f"--format {form!r} is not known.", advice="It is jsonl or csv.")
    journal = Journal.open(settings_of(playbooks).journal_url)
    if incident and journal.last(incident) is None:
        raise InvalidInput(
            f"There is no incident {incident}.", advice="`clampdown incidents` lists them."
        )
    if as_json:
        from flows.documents import record_document

        ids = [incident] if incident else [head.incident for head in journal.incidents()]
        records = [record_document(r) for item in ids for r in journal.records(item)]
        print_json({"records": records})
        return
    kind: Any = form
    if output is None:
        export(journal, incident, form=kind, out=sys.stdout)
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            export(journal, incident, form=kind, out=file)
    except OSError as error:
        raise InvalidInput(f"{output} can't be written: {error.strerror}.") from error


def main() -> None:
    """The entry point: runs a command, and turns foreseeable failures into sentences."""
    # Most of what a command allocates stays as long as it does: looking for garbage among it is in
    # vain, and takes time from a containment.
    gc.set_threshold(200_000, 20, 20)
    _prepare_streams()
    code: Any = OK
    try:
        app()
    except ClampdownError as error:
        code = _explain(error)
    except SystemExit as leaving:
        code = leaving.code or OK
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        code = FAILED
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has gone; Python must not complain of it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or FAILED
    if "prefect" in sys.modules:
        # Prefect would go on trying to tell a server that is gone, for seconds or for minutes.
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else FAILED)
    sys.exit(code)


def _prepare_streams() -> None:
    """Have output go somewhere, and no letter that a terminal doesn't know end a containment."""
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open for as long as we run
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _decide(
    incident: str,
    gate: str,
    answer: Any,
    why: str,
    digest: str,
    code: str,
    break_glass: bool,
    playbooks: Path | None,
    as_json: bool,
) -> None:
    from flows.documents import gate_document, view_digest
    from flows.identity import local_identity

    responder = _responder(playbooks, None, None)
    found = responder.incident(incident)
    if any(task.id == gate for task in found.manual):
        responder.report_task(incident, gate, local_identity(), done=answer == "approve", note=why)
        _report(as_json, {"incident": incident, "task": gate, "done": answer == "approve"})
        return
    before = next((state for state in responder.gates(found) if state.id == gate), None)
    nonce = before.nonce if before else None
    if digest and before and not before.digest.startswith(digest):
        raise InvalidInput(
            f"The gate is about plan {before.digest[:12]}, not {digest}: the plan has changed.",
            advice=f"`clampdown status {incident}` shows it.",
        )
    after = responder.decide(
        incident,
        gate,
        local_identity(),
        answer,
        why=why,
        nonce=nonce,
        seen=view_digest(before) if before else "",
        break_glass=break_glass,
        code=code,
    )
    document = {"incident": incident, **gate_document(after)}
    _report(as_json, document)


def _report(as_json: bool, document: dict[str, Any]) -> None:
    if as_json:
        print_json(document)
        return
    if "task" in document:
        done = "done" if document["done"] else "not possible"
        typer.echo(f"Task {document['task']} of {document['incident']}: {done}.")
        return
    missing = f"; still needs {document['needed']}" if document["needed"] else ""
    typer.echo(
        f"Gate {document['gate']} of {document['incident']}: {document['status']}{missing} "
        f"(plan {document['digest'][:12]})."
    )


def _conclude(responder: Responder, started: Started, as_json: bool) -> None:
    """Print how it ended, and leave with the exit code that says it."""
    from flows.documents import started_document

    incident, result = started.incident, started.result
    error = result.error if result else None
    unchanged = bool(result) and started.joined and result is not None and result.unchanged
    if as_json:
        print_json(started_document(started, responder.gates(incident)))
    else:
        for sentence in started.why:
            say(sentence)
        _conclude_in_words(started, unchanged)
    if error is not None:
        raise typer.Exit(error.exit_code)
    raise typer.Exit(OK if incident.status in {"contained", "undone"} else FAILED)


def _conclude_in_words(started: Started, unchanged: bool) -> None:
    incident, result = started.incident, started.result
    if result is None:
        typer.echo(f"Proposed as {incident.id}: `clampdown resume {incident.id}` starts it.")
        return
    if result.error is not None:
        typer.echo(f"{incident.id}: {incident.status}. {result.error}")
        _say_how_to_go_on(incident)
        return
    if unchanged:
        typer.echo(f"{incident.id}: already contained; nothing was changed.")
    else:
        typer.echo(f"{incident.id}: {incident.status}. {incident.error}".rstrip())
        _say_how_to_go_on(incident)
    for task in incident.manual:
        if task.done is None:
            typer.echo(f"For {task.by}: {task.text} (`clampdown approve {incident.id} {task.id}`)")
    if result.view:
        seen = result.view.problem or "`clampdown ui` shows the run in Prefect"
        typer.echo(f"Prefect: {seen}.")


def _say_how_to_go_on(incident: Incident) -> None:
    if incident.status in {"failed", "incomplete", "interrupted"}:
        typer.echo(
            f"`clampdown status {incident.id}` shows what was and was not done, "
            f"`clampdown resume {incident.id}` goes on."
        )


def _responder(
    playbooks: Path | None,
    simulate: str | None,
    region: str | None,
    targets: Sequence[str] = (),
) -> Responder:
    settings = settings_of(playbooks, simulate, region)
    caller = _ask_caller(settings, targets)
    from flows.responder import Responder

    return Responder(settings, load_playbooks(settings), caller=caller)


def _ask_caller(settings: Settings, targets: Sequence[str]) -> Callable[[], str] | None:
    """Ask AWS early whose account the credentials are of, where a target's id doesn't tell.

    While it answers, the rest of the program is loaded. What it answers, or raises, is the
    result's.
    """
    from runbooks.targets.reference import account_in, instance_reference

    try:
        for target in targets:
            instance_reference(target, account="0" * 12, region=settings.region)
    except InvalidInput:
        return None
    if all(account_in(target.strip()) for target in targets):
        return None
    from runbooks.connections import Connections

    connections = Connections({}, session_name="clampdown", simulate=settings.simulate)
    return connections.pool.submit(connections.caller_account, settings.region).result


@contextmanager
def _shown(responder: Responder, as_json: bool, calls: bool) -> Iterator[Responder]:
    """Have the responder's records shown as they are written, unless JSON is asked for."""
    if as_json:
        yield responder
        return
    from flows.console.aside import Aside

    @cache
    def view() -> LiveView:
        # Made aside as well: what it imports takes no time from the first reads.
        from flows.console.live_view import LiveView
        from flows.console.terminal import console

        return LiveView(console(), calls=calls)

    aside = Aside()
    responder.listener = lambda record: aside.show(lambda: view().record(record))
    responder.progress = lambda what, progress: aside.show(lambda: view().progress(what, progress))
    try:
        yield responder
    finally:
        aside.finish()


def _slack_settings(loaded: Playbooks) -> SlackSettings | None:
    """The Slack app's tokens, where playbooks.yaml has a place in Slack and there are any."""
    if loaded.slack is None or not os.environ.get("CLAMPDOWN_SLACK_BOT_TOKEN"):
        return None
    from flows.slack.settings import load_slack_settings

    return load_slack_settings(http=not os.environ.get("CLAMPDOWN_SLACK_APP_TOKEN"))


def _named(loaded: Playbooks, name: str) -> Any:
    if name not in loaded.playbooks:
        there = ", ".join(sorted(loaded.playbooks)) or "none"
        raise InvalidInput(f"There is no playbook {name!r}.", advice=f"There are: {there}.")
    return loaded.playbooks[name]


def _explain(error: ClampdownError) -> int:
    if "--json" in sys.argv:
        print_json(
            {"error": {"kind": type(error).__name__, "what": error.what, "advice": error.advice}}
        )
    say(f"clampdown: {error}")
    return error.exit_code


if __name__ == "__main__":
    main()
