"""All checks carried out side by side, each with a deadline: what hangs is a problem, not a hang."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from flows.doctor.check import WITHIN, Check, NotLooked, Result, problem
from runbooks.errors import ClampdownError

_AT_ONCE = 32
_ALTOGETHER = timedelta(seconds=10)


@dataclass(frozen=True)
class Examination:
    """What was found, in the order of the checks. ``hung`` is whether some are still at it."""

    found: tuple[tuple[Check, Result], ...]
    took: timedelta
    hung: bool

    @property
    def healthy(self) -> bool:
        """Whether nothing is a problem."""
        return all(result.status != "problem" for _, result in self.found)

    def to_json(self) -> dict[str, Any]:
        counts = Counter(result.status for _, result in self.found)
        return {
            "healthy": self.healthy,
            "problems": counts["problem"],
            "warnings": counts["warning"],
            "ok": counts["ok"],
            "not_looked_at": counts["not looked at"],
            "seconds": round(self.took.total_seconds(), 3),
            "checks": [
                {
                    "group": check.group,
                    "check": check.name,
                    "status": result.status,
                    "what": result.what,
                    "meaning": result.meaning or None,
                    "advice": result.advice or None,
                }
                for check, result in self.found
            ],
        }


def examine(
    checks: Sequence[Check],
    *,
    within: timedelta = WITHIN,
    altogether: timedelta = _ALTOGETHER,
    at_once: int = _AT_ONCE,
) -> Examination:
    """Carry the checks out and return what they have found.

    One that takes longer than ``within`` is a problem, and so is one that has not begun when the
    time ``altogether`` is over. Threads of those that hang are left behind: they die with the
    process.
    """
    began = time.monotonic()
    end = began + altogether.total_seconds()
    results: dict[int, Result] = {}
    waiting = deque(range(len(checks)))
    running: dict[int, float] = {}
    done: SimpleQueue[tuple[int, Result]] = SimpleQueue()

    def look(number: int) -> None:
        done.put((number, _looked(checks[number])))

    hung = False
    while waiting or running:
        now = time.monotonic()
        while waiting and len(running) < at_once and now < end:
            number = waiting.popleft()
            running[number] = min(now + within.total_seconds(), end)
            threading.Thread(target=look, args=(number,), name="doctor", daemon=True).start()
        if not running:
            break
        try:
            number, result = done.get(timeout=max(0.0, min(running.values()) - now))
        except Empty:
            for number in [
                number for number, until in running.items() if until <= time.monotonic()
            ]:
                del running[number]
                results[number] = _hangs(within)
                hung = True
        else:
            # What comes after its deadline stays what it was said to be.
            if running.pop(number, None) is not None:
                results[number] = result
    for number in waiting:
        results[number] = _no_time(altogether)
    found = tuple(
        (check, _with_meaning(check, results[number])) for number, check in enumerate(checks)
    )
    return Examination(found, timedelta(seconds=time.monotonic() - began), hung)


def _looked(check: Check) -> Result:
    try:
        return check.look()
    except NotLooked as why:
        return Result("not looked at", str(why))
    except ClampdownError as error:
        # Nothing ever is, here.
        return problem(error.what, advice=error.advice.removeprefix("Nothing was done. "))
    except Exception as error:
        # A fault of ours must not hide what the others find; its text might hold a secret.
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
        return problem(
            f"The check itself has failed ({place}).",
            meaning="It says nothing about your set-up.",
            advice="Please report it.",
        )


def _hangs(within: timedelta) -> Result:
    return problem(
        f"There was no answer within {within.total_seconds():g} s.",
        advice="Can what is asked be reached from here, and is it overloaded?",
    )


def _no_time(altogether: timedelta) -> Result:
    return problem(
        f"It was not looked at: the {altogether.total_seconds():g} s for everything were over.",
        meaning="Nobody knows whether it works.",
        advice="Mend what hangs, and run it again.",
    )


def _with_meaning(check: Check, result: Result) -> Result:
    if result.status in {"warning", "problem"} and not result.meaning:
        return replace(result, meaning=check.meaning)
    return result
