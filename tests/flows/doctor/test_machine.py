"""This machine: its directory and disk, and where calls go."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from flows.doctor import machine
from tests.flows.doctor.clinic import Clinic


@pytest.fixture
def home(clinic: Clinic, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    clinic.settings["home"] = home
    return home


def test_a_good_machine_is_good(clinic: Clinic, home: Path) -> None:
    found = clinic.examine(machine.checks)

    assert {result.status for result in found.values()} == {"ok"}
    assert "yours alone" in found["home"].what
    assert f"Simulated: everything goes to {clinic.scene.aws.url}" in found["side"].what


@pytest.mark.parametrize(
    ("mode", "status"), [(0o750, "warning"), (0o701, "warning"), (0o770, "problem")]
)
def test_a_home_that_others_get_into_is_told(
    clinic: Clinic, home: Path, mode: int, status: str
) -> None:
    home.chmod(mode)

    result = clinic.examine(machine.checks)["home"]

    assert result.status == status
    assert result.advice == f"chmod 700 {home}"


def test_a_home_of_somebody_else_is_told(
    clinic: Clinic, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: home.stat().st_uid + 1)

    assert "belongs to another user" in clinic.examine(machine.checks)["home"].what


def test_a_home_that_is_not_there_yet_is_made_by_nobody_here(clinic: Clinic, home: Path) -> None:
    clinic.settings["home"] = home / "deep" / "deeper"

    result = clinic.examine(machine.checks)["home"]

    assert result.status == "ok"
    assert "made when it is needed" in result.what
    assert list(home.iterdir()) == []


def test_a_home_that_cannot_be_is_a_problem(
    clinic: Clinic, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda *asked: False)
    assert clinic.examine(machine.checks)["home"].status == "problem"

    clinic.settings["home"] = home / "deep"
    assert "can't be made" in clinic.examine(machine.checks)["home"].what


@pytest.mark.parametrize(("free", "status"), [(5e9, "ok"), (0.5e9, "warning"), (0.05e9, "problem")])
def test_a_disk_that_fills_up_is_told(
    clinic: Clinic, home: Path, free: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free))

    assert clinic.examine(machine.checks)["disk"].status == status


def test_a_live_run_that_would_be_redirected_is_a_problem(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.settings["simulate"] = ""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")

    found = clinic.examine(machine.checks)

    assert found["side"].status == "problem"
    assert "AWS_ENDPOINT_URL_STS is set" in found["side"].what
    assert "Unset AWS_ENDPOINT_URL_STS" in found["side"].advice


def test_a_simulation_that_may_have_been_forgotten_is_a_warning(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAMPDOWN_SIMULATE", clinic.scene.aws.url)

    result = clinic.examine(machine.checks)["side"]

    assert result.status == "warning"
    assert "No real resource is contained" in result.meaning
