"""Schedules of drills on a real Prefect server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.gameday.schedule import LONGEST_WINDOW, DrillTimes
from flows.prefect_server import EmbeddedServer, embed_prefect, require_answer
from runbooks.errors import InvalidInput
from tests.conftest import ROOT
from tests.flows.scene import until


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    embed_prefect(tmp_path / "prefect")
    server = EmbeddedServer(tmp_path / "prefect")
    try:
        require_answer(server.url, timedelta(seconds=60))
        yield server.url
    finally:
        server.stop()


def clampdown(home: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "flows.cli", "gameday", "schedule", *words],
        env={
            **os.environ,
            "CLAMPDOWN_HOME": str(home),
            "CLAMPDOWN_PLAYBOOKS": str(ROOT / "playbooks.yaml"),
            **({"PREFECT_API_URL": url} if url else {}),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.timeout(240)
def test_a_schedule_is_made_changed_listed_and_taken_away(server: str, tmp_path: Path) -> None:
    made = clampdown(
        tmp_path, server, "crypto-mining", "--cron", "0 10 * * TUE", "--timezone", "Europe/Berlin"
    )
    assert made.returncode == 0, made.stderr
    changed = clampdown(
        tmp_path,
        server,
        *("crypto-mining", "--cron", "30 9 1 * *", "--timezone", "Asia/Tokyo"),
        *("--window", "4h", "--blackout", "2026-12-24..2027-01-02"),
    )
    assert changed.returncode == 0, changed.stderr

    listed = clampdown(tmp_path, server)
    assert listed.returncode == 0
    for text in ("crypto-mining", "30 9 1 * *", "Asia/Tokyo", "4h", "2026-12-24..2027-01-02"):
        assert text in listed.stdout
    assert "0 10 * * TUE" not in listed.stdout

    gone = clampdown(tmp_path, server, "crypto-mining", "--remove")
    assert gone.returncode == 0, gone.stderr
    assert "crypto-mining" not in clampdown(tmp_path, server).stdout
    again = clampdown(tmp_path, server, "crypto-mining", "--remove")
    assert again.returncode == 2
    assert "has no schedule" in again.stderr


@pytest.mark.timeout(240)
def test_a_worker_plays_what_is_scheduled(server: str, tmp_path: Path) -> None:
    made = clampdown(tmp_path, server, "crypto-mining", "--cron", "0 10 * * TUE")
    assert made.returncode == 0, made.stderr
    environment = {
        **os.environ,
        "PREFECT_API_URL": server,
        "CLAMPDOWN_HOME": str(tmp_path),
        "CLAMPDOWN_PLAYBOOKS": str(ROOT / "playbooks.yaml"),
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
    }
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.cli", "gameday", "worker"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=server, trust_env=False, timeout=30) as api:
            found = api.get("/deployments/name/clampdown-drill/crypto-mining")
            deployment = found.raise_for_status().json()["id"]
            begun = api.post(f"/deployments/{deployment}/create_flow_run", json={})
            run = begun.raise_for_status().json()["id"]

            def state() -> dict[str, Any]:
                asked = api.get(f"/flow_runs/{run}").raise_for_status()
                return dict(asked.json()["state"])

            until(lambda: state()["type"] in ("COMPLETED", "FAILED", "CRASHED"), 150)
            assert state()["message"] == "crypto-mining: 100 of 100."
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    (home,) = (tmp_path / "drills").iterdir()
    assert home.name.startswith("drill-")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("crypto-mining", "--cron", "every tuesday"), "no cron expression"),
        (("crypto-mining", "--cron", "0 10 * * *", "--timezone", "Mars"), "time zone"),
        (("crypto-mining", "--cron", "0 10 * * *", "--blackout", "xmas"), "names no days"),
        (("crypto-minig", "--cron", "0 10 * * *"), "crypto-mining"),
        (("crypto-mining",), "--cron"),
        (("crypto-mining", "--cron", "0 10 * * *"), "No Prefect server"),
    ],
)
def test_what_cannot_be_scheduled_is_said(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    done = clampdown(tmp_path, "", *words)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_window_has_its_limit() -> None:
    DrillTimes("0 10 * * *", window=LONGEST_WINDOW).check()
    with pytest.raises(InvalidInput, match="at most 7 days"):
        DrillTimes("0 10 * * *", window=LONGEST_WINDOW + timedelta(minutes=1)).check()
