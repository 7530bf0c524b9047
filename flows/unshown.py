"""Which incidents Prefect does not show yet: remembered on disk, as the process may end before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_DIRECTORY = "unshown"


def mark(home: Path, incident: str) -> None:
    """Remember that this process is to show an incident. A disk that is full keeps nothing back."""
    with suppress(OSError):
        own = home / _DIRECTORY / str(os.getpid())
        own.mkdir(parents=True, exist_ok=True)
        (own / incident).touch()


def unmark(home: Path, incident: str) -> None:
    """It is shown, or never will be."""
    for marked in (home / _DIRECTORY).glob(f"*/{incident}"):
        with suppress(OSError):
            marked.unlink(missing_ok=True)
            marked.parent.rmdir()


def marked(home: Path) -> list[str]:
    """The incidents that this process is to show, and those of processes that have ended."""
    return sorted(
        {
            incident.name
            for process in _ours(home / _DIRECTORY)
            for incident in process.iterdir()
            if incident.is_file()
        }
    )


def _ours(directory: Path) -> Iterator[Path]:
    for process in directory.glob("*"):
        if process.name == str(os.getpid()) or not _lives(process.name):
            yield process


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
