"""What a long-lived process says of its own accord on standard error."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

# In an interpreter of its own: it sets up logging for the process.
_WARNS = """
import logging
from prefect._internal.concurrency import services
from flows.console.terminal import show_warnings

show_warnings()
logging.getLogger("flows").warning("ours")
logging.getLogger("urllib3").warning("another library's")
logging.getLogger("prefect.events").error("by Prefect's name")
exec(compile("log.error('by its code')", services.__file__, "exec"),
     {"log": logging.getLogger("EventsWorker")})
"""


def test_warnings_are_shown_but_none_of_prefect_whatever_it_logs_them_under() -> None:
    said = subprocess.run(
        [sys.executable, "-c", _WARNS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stderr
    assert "ours" in said
    assert "another library's" in said
    assert "by " not in said
