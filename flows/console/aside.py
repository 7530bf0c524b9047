"""Showing things beside the work: a terminal that stands still holds no containment up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_PATIENCE_SECONDS = 10.0


class Aside:
    """Shows what it is given in a thread of its own, in order.

    Once showing fails (the terminal is closed, nobody reads the pipe any more), nothing more is
    shown.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="showing", daemon=True)
        self._thread.start()

    def show(self, show: Callable[[], None]) -> None:
        """Have something shown; returns at once."""
        self._waiting.put(show)

    def finish(self) -> None:
        """Wait until everything is shown, for ten seconds at most."""
        self._waiting.put(None)
        self._thread.join(_PATIENCE_SECONDS)

    def _work(self) -> None:
        while (show := self._waiting.get()) is not None:
            try:
                show()
            except (OSError, ValueError):
                return
