"""Warm: from the trigger to every network interface isolated, against a script written by hand.

Both meet the same small world in a simulated AWS, in a process of its own, that adds 50 ms to
every call. The clock stops when AWS carries out the last change of an interface's groups.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import baseline, playbooks
from benchmarks.sandbox import LATENCY_MS, calls, fresh_world, post, sandbox
from flows.identity import local_identity
from flows.responder import Responder
from flows.settings import Settings
from runbooks.loader import load
from runbooks.registry import STEPS


def measure(runs: int = 5) -> dict[str, str]:
    """The median of the pairs' ratios; a warm-up of each isn't counted."""
    with sandbox(latency_ms=0) as world, tempfile.TemporaryDirectory(dir=".") as home:
        url, region = world["url"], world["region"]
        homes = (Path(home) / str(number) for number in itertools.count())
        baseline_clients = baseline.clients(url, region)
        with ThreadPoolExecutor(32) as threads:

            def by_hand(instance: str) -> None:
                baseline.contain(baseline_clients, instance, "198.51.100.7", threads)

            def clampdown(instance: str) -> None:
                # As a finding names it; whose account a bare id is in would have to be asked first.
                responder = _responder(next(homes), url, region)
                arn = f"arn:aws:ec2:{region}:{world['account']}:instance/{instance}"
                result = responder.run(
                    playbooks.NAME, [arn], local_identity(), prefect=False
                ).result
                responder.journal.close()
                if result is None or result.error:
                    raise RuntimeError(f"the benchmark's incident failed: {result}")

            pairs = [(_isolated(url, clampdown), _isolated(url, by_hand)) for _ in range(runs + 1)]
    ours = statistics.median(pair[0] for pair in pairs[1:])
    theirs = statistics.median(pair[1] for pair in pairs[1:])
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs[1:])
    name = f"trigger to isolated, {LATENCY_MS} ms a call: clampdown / by hand"
    return {name: f"{ratio:.2f} ({ours:.2f} s / {theirs:.2f} s; at most 1.5, aim 1.2)"}


def _responder(home: Path, url: str, region: str) -> Responder:
    """With a journal of its own: the same ids in the same journal would be the same incident."""
    home.mkdir()
    settings = Settings(home=home, simulate=url, region=region, playbooks=playbooks.write(home))
    return Responder(settings, load(settings.playbooks, STEPS))


def _isolated(url: str, contain: Callable[[str], None]) -> float:
    """Seconds from the trigger until the last interface is isolated, in a world built anew."""
    victim = fresh_world(url)
    post(url, "config", {"latency_seconds": LATENCY_MS / 1_000})
    trigger = datetime.now(UTC)
    contain(victim)
    done = [_at(call) for call in calls(url) if _isolates(call)]
    return (max(done) - trigger).total_seconds()


def _isolates(call: dict[str, Any]) -> bool:
    groups = call["parameters"].get("Groups")
    return call["operation"] == "ModifyNetworkInterfaceAttribute" and bool(groups)


def _at(call: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(call["at"])


if __name__ == "__main__":
    for title, value in measure().items():
        print(f"{title:58} {value}")
