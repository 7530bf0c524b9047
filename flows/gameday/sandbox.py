"""``clampdown sandbox``: a simulated AWS with an account in it, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from flows.console.terminal import console, shown, table
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import AccountWorld, World, WorldIds, build, load_world, read_world
from runbooks.errors import ClampdownError, InvalidInput

SNAPSHOT_SECONDS = 3.0
DRAIN_SECONDS = 5.0
STACK_SECONDS = 4.0
HEALTH_SECONDS = 5.0


def serve_sandbox(
    *,
    port: int,
    latency: timedelta,
    enforce_iam: bool,
    iam_consistency: timedelta,
    seed: int,
    world: Path | None,
    as_json: bool,
    out: TextIO,
) -> None:
    """Start the simulated AWS, build the world, print its ids, and stay until Ctrl-C.

    ``world`` is a world file; None is the small one. Raises InvalidInput for a file that isn't one,
    and ClampdownError where the port is taken.
    """
    account = _read(world)
    try:
        # werkzeug would say the same, in words of its own and on standard error.
        socket.create_server(("127.0.0.1", port)).close()
        aws = SimulatedAws(
            port=port,
            snapshot_seconds=SNAPSHOT_SECONDS,
            drain_seconds=DRAIN_SECONDS,
            stack_seconds=STACK_SECONDS,
            health_seconds=HEALTH_SECONDS,
            seed=seed,
        ).start()
    except (OSError, SystemExit) as error:
        raise ClampdownError(
            f"The sandbox can't listen on port {port} of 127.0.0.1: {_reason(error)}.",
            advice="Give another --port; 0, the default, takes a free one.",
        ) from error
    try:
        ids = build(account, aws.url)
        # Building it takes many calls; and a reset is to come back to these.
        aws.latency = latency
        aws.enforce_iam = enforce_iam
        aws.iam_consistency_seconds = iam_consistency.total_seconds()
        aws.configure(
            latency_seconds=latency.total_seconds(),
            enforce_iam=enforce_iam,
            iam_consistency_seconds=aws.iam_consistency_seconds,
        )
        aws.calls.clear()
        _announce(ids, as_json, out)
        _until_interrupted()
    finally:
        aws.stop()


def _read(world: Path | None) -> World | AccountWorld:
    if world is None:
        return load_world("small")
    try:
        return read_world(world)
    except OSError as error:
        raise InvalidInput(f"The world {world} can't be read: {error.strerror}.") from error


def _reason(error: OSError | SystemExit) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it is taken"


def _announce(world: WorldIds, as_json: bool, out: TextIO) -> None:
    if as_json:
        document = {
            "url": world.url,
            "account": world.account,
            "region": world.region,
            "ids": world.ids,
        }
        print(json.dumps(document, indent=2), file=out, flush=True)
        return
    view = console(out)
    instances = (name for name in world.ids if name == "victim" or name.startswith("instances/"))
    target = world.ids.get(next(instances, ""))
    view.print(shown(f"Simulated AWS at {world.url}", "bold green"))
    view.print(shown(f"account {world.account}, {world.region}; nothing here is real\n"))
    rows = table("WHAT", "ID")
    for name, identity in world.ids.items():
        rows.add_row(name, identity)
    view.print(rows)
    view.print(shown("\nIn another terminal:", "bold"))
    view.print(shown(f"  export CLAMPDOWN_SIMULATE={world.url} AWS_REGION={world.region}"))
    if target is not None:
        view.print(shown(f"  clampdown plan ec2-compromise --target {target}"))
    view.print(shown("\nCtrl-C ends it."))
    out.flush()


def _until_interrupted() -> None:
    over = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: over.set())
    over.wait()
