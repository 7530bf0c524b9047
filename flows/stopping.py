"""Asking to stop: one step, one incident, or everything that a process carries out."""

from __future__ import annotations

import threading
import weakref


class Stop(threading.Event):
    """Set to begin nothing new. What hangs on it stops with it, and can be stopped by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._hanging: tuple[weakref.ref[Stop], ...] = ()
        # Whoever holds a stop holds all that it hangs on, and that must reach it.
        self._above: Stop | None = None

    def hang(self) -> Stop:
        """A stop that is set when this one is."""
        other = Stop()
        other._above = self
        with self._lock:
            alive = (known for known in self._hanging if known() is not None)
            self._hanging = (*alive, weakref.ref(other))
        if self.is_set():
            other.set()
        return other

    def set(self) -> None:
        # No lock here: a signal handler calls this, whatever it has interrupted.
        super().set()
        for known in self._hanging:
            if (other := known()) is not None:
                other.set()
