"""Prefect's server: whether it answers, fits, and lets strangers in."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.doctor import prefect as prefect_checks
from flows.doctor.check import Result
from flows.doctor.examination import examine
from flows.doctor.setup import Setup
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from runbooks.loader import load
from tests.runbooks.playbook_files import SMALL

SECRET = "admin:pa55word"


class Server:
    """What Prefect's server answers to those who look: everybody its health, who may its version."""

    def __init__(self) -> None:
        self.version = version("prefect")
        self.secret = ""
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(f"{self.command} {self.path}")
                wanted = f"Basic {base64.b64encode(outer.secret.encode()).decode()}"
                allowed = not outer.secret or self.headers.get("Authorization") == wanted
                if self.path == "/api/health":
                    self.answer(200, True)
                elif self.path != "/api/admin/version":
                    self.answer(404, "Not Found")
                elif allowed:
                    self.answer(200, outer.version)
                else:
                    self.answer(401, {"exception_message": "Unauthorized"})

            def answer(self, status: int, body: object) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setenv("PREFECT_API_URL", made.url)
    yield made
    made.stop()


@pytest.fixture
def elsewhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """As if it were on another machine."""
    monkeypatch.setattr(prefect_checks, "_is_here", lambda host: False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return server


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    file = tmp_path / "playbooks.yaml"
    file.write_text(SMALL)
    return Setup(Settings(playbooks=file), ServeSettings(), load(file))


def look(setup: Setup) -> dict[str, Result]:
    found = examine(prefect_checks.checks(setup))
    return {check.name: result for check, result in found.found}


def test_the_embedded_server_needs_nothing(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    [result] = look(setup).values()

    assert result.status == "ok"
    assert f"Prefect {version('prefect')}" in result.what


def test_a_server_on_this_machine_is_good(setup: Setup, server: Server) -> None:
    found = look(setup)

    assert {result.status for result in found.values()} == {"ok"}
    assert set(server.asked) == {"GET /api/health", "GET /api/admin/version"}


def test_a_server_that_gives_no_answer_is_one_problem(
    setup: Setup, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    host = server.url.removeprefix("http://")
    monkeypatch.setenv("PREFECT_API_URL", f"http://user:pa55word@{host}")

    found = look(setup)

    assert found["server"].status == "problem"
    assert "pa55word" not in str(found)
    assert found["version"].status == found["access"].status == "not looked at"


def test_a_url_that_leads_elsewhere_is_a_problem(
    setup: Setup, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url.removesuffix("/api"))

    result = look(setup)["server"]

    assert result.status == "problem"
    assert "HTTP 404" in result.what


def test_another_version_is_a_warning(setup: Setup, server: Server) -> None:
    server.version = "2.0.0"

    result = look(setup)["version"]

    assert result.status == "warning"
    assert "2.0.0" in result.what


def test_a_server_that_lets_strangers_in_is_a_warning(setup: Setup, elsewhere: Server) -> None:
    result = look(setup)["access"]

    assert result.status == "warning"
    assert "without any credentials" in result.what
    assert "Approvals it can't give" in result.meaning
    assert "PREFECT_SERVER_API_AUTH_STRING" in result.advice


def test_a_server_with_a_password_wants_it_from_us_too(
    setup: Setup, elsewhere: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.secret = SECRET
    found = look(setup)
    assert found["access"].status == "ok"
    assert found["version"].status == "problem"
    assert "PREFECT_API_AUTH_STRING" in found["version"].advice

    monkeypatch.setenv("PREFECT_API_AUTH_STRING", SECRET)
    found = look(setup)
    assert {result.status for result in found.values()} == {"ok"}
    assert "pa55word" not in str(found)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("prefect", False),
    ],
)
def test_this_machine_is_told_from_others(host: str, here: bool) -> None:
    assert prefect_checks._is_here(host) is here
