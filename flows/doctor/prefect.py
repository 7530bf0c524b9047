"""Prefect's server, where there is one of one's own: whether it answers, and whom else it lets in."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
from collections.abc import Mapping
from http.client import HTTPException
from importlib.metadata import version
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from flows.doctor.check import Check, NotLooked, Result, Shared, ok, problem, warning
from flows.doctor.setup import Setup
from runbooks.errors import ClampdownError

_GROUP = "Prefect"
_SECONDS = 3.0
_VERSION = "/admin/version"
_NO_SERVER = "The server gives no answer."


class _NoAnswer(ClampdownError):
    """The server gives no answer, or none that one can go by."""


def checks(setup: Setup) -> list[Check]:
    """Of the server at PREFECT_API_URL; the embedded one needs nothing."""
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        return [Check(_GROUP, "server", _embedded)]
    server = _Server(url)
    return [
        Check(
            _GROUP,
            "server",
            server.answers,
            meaning="Runs can't be seen there, and nothing is handed to workers; they find what is "
            "unfinished themselves, seconds later.",
        ),
        Check(
            _GROUP,
            "version",
            server.fits,
            meaning="What one of them sends, the other may not understand.",
        ),
        Check(
            _GROUP,
            "access",
            server.closed,
            meaning="Whoever reaches it can stop, restart and delete runs. Approvals it can't give: "
            "they are in the journal.",
        ),
    ]


def _embedded() -> Result:
    return ok(
        f"Embedded (PREFECT_API_URL is not set): Prefect {version('prefect')} runs along, on this "
        "machine alone."
    )


class _Server:
    """A Prefect server by the URL of its API, in which there may be a password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        place = parts.netloc.rpartition("@")[2]
        self._url = f"{parts.scheme}://{place}{parts.path}"
        self._shown = f"{parts.scheme}://{place}"
        # This machine is never behind the proxy that others may be behind.
        here = _is_here(self._host)
        self._here = here
        self._opener = build_opener(*([ProxyHandler({})] if here else []))
        self._health = Shared(self._read_health)

    def answers(self) -> Result:
        self._health()
        return ok(f"{self._shown} answers.")

    def fits(self) -> Result:
        self._health.needed(_NO_SERVER)
        mine = version("prefect")
        try:
            theirs = self._get(_VERSION, _credentials())
        except HTTPError as error:
            if error.code in {401, 403}:
                return problem(
                    f"The server refuses this process (HTTP {error.code}).",
                    meaning="Runs can't be seen there, and nothing is handed to workers.",
                    advice="Set PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) as the server has it.",
                )
            raise NotLooked(f"The server does not tell its version (HTTP {error.code}).") from error
        if theirs != mine:
            return warning(
                f"The server is Prefect {theirs}, and this is {mine}.",
                advice="Install the same version on both sides.",
            )
        return ok(f"Prefect {mine} on both sides.")

    def closed(self) -> Result:
        """Asks without credentials what only those who have them should be told."""
        self._health.needed(_NO_SERVER)
        if self._here:
            return ok("It listens on this machine.")
        try:
            self._get(_VERSION, {})
        except HTTPError as error:
            return ok(f"It answers no stranger (HTTP {error.code}).")
        return warning(
            f"{self._shown} answers whoever asks, without any credentials.",
            advice="Set PREFECT_SERVER_API_AUTH_STRING there and PREFECT_API_AUTH_STRING here, and "
            "let nobody reach it but Clampdown.",
        )

    def _read_health(self) -> None:
        try:
            self._get("/health", _credentials())
        except HTTPError as error:
            raise _NoAnswer(
                f"{self._shown} answers HTTP {error.code}.",
                advice="Is PREFECT_API_URL right? It ends in /api.",
            ) from error

    def _get(self, path: str, headers: Mapping[str, str]) -> Any:
        """Raises HTTPError for an error of the server's own, _NoAnswer for anything else."""
        try:
            request = Request(f"{self._url}{path}", headers=dict(headers))
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return json.loads(answer.read(65_536))
        except HTTPError:
            raise
        except (OSError, HTTPException, ValueError) as error:
            raise _NoAnswer(
                f"{self._shown} gives no answer ({type(error).__name__}).",
                advice="Is the server running, and PREFECT_API_URL right?",
            ) from error


def _credentials() -> dict[str, str]:
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
