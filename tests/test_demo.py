"""``make demo``, as a reader of the README runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.timeout(240)
def test_the_demo_runs_to_its_end_and_shows_the_whole_of_an_incident(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    incident = re.search(r"inc-\d{8}-[0-9a-f]{6}", done.stdout)
    assert incident
    told = iter(done.stdout.splitlines())
    for expected in (
        "$ clampdown plan ec2-compromise",
        "undo: ",
        "$ clampdown respond --finding",
        "behind the gate contain",
        f"clampdown approve {incident[0]} contain",
        "Gate contain of",
        "ec2.isolate: verified",
        f"{incident[0]}: contained",
        f"$ clampdown status {incident[0]}",
        "contained",
        f"$ clampdown timeline {incident[0]}",
        "confirmed with the owner",
        "the journal is whole",
        f"$ clampdown undo {incident[0]}",
        "taken back",
        "the journal is whole",
        "$ clampdown gameday run crypto-mining",
        "SANDBOX",
        "PASSED",
        f"The drill's report: {tmp_path}",
    ):
        assert any(expected in line for line in told), f"{expected!r} is missing:\n{done.stdout}"
    assert not list(tmp_path.glob("clampdown-demo-*")), "it leaves nothing behind"
    (report,) = tmp_path.glob("*.html")
    assert "Crypto mining in an Auto Scaling group" in report.read_text()
