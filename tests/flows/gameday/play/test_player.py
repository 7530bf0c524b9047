"""The player's process by itself: what it is given, and what it says."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from flows.gameday.play import child
from flows.gameday.play.job import Job
from flows.gameday.worlds import load_world
from tests.flows.gameday.play.drilling import SHIPPED, finding, scenario


def job(home: Path, url: str) -> Job:
    return Job(
        drill=home.name,
        name="small",
        scenario=scenario(
            finding(),
            {"at": "0s", "connection": {"id": "c", "from": "victim", "to": "203.0.113.80"}},
            {"at": "1m", "fault": {"fault": {"service": "ec2"}, "lasts": "90s"}},
        ),
        mode="sandbox",
        seed=1,
        world=load_world(),
        playbooks=SHIPPED,
        home=home,
        url=url,
    )


def test_a_player_that_is_sent_elsewhere_reaches_nothing_and_says_so(tmp_path: Path) -> None:
    process = child.start("flows.gameday.play")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(job(tmp_path, "http://192.0.2.1:80").line() + "\n")
    process.stdin.flush()
    said = json.loads(process.stdout.readline())
    child.end(process, timedelta(seconds=20))
    assert said["what"] == "failed"
    assert "reaches nothing but this machine; refused: socket.getaddrinfo 192.0.2.1" in said["text"]
    assert process.returncode == 1


def test_a_job_reads_as_it_was_written(tmp_path: Path) -> None:
    given = job(tmp_path, "http://127.0.0.1:1")
    assert Job.model_validate_json(given.line()) == given
