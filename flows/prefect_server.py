"""Prefect's own UI over the embedded server's database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flows.carry_out import embed_prefect

_URL_FILE = "ui-url"


def serve_ui(home: Path, port: int) -> int:
    """Run Prefect's server with its UI on 127.0.0.1 until Ctrl-C; returns its exit code.

    While it runs, ``clampdown run`` reports to it instead of starting a server of its own.
    """
    embed_prefect(home)
    url = f"http://127.0.0.1:{port}/api"
    os.environ["PREFECT_API_URL"] = url
    announced = home / _URL_FILE
    announced.write_text(url, encoding="utf-8")
    print(f"Prefect's UI: http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "prefect", "server", "start"]
    try:
        return subprocess.call([*command, "--host", "127.0.0.1", "--port", str(port)])
    except KeyboardInterrupt:
        return 0
    finally:
        announced.unlink(missing_ok=True)


def running_ui(home: Path) -> str | None:
    """The API's URL of a server that ``clampdown ui`` runs on this machine; None if none answers."""
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        url = (home / _URL_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    try:
        with urlopen(f"{url}/health", timeout=1) as answer:
            return url if answer.status == 200 else None
    except (URLError, OSError):
        return None
