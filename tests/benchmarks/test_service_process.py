"""What processes take is read from Linux, with their children."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.service_process import cpu_seconds, family, memory, running

_BUSY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
filled = bytearray(64 << 20)
while time.process_time() < 0.3:
    pass
print("{}", flush=True)
print(child.pid, flush=True)
time.sleep(60)
"""
_SAYS = "import os, json; print(json.dumps({'home': os.environ.get('CLAMPDOWN_HOME')}, indent=1))"


@pytest.fixture
def busy() -> Iterator[tuple[int, int]]:
    """A process that has taken CPU time and memory, and its child that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    child = int(process.stdout.readline())
    yield process.pid, child
    subprocess.run(["kill", "-9", str(child)], check=True)
    process.kill()
    process.communicate()


def test_children_count_but_for_those_that_are_left_out(busy: tuple[int, int]) -> None:
    parent, child = busy
    assert family(parent) == [parent, child]
    assert family(parent, {child}) == [parent]
    # Linux counts in hundredths of a second.
    assert cpu_seconds(parent, {child}) >= 0.25
    assert memory(parent).processes == 2
    assert memory(parent).pss > memory(parent, {child}).pss > 60


def test_a_process_begins_without_settings_and_says_what_it_says_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAMPDOWN_HOME", "/nowhere")
    stays = _SAYS + "; import sys, time; sys.stdout.flush(); time.sleep(60)"
    with running([sys.executable, "-c", stays], tmp_path / "log", {}) as process:
        assert process.said == {"home": None}


def test_a_process_that_ends_at_once_is_told_of_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with pytest.raises(RuntimeError, match="no such thing"):
        with running(command, tmp_path / "log", {}):
            pass
