"""The service under load: from a finding to a change, bursts, floods, memory, and a full journal.

The simulated AWS is a process of its own, adds 50 ms to every call, and has all times; everything
runs on the same two cores. What each process has taken of them is said where it matters.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import redis
import sqlalchemy as sa

from benchmarks import burst, full_journal
from benchmarks.burst import Burst
from benchmarks.rig import Closed, Recording, Rig, rig
from benchmarks.scale_out import ask, prefect_server, shared
from benchmarks.service_process import (
    Memory,
    Running,
    cpu_seconds,
    family,
    memory,
    running,
    two_cores,
    until,
)

FINDINGS, INSTANCES, FLOOD, INCIDENTS = 30, 200, 10_000, 1_000
WORKERS = (1, 2, 4)
PEER_INSTANCES = 20
_POURED_IN = 10.0
_PEER = (sys.executable, "-m", "benchmarks.peer_prefect")
_PATIENCE = timedelta(minutes=15)


def measure(
    only: Sequence[str] = (), instances: int = INSTANCES, workers: Sequence[int] = WORKERS
) -> dict[str, str]:
    """All figures, or some. ``instances`` other than 200 scale everything in proportion."""
    scale = instances / INSTANCES
    parts: Mapping[str, Callable[[], dict[str, str]]] = {
        "latency": lambda: latency(max(2, round(FINDINGS * scale))),
        "burst": lambda: {**embedded(instances), **scale_out(instances, workers)},
        "peer": lambda: peer(max(2, round(PEER_INSTANCES * scale))),
        "flood": lambda: flood(max(2, round(FLOOD * scale)), instances),
        "memory": idle_memory,
        "journal": lambda: full_journal.measure(max(2, round(INCIDENTS * scale))),
    }
    figures: dict[str, str] = {}
    with two_cores():
        for name in only or parts:
            figures |= parts[name]()
    return figures


# One finding


def latency(findings: int = FINDINGS) -> dict[str, str]:
    """One finding after the other, each on an instance of its own, while the service is idle."""
    with rig(findings) as bed:
        about = burst.findings(1, bed.fleet)
        bed.slow_down()
        with bed.serving() as service:
            for one in _one_by_one(about):
                service.wait_until_idle()
                # Only now: else the sweep at the start would have found them all.
                burst.know(bed.fleet, one)
                bed.send(one.messages[0])
                bed.wait_until_contained(one, _PATIENCE)
        recording = bed.recording(about)
        order = sorted(recording.sent, key=lambda name: recording.sent[name])
        changed, isolated = recording.to_change(order), recording.to_isolation(order)
    name = f"idle, {findings} findings, one by one: from SQS to the first change, median / p99"
    return {
        name: f"{_shown(changed)} (goal < 0.5 s / < 1.5 s; the first one {changed[0]:.2f} s)",
        "idle: from SQS to isolated, median / p99": _shown(isolated),
    }


def _one_by_one(about: Burst) -> Iterator[Burst]:
    """The findings of a burst without duplicates, each as a burst of its own."""
    by_id = {finding["Id"]: finding for finding in about.findings}
    for message in about.messages:
        finding = by_id[json.loads(message)["detail"]["id"]]
        yield Burst((message,), (finding,), frozenset(), frozenset())


# Bursts


@dataclass(frozen=True)
class Outcome:
    """What has become of a burst. ``dead`` are the malformed messages that are dead letters;
    ``cpu`` is CPU seconds by process."""

    burst: Burst
    recording: Recording
    closed: Closed
    dead: frozenset[str]
    cpu: Mapping[str, float]

    @property
    def isolated_after(self) -> float:
        return (self.recording.last_isolated - self.recording.first_sent).total_seconds()

    @property
    def contained_after(self) -> float:
        return (self.closed.at - self.recording.first_sent).total_seconds()

    def shown(self, what: str) -> dict[str, str]:
        instances, recording = self.burst.instances, self.recording
        lost = sum(finding["Id"] not in self.closed.decided for finding in self.burst.findings)
        never = sum(name not in recording.isolated for name in instances)
        twice = sum(len(times) > 1 for times in recording.isolated.values())
        others = len(recording.isolated.keys() - instances)
        statuses = ", ".join(f"{count} {name}" for name, count in self.closed.statuses.items())
        figures = {
            f"{what}: until all are isolated / contained": (
                f"{self.isolated_after:.1f} s / {self.contained_after:.1f} s "
                f"({len(self.burst.messages) / self.contained_after:.1f} messages/s)"
            ),
            f"{what}: sent to isolated, median / p99": _shown(
                recording.to_isolation(sorted(instances))
            ),
            f"{what}: lost / twice / never isolated / others isolated": (
                f"{lost} of {len(self.burst.findings)} findings / {twice} / {never} of "
                f"{len(instances)} instances / {others} (goal 0 / 0 / 0 / 0)"
            ),
            f"{what}: incidents": (
                f"{statuses} (goal: all contained), {max(self.closed.by_target.values())} at most "
                f"for an instance{self.closed.error and f'; {self.closed.error[:120]}…'}"
            ),
            f"{what}: CPU": _costs(self.cpu, self.contained_after)
            + f"; {recording.count} calls to AWS",
        }
        if self.burst.critical:
            times = recording.to_isolation(sorted(self.burst.critical))
            shown = f"{_shown(times)} (goal: p99 < 5 s)"
            figures[f"{what}: {len(times)} criticals, sent to isolated, median / p99"] = shown
        if self.burst.malformed:
            shown = f"{len(self.dead)} of {len(self.burst.malformed)} (goal: all)"
            figures[f"{what}: malformed in the dead letters"] = shown
        return figures


def embedded(instances: int = INSTANCES) -> dict[str, str]:
    """The default: everything in one process, with Prefect's embedded server, on SQLite."""
    with rig(instances) as bed:
        about = _burst(bed)
        bed.slow_down()
        with bed.serving() as service:
            service.wait_until_idle()
            parts = {"serve": service.pid, "Prefect's server": family(service.pid)[1]}
            outcome = _poured(bed, about, parts)
    return outcome.shown(f"burst of {len(about.messages)}, embedded")


def scale_out(instances: int = INSTANCES, workers: Sequence[int] = WORKERS) -> dict[str, str]:
    """The same burst with workers, on PostgreSQL and Redis, where they answer."""
    figures: dict[str, str] = {}
    contained: list[float] = []
    for count in workers:
        try:
            outcome = _with_workers(instances, count)
        except (sa.exc.OperationalError, redis.RedisError) as error:
            return {"burst with workers": f"left out: {error}"}
        what = f"burst of {len(outcome.burst.messages)}, {count} workers on PostgreSQL"
        figures |= outcome.shown(what)
        contained.append(outcome.contained_after)
    name = f"burst with {' / '.join(map(str, workers))} workers: until all are contained"
    times = " / ".join(f"{seconds:.1f} s" for seconds in contained)
    figures[name] = f"{times} (the simulated AWS, the databases and the workers share two cores)"
    return figures


def _with_workers(instances: int, count: int) -> Outcome:
    with shared() as parts, rig(instances, parts.journal) as bed, ExitStack() as stack:
        about = _burst(bed)
        bed.slow_down()
        settings = {"PREFECT_API_URL": parts.prefect}
        service = stack.enter_context(bed.serving("--workers", **settings))
        pids = {**parts.pids, "serve": service.pid}
        for number in range(1, count + 1):
            worker = stack.enter_context(bed.working(number, **settings))
            pids[f"worker {number}"] = worker.pid
        parts.wait_for_workers(count)
        service.wait_until_idle()
        return _poured(bed, about, pids)


def _burst(bed: Rig) -> Burst:
    """500 messages about 200 instances: 40 % duplicates and updates, 5 % malformed."""
    instances = len(bed.fleet.instances)
    return burst.findings(
        1,
        bed.fleet,
        distinct=round(1.375 * instances),
        duplicates=instances,
        malformed=max(1, instances // 8),
        criticals=max(1, instances // 10),
    )


def _poured(bed: Rig, about: Burst, pids: Mapping[str, int], over: float | None = None) -> Outcome:
    """Pour a burst as fast as 500 messages in 10 s, and wait until all of it is contained."""
    burst.know(bed.fleet, about)
    seconds = _POURED_IN * len(about.messages) / 500 if over is None else over
    with _cpu({"simulated AWS": bed.pid, **pids}) as cpu:
        pouring = burst.pour(bed.url, bed.urgent, about.messages, seconds, bed.fleet.region)
        pouring.wait()
        bed.wait_until_contained(about, _PATIENCE)
    dead = frozenset(bed.dead_letters()) & about.malformed
    return Outcome(about, bed.recording(about), bed.closed(), dead, cpu)


# The peer


def peer(instances: int = PEER_INSTANCES) -> dict[str, str]:
    """The same findings to Clampdown and to plain Prefect deployments, one for each instance."""
    with rig(instances) as bed:
        about = burst.findings(1, bed.fleet)
        bed.slow_down()
        with bed.serving() as service:
            service.wait_until_idle()
            ours = _poured(bed, about, {"serve": service.pid})
    with rig(instances) as bed:
        about = burst.findings(1, bed.fleet)
        bed.slow_down()
        theirs, cpu = _poured_to_peer(bed, about)
    mine = ours.recording.to_isolation(sorted(about.instances))
    others = theirs.to_isolation(sorted(about.instances))
    took = (theirs.last_isolated - theirs.first_sent).total_seconds()
    what = f"{instances} findings, one for each instance"
    return {
        f"{what}: seconds for each, clampdown serve / Prefect deployments": (
            f"{ours.isolated_after / instances:.2f} s / {took / instances:.2f} s: "
            f"{ours.isolated_after / took:.2f} of it"
        ),
        f"{what}: sent to isolated, median / p99": (
            f"{_shown(mine)}; Prefect deployments {_shown(others)}: "
            f"{statistics.median(mine) / statistics.median(others):.2f} of the median"
        ),
        f"{what}: CPU": f"{_costs(ours.cpu, ours.contained_after)}; Prefect deployments: "
        f"{_costs(cpu, took)}",
    }


def _poured_to_peer(bed: Rig, about: Burst) -> tuple[Recording, Mapping[str, float]]:
    with prefect_server() as (server, api), ExitStack() as stack:
        environment = {
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(bed.directory / "peer"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

        def start(name: str, *arguments: str) -> Running:
            log = bed.directory / f"peer-{name}.log"
            whole = [*_PEER, name, *arguments]
            return stack.enter_context(running(whole, log, environment, says=False))

        runner = start("serve")
        runner.wait_until(lambda: ask(api, "deployments/filter"), "the peer's deployment")
        consumer = start("consume", bed.url, bed.fleet.region, bed.urgent)
        runner.wait_until_idle()
        consumer.wait_until_idle()
        pids = {"runner and runs": runner.pid, "consumer": consumer.pid}
        with _cpu({"simulated AWS": bed.pid, "Prefect's server": server.pid, **pids}) as cpu:
            seconds = _POURED_IN * len(about.messages) / 500
            burst.pour(bed.url, bed.urgent, about.messages, seconds, bed.fleet.region).wait()
            until(
                lambda: bed.recording(about).isolated.keys() >= about.instances,
                "the peer to isolate all",
                _PATIENCE.total_seconds(),
                every=1.0,
            )
    return bed.recording(about), cpu


# Floods


def flood(findings: int = FLOOD, instances: int = INSTANCES) -> dict[str, str]:
    """Findings that call for nothing, and behind them a critical one."""
    return {
        **_flood(findings, instances, two_queues=True),
        **_flood(findings, instances, two_queues=False),
    }


def _flood(findings: int, instances: int, *, two_queues: bool) -> dict[str, str]:
    what = f"{findings} of low severity, then a critical one, in " + (
        "two queues" if two_queues else "one queue"
    )
    with rig(instances) as bed:
        low = burst.flood(1, bed.fleet, findings)
        critical = burst.findings(2, bed.fleet, distinct=1, criticals=1)
        [victim] = critical.critical
        bed.slow_down()
        queues = {} if two_queues else {"CLAMPDOWN_QUEUES": bed.ordinary}
        with bed.serving(**queues) as service:
            service.wait_until_idle()
            burst.know(bed.fleet, critical)
            with _cpu({"simulated AWS": bed.pid, "serve and Prefect": service.pid}) as cpu:
                # A thousand in a second.
                burst.pour(
                    bed.url, bed.ordinary, low.messages, findings / 1_000, bed.fleet.region
                ).wait()
                bed.send(critical.messages[0], bed.urgent if two_queues else bed.ordinary)
                all_of_it = Burst(
                    (*low.messages, *critical.messages),
                    (*low.findings, *critical.findings),
                    critical.critical,
                    frozenset(),
                )
                bed.wait_until_contained(all_of_it, _PATIENCE)
        recording, poured = bed.recording(critical), bed.recording(low)
        times = bed.decided_at()
    sent, began = recording.sent[victim], poured.first_sent
    before = sum(at < sent for at in times)
    whole = (max(times) - began).total_seconds()
    return {
        f"{what}: sent to its first change / isolated": (
            f"{recording.to_change([victim])[0]:.2f} s / "
            f"{recording.to_isolation([victim])[0]:.2f} s (goal < 5 s to the first change); "
            f"{findings - before} of the others were not decided about when it was sent"
        ),
        f"{what}: all decided about": (
            f"after {whole:.1f} s, {len(times) / whole:.0f}/s; {_costs(cpu, whole)}"
        ),
    }


# Memory


def idle_memory() -> dict[str, str]:
    """With nothing to do: everything embedded, and Prefect's bare server."""
    with rig(1) as bed, bed.serving() as service:
        service.wait_until_idle()
        ours = memory(service.pid)
        alone = memory(service.pid, family(service.pid)[1:])
    with prefect_server() as (server, _):
        server.wait_until_idle()
        bare = memory(server.pid)
    return {
        "idle memory, all processes: serve / bare prefect server": (
            f"{_mib(ours)} / {_mib(bare)}: PSS {ours.pss / bare.pss:.2f} of it"
        ),
        "idle memory: serve without its embedded Prefect server": _mib(alone),
    }


def _mib(taken: Memory) -> str:
    return f"RSS {taken.rss:.0f} MiB, PSS {taken.pss:.0f} MiB in {taken.processes}"


# Showing


@contextmanager
def _cpu(pids: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """CPU seconds of processes with their children, from here to the end of the block.

    Children that are named themselves count as that."""

    def now(pid: int) -> float:
        return cpu_seconds(pid, {other for other in pids.values() if other != pid})

    # Who sends the messages, and looks how far it is.
    pids = {**pids, "this benchmark": os.getpid()}
    before = {name: now(pid) for name, pid in pids.items()}
    taken: dict[str, float] = {}
    yield taken
    taken |= {name: now(pid) - before[name] for name, pid in pids.items()}


def _costs(cpu: Mapping[str, float], seconds: float) -> str:
    each = ", ".join(f"{name} {taken:.1f} s" for name, taken in cpu.items())
    return f"{each} within {seconds:.1f} s"


def _shown(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.2f} s / {_late(times):.2f} s"


def _late(times: Sequence[float]) -> float:
    """The 99th percentile; of few, nearly the longest."""
    if len(times) < 2:
        return times[0]
    return statistics.quantiles(times, n=100, method="inclusive")[98]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parts = ["latency", "burst", "peer", "flood", "memory", "journal"]
    parser.add_argument("--only", action="append", choices=parts, help="may be given again")
    parser.add_argument("--instances", type=int, default=INSTANCES, help="200 is the full thing")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    given = parser.parse_args()
    for title, value in measure(given.only or (), given.instances, given.workers).items():
        print(f"{title}\n    {value}")
