"""The player's process: one job on standard input, what happens on standard output, line by line."""

from __future__ import annotations

import json
import sys

from flows.gameday.play import child
from flows.gameday.play.job import Job
from flows.gameday.play.loopback import stay_on_this_machine
from runbooks.errors import ClampdownError


def _say(what: str, text: str = "", **more: str) -> None:
    print(json.dumps({"what": what, "text": text, **more}), flush=True)


def _main() -> int:
    watch = stay_on_this_machine()
    job = Job.model_validate_json(sys.stdin.readline())
    child.end_with_parent()
    from flows.gameday.play.player import play

    try:
        play(job, watch, lambda text: _say("told", text), lambda: _say("dying"))
    except ClampdownError as error:
        _say("failed", error.what, advice=error.advice)
        return 1
    _say("over")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
