"""The stage: a simulated AWS for one drill after the other, which ends with who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.gameday.play import child
from flows.gameday.play.outside import NotPossible, ask
from flows.gameday.play.stage import Stage
from flows.gameday.worlds import build, load_world
from runbooks.errors import ClampdownError
from tests.flows.scene import until


def test_the_same_seed_makes_the_same_ids_and_nothing_is_left_of_before() -> None:
    with Stage() as stage:
        first = build(load_world(), stage.reset(7)).ids
        other = build(load_world(), stage.reset(8)).ids
        again = build(load_world(), stage.reset(7)).ids
        assert first == again
        assert first["victim"] != other["victim"]
        url = stage.reset(7)
        assert ask(url, "GET", "calls") == {"calls": []}
    with pytest.raises(NotPossible, match="does not answer"):
        ask(url, "GET", "calls")


def test_a_stage_that_is_gone_is_said() -> None:
    with Stage() as stage:
        stage.reset(1)
        stage._process.kill()
        stage._process.wait()
        with pytest.raises(ClampdownError, match="is gone"):
            stage.reset(1)


def test_the_stage_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import time; from flows.gameday.play.stage import Stage\n"
        "stage = Stage(); stage.reset(1); print(stage._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_its_environment_has_nothing_of_accounts_and_settings() -> None:
    given = {
        "PATH": "/bin",
        "AWS_PROFILE": "production",
        "AWS_ENDPOINT_URL": "https://example.com",
        "CLAMPDOWN_JOURNAL": "postgresql://live",
        "PREFECT_API_URL": "https://example.com",
        "HTTPS_PROXY": "http://192.0.2.1",
        "https_proxy": "http://192.0.2.1",
    }
    kept = child.environment(given)
    assert set(kept) == {
        "PATH",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_CONFIG_FILE",
        "MALLOC_ARENA_MAX",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
    assert kept["AWS_ACCESS_KEY_ID"].startswith("AKIASIMULATED")
    assert kept["AWS_CONFIG_FILE"] == os.devnull
