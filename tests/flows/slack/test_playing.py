"""A drill that people play in Slack: in real time, decided there, and recorded as theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.slack.actions import APPROVE
from tests.conftest import ROOT
from tests.flows.slack.office import Office, gate
from tests.flows.slack.test_main import environment

SCENARIO = """\
version: 1
title: A beacon, played by people
purpose: Who is on call decides in Slack.
lasts: 3m
timeline:
  - at: 1s
    finding: {type: "Backdoor:EC2/C&CActivity.B", on: victim}
objectives:
  - {id: decided, title: It is decided within two minutes, until: decided, within: 2m}
  - {id: isolated, title: It is isolated, holds: isolated, of: [victim]}
"""
ROUTE = """\
routes:
  - match: {source: guardduty, type: ["Backdoor:EC2/*"]}
    playbook: ec2-compromise
    mode: automatic
"""


@pytest.mark.timeout(180)
def test_people_decide_in_slack_and_it_is_their_time_that_counts(
    office: Office, tmp_path: Path
) -> None:
    office.write(gate(), "- step: ec2.isolate", more=ROUTE)
    office.scene.file.write_text(
        office.scene.file.read_text().replace("tag-it:", "ec2-compromise:")
    )
    file = tmp_path / "beacon.yaml"
    file.write_text(SCENARIO)
    home = tmp_path / "home"
    given = {
        **environment(office),
        "CLAMPDOWN_HOME": str(home),
        "CLAMPDOWN_PLAYBOOKS": str(office.scene.file),
    }
    played = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "flows.cli", "gameday", "run", str(file)),
            *("--people", "slack", "--json"),
        ],
        env={**os.environ, **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        office.until(lambda: any("DRILL" in post.text for post in office.posts()), 60)
        office.until(lambda: any("Approve" in str(post.blocks) for post in office.posts()), 60)
        asked = office.post("“contain”", "Approve")
        assert "SIMULATED" in str(office.posts())
        assert office.click(office.alice, asked, APPROVE).ok
        out, err = played.communicate(timeout=120)
    finally:
        played.kill()

    assert played.returncode == 0, err
    report = json.loads(out)
    assert report["mode"] == "sandbox"
    assert report["people"] == "slack"
    (decision,) = report["decisions"]
    assert office.alice.id in decision["person"]
    assert decision["counted"]
    assert 0 < decision["after"] < 120
    assert [verdict["level"] for verdict in report["verdicts"]] == ["met", "met"]
    office.until(lambda: any("of 100" in post.text for post in office.posts()), 30)


def test_what_people_cannot_play_is_said_before_anybody_is_told(
    office: Office, tmp_path: Path
) -> None:
    given = {
        **environment(office),
        "CLAMPDOWN_HOME": str(tmp_path),
        "CLAMPDOWN_PLAYBOOKS": str(office.scene.file),
    }
    data = yaml.safe_load(office.scene.file.read_text())
    data["playbooks"]["ec2-compromise"] = data["playbooks"].pop("tag-it")
    office.scene.file.write_text(yaml.safe_dump(data))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "flows.cli",
                "gameday",
                "run",
                *words,
                "--people",
                "slack",
            ],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            timeout=60,
        )

    several = run("crypto-mining", "c2-beacon")
    assert several.returncode == 2
    assert "one scenario at a time" in several.stderr
    out_of_turn = run("self-approval")
    assert out_of_turn.returncode == 2
    assert "only stand-ins can play it" in out_of_turn.stderr
    assert office.posts() == []
