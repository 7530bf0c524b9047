"""Checks of what AWS does, and what was seen of it: it holds, differs, or is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from benchmarks.fidelity.account import Account

Outcome = Literal["holds", "differs", "missing"]


@dataclass(frozen=True)
class Verdict:
    """What was seen of one rule. ``said`` is what came instead, where it doesn't hold."""

    rule: str
    outcome: Outcome
    said: str = ""


@dataclass
class Verdicts:
    """What one check sees. A rule is a sentence about AWS, and stands once in a check."""

    seen: list[Verdict] = field(default_factory=list)

    def holds(self, rule: str, condition: bool, said: object = "not so") -> bool:
        """AWS's rule holds where the condition does; ``said`` is shown where it doesn't."""
        self._saw(rule, "holds" if condition else "differs", said)
        return condition

    def refused(self, rule: str, codes: str | tuple[str, ...], call: Callable[[], object]) -> None:
        """AWS refuses this call with this error code, or one of these where it isn't certain."""
        wanted = (codes,) if isinstance(codes, str) else codes
        try:
            call()
        except Exception as error:
            outcome, said = _classified(error)
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else None
            self._saw(rule, "holds" if code in wanted else outcome, said)
        else:
            self._saw(rule, "differs", f"accepted; AWS answers {' or '.join(wanted)}")

    def done(self, rule: str, call: Callable[[], Any]) -> Any:
        """AWS does this. Returns the answer, None where there is none."""
        try:
            answer = call()
        except Exception as error:
            outcome, said = _classified(error)
            self._saw(rule, outcome, said)
            return None
        self._saw(rule, "holds")
        return answer

    def ended(self, error: Exception) -> None:
        """The check could not go on: what it had yet to see isn't counted."""
        outcome, said = _classified(error)
        self._saw("the check can go on to its end", outcome, said)

    def _saw(self, rule: str, outcome: Outcome, said: object = "") -> None:
        if any(verdict.rule == rule for verdict in self.seen):
            raise AssertionError(f"The rule {rule!r} stands twice in a check.")
        self.seen.append(Verdict(rule, outcome, "" if outcome == "holds" else str(said)[:300]))


@dataclass(frozen=True)
class Known:
    """A rule that the simulated AWS is known not to keep: of which operation, and why it stays."""

    operation: str
    why: str


@dataclass(frozen=True)
class Check:
    """One group of rules. ``known`` names those that our simulated AWS doesn't keep."""

    area: str
    name: str
    run: Callable[[Account, Verdicts], None]
    known: Mapping[str, Known]

    @property
    def title(self) -> str:
        return f"{self.area}: {self.name}"

    def verdicts(self, account: Account) -> list[Verdict]:
        """What is seen of its rules in this account, which the check may change at will."""
        seen = Verdicts()
        try:
            self.run(account, seen)
        except AssertionError:
            raise
        except Exception as error:
            seen.ended(error)
        return seen.seen


CHECKS: list[Check] = []


def check(
    area: str, name: str, known: Mapping[str, Known] | None = None
) -> Callable[[Callable[[Account, Verdicts], None]], Callable[[Account, Verdicts], None]]:
    """Make a function one of the checks."""

    def registered(
        run: Callable[[Account, Verdicts], None],
    ) -> Callable[[Account, Verdicts], None]:
        CHECKS.append(Check(area, name, run, known or {}))
        return run

    return registered


def _classified(error: Exception) -> tuple[Outcome, str]:
    """Missing, where a server says that it has no such operation, or falls over it."""
    if isinstance(error, ClientError):
        code = str(error.response["Error"].get("Code", ""))
        message = str(error.response["Error"].get("Message", ""))
        status = error.response["ResponseMetadata"].get("HTTPStatusCode")
        absent = (
            code in {"NotSimulated", "NotImplemented", "500", "501", "InternalError"}
            or "been implemented" in message
            or (status == 404 and code in {"404", "NotFound"} and "Not" in (message or "Not"))
        )
        return "missing" if absent else "differs", f"{code}: {message}"
    if isinstance(error, ResponseParserError):
        return "missing", "an HTML page of an unhandled exception"
    if isinstance(error, BotoCoreError):
        return "differs", f"{type(error).__name__}: {error}"
    with contextlib.suppress(Exception):
        return "differs", f"{type(error).__name__}: {error}"
    return "differs", type(error).__name__
