"""Prefect is killed, or is nowhere: what is contained does not depend on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.conftest import ROOT
from tests.flows.commands import until
from tests.flows.serve.office import ROUTES, UNGATED, Office, Serving
from tests.runbooks.stage import Stage

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def office(tmp_path: Path, stage: Stage) -> Office:
    office = Office(tmp_path, stage)
    office.clampdown.write_playbooks(routes=ROUTES, playbooks=UNGATED)
    return office


def test_the_embedded_server_shows_incidents_and_killed_it_is_started_again(
    office: Office,
) -> None:
    first, second = office.instances[:2]
    with _serving(office) as (running, url):
        office.guardduty.find(first)
        until(lambda: office.statuses() == ["contained"], "the containment")
        until(lambda: _shown(url) == ["Completed"], "its flow run")

        [server] = _children(running.pid)
        os.kill(server, signal.SIGKILL)
        office.guardduty.find(second)
        until(lambda: office.statuses() == ["contained"] * 2, "the next one, without Prefect")
        until(lambda: "Completed" in _shown(url), "it to be back at the same address")
        assert _children(running.pid) != [server]
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
        assert "started again" in _errors(office)
    assert office.repeated() == []


@pytest.mark.parametrize("said", ["Connection refused", "Service Unavailable"])
def test_with_prefect_nowhere_or_busy_everything_is_contained(office: Office, said: str) -> None:
    with _port(answers=said == "Service Unavailable") as port:
        url = f"http://127.0.0.1:{port}/api"
        with office.clampdown.start("serve", "--json", PREFECT_API_URL=url) as running:
            service = Serving(running, json.loads(running.says("}\n")))
            office.guardduty.find()
            until(lambda: office.statuses() == ["contained"], "the containment")
            until(lambda: "contained all the same" in running.err, "it to say so")
            service.stop()
        assert said in running.err


@contextmanager
def _port(*, answers: bool) -> Iterator[int]:
    """A port at which every request is answered with 503, or nobody listens."""

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        if answers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield server.server_port
            server.shutdown()
            return
    yield server.server_port


@contextmanager
def _serving(office: Office) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """In an interpreter of its own, as Prefect takes its settings from the environment when it is
    imported; gives the process, and Prefect's URL."""
    with (office.clampdown.directory / "errors").open("wb") as errors:
        running = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve", "--json"],
            env=office.clampdown.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert running.stdout is not None
    try:
        said = "".join(iter(running.stdout.readline, "}\n"))
        yield running, json.loads(said + "}")["prefect"]
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def _errors(office: Office) -> str:
    return (office.clampdown.directory / "errors").read_text()


def _shown(url: str) -> list[str]:
    """The states of the flow runs that Prefect shows; none while it is away."""
    request = Request(f"{url}/flow_runs/filter", data=b"{}", method="POST")
    request.add_header("Content-Type", "application/json")
    try:
        with urlopen(request, timeout=5) as answer:
            return [run["state_name"] for run in json.load(answer)]
    except OSError:
        return []


def _children(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    every = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    return sorted({int(child) for found in [children, *every] for child in found})
