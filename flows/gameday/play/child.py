"""Processes of a drill: they know nothing of this one's environment, and end with it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

_OURS = ("AWS_", "CLAMPDOWN_", "PREFECT_")
# The SDK would look for credentials on this machine and ask for those of an instance.
_GIVEN = {
    "AWS_ACCESS_KEY_ID": "AKIASIMULATED0000000",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    # Memory for each of many threads would be kept for good.
    "MALLOC_ARENA_MAX": "2",
}
_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}


def environment(of: Mapping[str, str]) -> dict[str, str]:
    """An environment without accounts, settings, servers and proxies; its credentials are made up."""
    kept = {
        name: value
        for name, value in of.items()
        if not name.startswith(_OURS) and name.lower() not in _PROXIES
    }
    return kept | _GIVEN


def start(module: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Run a module of Clampdown. It is told what to do on its standard input, and says on standard
    output how that goes. ``more`` is put into its environment."""
    return subprocess.Popen(
        # Without -P, modules of the current directory could be run.
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(os.environ) | dict(more or {}),
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], within: timedelta) -> None:
    """Have a process end, which does when it is told nothing more."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(within.total_seconds())
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def end_with_parent() -> None:
    """End this process once whoever started it is gone, or wants nothing more of it."""

    def watch() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
