"""``make demo-slack``, as a reader of docs/slack.md runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.timeout(240)
def test_the_demo_plays_a_whole_conversation_and_draws_it(tmp_path: Path) -> None:
    page = tmp_path / "seen" / "slack.html"
    done = subprocess.run(
        [sys.executable, "-m", "flows.demo_slack", "--page", str(page)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    told = iter(done.stdout.splitlines())
    for expected in (
        "$ clampdown slack",
        "talks to a C&C server",
        "Contain an instance · Rita Moreau",
        "[SIMULATED] Compromised EC2 instance",
        "only if approved at contain",
        "Approve “contain”",
        "[ Approve ]  [ Deny ]",
        "Rita Moreau clicks Approve",
        "only Rita Moreau sees this",
        "can't decide on it as well",
        "Clampdown: Home · Alice Okafor",
        "Waiting for you: 1",
        "Every call 1 of",
        "autoscaling.detach_instances",
        "Contained and verified",
        "approved: @alice",
        "ec2.isolate · ",
        "[ Done ]  [ Not possible ]",
        "📎 Report of inc-",
        "Done, says @alice",
        "Undo · Rita Moreau",
        "Taken back",
        "changes taken back",
        "it answers the same C&C server",
        f"The workspace as a page: {page}",
        "That took",
    ):
        assert any(expected in line for line in told), f"{expected!r} is missing:\n{done.stdout}"

    drawn = _Page(page)
    incidents = set(re.findall(r"inc-\d{8}-[0-9a-f]{6}", drawn.text))
    assert len(incidents) == 2
    for expected in ("#alerts", "#incidents", "modal of Alice Okafor", "as seen by Alice Okafor"):
        assert expected in drawn.text
    assert {"Approve", "Deny", "Every call"} <= drawn.buttons
    assert not drawn.loaded, "nothing comes from elsewhere"
    assert [each for each in tmp_path.iterdir() if each.name.startswith("clampdown-demo-")] == []


def test_what_goes_wrong_is_said_and_not_drawn(tmp_path: Path) -> None:
    page = tmp_path / "slack.html"
    done = subprocess.run(
        [sys.executable, "-m", "flows.demo_slack", "--page", str(page)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "The demo stopped" in done.stderr
    assert "slack-manifest.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not page.exists()


class _Page(HTMLParser):
    """What stands on a page, which buttons it shows, and what it would have a browser load."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.text = ""
        self.buttons: set[str] = set()
        self.loaded: list[str] = []
        self._in_button = False
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_button = "button" in (given.get("class") or "").split()
        if tag in ("script", "link", "img", "iframe") or "src" in given:
            self.loaded.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_button:
            self.buttons.add(data)
            self._in_button = False
