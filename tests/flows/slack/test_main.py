"""``clampdown slack`` as a process: it says where it serves, ends when asked, and refuses to start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.flows.slack.office import Office


def environment(office: Office) -> dict[str, str]:
    installation = office.slack.installation
    return {
        **os.environ,
        "CLAMPDOWN_HOME": str(office.scene.home),
        "CLAMPDOWN_PLAYBOOKS": str(office.scene.file),
        "CLAMPDOWN_SIMULATE": office.scene.aws.url,
        "AWS_REGION": office.scene.world.region,
        "CLAMPDOWN_SLACK_BOT_TOKEN": installation.bot_token,
        "CLAMPDOWN_SLACK_APP_TOKEN": installation.app_token,
        "CLAMPDOWN_SLACK_SIGNING_SECRET": installation.signing_secret,
        "CLAMPDOWN_SLACK_API_URL": office.slack.api_url,
        "CLAMPDOWN_SLACK_PORT": "0",
    }


def command(*arguments: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "slack", "--without-prefect", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_serves_until_it_is_asked_to_end(office: Office) -> None:
    process = command("--http", "--json", env=environment(office))
    assert process.stdout is not None
    text = ""
    while not text.rstrip().endswith("}"):
        text += process.stdout.readline()
    said = json.loads(text)
    assert said["team"] == office.slack.workspace.team.id
    assert office.slack.use_http(said["address"])
    assert office.rita.command("/clampdown help", office.room).ok
    office.said_to(office.rita, "/clampdown contain")

    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("name", "value", "code", "said"),
    [
        ("CLAMPDOWN_SLACK_BOT_TOKEN", "xoxb-unknown", 1, "Slack refuses the app's token"),
        ("CLAMPDOWN_SLACK_BOT_TOKEN", "", 2, "CLAMPDOWN_SLACK_BOT_TOKEN must hold"),
        ("CLAMPDOWN_SLACK_API_URL", "http://slack.example/api/", 2, "not 'http://slack.example"),
    ],
)
def test_it_refuses_to_start_in_one_sentence(
    office: Office, name: str, value: str, code: int, said: str
) -> None:
    process = command(env={**environment(office), name: value})
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert said in err
    assert "Traceback" not in err
