"""What the service does every so often: sweeping, deleting expired clean rooms, measuring."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from flows.serve.sparing_log import SparingLog
from runbooks.errors import ClampdownError

_LOG = logging.getLogger(__name__)


class Periodic:
    """Does something every so often in a thread of its own, however it ended the last time.

    ``at_once`` is whether it is done at the start as well.
    """

    def __init__(
        self, name: str, every: timedelta, work: Callable[[], object], *, at_once: bool = False
    ) -> None:
        self._name = name
        self._every = every
        self._work = work
        self._at_once = at_once
        self._log = SparingLog(_LOG)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Do it no more. What is under way ends with the process."""
        self._enough.set()

    def _run(self) -> None:
        if not self._at_once and self._enough.wait(self._every.total_seconds()):
            return
        while True:
            try:
                self._work()
            except ClampdownError as error:
                self._log.warn(type(error).__name__, f"{self._name}: {error}")
            except Exception:  # a fault of ours must not end what keeps the service honest
                _LOG.exception("%s failed; it is done again in %s", self._name, self._every)
            if self._enough.wait(self._every.total_seconds()):
                return
