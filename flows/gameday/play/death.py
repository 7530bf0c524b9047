"""Dying in the middle: the process kills itself right before a change is sent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from flows.gameday.drills import DIED
from flows.gameday.play.diary import Diary
from flows.gameday.scenario import DeathInject
from flows.journal.record import Record


class Death:
    """Counts changes down once it is armed. ``dying`` is called last before the end."""

    def __init__(self, diary: Diary, dying: Callable[[], None]) -> None:
        self._diary = diary
        self._dying = dying
        self._lock = threading.Lock()
        self._armed: tuple[int, DeathInject] | None = None
        self._left = 0

    def arm(self, event: int, inject: DeathInject) -> None:
        """From now on the ``change``-th change is not survived."""
        with self._lock:
            self._armed, self._left = (event, inject), inject.change

    def hear(self, record: Record) -> None:
        """Die, once an intent is durable and nothing is sent yet: in the thread that would send it."""
        if record.kind != "change.intent" or self._armed is None:
            return
        with self._lock:
            self._left -= 1
            if self._left > 0:
                return
            event, inject = self._armed
            call = record.body["change"]["call"]
            change = f"{call['service']}:{call['operation']}"
            body = {
                "event": event,
                "change": change,
                "back_after": inject.back_after.total_seconds(),
            }
            self._diary.write(DIED, body, f"Clampdown is killed right before {change}")
            self._dying()
            os.kill(os.getpid(), signal.SIGKILL)
