"""Running scenarios: a stage, a player before it, and a folder in which the drill is kept."""

from __future__ import annotations

import itertools
import json
import os
import queue
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows.gameday.drills import PREFIX, Mode
from flows.gameday.play import child
from flows.gameday.play.job import Job, Players, RealAccount
from flows.gameday.play.stage import Stage
from flows.gameday.scenario import Scenario
from flows.gameday.scenario_file import world_of
from flows.gameday.worlds import AccountWorld, World
from runbooks.errors import ClampdownError, InvalidInput
from runbooks.loader import load
from runbooks.registry import STEPS

_PLAYER = "flows.gameday.play"
_SEEDS = 2**31
# In real time; a scenario takes seconds.
_LONGEST = timedelta(minutes=10)
_ENDS_WITHIN = timedelta(seconds=10)

Told = Callable[[str], None]


def run_drill(
    scenario: Scenario,
    *,
    name: str,
    playbooks: Path,
    home: Path,
    seed: int,
    mode: Mode = "sandbox",
    world: World | AccountWorld | None = None,
    account: RealAccount | None = None,
    people: Players = "stand-ins",
    stage: Stage | None = None,
    told: Told = lambda text: None,
) -> Path:
    """Play a scenario in a simulation, with stand-ins for people; the folder the drill is kept in.

    ``home`` is CLAMPDOWN_HOME, ``playbooks`` the installation's file. ``world`` is played in instead
    of the scenario's own, and ``account`` the one that it is a twin of. ``stage`` is one that is up
    already, and used by nobody else. ``people`` in Slack play in real time, with the app of this
    process's environment. ``told`` is told what happens, line by line. How it went is in
    the drill's journal.

    Raises ClampdownError where it can't be started, or can't go on.
    """
    require_playable(scenario, playbooks)
    played_in = world if world is not None else world_of(scenario)
    drill = f"{PREFIX}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    kept_in = home / "drills" / drill
    kept_in.mkdir(parents=True, mode=0o700)
    with ExitStack() as stack:
        used = stage or stack.enter_context(Stage())
        job = Job(
            drill=drill,
            name=name,
            scenario=scenario,
            mode=mode,
            seed=seed,
            world=played_in,
            playbooks=playbooks.resolve(),
            home=kept_in.resolve(),
            url=used.reset(seed),
            account=account,
            people=people,
        )
        while not _played(job, told):
            job = job.model_copy(update={"resumes": True})
    return kept_in


def run_all(
    scenarios: Mapping[str, Scenario],
    *,
    playbooks: Path,
    home: Path,
    seed: int,
    at_once: int = 1,
    told: Told = lambda text: None,
) -> list[Path]:
    """Play scenarios in the sandbox; the folders of their drills, in that order.

    ``at_once`` are played side by side; each takes a core and some 350 MB. ``told`` is told what
    happens, line by line, each with the name of its scenario.

    Raises ClampdownError where one can't be started, or can't go on, once all others are over.
    """
    stages: queue.SimpleQueue[Stage] = queue.SimpleQueue()
    over = itertools.count(1)

    def run(name: str) -> Path | ClampdownError:
        stage = stages.get()
        try:
            return run_drill(
                scenarios[name],
                name=name,
                playbooks=playbooks,
                home=home,
                seed=seed,
                stage=stage,
                told=lambda text: told(f"{name}: {text}"),
            )
        except ClampdownError as error:
            told(f"{name}: {error}")
            return error
        finally:
            told(f"{name}: {next(over)} of {len(scenarios)} scenarios are over")
            stages.put(stage)

    with ExitStack() as stack:
        side_by_side = max(1, min(at_once, len(scenarios)))
        for _ in range(side_by_side):
            stages.put(stack.enter_context(Stage()))
        with ThreadPoolExecutor(side_by_side) as threads:
            results = list(threads.map(run, scenarios))
    failed = [result for result in results if isinstance(result, ClampdownError)]
    if failed:
        raise failed[0]
    return [result for result in results if isinstance(result, Path)]


def _slack_of(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith("CLAMPDOWN_SLACK_")}


def drawn(seed: int | None) -> int:
    """The seed that was given, or one that chance draws."""
    return secrets.randbelow(_SEEDS) if seed is None else seed


def require_playable(scenario: Scenario, playbooks: Path) -> None:
    """Raise ClampdownError where the playbooks are not valid, or not those of the scenario."""
    known = load(playbooks, STEPS).playbooks
    if scenario.playbook not in known:
        raise InvalidInput(
            f"The scenario rehearses {scenario.playbook!r}, which is not in {playbooks}.",
            advice=f"There are: {', '.join(sorted(known))}.",
        )


def _played(job: Job, told: Told) -> bool:
    """Whether a player has come to the end; one that was killed by its scenario has not.

    Raises ClampdownError where the drill can't go on.
    """
    in_slack = job.people == "slack"
    process = child.start(_PLAYER, _slack_of(os.environ) if in_slack else None)
    assert process.stdin is not None
    assert process.stdout is not None
    longest = _LONGEST + (job.scenario.lasts if in_slack else timedelta())
    too_long = threading.Timer(longest.total_seconds(), process.kill)
    too_long.daemon = True
    too_long.start()
    last: dict[str, str] = {}
    try:
        process.stdin.write(job.line() + "\n")
        process.stdin.flush()
        for line in process.stdout:
            last = json.loads(line)
            if last["what"] == "told":
                told(last["text"])
    except BrokenPipeError:
        pass
    finally:
        timed_out = not too_long.is_alive()
        too_long.cancel()
        child.end(process, _ENDS_WITHIN)
    match last.get("what"):
        case "over":
            return True
        case "dying":
            return False
        case "failed":
            raise ClampdownError(last["text"], advice=last["advice"])
    raise ClampdownError(
        f"The drill {job.drill} was not over after {_LONGEST}."
        if timed_out
        else f"The player of the drill {job.drill} ended unexpectedly ({process.returncode}).",
        advice=f"What it says itself stands above. Its journal is in {job.home}.",
    )
