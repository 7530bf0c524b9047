"""A check, what it can find, and what several of them share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Literal, TypeVar

from runbooks.errors import ClampdownError

Status = Literal["ok", "warning", "problem", "not looked at"]

WITHIN = timedelta(seconds=5)
"""How long a check may take."""

# Whoever waits for another check's answer gives up before it is thought to hang itself.
_PATIENCE = timedelta(seconds=4)

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Result:
    """What a check has found: a sentence; and, where it isn't good, what that means and what to do.

    A ``meaning`` that is left empty is the check's own.
    """

    status: Status
    what: str
    meaning: str = ""
    advice: str = ""


def ok(what: str) -> Result:
    return Result("ok", what)


def warning(what: str, *, meaning: str = "", advice: str) -> Result:
    return Result("warning", what, meaning, advice)


def problem(what: str, *, meaning: str = "", advice: str) -> Result:
    return Result("problem", what, meaning, advice)


class NotLooked(Exception):
    """Something can't be looked at, or is not set up; the text says why."""


@dataclass(frozen=True)
class Check:
    """One thing that is looked at.

    ``look`` may raise NotLooked, and ClampdownError for what is a problem. ``meaning`` says what it
    means where something is wrong here.
    """

    group: str
    name: str
    look: Callable[[], Result]
    meaning: str = ""


class Shared(Generic[AnswerT]):
    """What several checks need: the first asks for it, the others wait for the same answer."""

    def __init__(self, ask: Callable[[], AnswerT]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: Future[AnswerT] | None = None

    def __call__(self) -> AnswerT:
        """The answer, or what asking for it has raised."""
        return self._future().result()

    def needed(self, why_not: str) -> AnswerT:
        """The answer. Raises NotLooked(why_not) where there is none: that is said by another check."""
        try:
            return self._future().result(_PATIENCE.total_seconds())
        except (ClampdownError, NotLooked, TimeoutError) as error:
            raise NotLooked(why_not) from error

    def _future(self) -> Future[AnswerT]:
        with self._lock:
            first = self._answer is None
            answer = self._answer = self._answer or Future()
        if first:
            try:
                answer.set_result(self._ask())
            except BaseException as error:
                answer.set_exception(error)
        return answer


def some(items: list[str], most: int = 3) -> str:
    """The first of them, and how many more there are."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, what: str) -> str:
    """``1 route``, ``2 routes``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
