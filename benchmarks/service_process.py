"""``clampdown serve`` and its like as processes, and what they take: time, CPU and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import urlopen

CLAMPDOWN = (sys.executable, "-m", "flows.cli")
CORES = 2
_SECONDS = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")
# Of a core: below it, a process waits for something to happen.
_IDLE = 0.1
_OURS = ("CLAMPDOWN_", "PREFECT_", "AWS_")


@dataclass(frozen=True)
class Running:
    """A process, and what it has said first where that is a document in JSON."""

    pid: int
    said: Mapping[str, Any]
    _process: subprocess.Popen[str]
    _log: Path

    def require_alive(self) -> None:
        """Raise RuntimeError, with its last words, where it has ended."""
        if self._process.poll() is not None:
            words = self._log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise RuntimeError(f"process {self.pid} has ended: {words}")

    def wait_until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds, for as long as the process lives. Raises RuntimeError."""

        def holds_yet() -> object:
            self.require_alive()
            return holds()

        until(holds_yet, what)

    def wait_until_ready(self) -> None:
        """Wait until its ``/ready`` says so."""
        self.wait_until(lambda: answers(self.said["address"] + "/ready"), "readiness")

    def wait_until_idle(self) -> None:
        """Wait until it and its children do next to nothing."""
        until(lambda: _is_idle(self.pid), "idleness")


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    *,
    says: bool = True,
) -> Iterator[Running]:
    """A process until the block is left, which is asked to end then.

    Its environment is this process's without any settings of Clampdown, Prefect or AWS, and the
    given one. ``says`` is whether a document in JSON on its standard output is waited for; ``log``
    has everything else.
    """
    bare = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            env={**bare, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if says else errors,
            stderr=errors,
            text=True,
        )
    try:
        said = _document(process.stdout) if process.stdout else {}
        started = Running(process.pid, said, process, log)
        if says and not said:
            process.wait(_SECONDS)
        started.require_alive()
        yield started
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _document(out: IO[str]) -> Mapping[str, Any]:
    """The first document; empty where the process ends without one."""
    text = ""
    for line in out:
        text += line
        if line.startswith("}"):
            document: dict[str, Any] = json.loads(text)
            return document
    return {}


def answers(url: str) -> bool:
    """Whether the URL answers with success."""
    try:
        with urlopen(url, timeout=10) as answer:
            return bool(answer.status < 300)
    except (HTTPError, OSError):
        return False


def until(
    holds: Callable[[], object], what: str, within: float = _SECONDS, every: float = 0.02
) -> None:
    """Wait until something holds. Raises RuntimeError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(every)


@contextmanager
def two_cores() -> Iterator[None]:
    """Have this process and all that it starts run on two cores of the machine."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# What they take


def cpu_seconds(pid: int, without: Collection[int] = ()) -> float:
    """CPU time that a process, its children and theirs have taken; those that have ended count.

    ``without`` are children that are left out, with theirs.
    """
    total = 0.0
    for each in family(pid, without):
        with suppress(FileNotFoundError, ProcessLookupError):
            user, system, of_ended, system_of_ended = _fields(each)[11:15]
            total += (int(user) + int(system) + int(of_ended) + int(system_of_ended)) / _TICKS
    return total


def parent(pid: int) -> int:
    return int(_fields(pid)[1])


@dataclass(frozen=True)
class Memory:
    """In MiB: ``rss`` counts what processes share once for each, ``pss`` once in all."""

    rss: float
    pss: float
    processes: int


def memory(pid: int, without: Collection[int] = ()) -> Memory:
    """What a process, its children and theirs have in memory."""
    pids = family(pid, without)
    return Memory(
        sum(_kib(each, "Rss") for each in pids) / 1024,
        sum(_kib(each, "Pss") for each in pids) / 1024,
        len(pids),
    )


def family(pid: int, without: Collection[int] = ()) -> list[int]:
    """A process, its children and theirs, as far as they live."""
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                for child in map(int, (task / "children").read_text().split()):
                    found += [] if child in without else family(child, without)
    return found


def _is_idle(pid: int) -> bool:
    before = cpu_seconds(pid)
    time.sleep(0.5)
    return (cpu_seconds(pid) - before) / 0.5 < _IDLE


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _kib(pid: int, name: str) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
