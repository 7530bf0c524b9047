"""``clampdown sandbox``: a simulated AWS with a small account in it, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
import threading
from datetime import timedelta
from typing import TextIO

from flows.console.terminal import console, shown, table
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, build, load_world
from runbooks.errors import ClampdownError

SNAPSHOT_SECONDS = 3.0
DRAIN_SECONDS = 5.0
STACK_SECONDS = 4.0
HEALTH_SECONDS = 5.0


def serve_sandbox(*, port: int, latency: timedelta, as_json: bool, out: TextIO) -> None:
    """Start the simulated AWS, build the small world, print its ids, and stay until Ctrl-C.

    Raises ClampdownError where the port is taken.
    """
    try:
        # werkzeug would say the same, in words of its own and on standard error.
        socket.create_server(("127.0.0.1", port)).close()
        aws = SimulatedAws(
            port=port,
            snapshot_seconds=SNAPSHOT_SECONDS,
            drain_seconds=DRAIN_SECONDS,
            stack_seconds=STACK_SECONDS,
            health_seconds=HEALTH_SECONDS,
        ).start()
    except (OSError, SystemExit) as error:
        raise ClampdownError(
            f"The sandbox can't listen on port {port} of 127.0.0.1: {_reason(error)}.",
            advice="Give another --port; 0, the default, takes a free one.",
        ) from error
    try:
        world = build(load_world("small"), aws.url)
        # Building it takes many calls; and a reset is to come back to this latency.
        aws.latency = latency
        aws.configure(latency_seconds=latency.total_seconds())
        aws.calls.clear()
        _announce(world, as_json, out)
        _until_interrupted()
    finally:
        aws.stop()


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
    view.print(shown(f"Simulated AWS at {world.url}", "bold green"))
    view.print(shown(f"account {world.account}, {world.region}; nothing here is real\n"))
    rows = table("WHAT", "ID")
    for name, identity in world.ids.items():
        rows.add_row(name, identity)
    view.print(rows)
    view.print(shown("\nIn another terminal:", "bold"))
    view.print(shown(f"  export CLAMPDOWN_SIMULATE={world.url} AWS_REGION={world.region}"))
    view.print(shown(f"  clampdown plan ec2-compromise --target {world.victim}"))
    view.print(shown("\nCtrl-C ends it."))
    out.flush()


def _until_interrupted() -> None:
    over = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: over.set())
    over.wait()
