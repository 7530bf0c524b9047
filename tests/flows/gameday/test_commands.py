"""``clampdown gameday`` as it is typed: drills, their reports, twins and replays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.drills import drill_homes
from flows.gameday.worlds import WorldIds
from flows.journal.journal import Journal
from tests.conftest import ROOT


def clampdown(home: Path, *words: str, code: int = 0, **environment: str) -> Any:
    """What a command prints as JSON, or what it says where it refuses."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "flows.cli", "gameday", *words],
        env={
            **os.environ,
            "CLAMPDOWN_HOME": str(home),
            "CLAMPDOWN_PLAYBOOKS": str(ROOT / "playbooks.yaml"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if "--json" in words and code == 0 else done.stderr


@pytest.mark.timeout(300)
def test_a_drill_is_run_listed_reported_and_its_incident_replayed(tmp_path: Path) -> None:
    page, suites = tmp_path / "report.html", tmp_path / "junit.xml"
    played = clampdown(
        tmp_path, "run", "crypto-mining", "--seed", "1", "--junit", str(suites), "--json"
    )
    assert (played["mode"], played["seed"], played["passed"]) == ("sandbox", 1, True)
    assert 'name="crypto-mining"' in suites.read_text()

    again = clampdown(tmp_path, "report", "--html", str(page), "--json")
    assert again["drill"] == played["drill"]
    assert again["sha256"] in page.read_text()
    rows = clampdown(tmp_path, "list", "--json")["scenarios"]
    assert {row["name"]: row["drills"] for row in rows}["crypto-mining"] == 1

    (kept,) = drill_homes(tmp_path)
    url = f"sqlite:///{kept / 'journal.db'}"
    journal = Journal.open(url)
    (head,) = journal.incidents("inc-")
    journal.close()
    replayed = clampdown(
        tmp_path, "replay", head.incident, "--seed", "2", "--json", CLAMPDOWN_JOURNAL=url
    )
    assert replayed["mode"] == "replay"
    assert any("isolated" in text for text in replayed["compared"])


@pytest.mark.timeout(300)
def test_a_twin_is_taken_and_the_plan_carried_out_in_it(tmp_path: Path, world: WorldIds) -> None:
    file = tmp_path / "twin.yaml"
    simulate = ("--simulate", world.url, "--region", world.region)
    taken = clampdown(
        tmp_path, "twin", "take", "--target", world.victim, "--save", str(file), *simulate, "--json"
    )
    assert f"  {taken['target']}:" in file.read_text()

    played = clampdown(
        tmp_path, "twin", "run", "ec2-compromise", "--twin", str(file), "--seed", "3", "--json"
    )
    assert (played["mode"], played["passed"]) == ("twin", True)
    (sentences,) = played["in_words"].values()
    assert any(
        f"{taken['target']} " in text and "left the target group" in text for text in sentences
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run",), "Which scenario?"),
        (("run", "crypto-minig"), "crypto-mining"),
        (("run", "crypto-mining", "c2-beacon", "--html", "x.html"), "one scenario at a time"),
        (("report",), "There was no drill yet"),
        (("replay", "inc-20260101-000000"), "There is no incident"),
        (("twin", "run", "ec2-compromise"), "either --target"),
        (("twin", "run", "ec2-compromise", "--twin", "none.yaml"), "none.yaml"),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_is(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    assert says in clampdown(tmp_path, *words, code=2)
    assert list(drill_homes(tmp_path)) == []
