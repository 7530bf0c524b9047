"""Prefect's clients, made for a tenth of what they cost.

Prefect makes several for each run, and each reads all certificate authorities from disk, which
takes 16 ms during which nothing else of the process runs: more than all else that a hand-over does.
What was read is the same every time.
"""

from __future__ import annotations

import ssl
from functools import cache
from types import SimpleNamespace
from typing import Any

from prefect.client import orchestration


def share_certificates() -> None:
    """Have all clients of this process share what was read. Once is enough."""
    # A context may be shared by any number of connections (Python, "ssl.SSLContext").
    shared: Any = SimpleNamespace(**vars(ssl))
    shared.create_default_context = cache(ssl.create_default_context)
    orchestration.ssl = shared  # type: ignore[attr-defined]
