"""What the command line's parts have in common: options, exit codes, and how they print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from flows.settings import Settings
    from runbooks.playbook import Playbooks

OK, FAILED, INVALID, REFUSED, TAMPERED = range(5)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
PlaybooksFile = Annotated[
    Path | None, typer.Option("--playbooks", help="The playbooks file.", show_default=False)
]
Simulate = Annotated[
    str | None,
    typer.Option("--simulate", metavar="URL", help="A simulated AWS on this machine."),
]
Region = Annotated[str | None, typer.Option("--region", help="Where target ids are looked up.")]


def settings_of(
    playbooks: Path | None, simulate: str | None = None, region: str | None = None
) -> Settings:
    """The settings, with what the command line gives put over the environment."""
    from flows.settings import load_settings

    return load_settings(playbooks=playbooks, simulate=simulate, region=region)


def load_playbooks(settings: Settings) -> Playbooks:
    """The playbooks file. Raises InvalidPlaybooks."""
    from runbooks.loader import load
    from runbooks.registry import STEPS

    return load(settings.playbooks, STEPS)


def print_json(document: Any) -> None:
    """Print one JSON document, with all letters where the output can hold them."""
    all_letters = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=2, ensure_ascii=not all_letters, default=str))


def say(text: str) -> None:
    """Say something to whoever is at the terminal, beside the output."""
    print(text, file=sys.stderr)
