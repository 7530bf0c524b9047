"""This machine and its environment: the home, the disk, and where calls go."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from flows.doctor.check import Check, Result, ok, problem, warning
from flows.doctor.setup import Setup
from runbooks.connections import refuse_redirection

_GROUP = "machine"
_LITTLE, _TOO_LITTLE = 1_000_000_000, 100_000_000


def checks(setup: Setup) -> list[Check]:
    home = setup.settings.home
    return [
        Check(
            _GROUP,
            "home",
            lambda: _home(home),
            meaning="The journal, locks and secrets of approvers (TOTP) are there.",
        ),
        Check(
            _GROUP,
            "disk",
            lambda: _disk(home),
            meaning="Nothing is changed in AWS when the journal can't be written.",
        ),
        Check(_GROUP, "side", lambda: _side(setup)),
    ]


def _home(home: Path) -> Result:
    if not home.exists():
        there = _nearest(home)
        if not os.access(there, os.W_OK | os.X_OK):
            return problem(
                f"{home} is not there, and can't be made: {there} can't be written to.",
                advice="Set CLAMPDOWN_HOME to a directory that you can write to.",
            )
        return ok(f"{home} is not there yet; it is made when it is needed, for you alone.")
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return problem(
            f"{home} is no directory that you can write to.",
            advice="Set CLAMPDOWN_HOME to one, or have its owner give it to you.",
        )
    found = home.stat()
    if found.st_uid != os.geteuid():
        return problem(
            f"{home} belongs to another user (number {found.st_uid}).",
            advice="Run Clampdown as that user, or change the owner.",
        )
    others = stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    if others & (stat.S_IWGRP | stat.S_IWOTH):
        return problem(f"Others may write to {home}.", advice=f"chmod 700 {home}")
    if others:
        return warning(f"Others may look into {home}.", advice=f"chmod 700 {home}")
    return ok(f"{home} is yours alone.")


def _disk(home: Path) -> Result:
    free = shutil.disk_usage(_nearest(home)).free
    said = f"{free / 1e9:.1f} GB are free where {home} is."
    if free < _TOO_LITTLE:
        return problem(said, advice="Make room now.")
    if free < _LITTLE:
        return warning(said, advice="Make room.")
    return ok(said)


def _nearest(path: Path) -> Path:
    """The directory itself, or the nearest above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _side(setup: Setup) -> Result:
    if setup.settings.shadow:
        return warning(
            "SHADOW: nothing is opened or changed; what would have been done is recorded.",
            meaning="No real resource is contained.",
            advice="Unset CLAMPDOWN_SHADOW where it should be. `clampdown gameday shadow compare` "
            "holds it against what people did.",
        )
    if not setup.simulate:
        refuse_redirection(os.environ)
        return ok("Live: calls go to AWS, and nothing in the environment redirects them.")
    said = f"Simulated: everything goes to {setup.simulate}, and nothing to AWS."
    if os.environ.get("CLAMPDOWN_SIMULATE"):
        return warning(
            said,
            meaning="No real resource is contained.",
            advice="Unset CLAMPDOWN_SIMULATE where it should be.",
        )
    return ok(said)
