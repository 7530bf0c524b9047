"""The stage: a simulated AWS in a process of its own, for one drill after the other."""

from __future__ import annotations

import json
import sys
import threading
from datetime import timedelta
from functools import cache
from types import TracebackType
from typing import Any

from flows.gameday.play import child
from runbooks.errors import ClampdownError

MODULE = "flows.gameday.play.stage"
_ENDS_WITHIN = timedelta(seconds=10)

# What AWS takes its time for, in simulated seconds. Snapshots of volumes that were never
# snapshotted take minutes to hours; a stack of a few resources takes a minute or two; targets drain
# for 300 s by default ("deregistration_delay.timeout_seconds"); health checks every 30 s find a
# target unhealthy after two.
SNAPSHOT_SECONDS = 480.0
STACK_SECONDS = 90.0
DRAIN_SECONDS = 300.0
HEALTH_SECONDS = 60.0


class Stage:
    """A simulated AWS that listens on this machine alone.

    It is started with the first drill, used by one at a time, and closed with :meth:`close`, or
    when this process ends. Starting it takes about three seconds; a reset next to nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = child.start(MODULE)
        self.url = ""

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def reset(self, seed: int) -> str:
        """Have nothing be there and nothing have happened; its URL.

        ``seed`` makes the ids of what is built from now on. Raises ClampdownError.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps({"seed": seed}) + "\n")
                self._process.stdin.flush()
                said = self._process.stdout.readline()
            except (OSError, ValueError):
                said = ""
        if not said:
            raise ClampdownError(
                f"The simulated AWS of the drill is gone (exit code {self._process.wait()}).",
                advice="What it says itself stands above. Nothing was rehearsed.",
            )
        self.url = str(json.loads(said)["url"])
        return self.url

    def close(self) -> None:
        child.end(self._process, _ENDS_WITHIN)


def _read_models_once() -> None:
    """Have the models of AWS's services in memory once: moto and the SDK each read them anew."""
    from botocore.loaders import JSONFileLoader

    read = JSONFileLoader.load_file

    @cache
    def read_once(path: str) -> Any:
        return read(JSONFileLoader(), path)

    JSONFileLoader.load_file = lambda self, path: read_once(path)


def _be_the_stage() -> None:
    """Be the simulated AWS: a line for each reset, until standard input ends."""
    _read_models_once()
    from flows.gameday.aws.instance_findings import InstanceFinding
    from flows.gameday.aws.server import SimulatedAws
    from flows.gameday.play.mailbox import Mailbox
    from flows.gameday.play.outside import Outside
    from flows.gameday.worlds import build, load_world

    with SimulatedAws(
        snapshot_seconds=SNAPSHOT_SECONDS,
        stack_seconds=STACK_SECONDS,
        drain_seconds=DRAIN_SECONDS,
        health_seconds=HEALTH_SECONDS,
    ) as aws:
        # moto takes ids when it loads a service, and the first drill would have others than the next.
        world = build(load_world(), aws.url)
        Mailbox(Outside(world)).set_up()
        aws.find_on(InstanceFinding(instance=world.victim))
        for line in sys.stdin:
            aws.seed = json.loads(line)["seed"]
            aws.reset()
            print(json.dumps({"url": aws.url}), flush=True)


if __name__ == "__main__":
    _be_the_stage()
