"""Faults that a simulated Slack has on demand: errors, refusals, slowness, lost answers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Effect = Literal["error", "server_error", "ratelimited", "slow", "drop", "lost_answer"]


class Fault(BaseModel):
    """What happens to the calls of the Web API that match.

    ``method`` is a glob over the methods' names (``chat.*``); ``containing`` is text that must be
    in the call's arguments, for example a channel's id. Of the matching calls the ``nth`` is the
    first that is hit, and the ``times`` calls from it on are (None: all that follow).

    ``error`` answers ``code`` as Slack does, with the status 200. ``server_error`` answers
    ``status``, ``ratelimited`` 429 and Retry-After ``seconds``; these do nothing else. ``slow``
    waits ``seconds`` and then carries the call out. ``drop`` cuts the connection before anything
    is done, ``lost_answer`` carries the call out and then cuts it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = "*"
    containing: str = ""
    effect: Effect = "error"
    code: str = "internal_error"
    status: int = Field(default=500, ge=500, le=599)
    seconds: float = Field(default=1.0, ge=0)
    nth: int = Field(default=1, ge=1)
    times: int | None = Field(default=None, ge=1)

    def matches(self, method: str, arguments: Mapping[str, Any]) -> bool:
        return fnmatchcase(method, self.method) and (
            not self.containing or any(self.containing in str(v) for v in arguments.values())
        )

    def hits(self, number: int) -> bool:
        """Whether the matching call of this number, counted from 1, is hit."""
        return number >= self.nth and (self.times is None or number < self.nth + self.times)


class Faults:
    """The faults that are set, in order; the first that hits a call is the one that it meets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._seen: list[int] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)
            self._seen.append(0)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._seen.clear()

    def meet(self, method: str, arguments: Mapping[str, Any]) -> Fault | None:
        """The fault that this call meets, if any; every fault that matches has seen it."""
        met: Fault | None = None
        with self._lock:
            for number, fault in enumerate(self._faults):
                if fault.matches(method, arguments):
                    self._seen[number] += 1
                    if met is None and fault.hits(self._seen[number]):
                        met = fault
        return met
